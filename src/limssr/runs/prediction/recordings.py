"""Score recordings with a trained run: read them as its training data was read, then score what they have."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from limssr.core.errors import InputError
from limssr.core.reading.records import EstimatorDocument, read_document
from limssr.media.encoders.sets import SETS
from limssr.media.record import ExtractionRecord, published_record, relocated
from limssr.media.samples import read_recordings
from limssr.runs.folder import ESTIMATOR_FORMAT, read_run
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
        seconds: How long each part took: "model" and "encoders" (loading them), "reading" for each recording,
            "scoring", and the "whole".
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
    encoders: Sequence[str] = (),
) -> RecordingScores:
    """Score a recording, a folder of recordings, or a manifest of recordings.

    Args:
        run: A run folder whose store was made by `limssr extract`.
        source: See `limssr.media.samples`.
        device: See `limssr.core.runtime.choose_device`.
        weights: "int8": see `limssr.model.int8`.
        member: A reference of the run, such as ridge, in place of the run itself.
        interval: See `limssr.runs.prediction.predict.predict`.
        encoders: `NAME=SOURCE`, where weights are; a run on published features (fs1000, fisv, rg) cannot know it.

    Raises:
        InputError: The run does not know how its features were made, an encoder differs, or nothing can be read.
    """
    begun = time.perf_counter()
    published = published_set(run)
    record = None if published else relocated(extraction_of(run), encoders)
    ready = load_scorer(run, member=member, device=device, weights=weights)
    errors = None if interval is None else calibration_of(ready, interval)
    loaded = time.perf_counter()
    notes: list[str] = []
    if record is None:
        record = published_record(str(published), encoders, ready.modalities)
        notes += _published_notes(str(published), record, [modality.name for modality in ready.modalities])
    named = time.perf_counter()
    found = read_recordings(source, record, ready.modalities)
    read = time.perf_counter()
    table = score_table(ready, list(found.samples))
    notes += [*found.notes, *not_read(ready, table["streams"].to_pylist())]
    if errors is not None and interval is not None:
        table = with_intervals(table, errors, ready.criteria, level=interval, say=notes.append)
    table = with_unlike(table, ready, found.samples, column=interval is not None, say=notes.append)
    seconds = {
        "model": round(loaded - begun, 2),
        "encoders": round(named - loaded + found.encoders_s, 2),
        "reading": {name: round(read_s, 2) for name, read_s in found.read_s.items()},
        "scoring": round(time.perf_counter() - read, 2),
        "whole": round(time.perf_counter() - begun, 2),
    }
    return RecordingScores(table=table, failures=found.failures, notes=tuple(notes), seconds=seconds)


def published_set(run: Path) -> str | None:
    """The published data set whose features a run learnt from; None where it knows how its features were made."""
    store = _store(run)
    return store.get("importer") if store.get("extraction") is None and store.get("importer") in SETS else None


def _published_notes(name: str, record: ExtractionRecord, streams: Sequence[str]) -> list[str]:
    notes = [
        f"the model learnt from the published features of {name}, whose own extraction is not published in full: "
        "features made here resemble them, and the score is worth as much as they do"
    ]
    left = [stream for stream in streams if stream not in [one.name for one in record.streams]]
    return [*notes, *([f"scored without {', '.join(left)}: no encoder was named for it"] if left else [])]


def extraction_of(run: Path) -> ExtractionRecord:
    """How the features that a run was trained on were made.

    Raises:
        InputError: They did not come from recordings.
        ArtifactError: Not a run folder.
    """
    extraction = _store(run).get("extraction")
    if extraction is None:
        raise InputError(
            f"Expected a run on a store that `limssr extract` made, found that {run} was trained on features that came "
            "from elsewhere: give a manifest with stream: columns, or extract recordings and train again."
        )
    return ExtractionRecord.from_dict(extraction)


def _store(run: Path) -> Mapping[str, Any]:
    """What a run or an estimator's folder knows of the data it learnt from."""
    estimator = Path(run) / "estimator.json"
    if estimator.exists() and not (Path(run) / "run.json").exists():
        return read_document(estimator, EstimatorDocument, newest_version=ESTIMATOR_FORMAT)
    return read_run(run).document["store"]
