"""The basic types that all other code uses.

Letters used as suffixes of tensor names and in signatures::

    B batch   M modalities   T segments   D feature width of one modality   H backbone width
    L sequence length   K fusion slots   C criteria (scores predicted at once)   N samples

`present_BM` is True where a sample owns a modality, `valid_BMT` where a segment of it is real. A `score` is in the data
set's own unit, a `unit_score` in [0, 1]; only `Criterion` converts between them.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from limssr.core.words import Words

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Modality:
    """One stream: its name and the width D of its feature vectors.

    Attributes:
        name: Of the stream.
        dim: D.
        columns: D names of the features, in their order; None where the data had none.
        offsets: D numbers that were subtracted before the values became float32, which could not have held them
            otherwise (Unix times, raw counters); None where nothing was subtracted.
        words: For a stream of language, the view that made its D numbers (`limssr.data.words.views`); else None.

    Two modalities are equal when name and width are; `limssr.data.columns` compares columns and offsets.
    """

    name: str
    dim: int
    columns: tuple[str, ...] | None = field(default=None, compare=False)
    offsets: tuple[float, ...] | None = field(default=None, compare=False)
    words: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        # JSON has lists.
        for name in ("columns", "offsets"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(getattr(self, name)))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; what the stream does not have is left out."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Criterion:
    """One score to predict, with the scale it is given on.

    Attributes:
        name: As in the data set.
        low: Lowest possible score, in the data set's unit.
        high: Highest possible score (the paper's divisor xi where `low` is 0; appendix B).
        unit: What the score is counted in, for tables ("points", "rating / 7").
    """

    name: str
    low: float = 0.0
    high: float = 1.0
    unit: str = "points"

    def to_unit(self, score: np.ndarray) -> np.ndarray:
        """Scores in the data set's unit -> [0, 1]."""
        return (score - self.low) / (self.high - self.low)

    def to_score(self, unit_score: np.ndarray) -> np.ndarray:
        """[0, 1] -> scores in the data set's unit."""
        return unit_score * (self.high - self.low) + self.low


@dataclass(frozen=True)
class Sample:
    """One performance.

    Attributes:
        id: Unique in its data set.
        streams: Modality name -> float32 array [T, D]. A modality that does not exist is not a key. A segment whose
            values are all NaN is not valid (that part of the stream is missing); other NaN never occur. All streams
            of a sample have the same T.
        scores: [C] float64 in the data set's unit, NaN where a criterion was not judged; empty when scoring.
        group: Samples of one group (a passage, a person) never stand on two sides of a split.
        split: "train", "val" or "test"; None when scoring new samples.
        words: For streams of language, what was said; their arrays in `streams` are a view of it in numbers. Words of
            a stream that is not in `streams` are not there either.
    """

    id: str
    streams: Mapping[str, np.ndarray]
    scores: np.ndarray = field(default_factory=lambda: np.empty(0))
    group: str = ""
    split: Split | None = None
    _: KW_ONLY
    words: Mapping[str, Words] = field(default_factory=dict)

    @property
    def num_segments(self) -> int:
        """T, the same for every stream."""
        return next(iter(self.streams.values())).shape[0]

    def restricted_to(self, names: tuple[str, ...]) -> "Sample":
        """The same performance with only those of `names` that it owns."""
        kept = {name: self.streams[name] for name in names if name in self.streams}
        words = {name: self.words[name] for name in kept if name in self.words}
        return Sample(self.id, kept, self.scores, self.group, self.split, words=words)


@dataclass(frozen=True)
class HostMasks:
    """Masks of a batch on a device, and the same on the CPU, where sequences are planned."""

    of: tuple[Tensor, ...]
    copies: tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Samples side by side, padded at the end to the longest of them.

    Attributes:
        ids: B sample ids.
        features: Modality name -> [B, T, D], for every modality of the model, in its order; zeros where a stream is
            absent or a segment is not valid.
        present_BM: True where the sample owns the modality.
        valid_BMT: True where the segment is real; False for padding, for absent streams and for all-NaN segments.
        lengths_B: T of each sample before padding (int64). An absent stream has its sample's length too.
        unit_scores_BC: Targets in [0, 1], NaN where not judged; None when scoring.
        owned: In training, for systems that learn from streams hidden in this step: the same pieces of the same
            samples with every stream that they own; else None. Scoring never has it.
        host_masks: Copies of the masks and lengths on the CPU, made by `to`; use `masks_on_host`.
        words: Stream of language -> the words of each of the B samples, None where it is absent; a stream without any
            is not a key.
    """

    ids: tuple[str, ...]
    features: dict[str, Float[Tensor, "B T _"]]
    present_BM: Bool[Tensor, "B M"]
    valid_BMT: Bool[Tensor, "B M T"]
    lengths_B: Tensor
    unit_scores_BC: Float[Tensor, "B C"] | None = None
    owned: "Batch | None" = None
    host_masks: "HostMasks | None" = None
    words: Mapping[str, tuple[Words | None, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        scores = self.unit_scores_BC
        masks = (self.present_BM, self.valid_BMT, self.lengths_B)
        present_BM, valid_BMT, lengths_B = (mask.to(device, non_blocking=True) for mask in masks)
        return Batch(
            ids=self.ids,
            features={name: x.to(device, non_blocking=True) for name, x in self.features.items()},
            present_BM=present_BM,
            valid_BMT=valid_BMT,
            lengths_B=lengths_B,
            unit_scores_BC=None if scores is None else scores.to(device, non_blocking=True),
            owned=None if self.owned is None else self.owned.to(device),
            host_masks=HostMasks((present_BM, valid_BMT, lengths_B), self.masks_on_host()),
            words=self.words,
        )

    def masks_on_host(self) -> tuple[Tensor, Tensor, Tensor]:
        """`present_BM`, `valid_BMT` and `lengths_B` on the CPU, without waiting for a device where `to` moved them."""
        masks = (self.present_BM, self.valid_BMT, self.lengths_B)
        known = self.host_masks
        if known is not None and all(mask is same for mask, same in zip(masks, known.of, strict=True)):
            return known.copies
        return (self.present_BM.cpu(), self.valid_BMT.cpu(), self.lengths_B.cpu())


@dataclass(frozen=True, kw_only=True)
class ScoreOutput:
    """What every model returns for a Batch.

    Attributes:
        unit_scores_BC: The scores on the criteria's unit scale.
        main_BC: Path 1 alone (LIMSSR only, else None).
        aux_BC: Path 2 alone (LIMSSR only, else None).
        slots_BKH: Hidden states of the K fusion tokens (LIMSSR only, else None).
        fused_BH: The vector that path 2's head reads (LIMSSR only, else None).
        members_EBC: Scores of an ensemble's members; where given, the task loss is their mean loss and not the loss of
            their mean.
        loss_scale_C: The task loss divides errors by this before squaring; None: ones.
        scored_B: False for samples that the system cannot score; their scores mean nothing. None: all can be.
        auxiliary: Further losses by name, each with its weight relative to a task loss of weight 1.
    """

    unit_scores_BC: Float[Tensor, "B C"]
    main_BC: Float[Tensor, "B C"] | None = None
    aux_BC: Float[Tensor, "B C"] | None = None
    slots_BKH: Float[Tensor, "B K H"] | None = None
    fused_BH: Float[Tensor, "B H"] | None = None
    members_EBC: Float[Tensor, "E B C"] | None = None
    loss_scale_C: Float[Tensor, " C"] | None = None
    scored_B: Bool[Tensor, " B"] | None = None
    auxiliary: Mapping[str, Tensor] | None = None
