"""The documents of a run folder as anyone may hand them over: which keys they have and what stands under them.

Only what the package reads is named, nearly all of it optional: run folders of older versions lack keys, newer ones
have more. What is named is of the right type after `read_document`, so that nothing further on has to ask again.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from limssr.core.errors import ArtifactError
from limssr.core.quoting import listed
from limssr.core.reading.documents import parse_json, read_json
from limssr.core.reading.fields import checked
from limssr.core.reading.record_parts import (
    AvailabilityRecord,
    Counts,
    DeviceRecord,
    EnvironmentRecord,
    Number,
    Record,
    SameSubsetRecord,
    SubsetOutRecord,
    ValidationRecord,
)
from limssr.core.reading.regular import Outside, read_text
from limssr.core.reading.searched import SearchRecord

MAX_WIDTH = 10_000_000
"""Of a stream's feature vectors."""
MAX_LINES_BYTES = 64 * 2**20


class StreamRecord(Record):
    """A stream of a store or of a model."""

    name: str = Field(min_length=1)
    dim: int = Field(ge=1, le=MAX_WIDTH)
    columns: list[str] | None = None
    words: str | None = Field(default=None, max_length=200)
    offsets: list[Number] | None = None

    @model_validator(mode="after")
    def _one_for_each_column(self) -> "StreamRecord":
        for name in ("columns", "offsets"):
            found = getattr(self, name)
            if found is not None and len(found) != self.dim:
                raise ValueError(f"{name} are {len(found)} and the stream is {self.dim} wide")
        if self.columns is not None and len(set(self.columns)) < self.dim:
            raise ValueError("columns hold a name twice")
        return self


class CriterionRecord(Record):
    """A score with its scale."""

    name: str = Field(min_length=1)
    low: Number
    high: Number
    unit: str = "points"


class StoreRecord(Record):
    """The store of a run, as run.json knows it."""

    path: str
    name: str | None = None
    segment_s: Number | None = None
    fingerprint: str | None = None
    reading: dict[str, Any] | None = None


class ReferenceRecord(Record):
    """A simple model that was scored beside a run."""

    name: str
    summary: str | None = None
    trained_on: str | None = None
    seconds: Number | None = None


class LearnedRecord(Record):
    """What a model learned that a person can read."""

    mix: Number | None = None
    role_weights: list[Number] | None = None
    reliabilities: dict[str, Number] | None = None


class FoldRecord(Record):
    """One fold of a cross-validation."""

    run: str
    num_samples: int = Field(ge=0)
    num_groups: int = Field(ge=0)
    incomplete: Number | None
    full: Number | None


class FoldsRecord(Record):
    """What a cross-validation says of its folds."""

    num_folds: int = Field(ge=1)
    runs: list[FoldRecord] = Field(min_length=1)


class RunDocument(Record):
    """run.json."""

    format_version: int
    name: str | None = None
    seed: int | None = None
    selection: str | None = None
    availability: AvailabilityRecord | None = None
    trained_on: str | None = None
    store: StoreRecord | None = None
    system: str | None = None
    modalities: list[str] | None = None
    criteria: list[CriterionRecord] | None = None
    num_samples: Counts | None = None
    left_out: Counts | None = None
    owned_streams: dict[str, Counts] | None = None
    parameters: dict[str, int | None] | None = None
    device: DeviceRecord | None = None
    environment: EnvironmentRecord | None = None
    timings: dict[str, Number | None] | None = None
    references: list[ReferenceRecord] | None = None
    learned: LearnedRecord | None = None
    validation: ValidationRecord | None = None
    hidden_values: list[str] | None = None
    dropout: str | None = None
    started: str | None = None
    finished: str | None = None
    reason: str | None = None
    references_left_out: dict[str, str] | None = None
    sessions: int | None = None
    best_epoch: int | None = Field(default=None, ge=0)
    epochs_run: int | None = Field(default=None, ge=0)
    status: str | None = None
    folds: FoldsRecord | None = None
    auto: SearchRecord | None = None


class MetricsRecord(Record):
    """The metrics of one subset, or of an average over several."""

    spearman: Number | None
    pearson: Number | None = None
    mse: Number | None
    mae: Number | None = None
    relative_l2: Number | None = None
    spearman_ci: tuple[Number | None, Number | None] | None = Field(default=None, strict=False)
    spearman_plain: Number | None = None
    num_judged: int | None = Field(default=None, ge=0)
    num_cut: int | None = Field(default=None, ge=0)
    reasons: dict[str, str] | None = None


class SubsetRecord(MetricsRecord):
    """The metrics of one subset of the streams."""

    streams: list[str]
    num_samples: int = Field(ge=0)
    per_criterion: dict[str, MetricsRecord] | None = None


class FullRecord(MetricsRecord):
    """The metrics with all streams."""

    num_samples: int | None = Field(default=None, ge=0)


class AverageRecord(MetricsRecord):
    """The metrics averaged over subsets."""

    partial: dict[str, Number | None] | None = None
    num_partial: Counts | None = None
    num_subsets: Counts | None = None
    num_all: int | None = Field(default=None, ge=0)
    left_out: list[SameSubsetRecord] | None = None
    passed_over: list[SubsetOutRecord] | None = None


class SystemRecord(Record):
    """The evaluation of one system."""

    split: str | None
    selection: str | None
    availability: AvailabilityRecord | None
    criteria: list[str] | None = None
    min_samples: int | None = Field(default=None, ge=0)
    interval: str | None = None
    resample: str | None = None
    num_groups: int | None = Field(default=None, ge=0)
    scales: dict[str, Annotated[list[Number], Field(min_length=2, max_length=2)]] | None = None
    subsets: list[SubsetRecord] = Field(min_length=1)
    average_incomplete: AverageRecord
    full: FullRecord

    @model_validator(mode="after")
    def _each_criterion_is_measured(self) -> "SystemRecord":
        for subset in self.subsets if len(self.criteria or ()) > 1 else ():
            lacking = set(self.criteria or ()) - set(subset.per_criterion or ())
            if lacking:
                raise ValueError(f"no metrics of {listed(lacking)} under {listed(subset.streams)}")
        return self


class CoveredRecord(Record):
    """How often intervals cover, for one subset and criterion."""

    streams: list[str]
    criterion: str
    num_samples: int = Field(ge=0)
    covered: Number
    width: Number
    source: str


class CoverageRecord(Record):
    """How often intervals cover."""

    level: Number
    num_calibration: int
    subsets: list[CoveredRecord]


class EvaluationDocument(SystemRecord):
    """evaluation.json: the run's own system, and all systems by name."""

    format_version: int
    systems: dict[str, SystemRecord] | None = None
    coverage: CoverageRecord | None = None


class EpochRecord(Record):
    """A line of metrics.jsonl."""

    epoch: int = Field(ge=0)
    train_loss: Number | None = None
    train_task: Number | None = None
    train_consistency: Number | None = None
    train_slots: Number | None = None
    train_auxiliary: Number | None = None
    val_loss: Number | None = None
    learning_rate: Number | None = None
    seconds: Number | None = Field(default=None, ge=0)


class ReferenceDocument(Record):
    """reference.json: that a reference is finished, and what went into it."""

    format_version: int
    data: dict[str, Any] | None = None


class PooledPartRecord(Record):
    """One regression of pooled.json; its arrays stand in the file beside it."""

    streams: list[str] = Field(min_length=1)
    columns: list[Annotated[int, Field(ge=0)]]
    kind: Literal["linear", "forest"]


class PooledGapRecord(Record):
    """Streams for which pooled.json has no regression."""

    streams: list[str]
    reason: str


class PooledDocument(Record):
    """pooled.json: a saved regression on pooled statistics."""

    format_version: int
    strategy: Literal["per_subset", "impute", "repeat"]
    modalities: list[StreamRecord] = Field(min_length=1)
    criteria: list[CriterionRecord] = Field(min_length=1)
    unseen: list[str]
    gaps: list[PooledGapRecord]
    parts: list[PooledPartRecord]
    arrays_sha256: str


class EstimatorDocument(Record):
    """estimator.json."""

    format_version: int
    arguments: dict[str, Any]
    has_config: bool
    config: dict[str, Any]
    history: list[EpochRecord]
    best_epoch: int | None = None
    single: bool
    extraction: dict[str, Any] | None = None


class ModelDocument(Record):
    """model/config.json; the configuration in it is read by itself."""

    format_version: int
    model: dict[str, Any]
    modalities: list[StreamRecord] = Field(min_length=1)
    criteria: list[CriterionRecord] = Field(min_length=1)
    backbone_sha256: str
    backbone_origin: str | None = None
    weights_sha256: str | None = None
    random_seed: int = Field(ge=0, lt=2**64)
    unseen_streams: list[str] | None = None


class FileRecord(Record):
    """A file of a store."""

    bytes: int = Field(ge=0, lt=2**62)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class ProvenanceRecord(Record):
    """Where a store comes from, as far as it is read again."""

    decisions: list[str] | None = None
    importer: str | None = None
    availability: dict[str, Any] | None = None
    reading: dict[str, Any] | None = None
    extraction: dict[str, Any] | None = None
    parent: "ParentRecord | None" = None


class ParentRecord(Record):
    """The store that one was made of."""

    provenance: ProvenanceRecord


class StoreDocument(Record):
    """store.json."""

    format: str
    format_version: int
    name: str
    segment_s: Number | None
    modalities: list[StreamRecord] = Field(min_length=1)
    criteria: list[CriterionRecord] = Field(min_length=1)
    derived_scales: list[str]
    provenance: ProvenanceRecord
    files: dict[str, FileRecord]


class CheckpointDocument(Record):
    """state.json of a checkpoint."""

    format_version: int
    epoch: int = Field(ge=0)
    files: dict[str, str]
    progress: dict[str, Any]


def own_file(path: Path) -> Outside:
    """A file that limssr wrote, and that somebody may have moved or changed since."""
    remedy = "it was moved, cut short or altered; restore it, or make the folder again"
    return Outside(path=path, what="a file that limssr wrote", remedy=remedy, error=ArtifactError)


def read_document(path: Path, kind: type[BaseModel], *, newest_version: int) -> dict[str, Any]:
    """A JSON document that limssr wrote, as plain values of the types that `kind` names.

    Raises:
        ArtifactError: Missing, not JSON, another type or a missing key, or a format_version above `newest_version`.
    """
    outside = own_file(path)
    document = read_json(outside)
    version = document.get("format_version") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise outside.refused("no format_version, so limssr did not write it")
    if version > newest_version:
        raise ArtifactError(
            f"{path}: expected format_version {newest_version} or lower, found {version}: "
            "it was written by a newer limssr; install that version or newer."
        )
    checked(kind, document, outside)
    return document


def read_lines(path: Path, kind: type[BaseModel]) -> list[Mapping[str, Any]]:
    """JSON documents, one a line; see `read_document`."""
    outside = own_file(path)
    documents = []
    for line in read_text(outside, limit=MAX_LINES_BYTES).splitlines():
        if line.strip():
            documents.append(parse_json(line, outside))
            checked(kind, documents[-1], outside)
    return documents
