"""The interface of anything that scores performances, and its implementation by a network."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from limssr.core.errors import InputError
from limssr.core.types import Batch, Sample
from limssr.data.batching import attend_padding, collate, crop
from limssr.nn.contract import Network

MAX_SEGMENTS_AT_ONCE = 16_384
"""Over all streams of a batch, absent ones included. Beyond, further samples bring no speed and cost memory."""


class Scorer(Protocol):
    """Anything that can score performances."""

    def score(self, samples: Sequence[Sample]) -> np.ndarray:
        """Scores [N, C] in the data set's unit, in the order of `samples`, from exactly the streams that they hold."""
        ...


@runtime_checkable
class ExplainsGaps(Protocol):
    """A scorer that says why it has no prediction for a subset instead of inventing one."""

    def why_no_prediction(self, streams: tuple[str, ...]) -> str | None:
        """The reason, or None where there is a prediction."""
        ...


@runtime_checkable
class LeavesOutStreams(Protocol):
    """A scorer that does not read streams of which it has learned nothing."""

    @property
    def unseen(self) -> tuple[str, ...]:
        """Streams that no training sample had: with them and without them the predictions are the same."""
        ...


def unseen_words(scorer: Scorer, streams: Collection[str]) -> tuple[str, ...]:
    """What has to be known of streams that samples bring and the scorer does not read, a sentence each."""
    unseen = scorer.unseen if isinstance(scorer, LeavesOutStreams) else ()
    return tuple(f"'{name}' is not read: no training sample owned it" for name in unseen if name in streams)


class KeptScorer:
    """A scorer that looks up predictions that were made before; NaN where there is none.

    Args:
        kept: (sample id, streams joined with +) -> scores [C].
        num_criteria: C.
    """

    def __init__(self, kept: Mapping[tuple[str, str], np.ndarray], num_criteria: int) -> None:
        self._kept, self._nothing_C = kept, np.full(num_criteria, np.nan)

    def score(self, samples: Sequence[Sample]) -> np.ndarray:
        """Scores [N, C] of samples that hold just the streams to be scored from."""
        rows = [self._kept.get((sample.id, "+".join(sample.streams)), self._nothing_C) for sample in samples]
        return np.stack(rows) if rows else np.empty((0, len(self._nothing_C)))


class ModelScorer:
    """A network as a `Scorer`: centre crop, similar lengths together, eval mode, no gradients.

    Args:
        model: From `limssr.systems.build.build_model`, trained.
        batch_size: Samples at once, at most: long ones go in smaller batches, so that memory does not grow with them.
        device: Where the model is; None: where its first parameter is.
        num_segments: T to crop to (and, with attended padding, to pad to); None keeps samples whole.
        padding: "attended" lets the model read padding like data, as the published code does.
        scale: "declared": no score lies outside the criteria's scales; "open": their ends are only where training
            scores ended, and others may lie outside.
    """

    def __init__(
        self,
        model: Network,
        *,
        batch_size: int = 32,
        device: torch.device | str | None = None,
        num_segments: int | None = None,
        padding: Literal["masked", "attended"] = "masked",
        scale: Literal["declared", "open"] = "declared",
    ) -> None:
        if padding == "attended" and num_segments is None:
            raise InputError("Attended padding needs a fixed length, found num_segments = None; give num_segments.")
        self.model = model
        self.batch_size = batch_size
        self.device = torch.device(device) if device is not None else next(model.parameters(), torch.empty(0)).device
        self.num_segments = num_segments
        self.padding: Literal["masked", "attended"] = padding
        self.scale: Literal["declared", "open"] = scale

    @property
    def unseen(self) -> tuple[str, ...]:
        """The model's streams that no training sample owned."""
        return self.model.unseen

    def why_no_prediction(self, streams: tuple[str, ...]) -> str | None:
        """The model's reason for not scoring samples that hold exactly `streams`; None where it does."""
        unseen = self.model.unseen
        if streams and set(streams) <= set(unseen):
            return f"no training sample owns {' or '.join(streams)}"
        streams = tuple(name for name in streams if name not in unseen)
        return self.model.why_no_prediction(streams)

    @torch.inference_mode()
    def score(self, samples: Sequence[Sample]) -> np.ndarray:
        """Scores [N, C] in the data set's unit, in the order of `samples`; NaN where the model has none.

        Streams that no training sample owned are left out: nothing was learned of them.
        """
        criteria = self.model.criteria
        order: list[int] = []
        found: list[Tensor] = []  # stay on the device till the end: fetching each would make it wait for the next plan
        wrong: list[Tensor] = []
        was_training = self.model.training
        if was_training:  # walking all parts of a model takes as long as a small one needs to score
            self.model.eval()
        try:
            for rows, batch in self.batches(samples):
                order += rows
                output = self.model(batch.to(self.device))
                scores_BC = output.unit_scores_BC
                is_number_B = torch.isfinite(scores_BC).all(dim=1)
                wrong.append(~is_number_B if output.scored_B is None else ~is_number_B & output.scored_B)
                if output.scored_B is not None:  # no number is made from streams that the system cannot use
                    scores_BC = scores_BC.masked_fill(~output.scored_B[:, None], torch.nan)
                found.append(scores_BC)
        finally:
            if was_training:
                self.model.train()
        unit_NC = np.full((len(samples), len(criteria)), np.nan)
        if order:
            _refuse_no_numbers([samples[n] for n, bad in zip(order, torch.cat(wrong).tolist(), strict=True) if bad])
            unit_NC[order] = torch.cat(found).double().cpu().numpy()
        return self.in_units(unit_NC)

    def in_units(self, unit_NC: np.ndarray) -> np.ndarray:
        """Unit scores [N, C] -> scores in the data set's unit; none lies outside a declared scale."""
        unit_NC = unit_NC if self.scale == "open" else unit_NC.clip(0.0, 1.0)
        columns = [criterion.to_score(unit_NC[:, column]) for column, criterion in enumerate(self.model.criteria)]
        return np.stack(columns, axis=1)

    def batches(self, samples: Sequence[Sample]) -> Iterator[tuple[list[int], Batch]]:
        """Places among `samples` and the batch of these, as they are scored; without samples that cannot be read."""
        # Targets are taken off: a model that is scored has no business with them.
        seen = self.model.seen
        usable = {
            n: sample.restricted_to(seen)
            for n, sample in enumerate(samples)
            if not sample.streams.keys().isdisjoint(seen)
        }
        cropped = {
            n: replace(crop(sample, self.num_segments, place="center"), scores=np.empty(0), group="", split=None)
            for n, sample in usable.items()
        }
        order = sorted(cropped, key=lambda n: cropped[n].num_segments)
        pad_to = self.num_segments if self.padding == "attended" else None
        sizes = {n: one.num_segments * len(self.model.modalities) for n, one in cropped.items()}
        for rows in _at_once(order, sizes, self.batch_size):
            batch = collate(
                [cropped[n] for n in rows],
                self.model.modalities,
                self.model.criteria,
                pad_to=pad_to,
            )
            yield rows, attend_padding(batch) if self.padding == "attended" else batch


def _refuse_no_numbers(samples: Sequence[Sample]) -> None:
    """Raise where a network's scores are no numbers: neither a person nor a table should take them for absent."""
    if not samples:
        return
    first = samples[0]
    largest = max(float(np.nanmax(np.abs(stream), initial=0.0)) for stream in first.streams.values())
    raise InputError(
        f"Expected a number as the score of sample '{first.id}' (and {len(samples) - 1} others), found none: its "
        f"features reach {largest:.2g}. Where that is not their usual size, correct them or make them NaN (missing); "
        "otherwise the model's training has diverged, and it should be trained again at a lower train.learning_rate."
    )


def check_can_score(model: Network, samples: Mapping[str, Sequence[Sample]]) -> None:
    """Refuse samples of which the model could score none, under any subset of their streams.

    Args:
        model: Calibrated, so that it knows which streams no training sample owns.
        samples: What they are for -> samples; none are fine.

    Raises:
        InputError: None of them can be scored, with the reason for one.
    """
    for purpose, some in samples.items():
        owned = {tuple(name for name in model.seen if name in sample.streams) for sample in some} - {()}
        if some and not any(model.why_no_prediction(streams) is None for streams in owned):
            reasons = [model.why_no_prediction(streams) for streams in sorted(owned)]
            raise InputError(
                f"Expected a {purpose} sample that can be scored, found none of {len(some)}: "
                f"{reasons[0] if reasons else 'they own no stream that a training sample owns'}. Choose other streams "
                "(data.modalities) or another system."
            )


def _at_once(order: Sequence[int], sizes: Mapping[int, int], batch_size: int) -> Iterator[list[int]]:
    rows: list[int] = []
    total = 0
    for n in order:
        if rows and (len(rows) == batch_size or total + sizes[n] > MAX_SEGMENTS_AT_ONCE):
            yield rows
            rows, total = [], 0
        rows.append(n)
        total += sizes[n]
    if rows:
        yield rows
