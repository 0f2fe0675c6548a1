"""The part of a run's configuration that says which data are used, how they are divided and what is missing of them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from limssr.core.bounds import MAX_COUNT, Count, PathText, Seed


class ConfigPart(BaseModel):
    """Any group of a recipe's keys: frozen, strict about names, without endless numbers."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, str_max_length=4_096
    )


class ValidationConfig(ConfigPart):
    """A validation split other than the store's: a share of the training samples, or one fold of several."""

    share: float = Field(default=0.15, gt=0.0, lt=1.0)
    """Share of the training samples that is held out; a validation split of the store's own is joined with them first.
    Samples of one group move together; at least one group is held out and at least one stays in training."""
    folds: int | None = Field(default=None, ge=2, le=1_000)
    """Number of folds for cross-validation. Training and validation samples together are divided into folds of whole
    groups; fold number `fold` is for validation, the others are for training, and `share` is ignored."""
    fold: int = Field(default=0, ge=0, le=1_000)
    """Number of the fold that is for validation, counted from 0."""
    seed: Seed = 0
    """Decides which groups are held out. It is separate from the seed of the run, so that all seeds share one
    validation split."""

    @model_validator(mode="after")
    def _fold_exists(self) -> "ValidationConfig":
        if self.fold >= (self.folds or 1):
            raise ValueError(
                f"fold is {self.fold} and folds is {self.folds}: expected folds, and a fold from 0 that is below them"
            )
        return self


class HeldOutConfig(ConfigPart):
    """A test split other than the store's: one fold of all samples, whatever their split, by whole groups."""

    folds: int = Field(default=5, ge=2, le=10_000)
    """Number of folds. As many as there are groups: each group is tested by itself."""
    fold: int = Field(default=0, ge=0, le=10_000)
    """Number of the fold that is for testing, counted from 0; the others are for training and validation."""
    seed: Seed = 0
    """Decides which groups share a fold. It is separate from the seed of the run."""

    @model_validator(mode="after")
    def _fold_exists(self) -> "HeldOutConfig":
        if self.fold >= self.folds:
            raise ValueError(f"fold is {self.fold} of {self.folds} folds: expected a fold from 0 that is below them")
        return self


class DataConfig(ConfigPart):
    """Which data are used, and how much of each performance."""

    store: PathText = ""
    """Folder of a feature store (`limssr data import`). A relative path is resolved against the working directory."""
    modalities: tuple[str, ...] | None = None
    """Streams to use, in this order. null: all streams of the store, in the store's order."""
    criteria: tuple[str, ...] | None = None
    """Scores to predict. null: all scores of the store."""
    stream_dims: dict[str, Annotated[int, Field(ge=1, le=MAX_COUNT)]] | None = None
    """Width of each stream, for `limssr describe` without a store."""
    num_segments: Count | None = None
    """Longest length in segments (T in the paper). Longer performances are cropped to it: at random in training, around
    the centre when scoring. null: no cropping."""
    validation: ValidationConfig | None = None
    """Makes a validation split other than the store's. null: the store's validation split."""
    test: HeldOutConfig | None = None
    """Makes a test split other than the store's; `limssr train --folds` trains a run for each fold. A validation split
    is then held out of what is left as `validation` says, or its defaults. null: the store's test split."""
    padding: Literal["masked", "attended"] = "masked"
    """masked: the model never reads padding. attended: every performance is padded with zeros to `num_segments` and the
    model reads them like data, as the published code does."""
    prefixes: float = Field(default=0.0, ge=0.0, le=1.0)
    """Probability that a training step sees only the beginning of a performance, at least one segment of it and any
    length with the same chance, drawn anew in each epoch: for scores while a performance goes on (docs/live.md).
    Validation, evaluation, references that are no networks, and scales that are measured on training data see whole
    performances."""

    @model_validator(mode="after")
    def _attended_needs_length(self) -> "DataConfig":
        if self.padding == "attended" and self.num_segments is None:
            raise ValueError("padding: attended needs num_segments (the fixed T to pad to)")
        return self


class AvailabilityConfig(ConfigPart):
    """Streams that a sample does not own: a property of the data, the same in every epoch (paper section 3.1)."""

    rate: float = Field(default=0.5, ge=0.0, le=1.0)
    """Probability that a stream of a sample is absent. Every sample keeps at least one stream."""
    pattern: str = "independent"
    """independent: each stream by itself. one-stream: with that probability exactly one of them. Or the name of the
    only stream that may be absent."""
    seed: Seed = 0
    """Decides, together with a sample's id, which streams are absent."""
    splits: tuple[Literal["train", "val", "test"], ...] = ("train", "val")
    """Splits that become incomplete. Validation is one of them by default, because incomplete data has no complete
    validation split."""


class MissingConfig(ConfigPart):
    """Missing streams. Availability is a property of the data, modality dropout a part of training."""

    availability: AvailabilityConfig | None = None
    """Removes streams from samples when the store is read, as `limssr data mask` does on disk. null: the store is used
    as it is."""
    dropout: Literal["none", "per_sample", "per_batch"] = "per_sample"
    """Modality dropout in training. per_sample: each epoch draws one of the non-empty subsets of the streams that a
    sample owns. per_batch: one subset for the whole batch, as published (needs complete samples). none: no dropout."""
    training: Literal["available", "complete"] = "available"
    """available: training uses the streams that `availability` leaves. complete: training uses all streams, as many
    papers assume; validation stays incomplete, and reports mark such a run."""
