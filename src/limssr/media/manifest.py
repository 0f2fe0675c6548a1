"""The table of recordings: one row a performance, with its files, scores and split.

Columns: `id`, `split`, `group`, `score:NAME`; `media:NAME` (a video or sound file), `sensor:NAME` (a table with a
time column), `stream:NAME` (an array of features), `text:NAME` (words, or a file of words with times); for each of
these, where needed, `offset:NAME` (where the file's second 0 lies on the recording's clock, in seconds) and `rate:NAME`
(rows a second of an array that is not cut into segments yet).
Paths are relative to the manifest. An empty cell is an absent stream.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from limssr.core.errors import InputError, unknown_name
from limssr.core.types import SPLITS, Sample, Split
from limssr.data.importers.table.manifest import Cell, read_rows, score_cell, text_cell, unknown_column
from limssr.data.splits import divided
from limssr.data.words.files import is_path

KINDS = ("media", "sensor", "stream", "text")
PLAIN = ("id", "split", "group")
FORMS = (*PLAIN, "score:NAME", "media:NAME", "sensor:NAME", "stream:NAME", "text:NAME", "offset:NAME", "rate:NAME")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file of a performance.

    Attributes:
        kind: "media", "sensor", "stream" or "text", as in its column.
        name: After the colon of its column.
        cell: As in the manifest; an array may name a part of its file after `::`, a text may stand there itself.
        folder: Of the manifest.
        offset: As in the manifest; "" where there is none.
        rate_hz: Rows a second of an array; None if its rows are segments already.
    """

    kind: str
    name: str
    cell: str
    folder: Path
    offset: str = ""
    rate_hz: float | None = None

    @property
    def path(self) -> Path:
        """Of the file; the manifest's folder where the cell holds the words themselves."""
        if self.kind == "text" and not is_path(self.cell, self.folder):
            return self.folder
        return self.folder / (self.cell.partition("::")[0] if self.kind == "stream" else self.cell)


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A row of the manifest.

    Attributes:
        id: Unique.
        sources: Its files, in the order of the columns.
        scores_C: NaN where not judged.
        group: "" where there is none.
        split: None for a performance to be scored.
        where: The place in the manifest, for messages.
    """

    id: str
    sources: tuple[Source, ...]
    scores_C: np.ndarray
    group: str
    split: Split | None
    where: str

    def of_kind(self, kind: str) -> list[Source]:
        """Its files of one kind."""
        return [source for source in self.sources if source.kind == kind]


@dataclass(frozen=True, kw_only=True)
class Recordings:
    """A manifest whose columns and cells are known to be right; its files have not been opened.

    Attributes:
        path: Of the manifest.
        criteria: Names of the scores.
        columns: (kind, name) of each column of files.
        rows: The performances.
    """

    path: Path
    criteria: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Recording, ...]


def has_recordings(path: Path) -> bool:
    """Whether a manifest names media or sensor tables."""
    columns, _, _ = read_rows(path)
    return any(column.partition(":")[0] in ("media", "sensor") for column in columns)


def load_recordings(
    path: Path, *, use: Literal["extract", "predict"], paths: Literal["any", "contained"] = "any"
) -> Recordings:
    """Read a manifest of recordings.

    Args:
        path: .csv, .tsv, .jsonl or .ndjson.
        use: "extract" needs scores as well.
        paths: "contained" refuses paths that lead outside the manifest's folder.

    Raises:
        InputError: Columns or cells that are not right, repeated ids, one file with different scores.
    """
    columns, rows, lines = read_rows(path)
    _check_columns(path, columns, use)
    if not rows:
        raise InputError(f"{path}: expected at least one performance, found only column names: add rows.")
    criteria = tuple(column.removeprefix("score:") for column in columns if column.startswith("score:"))
    named = [column.partition(":") for column in columns]
    kinds = tuple((kind, name) for kind, _, name in named if kind in KINDS)
    found: list[Recording] = []
    for cells, line in zip(rows, lines, strict=True):
        where = f"{path}, line {line}"
        found.append(_recording(path, cells, kinds, criteria if use == "extract" else (), where))
    _check_ids(found)
    _check_shared_files(found)
    if paths == "contained":
        _check_contained(path, found)
    return Recordings(path=path, criteria=criteria, columns=kinds, rows=tuple(found))


def with_splits(recordings: Recordings, split: str | None, seed: int) -> tuple[Recordings, list[str]]:
    """The recordings with a split, by whole groups, and what is said of it; see `limssr.data.splits.divided`.

    Raises:
        InputError: Fewer groups than splits, one file in two of them, or shares for a table that has splits.
    """
    light = [Sample(row.id, {}, row.scores_C, row.group, row.split) for row in recordings.rows]
    found, told = divided(light, recordings.path, has_split=True, split=split, seed=seed)
    rows = tuple(replace(row, split=sample.split) for row, sample in zip(recordings.rows, found, strict=True))
    _check_shared_files(rows)
    return replace(recordings, rows=rows), told


def _recording(
    path: Path,
    cells: dict[str, Cell],
    kinds: Sequence[tuple[str, str]],
    criteria: Sequence[str],
    where: str,
) -> Recording:
    identity = text_cell(cells, "id")
    if not identity:
        raise InputError(f"{where}: expected an id, found an empty cell: give every performance a unique id.")
    split_text = text_cell(cells, "split")
    if split_text and split_text not in SPLITS:
        raise InputError(f"{where}, '{identity}': {unknown_name('split', split_text, SPLITS)}")
    sources = tuple(
        _source(path.parent, cells, kind, name, where) for kind, name in kinds if text_cell(cells, f"{kind}:{name}")
    )
    return Recording(
        id=identity,
        sources=sources,
        scores_C=np.array([score_cell(cells, criterion, where=where) for criterion in criteria], dtype=np.float64),
        group=text_cell(cells, "group"),
        split=next((split for split in SPLITS if split == split_text), None),
        where=where,
    )


def _source(folder: Path, cells: Mapping[str, Cell], kind: str, name: str, where: str) -> Source:
    cell = text_cell(dict(cells), f"{kind}:{name}")
    rate = text_cell(dict(cells), f"rate:{name}")
    return Source(
        kind=kind,
        name=name,
        cell=cell,
        folder=folder,
        offset=text_cell(dict(cells), f"offset:{name}"),
        rate_hz=_rate(rate, name, where) if rate else None,
    )


def _rate(text: str, name: str, where: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 1e-3 <= rate <= 1e6:
        raise InputError(
            f"{where}: expected rows a second between 0.001 and 1000000 in column 'rate:{name}', found {text!r}: "
            "correct it, or leave it empty if the rows are segments."
        )
    return rate


def _check_columns(path: Path, columns: Sequence[str], use: str) -> None:
    kinds = {column.partition(":")[2] for column in columns if column.partition(":")[0] in KINDS}
    for column in columns:
        prefix, _, name = column.partition(":")
        known = column in PLAIN or (name and prefix in ("score", *KINDS, "offset", "rate"))
        if not known:
            raise unknown_column(path, column, FORMS)
        if columns.count(column) > 1:
            raise InputError(f"{path}: expected every column once, found '{column}' repeated: remove or rename one.")
        if prefix in ("offset", "rate") and name not in kinds:
            raise InputError(
                f"{path}: expected '{column}' beside a column media:{name}, sensor:{name}, stream:{name} or "
                f"text:{name}, found none: correct its name."
            )
    needed = {"id": "id" in columns, "media:NAME or sensor:NAME": bool(kinds)}
    if use == "extract":
        needed |= {"score:NAME": any(column.startswith("score:") for column in columns)}
    for column, there in needed.items():
        if not there:
            raise InputError(
                f"{path}: expected a column '{column}', found {', '.join(columns) or 'an empty file'}: add it."
            )


def _check_ids(rows: Sequence[Recording]) -> None:
    seen: dict[str, str] = {}
    for row in rows:
        if row.id in seen:
            raise InputError(f"{row.where}: expected ids that occur once, found '{row.id}' again: rename it.")
        seen[row.id] = row.where


def _check_shared_files(rows: Sequence[Recording]) -> None:
    """One file with two judgements, or on two sides of the split, is a mistake in the table."""
    first: dict[tuple[str, Path], Recording] = {}
    for row in rows:
        for source in row.of_kind("media"):
            other = first.setdefault((source.name, source.path.resolve()), row)
            same = np.array_equal(other.scores_C, row.scores_C, equal_nan=True) and other.split == row.split
            if other is not row and not same:
                raise InputError(
                    f"{row.where}: expected one score and one split for a file, found {source.cell} with others in "
                    f"'{other.id}' and '{row.id}': correct the row that is wrong."
                )


def _check_contained(path: Path, rows: Sequence[Recording]) -> None:
    folder = path.resolve().parent
    for row in rows:
        for source in row.sources:
            if not source.path.resolve().is_relative_to(folder):
                raise InputError(
                    f"{row.where}: expected files inside {folder} (--contained), found {source.cell}: move the file "
                    "there, or leave --contained out."
                )
