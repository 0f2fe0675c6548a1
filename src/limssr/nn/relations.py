"""Streams made of two: what one is against the other, segment by segment, for streams of the same width.

A singer against the piano that he repeats, a left hand against a right one: the answer lies in neither stream alone,
and moments of each by itself cannot give it back, whatever reads them.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from limssr.core.types import Batch, Modality, Sample

WIDEST = 64
MOST_PAIRS = 6
LEAST_OWNERS = 10

Pair = tuple[int, int]


def pairs_of(samples: Sequence[Sample], modalities: Sequence[Modality]) -> list[Pair]:
    """Pairs of streams that can be set against each other: of one width, and enough samples own both.

    None where there are more pairs than can be read: then nothing says which of them mean something.
    """
    found = [
        (m, n)
        for m, one in enumerate(modalities)
        for n, other in enumerate(modalities[m + 1 :], start=m + 1)
        if one.dim == other.dim <= WIDEST
        and sum(one.name in sample.streams and other.name in sample.streams for sample in samples) >= LEAST_OWNERS
    ]
    return found if len(found) <= MOST_PAIRS else []


def related(modalities: Sequence[Modality], pairs: Sequence[Pair]) -> tuple[Modality, ...]:
    """The streams that pairs give: difference, its size, and the product, three numbers a feature."""
    return tuple(Modality(f"{modalities[m].name} - {modalities[n].name}", 3 * modalities[m].dim) for m, n in pairs)


def relation(left_TD: Tensor, right_TD: Tensor, mean_D: Tensor) -> Tensor:
    """[..., T, D] twice -> [..., T, 3 D]. The mean over time of the product is a covariance, up to the two means."""
    difference_TD = left_TD - right_TD
    return torch.cat([difference_TD, difference_TD.abs(), (left_TD - mean_D) * (right_TD - mean_D)], dim=-1)


def relate_samples(
    samples: Sequence[Sample], modalities: Sequence[Modality], pairs: Sequence[Pair], means: Sequence[Tensor]
) -> list[Sample]:
    """Samples with the streams of their pairs beside their own; a segment is valid where it is in both.

    Args:
        samples: N.
        modalities: The M streams.
        pairs: Of them.
        means: For each pair what products are taken around, [D].
    """
    names = [one.name for one in modalities]
    found = []
    for sample in samples:
        streams = dict(sample.streams)
        for (m, n), made, mean_D in zip(pairs, related(modalities, pairs), means, strict=True):
            left, right = sample.streams.get(names[m]), sample.streams.get(names[n])
            if left is None or right is None:
                continue
            stream_TD = relation(torch.tensor(left), torch.tensor(right), mean_D).numpy()
            if not np.isnan(stream_TD).any(axis=1).all():
                streams[made.name] = stream_TD
        found.append(replace(sample, streams=streams))
    return found


def relate_batch(batch: Batch, modalities: Sequence[Modality], pairs: Sequence[Pair], means: Sequence[Tensor]) -> Batch:
    """The same of a batch."""
    features: dict[str, Tensor] = dict(batch.features)
    valid, present = [batch.valid_BMT], [batch.present_BM]
    for (m, n), made, mean_D in zip(pairs, related(modalities, pairs), means, strict=True):
        valid_BT = batch.valid_BMT[:, m] & batch.valid_BMT[:, n]
        stream_BTD = relation(batch.features[modalities[m].name], batch.features[modalities[n].name], mean_D)
        features[made.name] = stream_BTD.masked_fill(~valid_BT[..., None], 0.0)
        valid.append(valid_BT[:, None])
        present.append(valid_BT.any(dim=1, keepdim=True))
    return replace(batch, features=features, valid_BMT=torch.cat(valid, dim=1), present_BM=torch.cat(present, dim=1))


def means_of(samples: Sequence[Sample], modalities: Sequence[Modality], pairs: Sequence[Pair]) -> list[Tensor]:
    """For each pair the mean of all valid segments of both streams, [D]."""
    return [torch.from_numpy(_mean_of(samples, [modalities[m], modalities[n]])) for m, n in pairs]


def _mean_of(samples: Sequence[Sample], both: Sequence[Modality]) -> np.ndarray:
    total_D, count = np.zeros(both[0].dim), 0
    for sample in samples:
        for one in both:
            stream_TD = sample.streams.get(one.name)
            if stream_TD is not None:
                valid_TD = stream_TD[~np.isnan(stream_TD).any(axis=1)]
                total_D += valid_TD.sum(axis=0, dtype=np.float64)
                count += len(valid_TD)
    return (total_D / max(count, 1)).astype(np.float32)


def pairs_as_text(pairs: Sequence[Pair]) -> str:
    """As an option of a saved model: "0-1,0-2"."""
    return ",".join(f"{m}-{n}" for m, n in pairs)


def pairs_from_text(text: str, modalities: Sequence[Modality]) -> list[Pair]:
    """Back again; what is no pair of these streams is left out."""
    found = []
    for part in text.split(","):
        left, _, right = part.partition("-")
        m, n = (int(one) if one.isdigit() else len(modalities) for one in (left, right))
        if m < n < len(modalities) and modalities[m].dim == modalities[n].dim:
            found.append((m, n))
    return found


def owned_with_pairs(owned_RM: np.ndarray, pairs: Sequence[Pair]) -> np.ndarray:
    """[R, M] -> [R, M + P]: a pair is owned by who owns both."""
    more = [owned_RM[:, m] & owned_RM[:, n] for m, n in pairs]
    return np.concatenate([owned_RM, *(one[:, None] for one in more)], axis=1)
