"""From samples of any length to batches: crop, order, collate.

This is the only place where NaN ("not valid") turns into a zero and an explicit mask.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from limssr.core.errors import InputError
from limssr.core.rng import integer, uniform
from limssr.core.types import Batch, Criterion, Modality, Sample
from limssr.core.words import Words

# Samples are sorted by length within pools of this many batches: enough that a batch's lengths are close, few enough
# that batches still mix freely from epoch to epoch.
POOL_BATCHES = 16


def crop(
    sample: Sample,
    num_segments: int | None,
    *,
    place: Literal["random", "center"],
    seed: int = 0,
    epoch: int = 0,
) -> Sample:
    """A contiguous piece of a sample, the same piece of every stream (paper, appendix B).

    Only places where some stream has a valid segment are used; "center" takes the nearest of them to the centre.

    Args:
        sample: With streams [T, D].
        num_segments: Length of the piece; None, or no less than T, returns the sample as it is.
        place: "random" for training (decided by seed, sample id and epoch alone), "center" for scoring.
        seed: Of the run.
        epoch: Another epoch, another piece.

    Returns:
        The sample with streams [num_segments, D] (views, nothing is copied).

    Raises:
        InputError: `num_segments` is below 1.
    """
    if num_segments is not None and num_segments < 1:
        raise InputError(f"Expected a crop of at least 1 segment, found {num_segments}: give a positive length.")
    start = crop_start(sample, num_segments, place=place, seed=seed, epoch=epoch)
    return piece(sample, start, num_segments)


def crop_start(
    sample: Sample,
    num_segments: int | None,
    *,
    place: Literal["random", "center"],
    seed: int = 0,
    epoch: int = 0,
) -> int:
    """The first segment of the piece that `crop` takes."""
    total = sample.num_segments
    if num_segments is None or num_segments >= total:
        return 0
    starts = _usable_starts(sample, num_segments)
    if place == "random":
        return int(starts[integer("crop", seed, epoch, sample.id) % starts.size])
    return int(starts[np.argmin(np.abs(starts - (total - num_segments) // 2))])


def prefix_length(sample: Sample, probability: float, *, seed: int, epoch: int) -> int | None:
    """How many of a sample's first segments a training step sees; None: all of them.

    A beginning holds a valid segment and lacks the last one; every length in between has the same chance. It is cut
    on the clock that all streams share.

    Args:
        sample: With the streams that the step sees.
        probability: That it is cut.
        seed: Of the run.
        epoch: Another epoch, another draw.
    """
    if not probability or uniform("prefix", seed, epoch, sample.id) >= probability:
        return None
    valid_T = _valid_somewhere(sample)
    first = int(np.argmax(valid_T)) + 1
    if first >= sample.num_segments:
        return None
    return first + integer("prefix length", seed, epoch, sample.id) % (sample.num_segments - first)


def piece(sample: Sample, start: int, num_segments: int | None) -> Sample:
    """`num_segments` segments from `start` on; all of them where the sample is no longer than that."""
    if num_segments is None or num_segments >= sample.num_segments:
        return sample
    streams = {name: stream_TD[start : start + num_segments] for name, stream_TD in sample.streams.items()}
    words = {name: said.part(start, num_segments) for name, said in sample.words.items()}
    return Sample(sample.id, streams, sample.scores, sample.group, sample.split, words=words)


def collate(
    samples: Sequence[Sample],
    modalities: Sequence[Modality],
    criteria: Sequence[Criterion],
    *,
    pad_to: int | None = None,
) -> Batch:
    """Samples of any lengths and any streams, side by side.

    A stream is present when the sample owns it and at least one of its segments is valid (a crop can hold only
    NaN segments of a stream; to the model that is an absent stream).

    Args:
        samples: B samples.
        modalities: The model's M streams, in its order; other streams of a sample are not used.
        criteria: The C scores, which convert to [0, 1] here.
        pad_to: Pad to this many segments; None pads to the longest sample of the batch.

    Returns:
        Features [B, T, D] a modality, zero wherever `valid_BMT` is False; see `Batch`.

    Raises:
        InputError: No samples, a sample longer than `pad_to`, a wrong width, or scores for only some of the samples.
    """
    if not samples:
        raise InputError("Expected at least one sample in a batch, found none.")
    lengths = [sample.num_segments for sample in samples]
    num_segments = max(lengths) if pad_to is None else pad_to
    if max(lengths) > num_segments:
        longest = samples[int(np.argmax(lengths))]
        raise InputError(
            f"Sample '{longest.id}': expected at most {num_segments} segments (pad_to), found {max(lengths)}: "
            "crop the sample first."
        )
    valid_BMT = torch.zeros(len(samples), len(modalities), num_segments, dtype=torch.bool)
    features: dict[str, torch.Tensor] = {}
    for column, modality in enumerate(modalities):
        features_BTD = torch.zeros(len(samples), num_segments, modality.dim)
        for row, sample in enumerate(samples):
            stream_TD = sample.streams.get(modality.name)
            if stream_TD is None:
                continue
            _check_shape(sample, modality, stream_TD)
            # One value tells: a checked segment is all NaN or holds none.
            invalid_T = np.isnan(stream_TD[:, 0])
            filled_TD = np.where(invalid_T[:, None], np.float32(0), stream_TD).astype(np.float32, copy=False)
            features_BTD[row, : lengths[row]] = torch.from_numpy(filled_TD)
            valid_BMT[row, column, : lengths[row]] = torch.from_numpy(~invalid_T)
        features[modality.name] = features_BTD
    return Batch(
        ids=tuple(sample.id for sample in samples),
        features=features,
        present_BM=valid_BMT.any(dim=2),
        valid_BMT=valid_BMT,
        lengths_B=torch.tensor(lengths, dtype=torch.int64),
        unit_scores_BC=_unit_scores(samples, criteria),
        words=_words(samples, modalities),
    )


def batches(
    samples: Sequence[Sample],
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    shuffle: Literal["none", "random", "length"],
) -> list[list[int]]:
    """Which samples stand together in an epoch, as indices; every sample once, the last batch may be smaller.

    Args:
        samples: Only their lengths are looked at.
        batch_size: B.
        seed: Of the run.
        epoch: Another epoch, another order.
        shuffle: "none" keeps the order (scoring); "random" shuffles; "length" shuffles, puts samples of similar length
            together so that little is padded, and shuffles the batches.

    Raises:
        InputError: `batch_size` is below 1.
    """
    if batch_size < 1:
        raise InputError(f"Expected a batch size of at least 1, found {batch_size}: give a positive number.")
    if shuffle == "none":
        return _chunks(list(range(len(samples))), batch_size)
    generator = np.random.default_rng(integer("order", seed, epoch))
    order = [int(index) for index in generator.permutation(len(samples))]
    if shuffle == "random":
        return _chunks(order, batch_size)
    planned: list[list[int]] = []
    for pool in _chunks(order, batch_size * POOL_BATCHES):
        planned += _chunks(sorted(pool, key=lambda index: samples[index].num_segments), batch_size)
    return [planned[index] for index in generator.permutation(len(planned))]


def _usable_starts(sample: Sample, num_segments: int) -> np.ndarray:
    valid_T = _valid_somewhere(sample)
    before = np.concatenate([[0], np.cumsum(valid_T)])
    starts = np.flatnonzero(before[num_segments:] > before[:-num_segments])
    # A sample that passed validation has a valid segment; one that did not is cropped like any other.
    return starts if starts.size else np.arange(sample.num_segments - num_segments + 1)


def _valid_somewhere(sample: Sample) -> np.ndarray:
    """Segments that are valid in some stream [T]."""
    valid_T = np.zeros(sample.num_segments, dtype=bool)
    for stream_TD in sample.streams.values():
        valid_T |= ~np.isnan(stream_TD[:, 0])
    return valid_T


def _check_shape(sample: Sample, modality: Modality, stream_TD: np.ndarray) -> None:
    expected = (sample.num_segments, modality.dim)
    if stream_TD.shape != expected:
        raise InputError(
            f"Sample '{sample.id}', stream '{modality.name}': expected shape {expected}, found {stream_TD.shape}: "
            "give the streams that the model was made for."
        )


def _words(samples: Sequence[Sample], modalities: Sequence[Modality]) -> dict[str, tuple[Words | None, ...]]:
    found = {item.name: tuple(one.words.get(item.name) for one in samples) for item in modalities if item.words}
    return {name: words for name, words in found.items() if any(one is not None for one in words)}


def _unit_scores(samples: Sequence[Sample], criteria: Sequence[Criterion]) -> torch.Tensor | None:
    sizes = {np.size(sample.scores) for sample in samples}
    if sizes == {0}:
        return None
    if sizes != {len(criteria)}:
        raise InputError(
            f"Expected {len(criteria)} scores for every sample of a batch (or for none), found {sorted(sizes)}: "
            "give NaN where a criterion was not judged."
        )
    scores_BC = np.stack([np.asarray(sample.scores, dtype=np.float64) for sample in samples])
    columns = [criterion.to_unit(scores_BC[:, column]) for column, criterion in enumerate(criteria)]
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))


def _chunks(items: list[int], size: int) -> list[list[int]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def attend_padding(batch: Batch) -> Batch:
    """The same batch with its padding marked as real: a present stream's padding is then read as zeros.

    NOTE(paper): the paper does not say; the published code attends, pools and normalises over padding.
    """
    positions_T = torch.arange(batch.valid_BMT.shape[2], device=batch.lengths_B.device)
    padding_BT: Tensor = positions_T[None] >= batch.lengths_B[:, None]
    valid_BMT = batch.valid_BMT | (padding_BT[:, None] & batch.present_BM[:, :, None])
    longest_B = torch.full_like(batch.lengths_B, batch.valid_BMT.shape[2])
    return Batch(
        ids=batch.ids,
        features=batch.features,
        present_BM=batch.present_BM,
        valid_BMT=valid_BMT,
        lengths_B=longest_B,
        unit_scores_BC=batch.unit_scores_BC,
        words=batch.words,
    )
