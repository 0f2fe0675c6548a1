"""What solved networks read: numbers of every stream by itself, so that any subset of streams is a matter of zeros."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from limssr.core.config import StatisticsConfig
from limssr.core.rng import integer, uniform
from limssr.core.types import Batch, Modality, Sample
from limssr.data.batching import collate
from limssr.data.missing import dropout_subset, subsets
from limssr.nn.moments import PooledStatistics
from limssr.nn.random_convolutions import COMPETING, RandomConvolutions, dilations_for
from limssr.nn.relations import Pair, means_of, owned_with_pairs, relate_batch, relate_samples, related

KERNELS = 384
ALL_KERNELS = 1536
LENGTH_WEIGHT = 0.15
FLAG_WEIGHT = 0.3
LARGEST = 5.0
MOST_SUBSETS = 12
READ_AT_ONCE = 32


class Evidence(nn.Module):
    """A batch -> moments of every stream, random convolutions if asked for, the length, and what is there.

    Every part has the weight of one number: its width does not count. An absent stream has zeros, which is what a
    stream of median moments has, and a flag.

    Args:
        modalities: The M streams, in order.
        dilations: Of the convolutions; () for moments alone.
        seed: Of the convolutions.
        pairs: Of streams that are set against each other and read like streams (`limssr.nn.relations`).
    """

    def __init__(
        self, modalities: Sequence[Modality], *, dilations: Sequence[int], seed: int, pairs: Sequence[Pair] = ()
    ) -> None:
        super().__init__()
        self.given, self.pairs = tuple(modalities), tuple(pairs)
        self.modalities, self.dilations = (*self.given, *related(self.given, self.pairs)), tuple(dilations)
        for place, (m, _) in enumerate(self.pairs):
            self.register_buffer(f"pair_mean_{place}", torch.zeros(self.given[m].dim))
        self.moments = PooledStatistics(self.modalities, StatisticsConfig().widest)
        block = COMPETING * max(1, len(self.dilations))
        num_kernels = max(1, min(KERNELS, ALL_KERNELS // len(self.modalities)) // block) * block
        self.convolutions = nn.ModuleList()
        for one in self.modalities if self.dilations else ():
            own_seed = integer("convolutions", seed, one.name) % 2**48
            self.convolutions.append(
                RandomConvolutions(one, num_kernels=num_kernels, dilations=self.dilations, seed=own_seed)
            )
        for m, one in enumerate(self.convolutions):
            self.register_buffer(f"mean_{m}", torch.zeros(one.num_outputs))  # type: ignore[arg-type]
            self.register_buffer(f"scale_{m}", torch.zeros(one.num_outputs))  # type: ignore[arg-type]

    @property
    def num_outputs(self) -> int:
        """F."""
        return self.moments.num_outputs + sum(one.num_outputs for one in self.convolutions)  # type: ignore[misc]

    @torch.no_grad()
    def fit(self, samples: Sequence[Sample]) -> np.ndarray:
        """Measure scales on training samples, whatever their scores are; returns what is read of them, [N, F]."""
        for place, mean_D in enumerate(means_of(samples, self.given, self.pairs)):
            self.get_buffer(f"pair_mean_{place}").copy_(mean_D)
        samples = relate_samples(samples, self.given, self.pairs, self._pair_means())
        self.moments.fit(samples)
        for one in self.convolutions:
            one.fit(samples)  # type: ignore[operator]
        batches = list(_unscored_batches(samples, self.modalities))
        raw = [self._answers(batch) for batch in batches]
        present_NM = torch.cat([batch.present_BM for batch in batches])
        for m in range(len(self.convolutions)):
            values_NS = torch.cat([parts[m] for parts in raw])[present_NM[:, m]]
            if len(values_NS) > 1:
                deviation_S = values_NS.std(dim=0)
                self.get_buffer(f"mean_{m}").copy_(values_NS.mean(dim=0))
                self.get_buffer(f"scale_{m}").copy_(torch.where(deviation_S > 1e-6, 1.0 / deviation_S, 0.0))
        return torch.cat([self._joined(b, parts) for b, parts in zip(batches, raw, strict=True)]).numpy()

    @torch.no_grad()
    def forward(self, batch: Batch) -> Tensor:
        """[B, F]."""
        batch = relate_batch(batch, self.given, self.pairs, self._pair_means())
        return self._joined(batch, self._answers(batch))

    @torch.no_grad()
    def read(self, samples: Sequence[Sample]) -> np.ndarray:
        """[N, F] of samples with all that they own."""
        return torch.cat([self(batch) for batch in _unscored_batches(samples, self.given)]).numpy()

    def _pair_means(self) -> list[Tensor]:
        return [self.get_buffer(f"pair_mean_{place}") for place in range(len(self.pairs))]

    def _answers(self, batch: Batch) -> list[Tensor]:
        names = [modality.name for modality in self.modalities]
        return [one(batch.features[names[m]], batch.valid_BMT[:, m]) for m, one in enumerate(self.convolutions)]

    def _joined(self, batch: Batch, answers: Sequence[Tensor]) -> Tensor:
        raw_BS = self.moments(batch.features, batch.valid_BMT, batch.present_BM, batch.lengths_B)
        *streams, length_B1, flags_BM = raw_BS.split([*self.moments.read_widths, 1, len(self.modalities)], dim=1)
        share = 0.5 if self.dilations else 1.0
        parts = [one * (share / one.shape[1]) ** 0.5 for one in streams]
        for m, values_BS in enumerate(answers):
            scaled_BS = (values_BS - self.get_buffer(f"mean_{m}")) * self.get_buffer(f"scale_{m}")
            scaled_BS = scaled_BS.clamp(-LARGEST, LARGEST) * ((1.0 - share) / scaled_BS.shape[1]) ** 0.5
            parts.append(scaled_BS.masked_fill(~batch.present_BM[:, m, None], 0.0))
        return torch.cat([*parts, LENGTH_WEIGHT * length_B1, FLAG_WEIGHT * flags_BM], dim=1)

    def streams_of_outputs(self) -> np.ndarray:
        """[F]: the place of the stream that each number is of; -1: the length; -2 - m: the flag of stream m."""
        of = [np.full(width, m) for m, width in enumerate(self.moments.read_widths)]
        of += [np.full(one.num_outputs, m) for m, one in enumerate(self.convolutions)]  # type: ignore[call-overload]
        return np.concatenate([*of, [-1], -2 - np.arange(len(self.modalities))])


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Every training sample under several subsets of its streams.

    Attributes:
        sample_R: Place of the sample.
        owned_RM: The streams of the subset.
        weight_R: One over the number of rows of the sample, so that each sample counts once.
    """

    sample_R: np.ndarray
    owned_RM: np.ndarray
    weight_R: np.ndarray


def rows_of(samples: Sequence[Sample], names: Sequence[str], *, seed: int, most: int | None = None) -> Rows:
    """The subsets that each sample is shown under: all of what it owns, or a few where these are many.

    Args:
        samples: N.
        names: The streams that are read.
        seed: Of the choice, where there is one.
        most: Rows at most; a draw of them where there are more.
    """
    pairs = [(n, s) for n, sample in enumerate(samples) for s in shown_subsets(sample, names, seed=seed)]
    if most is not None and len(pairs) > most:
        pairs.sort(key=lambda pair: uniform("row", seed, samples[pair[0]].id, "+".join(pair[1])))
        pairs = sorted(pairs[:most])
    sample_R = np.array([n for n, _ in pairs], dtype=int)
    owned_RM = np.array([[name in s for name in names] for _, s in pairs], dtype=bool).reshape(len(pairs), len(names))
    count_N = np.bincount(sample_R, minlength=len(samples))
    return Rows(sample_R=sample_R, owned_RM=owned_RM, weight_R=1.0 / count_N[sample_R])


def shown_subsets(sample: Sample, names: Sequence[str], *, seed: int) -> list[tuple[str, ...]]:
    """All non-empty subsets of what a sample owns; of more than three streams all, and eleven drawn ones."""
    owned = tuple(name for name in names if name in sample.streams)
    if 2 ** len(owned) - 1 <= MOST_SUBSETS:
        return list(subsets(owned))
    drawn = {dropout_subset(sample.id, owned, seed=seed, epoch=epoch) for epoch in range(MOST_SUBSETS - 1)}
    return [*sorted(drawn - {owned}, key=lambda one: (len(one), one)), owned]


def _unscored_batches(samples: Sequence[Sample], modalities: Sequence[Modality]) -> Iterator[Batch]:
    for start in range(0, len(samples), READ_AT_ONCE):
        some = [replace(one, scores=np.empty(0)) for one in samples[start : start + READ_AT_ONCE]]
        yield collate(some, modalities, ())


def under_subsets(values_NF: np.ndarray, rows: Rows, evidence: Evidence) -> np.ndarray:
    """[N, F] of whole samples -> [R, F] of the rows: zeros for streams that a row does not show."""
    of_F, owned_RM = evidence.streams_of_outputs(), owned_with_pairs(rows.owned_RM, evidence.pairs)
    stream_F = np.where(of_F <= -2, -2 - of_F, of_F)
    keeps_RF = np.ones((len(rows.sample_R), len(of_F)), dtype=bool)
    for m in range(owned_RM.shape[1]):
        keeps_RF[:, stream_F == m] = owned_RM[:, m, None]
    return values_NF[rows.sample_R] * keeps_RF


def dilations_of(samples: Sequence[Sample]) -> tuple[int, ...]:
    """Dilations that fit the lengths of samples."""
    return dilations_for([sample.num_segments for sample in samples])
