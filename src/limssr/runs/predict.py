"""Score new performances with a trained model, from whichever streams each of them has."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from limssr.core.errors import InputError
from limssr.core.files import check_output, write_atomically
from limssr.core.types import Modality, Sample, Split
from limssr.data.columns import as_known
from limssr.data.importers.table.reading import Reading
from limssr.data.importers.table.table import read_manifest
from limssr.data.store.reader import FeatureStore
from limssr.runs.calibration import calibration_of, with_intervals
from limssr.runs.familiar import with_unlike
from limssr.runs.load import Loaded, load_scorer
from limssr.systems.saving import Weights

ENDINGS = (".csv", ".json", ".parquet")
RESERVED_COLUMNS = ("id", "streams")


def predict(
    run_or_model: Path,
    source: Path,
    *,
    device: str = "auto",
    split: Split | None = None,
    batch_size: int = 32,
    weights: Weights = "trained",
    member: str | None = None,
    say: Callable[[str], None] | None = None,
    reading: Mapping[str, Any] | None = None,
    interval: float | None = None,
) -> pa.Table:
    """Score samples, each from exactly the streams that it owns.

    Args:
        run_or_model: A run folder, a folder of its references, or a model folder as `save_pretrained` writes it. A run
            folder also says how performances are cropped and padded; a model folder alone takes them whole.
        source: A manifest (no scores needed) or a store.
        device: See `limssr.core.runtime.choose_device`.
        split: Only these samples of a store; None: all.
        batch_size: Samples at once.
        weights: "int8": see `limssr.model.int8`; `limssr.runs.evaluate` measures what that changes.
        member: A reference of the run, such as ridge, in place of the run itself.
        say: Told what was decided: what of the source is not read, columns that were put in order, samples without a
            score.
        reading: Options of `Reading` for the tables of a manifest, over those that the run's store was read with.
        interval: Share of new scores that intervals are to cover, as 0.9 (`limssr.runs.calibration`); None: no
            intervals.

    Returns:
        Columns id, streams ("timing+dynamics": what was there and used), and one a criterion, in the data set's unit;
        in the order of the source. With intervals also low:NAME and high:NAME for each criterion, and
        unlike:training, the reason where a sample is unlike the training data (`limssr.runs.familiar`), where the run
        knows it.

    Raises:
        InputError: The source does not fit the model, or has no sample.
        ArtifactError: The model, the run or the store is damaged or of a newer format.
    """
    found = load_scorer(Path(run_or_model), member=member, device=device, weights=weights, batch_size=batch_size)
    errors = None if interval is None else calibration_of(found, interval)
    how = Reading.from_dict({**found.reading, **(reading or {})})
    samples = read_source(Path(source), found.modalities, split=split, say=say, reading=how)
    table = score_table(found, samples)
    if errors is not None and interval is not None:
        table = with_intervals(table, errors, found.criteria, level=interval, say=say)
    table = with_unlike(table, found, samples, column=interval is not None, say=say)
    if say is not None and (silent := sum(not sample.streams for sample in samples)):
        say(f"{silent} of {len(samples)} samples own no stream that the model knows: their scores stay empty")
    return table


def score_table(found: Loaded, samples: Sequence[Sample]) -> pa.Table:
    """Score samples; the table is that of `predict`."""
    scores_NC = np.full((len(samples), len(found.criteria)), np.nan)
    owning = [index for index, sample in enumerate(samples) if sample.streams]
    scores_NC[owning] = found.score([samples[index] for index in owning])
    return table_of(found, samples, scores_NC)


def table_of(found: Loaded, samples: Sequence[Sample], scores_NC: np.ndarray) -> pa.Table:
    """The table of `predict`, of scores [N, C] that are known."""
    columns: dict[str, Any] = {
        "id": pa.array([sample.id for sample in samples], pa.string()),
        "streams": pa.array(["+".join(sample.streams) for sample in samples], pa.string()),
    }
    for index, criterion in enumerate(found.criteria):
        if criterion.name in RESERVED_COLUMNS:
            raise InputError(
                f"A criterion named {criterion.name!r} cannot be a column beside id and streams; rename it."
            )
        columns[criterion.name] = pa.array(scores_NC[:, index], pa.float64(), from_pandas=True)
    return pa.table(columns)


def write_predictions(table: pa.Table, path: Path) -> None:
    """Write a table of predictions, all of it or nothing; the ending decides the format.

    Args:
        table: From `predict`.
        path: Ends in .csv, .json (a list of objects) or .parquet.

    Raises:
        InputError: Another ending, or a folder that does not exist.
        ResourceError: The disk is full.
    """
    check_output_file(path)
    write_atomically(path, _encode(table, path.suffix))


def check_output_file(path: Path) -> None:
    """Refuse a file that predictions cannot be written to, before anything is scored.

    Raises:
        InputError: Another ending, a folder that does not exist or may not be written to, or `path` is a folder.
    """
    check_ending(path)
    if not path.parent.is_dir():
        raise InputError(f"Expected a folder at {path.parent} for the predictions, found none: make it first.")
    check_output(path)


def check_ending(path: Path) -> None:
    """Raise `InputError` unless predictions can be written to a file of this name; worth a call before scoring."""
    if path.suffix not in ENDINGS:
        raise InputError(f"Expected a file that ends in {', '.join(ENDINGS)}, found {path.name!r}: choose one of them.")


def read_source(
    source: Path,
    modalities: Sequence[Modality],
    *,
    split: Split | None = None,
    say: Callable[[str], None] | None = None,
    reading: Reading | None = None,
) -> list[Sample]:
    """Samples from a manifest or a store, with those streams that the model knows; a sample may own none of them.

    Args:
        source: A manifest or a store.
        modalities: The streams that the model knows.
        split: Only these samples; None: all.
        say: Told what was decided.
        reading: How the tables of a manifest are read.

    Raises:
        InputError: Nothing there, another width, or no sample to score.
    """
    if not source.exists():
        raise InputError(f"Expected a manifest or a store at {source}, found nothing: give a path that exists.")
    is_store = source.is_dir()
    samples = (
        _from_store(source, modalities, split, say)
        if is_store
        else _from_manifest(source, modalities, split, say, reading)
    )
    if not any(sample.streams for sample in samples):
        raise InputError(f"Expected samples with a stream that the model knows in {source}, found none.")
    return samples


def _from_store(
    source: Path, modalities: Sequence[Modality], split: Split | None, say: Callable[[str], None] | None
) -> list[Sample]:
    store = FeatureStore.open(source)
    store.check(say)
    held = {modality.name: modality for modality in store.modalities}
    known = [modality for modality in modalities if modality.name in held]
    if not known:
        wanted = ", ".join(modality.name for modality in modalities)
        raise InputError(f"Expected at least one of the streams {wanted} in {source}, found only {', '.join(held)}.")
    unknown = [name for name in held if name not in {modality.name for modality in known}]
    if unknown and say is not None:
        say(f"{source}: {', '.join(unknown)} is not read, as the model knows {', '.join(m.name for m in modalities)}")
    names = tuple(modality.name for modality in known)
    samples = [store.sample(sample_id).restricted_to(names) for sample_id in store.ids(split)]
    return as_known(samples, held, known, where=str(source), say=say)


def _from_manifest(
    source: Path,
    modalities: Sequence[Modality],
    split: Split | None,
    say: Callable[[str], None] | None,
    reading: Reading | None,
) -> list[Sample]:
    samples = read_manifest(source, modalities=modalities, need_scores=False, reading=reading, say=say)
    return [sample for sample in samples if split is None or sample.split == split]


def _encode(table: pa.Table, ending: str) -> bytes:
    if ending == ".parquet":
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        return buffer.getvalue()
    rows = table.to_pylist()
    if ending == ".json":
        return (json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=table.column_names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
