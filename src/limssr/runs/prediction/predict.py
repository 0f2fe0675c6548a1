"""Score new performances with a trained model, from whichever streams each of them has."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from limssr.core.errors import InputError
from limssr.core.files import check_output, sha256_of, write_atomically
from limssr.core.types import Modality, Sample, Split
from limssr.data.columns import as_known
from limssr.data.importers.table.reading import Reading
from limssr.data.importers.table.table import read_manifest
from limssr.data.store.mapped import give_back
from limssr.data.store.reader import FeatureStore
from limssr.data.store.remote import local_folder
from limssr.evaluation.scorer import ModelScorer, unseen_words
from limssr.runs.load import Loaded, load_scorer
from limssr.runs.prediction.shards import BLOCK, Shard, identity, is_written, write_part
from limssr.runs.reliability.calibration import calibration_of, with_intervals
from limssr.runs.reliability.familiar import read_familiar, why_unlike, with_reasons
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
    shard: Shard | None = None,
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
        interval: Share of new scores that intervals are to cover, as 0.9 (`limssr.runs.reliability.calibration`); None:
            no intervals.
        shard: Only this part of the source, with the scores that its samples have in the whole; it may have none.

    Returns:
        Columns id, streams ("timing+dynamics": those of the model's that were there), and one a criterion, in the data
        set's unit; in the order of the source. With intervals also low:NAME and high:NAME for each criterion, and
        unlike:training, the reason where a sample is unlike the training data (`limssr.runs.reliability.familiar`),
        where the run knows it.

    Raises:
        InputError: The source does not fit the model, or has no sample.
        ArtifactError: The model, the run or the store is damaged or of a newer format.
    """
    found = load_scorer(Path(run_or_model), member=member, device=device, weights=weights, batch_size=batch_size)
    errors = None if interval is None else calibration_of(found, interval)
    how = Reading.from_dict({**found.reading, **(reading or {})})
    opened = open_source(Path(source), found.modalities, split=split, say=_once(say), reading=how)
    first, behind = (0, opened.num_samples) if shard is None else shard.blocks(opened.num_samples, BLOCK)
    table, reasons = _score_blocks(found, opened, first, behind)
    if shard is None and not any(table["streams"].to_pylist()):
        raise InputError(f"Expected samples with a stream that the model knows in {source}, found none.")
    if errors is not None and interval is not None:
        table = with_intervals(table, errors, found.criteria, level=interval, say=say)
    table = with_reasons(table, reasons, column=interval is not None, say=say)
    if say is not None:
        for text in not_read(found, table["streams"].to_pylist()):
            say(text)
    return table


def not_read(found: Loaded, owned: Sequence[str]) -> Iterator[str]:
    """What has to be known of streams without effect and samples without a score; `owned` is the column streams."""
    yield from unseen_words(found.scorer, {name for streams in owned for name in streams.split("+")})
    if silent := sum(not streams for streams in owned):
        yield f"{silent} of {len(owned)} samples own no stream that the model knows: their scores stay empty"


def predict_part(run_or_model: Path, source: Path, out: Path, shard: Shard, **settings: Any) -> bool:
    """Score one of several parts of a source and write it beside `out`, unless it is there already.

    Args:
        run_or_model: As for `predict`.
        source: The same.
        out: The file that `joined` makes of all parts.
        shard: Which part.
        settings: Further arguments of `predict`.

    Returns:
        Whether there was anything to do.

    Raises:
        InputError: As for `predict`; or a part of something else stands there.
    """
    kept = {name: settings.get(name) for name in ("split", "batch_size", "weights", "member", "reading", "interval")}
    found = load_scorer(Path(run_or_model), member=kept["member"], device="cpu")
    how = Reading.from_dict({**found.reading, **(kept["reading"] or {})})
    opened = open_source(Path(source), found.modalities, split=kept["split"], reading=how)
    made_from = identity(Path(run_or_model), Path(source), opened.fingerprint, kept)
    path = shard.path(out)
    check_output(path)
    if is_written(path, made_from):
        return False
    table = predict(run_or_model, source, shard=shard, **settings)
    write_part(table, path, made_from, shard.blocks(opened.num_samples, BLOCK))
    return True


def _score_blocks(found: Loaded, source: "Source", first: int, behind: int) -> tuple[pa.Table, list[str] | None]:
    """Block after block, each for itself: no score depends on what came before, and memory does not grow.

    Returns:
        The scores, and what is unusual about each sample; None where the run does not know what is usual.
    """
    usual = read_familiar(found.folder, found.modalities)
    tables, reasons = [score_table(found, [])], list[str]()
    for start in range(first, behind, BLOCK):
        samples = source.block(start, min(start + BLOCK, behind))
        if isinstance(found.scorer, ModelScorer):
            found.scorer.model.forget()
        tables.append(score_table(found, samples))
        reasons += [why_unlike(usual, sample, found.modalities) for sample in samples] if usual else []
        for stream_TD in (stream_TD for sample in samples for stream_TD in sample.streams.values()):
            give_back(stream_TD)
    return pa.concat_tables(tables).combine_chunks(), None if usual is None else reasons or [""] * (behind - first)


def _once(say: Callable[[str], None] | None) -> Callable[[str], None] | None:
    """Say each sentence once, though each block comes to it."""
    if say is None:
        return None
    said: set[str] = set()

    def say_once(text: str) -> None:
        if text not in said:
            said.add(text)
            say(text)

    return say_once


def score_table(found: Loaded, samples: Sequence[Sample]) -> pa.Table:
    """Score samples; the table is that of `predict`."""
    scores_NC = np.full((len(samples), len(found.criteria)), np.nan)
    owning = [index for index, sample in enumerate(samples) if sample.streams]
    if owning:
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


@dataclass(frozen=True)
class Source:
    """Samples that are to be scored, which need not be in memory together.

    Attributes:
        num_samples: How many.
        fingerprint: Of the content.
        block: (first, behind the last) -> samples with those streams that the model knows; one may own none of them.
    """

    num_samples: int
    fingerprint: str
    block: Callable[[int, int], list[Sample]]


def open_source(
    source: Path,
    modalities: Sequence[Modality],
    *,
    split: Split | None = None,
    say: Callable[[str], None] | None = None,
    reading: Reading | None = None,
) -> Source:
    """Open a manifest, which is read as a whole, or a store, which is read block by block.

    Args:
        source: A manifest or a store.
        modalities: The streams that the model knows.
        split: Only these samples; None: all.
        say: Told what was decided; blocks repeat themselves.
        reading: How the tables of a manifest are read.

    Raises:
        InputError: Nothing there, or another width.
    """
    source = local_folder(source)
    if not source.exists():
        raise InputError(f"Expected a manifest or a store at {source}, found nothing: give a path that exists.")
    if source.is_dir():
        return _store(source, modalities, split, say)
    samples = _from_manifest(source, modalities, split, say, reading)
    return Source(len(samples), sha256_of(source), lambda first, behind: samples[first:behind])


def _store(
    source: Path, modalities: Sequence[Modality], split: Split | None, say: Callable[[str], None] | None
) -> Source:
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
    ids = store.ids(split)

    def block(first: int, behind: int) -> list[Sample]:
        samples = [store.sample(sample_id).restricted_to(names) for sample_id in ids[first:behind]]
        return as_known(samples, held, known, where=str(source), say=say)

    block(0, 0)  # refuses streams that do not fit before anything is scored
    return Source(len(ids), store.fingerprint, block)


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
