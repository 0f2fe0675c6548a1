"""The batches of an epoch: order of samples, hidden streams, beginnings and crops.

Everything is a function of (seed, sample id, epoch), so neither the number of workers nor an interruption changes it.
"""

import dataclasses
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from limssr.core.config import RunConfig
from limssr.core.errors import InputError
from limssr.core.types import Batch, Criterion, Modality, Sample
from limssr.data.batching import attend_padding, batches, collate, crop, crop_start, piece, prefix_length
from limssr.data.missing import batch_subset, chosen_subsets, dropout_subset

LARGEST_FEATURE = 1e15
"""Squares of more, summed over a performance, come near the end of float32."""


class EpochBatches(Dataset[Batch]):
    """The batches of one training epoch; item i is batch i.

    Args:
        samples: As the data set has them (availability is already applied).
        modalities: M streams.
        criteria: C scores.
        config: Of the run.
        epoch: Counted from 0.
        with_owned: Whether batches bring the streams that exist but are hidden in this step (`Batch.owned`).
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        *,
        config: RunConfig,
        epoch: int,
        with_owned: bool = False,
    ) -> None:
        self.samples = samples
        self.with_owned = with_owned
        self.modalities = tuple(modalities)
        self.criteria = tuple(criteria)
        self.config = config
        self.epoch = epoch
        train = config.train
        size = train.batch_size * train.accumulate
        self.plan = batches(samples, batch_size=size, seed=config.seed, epoch=epoch, shuffle=train.batches)

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, step: int) -> Batch:
        pairs = [self._seen(self.samples[index], step) for index in self.plan[step]]
        batch = _collate([seen for seen, _ in pairs], self.modalities, self.criteria, self.config)
        if not self.with_owned:
            return batch
        owned = _collate([whole for _, whole in pairs], self.modalities, self.criteria, self.config)
        return dataclasses.replace(batch, owned=owned)

    def loader(self) -> DataLoader[Batch]:
        """The batches in order, read ahead by `train.workers` processes."""
        # Its own generator: making a loader draws a number, which must not come out of the run's randomness.
        return DataLoader(self, batch_size=None, num_workers=self.config.train.workers, generator=torch.Generator())

    def _seen(self, sample: Sample, step: int) -> tuple[Sample, Sample]:
        """The piece of a sample that this step shows, and the same piece of every stream that it owns."""
        config = self.config
        names = tuple(modality.name for modality in self.modalities)
        owned = tuple(name for name in names if name in sample.streams)
        if config.missing.dropout == "per_sample":
            owned = dropout_subset(sample.id, owned, seed=config.seed, epoch=self.epoch)
        elif config.missing.dropout == "per_batch":
            owned = batch_subset(config.seed, self.epoch, step, names)
        seen, whole, length = sample.restricted_to(owned), sample.restricted_to(names), config.data.num_segments
        if (end := prefix_length(seen, config.data.prefixes, seed=config.seed, epoch=self.epoch)) is not None:
            seen, whole = piece(seen, 0, end), piece(whole, 0, end)
        start = crop_start(seen, length, place="random", seed=config.seed, epoch=self.epoch)
        return piece(seen, start, length), piece(whole, start, length)


def own_subset_batches(
    samples: Sequence[Sample],
    modalities: Sequence[Modality],
    criteria: Sequence[Criterion],
    config: RunConfig,
    unseen: Collection[str] = (),
    *,
    part: slice = slice(None),
) -> Iterator[tuple[Batch, list[int]]]:
    """Every sample under every non-empty subset of the streams it owns, centre-cropped.

    Beyond six streams `evaluation.subsets` chooses among them, so that a validation grows in proportion to the streams.
    Streams of `unseen`, which no training sample owns, are left out, as in scoring. `part` says which of the batches
    are wanted.

    Yields:
        A batch and, for each of its rows, the number of subsets of that row's sample.
    """
    pairs: list[tuple[Sample, int]] = []
    for sample in samples:
        usable = [modality.name for modality in modalities if modality.name not in unseen]
        owned = tuple(name for name in usable if name in sample.streams)
        chosen = chosen_subsets(owned, config.evaluation.subsets)
        pairs += [(sample.restricted_to(names), len(chosen)) for names in chosen]
    # Neighbours of similar length pad little; the sum over all pairs does not depend on the order of the batches.
    pairs.sort(key=lambda pair: pair[0].num_segments)
    size = config.evaluation.batch_size
    for start in range(0, len(pairs), size)[part]:
        chunk = pairs[start : start + size]
        cropped = [crop(sample, config.data.num_segments, place="center") for sample, _ in chunk]
        yield _collate(cropped, modalities, criteria, config), [count for _, count in chunk]


def _collate(
    samples: Sequence[Sample], modalities: Sequence[Modality], criteria: Sequence[Criterion], config: RunConfig
) -> Batch:
    if config.data.padding == "masked":
        return collate(samples, modalities, criteria)
    return attend_padding(collate(samples, modalities, criteria, pad_to=config.data.num_segments))


def check_training_input(
    train_samples: Sequence[Sample],
    val_samples: Sequence[Sample],
    config: RunConfig,
    modalities: Sequence[Modality],
    *,
    can_use_test: bool,
) -> None:
    """Refuse samples that cannot be trained on as configured.

    Args:
        train_samples: With availability applied.
        val_samples: The same.
        config: Of the run.
        modalities: M streams.
        can_use_test: Whether the caller lets an epoch be chosen on the test split.

    Raises:
        InputError: An empty split that is needed, or incomplete samples under dropout per_batch.
    """
    selection = config.train.selection
    if not train_samples:
        raise InputError("Expected at least one training sample, found none: give some.")
    if not val_samples and (selection == "val" or config.train.patience is not None):
        raise InputError(
            "train.selection: val and train.patience need validation samples, found none: "
            "give some, or use train.selection=last without patience."
        )
    if val_samples and all(np.isnan(sample.scores).all() for sample in val_samples):
        raise InputError("Expected a validation sample with a score, found only NaN: judge some of them.")
    if selection == "test" and not can_use_test:
        raise InputError("train.selection: test needs a test split to choose on, found none: use train.selection=val.")
    if config.missing.dropout == "per_batch":
        _check_complete(train_samples, modalities)
    _check_size([*train_samples, *val_samples])


def _check_size(samples: Sequence[Sample]) -> None:
    for sample in samples:
        for name, stream_TD in sample.streams.items():
            largest = float(np.nanmax(np.abs(stream_TD), initial=0.0))
            if largest > LARGEST_FEATURE:
                raise InputError(
                    f"Expected features that can be squared in float32 (up to {LARGEST_FEATURE:g}), found "
                    f"{largest:.2g} in stream {name} of sample '{sample.id}': give the stream in another unit, or make "
                    "such segments NaN (missing)."
                )


def _check_complete(samples: Sequence[Sample], modalities: Sequence[Modality]) -> None:
    for sample in samples:
        absent = [modality.name for modality in modalities if modality.name not in sample.streams]
        if absent:
            raise InputError(
                "missing.dropout: per_batch hides the same streams in a whole batch and needs complete training "
                f"samples, found sample '{sample.id}' without {', '.join(absent)}: use missing.dropout=per_sample."
            )
