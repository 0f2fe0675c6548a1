"""The samples of a run, checked before anything is written."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from limssr.core.config import RunConfig
from limssr.core.config_data import ValidationConfig
from limssr.core.errors import InputError
from limssr.core.types import SPLITS, Criterion, Modality, Sample, Split
from limssr.data.columns import as_known
from limssr.data.mask import make_incomplete
from limssr.data.missing import check_pattern
from limssr.data.splits import cross_validate, hold_out, hold_out_fold
from limssr.data.store.reader import FeatureStore
from limssr.data.validate import check_collection
from limssr.training.batches import check_training_input


@dataclass(frozen=True, kw_only=True)
class RunData:
    """What a run reads.

    Attributes:
        store: Where it comes from.
        modalities: The M streams in use, in order.
        criteria: The C criteria in use.
        splits: Split -> samples, with `missing.availability` applied.
        complete_train: The training samples before it was applied; None where the store itself is incomplete
            and the hidden streams cannot be known.
        left_out: Split -> number of samples without a score of any criterion in use; they are in no split.
    """

    store: FeatureStore
    modalities: tuple[Modality, ...]
    criteria: tuple[Criterion, ...]
    splits: Mapping[Split, list[Sample]]
    complete_train: list[Sample] | None
    left_out: Mapping[Split, int]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the M streams."""
        return tuple(modality.name for modality in self.modalities)


def validation_of(config: RunConfig, store: FeatureStore) -> ValidationConfig | None:
    """How validation is held out: as the recipe says; None: the store's own split, or none is needed.

    Where the recipe says nothing, the store has no validation split and the epoch is chosen on one, whole groups of the
    training samples are held out as the defaults of `ValidationConfig` say; so they are where the test split is one of
    several folds, whose training samples come from every split of the store.
    """
    if config.data.validation is not None or config.train.selection != "val":
        return config.data.validation
    return ValidationConfig() if config.data.test is not None or not store.ids("val") else None


def load_run_data(config: RunConfig, say: Callable[[str], None] | None = None, *, needs_test: bool = True) -> RunData:
    """Open and check the store, choose streams and criteria, apply availability, check splits and scores.

    Availability is drawn over the streams in use, so every sample keeps at least one of them; it equals what
    `limssr data mask` writes for a store of just these streams.

    Args:
        config: Of the run.
        say: Told why the whole store is read, where it is.
        needs_test: Whether a store without a test split is refused.

    Raises:
        InputError: Unknown names, an empty split, a group in two splits, constant scores, an unknown pattern, a
            validation split where one is to be held out, incomplete samples under dropout per_batch.
        ArtifactError: The store is damaged.
    """
    if not config.data.store:
        raise InputError(
            "Expected a feature store in data.store, found none: give its folder (limssr data import makes one)."
        )
    store = FeatureStore.open(Path(config.data.store))
    modalities, criteria = store.select(config.data.modalities, config.data.criteria)
    _check_declared_widths(config, modalities)
    store.check(say)
    if config.missing.availability is not None:
        check_pattern(config.missing.availability.pattern, [modality.name for modality in modalities])
    complete, left_out = _judged_splits(store, modalities, criteria, config)
    optional = {
        "val": config.train.selection != "val",
        "test": not (needs_test or config.data.test or store.ids("test")),
    }
    required: list[Split] = [split for split in SPLITS if not optional.get(split)]
    for split in required:
        _check_judged(store, split, len(complete[split]), left_out[split], criteria)
    light = [dataclasses.replace(sample, streams={}) for samples in complete.values() for sample in samples]
    check_collection(light, criteria, splits_required=required)
    splits: dict[Split, list[Sample]] = {split: make_incomplete(samples, config) for split, samples in complete.items()}
    if config.missing.training == "complete":
        _check_complete_training(store, config, complete["train"], modalities)
        splits["train"] = complete["train"]
    check_training_input(splits["train"], splits["val"], config, modalities, can_use_test=bool(splits["test"]))
    known = config.missing.availability is not None and store.info.availability is None
    return RunData(
        store=store,
        modalities=modalities,
        criteria=criteria,
        splits=splits,
        complete_train=complete["train"] if known else None,
        left_out=left_out,
    )


def _check_complete_training(
    store: FeatureStore, config: RunConfig, samples: Sequence[Sample], modalities: Sequence[Modality]
) -> None:
    lacking = sum(any(modality.name not in sample.streams for modality in modalities) for sample in samples)
    if lacking:
        raise InputError(
            f"missing.training: complete needs training samples with all of {', '.join(m.name for m in modalities)}, "
            f"found {lacking} of {len(samples)} in {store.path} that lack a stream: use "
            "missing.training=available, or other streams."
        )
    if config.missing.availability is None or "train" not in config.missing.availability.splits:
        raise InputError(
            "missing.training: complete gives training samples back what missing.availability hides, found nothing "
            "hidden: leave it out, the training data are complete already."
        )


def _judged_splits(
    store: FeatureStore,
    modalities: Sequence[Modality],
    criteria: Sequence[Criterion],
    config: RunConfig,
) -> tuple[dict[Split, list[Sample]], dict[Split, int]]:
    """The samples with a score of one of the criteria by split, as the recipe divides them, and how many have none."""
    validation, test = validation_of(config, store), config.data.test
    names = [modality.name for modality in modalities], [criterion.name for criterion in criteria]
    every: dict[Split, list[Sample]] = {split: store.samples(split, *names) for split in SPLITS}
    judged: dict[Split, list[Sample]] = {split: _judged(samples) for split, samples in every.items()}
    left_out: dict[Split, int] = {split: len(samples) - len(judged[split]) for split, samples in every.items()}
    if test is not None:
        together = [sample for samples in judged.values() for sample in samples]
        divided = hold_out_fold(together, num_folds=test.folds, fold=test.fold, seed=test.seed)
        judged = {split: [one for one in divided if one.split == split] for split in SPLITS}
    if validation is not None:
        both = [*judged["train"], *judged["val"]]
        if validation.folds is None:
            both = [dataclasses.replace(sample, split="train") for sample in both]
            divided = hold_out(both, share=validation.share, seed=validation.seed)
        else:
            divided = cross_validate(both, num_folds=validation.folds, fold=validation.fold, seed=validation.seed)
        for part in ("train", "val"):
            judged[part] = [one for one in divided if one.split == part]
    return judged, left_out


def _judged(samples: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in samples if not np.isnan(sample.scores).all()]


def _check_judged(
    store: FeatureStore, split: Split, num_judged: int, num_left_out: int, criteria: Sequence[Criterion]
) -> None:
    if num_left_out and not num_judged:
        named = ", ".join(criterion.name for criterion in criteria)
        raise InputError(
            f"Expected samples of split '{split}' of {store.path} with a score of {named}, found {num_left_out} "
            "without: choose other criteria or judge some of them."
        )


def _check_declared_widths(config: RunConfig, modalities: Sequence[Modality]) -> None:
    declared = config.data.stream_dims or {}
    for modality in modalities:
        width = declared.get(modality.name, modality.dim)
        if width != modality.dim:
            raise InputError(
                f"data.stream_dims says that stream {modality.name} is {width} wide, the store's is {modality.dim}: "
                "import the features that the recipe is for, or change data.stream_dims."
            )


class Knows(Protocol):
    """What scoring a split has to know of a model: its streams and its criteria."""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The M streams, in order."""
        ...

    @property
    def criteria(self) -> tuple[Criterion, ...]:
        """The C criteria, in order."""
        ...


def load_split(
    model: Knows, config: RunConfig, split: Split, *, store: Path, incomplete: bool
) -> tuple[FeatureStore, list[Sample]]:
    """The samples of one split for scoring, with the streams and criteria of the model.

    Args:
        model: Trained.
        config: Of the run.
        split: "train", "val" or "test".
        store: The run's own, or another.
        incomplete: Whether the run's held-out validation and availability are applied; another store is taken as it
            is. Samples without a score of any of the model's criteria are left out in either case.

    Raises:
        InputError: A stream or a criterion is missing or has another width or scale, or the split is empty.
        ArtifactError: The store is damaged.
    """
    opened = FeatureStore.open(store)
    modalities = model.modalities
    criteria = model.criteria
    names = [[one.name for one in modalities], [one.name for one in criteria]]
    found = opened.select(*names)
    for expected, actual in zip(criteria, found[1], strict=True):
        # A scale that was derived from this store's own scores says nothing: the model's holds.
        if expected != actual and actual.name not in opened.info.derived_scales:
            raise InputError(f"{opened.path} does not fit the model: expected {expected}, found {actual}.")
    opened.check()
    if incomplete:
        divided, left_out = _judged_splits(opened, modalities, criteria, config)
        samples, num_left_out = divided[split], left_out[split]
    else:
        every = opened.samples(split, *names)
        samples = _judged(every)
        num_left_out = len(every) - len(samples)
    _check_judged(opened, split, len(samples), num_left_out, criteria)
    if not samples:
        others = [other for other in SPLITS if opened.ids(other)]
        raise InputError(
            f"Expected samples in split '{split}' of {opened.path}, found none: choose {' or '.join(others)} with "
            "--split (what a run learned from flatters it; `limssr auto` writes what its folds found to "
            "evaluation.json)."
        )
    held = {modality.name: modality for modality in opened.modalities}
    samples = as_known(samples, held, modalities, where=str(opened.path))
    return opened, make_incomplete(samples, config) if incomplete else samples
