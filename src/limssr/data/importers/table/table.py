"""Own data: a manifest (see `manifest.py`) and one array file a stream and sample."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from limssr.core.errors import InputError, unknown_name
from limssr.core.files import check_new, sha256_of
from limssr.core.types import SPLITS, Criterion, Modality, Sample, Split
from limssr.data.importers.report import ImportReport
from limssr.data.importers.table.files import read_stream
from limssr.data.importers.table.manifest import STREAM_PREFIX, Manifest, load_manifest, score_cell, text_cell
from limssr.data.importers.table.scales import find_criteria, scale_notes
from limssr.data.store.reader import StoreWriter
from limssr.data.validate import check_collection, check_sample


def import_table(
    manifest: Path | str,
    store: Path | str,
    *,
    name: str | None = None,
    scales: Mapping[str, tuple[float, float]] | None = None,
    units: Mapping[str, str] | None = None,
    segment_s: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Read a manifest and its arrays into a new store.

    Args:
        manifest: CSV or JSON lines.
        store: Folder to make; must not exist.
        name: Of the data set; without it the manifest's file name.
        scales: Criterion -> (lowest, highest possible score). A criterion without one gets 0 (or the lowest training
            score, if that is negative) to the highest training score (paper, appendix B), and the report says so.
        units: Criterion -> what its score is counted in; "points" without one.
        segment_s: Length of a segment in seconds.
        progress: Called as (done, total) after every sample.

    Returns:
        What was read and what was decided.

    Raises:
        InputError: Anything in the manifest or the arrays that is not right; no store is left behind.
        ResourceError: The disk is full.
    """
    check_new(Path(store), "store")
    table = load_manifest(manifest, use="import")
    light = [_described(table, row) for row in range(len(table.rows))]
    criteria, derived = find_criteria(table.criteria, light, scales or {}, units or {})
    # What the manifest alone shows is said before a large array is read.
    check_collection(light, criteria)
    modalities = _modalities(table)
    headers: Counter[tuple[str, str]] = Counter()
    with StoreWriter(
        store,
        name=name or table.path.stem,
        modalities=modalities,
        criteria=criteria,
        segment_s=segment_s,
        provenance={"importer": "table", "manifest": table.path.name, "manifest_sha256": sha256_of(table.path)},
        derived_scales=derived,
    ) as writer:
        for row, sample in enumerate(light):
            streams = _streams(table, row, table.streams, headers)
            writer.add(Sample(sample.id, streams, sample.scores, sample.group, sample.split))
            if progress:
                progress(row + 1, len(light))
    return ImportReport.of(store, notes=[*scale_notes(criteria, derived, light), *_header_notes(headers)])


def read_manifest(
    path: Path | str,
    *,
    modalities: Sequence[Modality],
    criteria: Sequence[Criterion] | None = None,
    need_scores: bool,
) -> list[Sample]:
    """Read samples that are to be scored, with any subset of the streams.

    Args:
        path: A manifest; `split`, `group` and `score:` columns may be there.
        modalities: The streams that the model knows.
        criteria: The scores to read; None, or a manifest without any `score:` column, gives empty scores.
        need_scores: Whether a manifest without a column for every criterion is an error.

    Returns:
        Checked samples in the manifest's order.

    Raises:
        InputError: Anything in the manifest or the arrays that is not right, or a stream that the model does not know.
    """
    table = load_manifest(path, use="predict")
    names = tuple(modality.name for modality in modalities)
    for stream in table.streams:
        if stream not in names:
            raise InputError(f"{table.path}, column '{STREAM_PREFIX}{stream}': {unknown_name('stream', stream, names)}")
    wanted = tuple(criterion.name for criterion in criteria or ())
    missing = [criterion for criterion in wanted if criterion not in table.criteria]
    if need_scores and (missing or not wanted):
        raise InputError(
            f"{table.path}: expected the columns {', '.join(f'score:{name}' for name in missing or ['NAME'])}, found "
            f"{', '.join(f'score:{name}' for name in table.criteria) or 'no score'}: add the scores."
        )
    # Where new samples carry only some of the scores, the others were not judged.
    read = wanted if any(criterion in table.criteria for criterion in wanted) else ()
    samples, seen = [], set()
    for row in range(len(table.rows)):
        sample = _described(table, row, criteria=read)
        if sample.id in seen:
            raise InputError(
                f"{_where(table, row)}: expected ids that occur once, found '{sample.id}' again: rename it."
            )
        seen.add(sample.id)
        given = Sample(
            sample.id, _streams(table, row, table.streams, Counter()), sample.scores, sample.group, sample.split
        )
        samples.append(check_sample(given, modalities, criteria or (), scores="optional"))
    return samples


def _described(table: Manifest, row: int, criteria: Sequence[str] | None = None) -> Sample:
    """A row without its arrays."""
    cells, where = table.rows[row], _where(table, row)
    sample_id = text_cell(cells, "id")
    if not sample_id:
        raise InputError(f"{where}: expected an id, found an empty cell: give every sample a unique id.")
    split_text = text_cell(cells, "split")
    if split_text and split_text not in SPLITS:
        raise InputError(f"{where}, sample '{sample_id}': {unknown_name('split', split_text, SPLITS)}")
    split: Split | None = next((split for split in SPLITS if split == split_text), None)
    named = table.criteria if criteria is None else criteria
    scores_C = np.array([score_cell(cells, criterion, where=where) for criterion in named], dtype=np.float64)
    return Sample(sample_id, {}, scores_C, text_cell(cells, "group"), split)


def _streams(
    table: Manifest, row: int, names: Sequence[str], headers: Counter[tuple[str, str]]
) -> dict[str, np.ndarray]:
    cells = table.rows[row]
    streams = {}
    for name in names:
        cell = text_cell(cells, STREAM_PREFIX + name)
        if not cell:
            continue
        where = f"{_where(table, row)}: sample '{text_cell(cells, 'id')}', stream '{name}'"
        found = read_stream(cell, table.path.parent, where=where)
        if found.header:
            headers[name, found.header] += 1
        streams[name] = found.array
    return streams


def _modalities(table: Manifest) -> list[Modality]:
    """The streams with their widths: each from its first file; `StoreWriter` holds all others against it."""
    modalities = []
    for name in table.streams:
        rows = [row for row, cells in enumerate(table.rows) if text_cell(cells, STREAM_PREFIX + name)]
        if not rows:
            raise InputError(
                f"{table.path}: expected at least one sample with the stream '{name}', found only empty cells: "
                f"remove the column '{STREAM_PREFIX}{name}' or fill it in."
            )
        array = _streams(table, rows[0], [name], Counter())[name]
        if array.ndim != 2 or 0 in array.shape:
            raise InputError(
                f"{_where(table, rows[0])}: sample '{text_cell(table.rows[rows[0]], 'id')}', stream '{name}': expected "
                f"an array [segments, features] that is not empty, found shape {array.shape}: give one feature vector "
                "a segment."
            )
        modalities.append(Modality(name, int(array.shape[1])))
    return modalities


def _header_notes(headers: Counter[tuple[str, str]]) -> list[str]:
    return [
        f"stream '{stream}': csv files read with {'a' if kind == 'header' else 'no'} header line: {count}"
        for (stream, kind), count in sorted(headers.items())
    ]


def _where(table: Manifest, row: int) -> str:
    return f"{table.path}, line {table.lines[row]}"
