"""Score recordings with a trained run: read them as its training data was read, then score what they have."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from limssr.core.errors import InputError
from limssr.media.record import ExtractionRecord
from limssr.media.samples import read_recordings
from limssr.runs.folder import read_run
from limssr.runs.load import load_scorer
from limssr.runs.prediction.predict import not_read, score_table
from limssr.runs.reliability.calibration import calibration_of, with_intervals
from limssr.runs.reliability.familiar import with_unlike
from limssr.systems.saving import Weights


@dataclass(frozen=True, kw_only=True)
class RecordingScores:
    """Scores of recordings.

    Attributes:
        table: As from `predict`.
        failures: Recording -> why it could not be read.
        notes: What was damaged.
        seconds: How long each part took: "model" (loading), "scoring", and "reading" for each recording.
    """

    table: pa.Table
    failures: Mapping[str, str]
    notes: tuple[str, ...]
    seconds: Mapping[str, Any]


def predict_recordings(
    run: Path,
    source: Path,
    *,
    device: str = "auto",
    weights: Weights = "trained",
    member: str | None = None,
    interval: float | None = None,
) -> RecordingScores:
    """Score a recording, a folder of recordings, or a manifest of recordings.

    Args:
        run: A run folder whose store was made by `limssr extract`.
        source: See `limssr.media.samples`.
        device: See `limssr.core.runtime.choose_device`.
        weights: "int8": see `limssr.model.int8`.
        member: A reference of the run, such as ridge, in place of the run itself.
        interval: See `limssr.runs.prediction.predict.predict`.

    Raises:
        InputError: The run does not know how its features were made, an encoder differs, or nothing can be read.
    """
    record = extraction_of(run)
    begun = time.perf_counter()
    ready = load_scorer(run, member=member, device=device, weights=weights)
    errors = None if interval is None else calibration_of(ready, interval)
    loaded = time.perf_counter()
    found = read_recordings(source, record, ready.modalities)
    read = time.perf_counter()
    table, notes = score_table(ready, list(found.samples)), [*found.notes]
    notes += not_read(ready, table["streams"].to_pylist())
    if errors is not None and interval is not None:
        table = with_intervals(table, errors, ready.criteria, level=interval, say=notes.append)
    table = with_unlike(table, ready, found.samples, column=interval is not None, say=notes.append)
    seconds = {
        "model": round(loaded - begun, 2),
        "reading": {name: round(read_s, 2) for name, read_s in found.read_s.items()},
        "scoring": round(time.perf_counter() - read, 2),
    }
    return RecordingScores(table=table, failures=found.failures, notes=tuple(notes), seconds=seconds)


def extraction_of(run: Path) -> ExtractionRecord:
    """How the features that a run was trained on were made.

    Raises:
        InputError: They did not come from recordings.
        ArtifactError: Not a run folder.
    """
    extraction = read_run(run).document["store"].get("extraction")
    if extraction is None:
        raise InputError(
            f"Expected a run on a store that `limssr extract` made, found that {run} was trained on features that came "
            "from elsewhere: give a manifest with stream: columns, or extract recordings and train again."
        )
    return ExtractionRecord.from_dict(extraction)
