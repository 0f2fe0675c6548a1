"""The samples of a run, with everything checked that can be checked before anything is written."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from limssr.config import RunConfig
from limssr.data.missing import check_pattern
from limssr.data.store import FeatureStore
from limssr.data.validate import check_collection
from limssr.errors import InputError
from limssr.feed import check_training_input, make_incomplete
from limssr.types import SPLITS, Criterion, Modality, Sample, Split


@dataclass(frozen=True)
class RunData:
    """What a run reads.

    Attributes:
        store: Where it comes from.
        modalities: The M streams in use, in order.
        criteria: The C criteria in use.
        splits: Split -> samples, with `missing.availability` applied.
        complete_train: The training samples before it was applied; None where the store itself is incomplete for good
            and the hidden streams cannot be known.
    """

    store: FeatureStore
    modalities: tuple[Modality, ...]
    criteria: tuple[Criterion, ...]
    splits: Mapping[Split, list[Sample]]
    complete_train: list[Sample] | None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the M streams."""
        return tuple(modality.name for modality in self.modalities)


def load_run_data(config: RunConfig) -> RunData:
    """Open and verify the store, choose streams and criteria, apply availability, check splits and scores.

    Availability is drawn over the streams in use, so every sample keeps at least one of them; it equals what
    `limssr data mask` writes for a store of just these streams.

    Raises:
        InputError: Unknown names, an empty split, a group in two splits, constant scores, an unknown pattern,
            incomplete samples under dropout per_batch.
        ArtifactError: The store is damaged.
    """
    if not config.data.store:
        raise InputError(
            "Expected a feature store in data.store, found none: give its folder (limssr data import makes one)."
        )
    store = FeatureStore.open(Path(config.data.store))
    modalities, criteria = store.select(config.data.modalities, config.data.criteria)
    names = [modality.name for modality in modalities]
    _check_declared_widths(config, modalities)
    store.verify()
    if config.missing.availability is not None:
        check_pattern(config.missing.availability.pattern, names)
    complete: dict[Split, list[Sample]] = {
        split: store.samples(split, names, [criterion.name for criterion in criteria]) for split in SPLITS
    }
    required: list[Split] = [split for split in SPLITS if split != "val" or config.train.selection == "val"]
    light = [dataclasses.replace(sample, streams={}) for samples in complete.values() for sample in samples]
    check_collection(light, criteria, splits_required=required)
    splits: dict[Split, list[Sample]] = {
        split: make_incomplete(samples, modalities, config) for split, samples in complete.items()
    }
    check_training_input(splits["train"], splits["val"], config, modalities, can_use_test=bool(splits["test"]))
    known = config.missing.availability is not None and store.info.availability is None
    return RunData(store, modalities, criteria, splits, complete["train"] if known else None)


def _check_declared_widths(config: RunConfig, modalities: Sequence[Modality]) -> None:
    declared = config.data.stream_dims or {}
    for modality in modalities:
        width = declared.get(modality.name, modality.dim)
        if width != modality.dim:
            raise InputError(
                f"data.stream_dims says that stream {modality.name} is {width} wide, the store's is {modality.dim}: "
                "import the features that the recipe is for, or change data.stream_dims."
            )


def load_split(
    model: nn.Module, config: RunConfig, split: Split, *, store: Path, incomplete: bool
) -> tuple[FeatureStore, list[Sample]]:
    """The samples of one split for scoring, with the streams and criteria of the model.

    Args:
        model: Trained.
        config: Of the run.
        split: "train", "val" or "test".
        store: The run's own, or another.
        incomplete: Whether the run's availability is applied; another store is taken as it is.

    Raises:
        InputError: A stream or a criterion is missing or has another width or scale, or the split is empty.
        ArtifactError: The store is damaged.
    """
    opened = FeatureStore.open(store)
    modalities: tuple[Modality, ...] = tuple(model.modalities)  # type: ignore[arg-type]
    criteria: tuple[Criterion, ...] = tuple(model.criteria)  # type: ignore[arg-type]
    names = [[one.name for one in modalities], [one.name for one in criteria]]
    found = opened.select(*names)
    for expected, actual in zip((*modalities, *criteria), (*found[0], *found[1]), strict=True):
        if expected != actual:
            raise InputError(f"{opened.path} does not fit the model: expected {expected}, found {actual}.")
    opened.verify()
    samples = opened.samples(split, *names)
    if not samples:
        raise InputError(f"Expected samples in split '{split}' of {opened.path}, found none: choose another split.")
    return opened, make_incomplete(samples, modalities, config) if incomplete else samples


def availability_record(config: RunConfig, store: FeatureStore) -> dict[str, Any] | None:
    """How incomplete the data is, for reports; None where nothing was taken away on purpose."""
    on_disk = store.info.availability
    in_recipe = config.missing.availability
    if on_disk is not None and in_recipe is None:
        return {"source": "store", **on_disk}
    if in_recipe is None:
        return None
    record = {"source": "recipe", **in_recipe.model_dump(mode="json")}
    return record if on_disk is None else {**record, "store": dict(on_disk)}
