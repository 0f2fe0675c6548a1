"""Own data: a manifest (see `manifest.py`) and one array file a stream and sample."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from limssr.core.errors import InputError, unknown_name
from limssr.core.files import check_new, sha256_of
from limssr.core.types import SPLITS, Criterion, Modality, Sample, Split
from limssr.data.importers.report import ImportReport
from limssr.data.importers.table.manifest import (
    STREAM_PREFIX,
    TEXT_PREFIX,
    Manifest,
    load_manifest,
    score_cell,
    text_cell,
)
from limssr.data.importers.table.reading import Reading
from limssr.data.importers.table.scales import find_criteria, scale_notes
from limssr.data.importers.table.streams import StreamReader
from limssr.data.importers.table.words import WordCells
from limssr.data.splits import divided
from limssr.data.store.writer import StoreWriter
from limssr.data.validate import check_collection, check_criteria, check_sample
from limssr.data.words.streams import WordStreams, words_modality


def import_table(
    manifest: Path | str,
    store: Path | str,
    *,
    name: str | None = None,
    scales: Mapping[str, tuple[float, float]] | None = None,
    units: Mapping[str, str] | None = None,
    segment_s: float | None = None,
    reading: Reading | None = None,
    split: str | None = None,
    seed: int = 0,
    copies: Literal["refuse", "keep"] = "refuse",
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Read a manifest and its arrays into a new store.

    Args:
        manifest: CSV, TSV, a spreadsheet or JSON lines.
        store: Folder to make; must not exist.
        name: Of the data set; without it the manifest's file name.
        scales: Criterion -> (lowest, highest possible score). A criterion without one gets 0 (or the lowest training
            score, if that is negative) to the highest training score (paper, appendix B), and the report says so.
        units: Criterion -> what its score is counted in; "points" without one.
        segment_s: Length of a segment in seconds; `reading` may say it as well.
        reading: How the tables of streams are read.
        split: Shares such as "70/15/15" by which whole groups are divided, for a manifest without the column `split`.
            Such a manifest is divided by `DEFAULT_SHARES` without it, and the report says so.
        seed: Of that division.
        copies: What is done with a recording that stands under several ids in several splits.
        progress: Called as (done, total) after every sample.

    Returns:
        What was read and what was decided.

    Raises:
        InputError: Anything in the manifest or the arrays that is not right; no store is left behind.
        ResourceError: The disk is full.
    """
    check_new(Path(store), "store")
    table = load_manifest(manifest, use="import")
    reading = reading or Reading(segment_s=segment_s)
    reading.check_streams(table.streams)
    described = [_described(table, row) for row in range(len(table.rows))]
    light, decisions = divided(described, table.path, has_split=table.has_split, split=split, seed=seed)
    criteria, derived = find_criteria(table.criteria, light, scales or {}, units or {})
    # What the manifest alone shows is said before a large array is read.
    check_criteria(criteria)
    check_collection(light, criteria, splits_required=[])
    streams, cells = StreamReader.of(table, reading), WordCells(table, reading, table.texts)
    cells.check()
    of_words = [words_modality(name, reading.words) for name in table.texts]
    words = WordStreams(modalities=of_words, segment_s=segment_s or reading.segment_s, criteria=table.criteria)
    provenance: dict[str, Any] = {
        "importer": "table",
        "manifest": table.path.name,
        "manifest_sha256": sha256_of(table.path),
    }
    if said := reading.to_dict():
        provenance["reading"] = said
    with StoreWriter(
        store,
        name=name or table.path.stem,
        modalities=[*streams.modalities, *words.modalities],
        criteria=criteria,
        segment_s=segment_s or reading.segment_s,
        provenance=provenance,
        derived_scales=derived,
        splits_required=[],
    ) as writer:
        for row, sample in enumerate(light):
            arrays = streams.read(row)
            if arrays is not None:
                writer.add(words.join(replace(sample, streams=arrays), cells.read(row), where=table.where(row)))
            if progress:
                progress(row + 1, len(light))
        streams.check_lengths()
        if copies == "refuse":
            writer.observed.check_copies()
        seen = [*streams.sentences(), *cells.sentences(), *words.sentences(), *writer.observed.sentences()]
        if seen:
            writer.record(decisions=seen)
    found = [*table.remarks, *decisions, *scale_notes(criteria, derived, light), *_split_notes(light), *seen]
    return ImportReport.of(store, decisions=found)


def read_manifest(
    path: Path | str,
    *,
    modalities: Sequence[Modality],
    criteria: Sequence[Criterion] | None = None,
    need_scores: bool,
    reading: Reading | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Sample]:
    """Read samples that are to be scored, with any subset of the streams.

    Args:
        path: A manifest; `split`, `group` and `score:` columns may be there.
        modalities: The streams that the model knows.
        criteria: The scores to read; None, or a manifest without any `score:` column, gives empty scores.
        need_scores: Whether a manifest without a column for every criterion is an error.
        reading: How the tables of streams are read.
        say: Told what was decided, a sentence each.

    Returns:
        Checked samples in the manifest's order. One that owns no stream of the model has none: it cannot be scored.

    Raises:
        InputError: Anything in the manifest or the arrays that is not right, or a stream that the model does not know
            where one that it knows is not there.
    """
    table = load_manifest(path, use="predict")
    known = tuple(modality for modality in modalities if modality.name in (*table.streams, *table.texts))
    _check_streams(table, modalities)
    reading = reading or Reading()
    wanted = tuple(criterion.name for criterion in criteria or ())
    missing = [criterion for criterion in wanted if criterion not in table.criteria]
    if need_scores and (missing or not wanted):
        raise InputError(
            f"{table.path}: expected the columns {', '.join(f'score:{name}' for name in missing or ['NAME'])}, found "
            f"{', '.join(f'score:{name}' for name in table.criteria) or 'no score'}: add the scores."
        )
    # Where new samples carry only some of the scores, the others were not judged.
    read = wanted if any(criterion in table.criteria for criterion in wanted) else ()
    streams = StreamReader(table, reading, tuple(modality for modality in known if not modality.words))
    words = WordStreams(modalities=[modality for modality in known if modality.words], segment_s=reading.segment_s)
    cells = WordCells(table, reading, tuple(modality.name for modality in words.modalities))
    samples, seen = [], set()
    for row in range(len(table.rows)):
        sample = _described(table, row, criteria=read)
        if sample.id in seen:
            raise InputError(f"{table.where(row)}: expected ids that occur once, found '{sample.id}' again: rename it.")
        seen.add(sample.id)
        arrays = streams.read(row)
        if arrays is None:
            continue  # `check_lengths` says which and why
        given = words.join(replace(sample, streams=arrays), cells.read(row), where=table.where(row))
        if not given.streams:
            samples.append(sample)
            continue
        samples.append(check_sample(given, known, criteria or (), scores="optional"))
    streams.check_lengths()
    if say is not None:
        for sentence in (*table.remarks, *streams.sentences(), *cells.sentences(), *words.sentences(new=True)):
            say(sentence)
    return samples


def _check_streams(table: Manifest, modalities: Sequence[Modality]) -> None:
    """Refuse a stream that the model does not know and that may be a misspelt one."""
    names = tuple(modality.name for modality in modalities)
    columns = {**dict.fromkeys(table.streams, STREAM_PREFIX), **dict.fromkeys(table.texts, TEXT_PREFIX)}
    unknown = [stream for stream in columns if stream not in names]
    if unknown and (set(names) - set(columns)):
        raise InputError(
            f"{table.path}, column '{columns[unknown[0]]}{unknown[0]}': {unknown_name('stream', unknown[0], names)}"
        )
    for modality in modalities:
        wanted = TEXT_PREFIX if modality.words else STREAM_PREFIX
        if columns.get(modality.name, wanted) != wanted:
            raise InputError(
                f"{table.path}: expected a column '{wanted}{modality.name}', as the model learnt from "
                f"{'words' if modality.words else 'features'}, found '{columns[modality.name]}{modality.name}': give "
                "what the model was trained on."
            )


def _described(table: Manifest, row: int, criteria: Sequence[str] | None = None) -> Sample:
    """A row without its arrays."""
    cells, where = table.rows[row], table.where(row)
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


def _split_notes(light: Sequence[Sample]) -> list[str]:
    """What a person should know of the splits and groups."""
    counts = {split: sum(sample.split == split for sample in light) for split in SPLITS}
    notes = []
    if counts["train"] and not counts["val"]:
        notes.append(
            "no validation split: training holds one out of the training samples by whole groups (data.validation)"
        )
    if not counts["train"]:
        notes.append("no training split: a trained run can be evaluated on this store, nothing can be trained on it")
    folded: dict[str, dict[str, str]] = {}
    for sample in light:
        if sample.group:
            folded.setdefault(sample.group.casefold(), {})[sample.group] = str(sample.split)
    for names in folded.values():
        if len(set(names.values())) > 1:
            notes.append(
                f"groups {' and '.join(map(repr, names))} differ in capitals alone and stand in several splits: taken "
                "for different groups"
            )
    return notes
