"""Read one stream from a file: .npy, .npz, .csv, .tsv, .parquet, .xlsx. Nothing that runs code is ever opened."""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from limssr.core.errors import InputError, unknown_name
from limssr.core.quoting import listed
from limssr.core.reading.arrays import member_names, opened_archive, read_member, read_npy
from limssr.core.reading.regular import Outside, read_text
from limssr.core.reading.tables import read_parquet
from limssr.data.importers.table.reading import Reading
from limssr.data.importers.table.roles import Features, counting_step, is_count_name, is_time_name, separate
from limssr.data.importers.table.spreadsheets import OTHER_SHEETS, read_sheet
from limssr.data.importers.table.text import TextTable, read_cells, split_lines

TEXTS = (".csv", ".tsv", ".txt")
SUFFIXES = (".npy", ".npz", ".csv", ".tsv", ".txt", ".parquet", ".xlsx")
_AGAIN = "stream paths are relative to the manifest, and an empty cell is an absent stream; check the path, or "
_ARRAY = _AGAIN + "save the file again as a plain array of numbers (np.save of float32)"
_TABLE = _AGAIN + "write the file again with numbers alone"
# Between the path of a file and the name of the array or sheet in it.
KEY_MARK = "::"
MAX_TEXT_BYTES = 2**30


@dataclass(frozen=True)
class StreamFile:
    """A stream as it was read.

    Attributes:
        array: Features alone, of any type and rank; `check_sample` judges it.
        columns: Names of its columns; None where there are none.
        times: [T] seconds where the file has a time column.
        header: Whether a text file's first line was taken as a header; None for other kinds.
        remarks: What was decided, each a few words.
    """

    array: np.ndarray
    columns: tuple[str, ...] | None = None
    times: np.ndarray | None = None
    header: Literal["header", "no header"] | None = None
    remarks: tuple[str, ...] = field(default=())


def read_stream(cell: str, folder: Path, *, where: str, reading: Reading | None = None) -> StreamFile:
    """Read the file that a cell of a manifest names.

    Args:
        cell: A path relative to `folder`, or absolute (also from ~); for an .npz with several arrays `path.npz::key`,
            for an .xlsx with several sheets `path.xlsx::sheet`.
        folder: Of the manifest.
        where: Beginning of the messages ("Sample 'x', stream 'audio'").
        reading: What was said of tables; None: nothing, so all is found out.

    Raises:
        InputError: No such file, another kind of file, a pickled array, or content that is no array of numbers.
    """
    reading = reading or Reading()
    name, mark, key = cell.partition(KEY_MARK)
    path = folder / Path(name).expanduser()
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        more = "save the sheet as .xlsx or .csv" if suffix in OTHER_SHEETS else "convert it to one of them"
        raise InputError(f"{where}: expected a file of kind {', '.join(SUFFIXES)}, found '{name}': {more}.")
    if mark and suffix not in (".npz", ".xlsx"):
        raise InputError(f"{where}: expected '{KEY_MARK}key' only after an .npz file, found '{cell}': remove it.")
    remedy = _ARRAY if suffix in (".npy", ".npz") else _TABLE
    outside = Outside(path=path, what=f"a readable {suffix} file", where=where, remedy=remedy)
    if suffix in (".npy", ".npz"):
        return _plain(_read_npz(outside, key) if suffix == ".npz" else read_npy(outside), reading)
    if suffix == ".parquet":
        return _read_parquet(outside, reading)
    return _read_text(outside, key, reading)


def _plain(array: np.ndarray, reading: Reading) -> StreamFile:
    step = None if reading.time == "none" else counting_step(array)
    if step is None:
        return StreamFile(array)
    remark = f"the first column rises by {step:g} from row to row: kept as a feature; is it an index or a time?"
    return StreamFile(array, remarks=(remark,))


def _read_npz(outside: Outside, key: str) -> np.ndarray:
    with opened_archive(outside) as archive:
        names = member_names(archive)
        if key and key not in names:
            raise InputError(f"{outside.where}: {outside.path}: {unknown_name('array', key, names)}")
        if not key and len(names) != 1:
            raise InputError(
                f"{outside.where}: expected exactly one array in {outside.path}, found {len(names):,} "
                f"({listed(names)}): name one as '{outside.path.name}{KEY_MARK}KEY'."
            )
        return read_member(archive, key or names[0], outside)


def _read_parquet(outside: Outside, reading: Reading) -> StreamFile:
    table = read_parquet(outside, numbers_only=True, with_times=True)
    names = [str(name) for name in table.column_names]
    index = _pandas_index(table)
    dates = None
    columns = []
    for number, (name, column) in enumerate(zip(names, table.columns, strict=True)):
        if pa.types.is_timestamp(column.type):
            if dates is not None or not (is_time_name(name) or is_count_name(name) or name in index):
                raise outside.refused(f"the column '{name}' of times, where only features and one time column are read")
            dates = number
            columns.append(column.cast(pa.timestamp("ns")).cast(pa.int64()).to_numpy() / 1e9)
        else:
            columns.append(column.cast(pa.float64()).to_numpy())
    array = np.stack(columns, axis=1) if columns else np.empty((table.num_rows, 0))
    found = separate(array, names, time=reading.time, index=index, dates=dates, where=outside.where)
    return _stream(found, ())


def _pandas_index(table: pa.Table) -> list[str]:
    """The columns that pandas marked as the index of the rows."""
    try:
        marked = json.loads((table.schema.metadata or {})[b"pandas"])["index_columns"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return []
    return [name for name in marked if isinstance(name, str)] if isinstance(marked, list) else []


def _read_text(outside: Outside, sheet: str, reading: Reading) -> StreamFile:
    path = str(outside.path)
    if outside.path.suffix.lower() == ".xlsx":
        rows, separator = read_sheet(outside, sheet), ""
    else:
        try:
            rows, separator = split_lines(read_text(outside, limit=MAX_TEXT_BYTES))
        except csv.Error as error:
            raise outside.unreadable(error) from error
    table: TextTable = read_cells(rows, separator=separator, header=reading.header, where=outside.where, path=path)
    if table.columns is None and table.header == "header":
        found = Features(table.array, None, None, ())
    else:
        found = separate(
            table.array, table.columns, time=reading.time, dates=table.times_at, where=f"{outside.where}: {path}"
        )
    header = None if separator == "" else table.header
    stream = _stream(found, table.remarks)
    return StreamFile(stream.array, stream.columns, stream.times, header, stream.remarks)


def _stream(found: Features, remarks: tuple[str, ...]) -> StreamFile:
    return StreamFile(found.array, found.columns, found.times, None, (*remarks, *found.remarks))
