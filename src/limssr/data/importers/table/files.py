"""Read one stream [T, D] from a file: .npy, .npz, .csv, .parquet. Nothing that runs code is ever opened."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from limssr.core.errors import InputError, unknown_name
from limssr.core.quoting import listed
from limssr.core.reading.arrays import member_names, opened_archive, read_member, read_npy
from limssr.core.reading.regular import Outside, open_regular
from limssr.core.reading.tables import read_parquet

SUFFIXES = (".npy", ".npz", ".csv", ".parquet")
_AGAIN = "stream paths are relative to the manifest, and an empty cell is an absent stream; check the path, or "
_ARRAY = _AGAIN + "save the file again as a plain array of numbers (np.save of float32)"
_TABLE = _AGAIN + "write the file again with numbers alone"
REMEDIES = {".npy": _ARRAY, ".npz": _ARRAY, ".csv": _TABLE, ".parquet": _TABLE}
# Between the path of an .npz and the name of the array in it.
KEY_MARK = "::"


@dataclass(frozen=True)
class StreamFile:
    """A stream as it was read.

    Attributes:
        array: Of any type and rank; `check_sample` judges it.
        header: Whether a csv file's first line was taken as a header; None for other kinds.
    """

    array: np.ndarray
    header: Literal["header", "no header"] | None = None


def read_stream(cell: str, folder: Path, *, where: str) -> StreamFile:
    """Read the file that a cell of a manifest names.

    Args:
        cell: A path relative to `folder`, or absolute; for an .npz with several arrays `path.npz::key`.
        folder: Of the manifest.
        where: Beginning of the messages ("Sample 'x', stream 'audio'").

    Raises:
        InputError: No such file, another kind of file, a pickled array, or content that is no array of numbers.
    """
    name, mark, key = cell.partition(KEY_MARK)
    path = folder / name
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"{where}: expected a file of kind {', '.join(SUFFIXES)}, found '{name}': convert it to one of them."
        )
    if mark and suffix != ".npz":
        raise InputError(f"{where}: expected '{KEY_MARK}key' only after an .npz file, found '{cell}': remove it.")
    outside = Outside(
        path=path,
        what=f"a readable {suffix} file",
        where=where,
        remedy=REMEDIES[suffix],
    )
    if suffix == ".csv":
        open_regular(outside).close()
        try:
            return _read_csv(path, where)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise outside.unreadable(error) from error
    if suffix == ".parquet":
        return StreamFile(_read_parquet(outside))
    return StreamFile(_read_npz(outside, key) if suffix == ".npz" else read_npy(outside))


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


def _read_parquet(outside: Outside) -> np.ndarray:
    table = read_parquet(outside, numbers_only=True)
    columns = [column.cast(pa.float64()).to_numpy() for column in table.columns]
    return np.stack(columns, axis=1) if columns else np.empty((table.num_rows, 0))


def _read_csv(path: Path, where: str) -> StreamFile:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.reader(file))
    while rows and not rows[-1]:
        rows.pop()
    if not rows:
        return StreamFile(np.empty((0, 0)), "no header")
    has_header = _is_header(rows[0])
    if len(rows[0]) == 1:
        # In a table of one column an empty line is an empty cell.
        rows = [row or [""] for row in rows]
    values = []
    for number, row in enumerate(rows[has_header:], start=1 + has_header):
        if len(row) != len(rows[0]):
            raise InputError(
                f"{where}: expected {len(rows[0])} cells in every line of {path}, found {len(row)} in line {number}: "
                "make the table rectangular."
            )
        values.append([_number(cell, path, where, number) for cell in row])
    array = np.array(values, dtype=np.float64).reshape(len(values), len(rows[0]))
    return StreamFile(array, "header" if has_header else "no header")


def _is_header(row: list[str]) -> bool:
    """A line with a word in it, or the running numbers 0, 1, 2, … that table programs write over unnamed columns."""
    if len(row) > 1 and [cell.strip() for cell in row] == [str(number) for number in range(len(row))]:
        return True
    return any(cell.strip() and not _is_number(cell) for cell in row)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(cell: str, path: Path, where: str, line: int) -> float:
    if not cell.strip():
        return float("nan")
    try:
        return float(cell)
    except ValueError as error:
        raise InputError(
            f"{where}: expected numbers in {path}, found {cell!r} in line {line}: correct the cell; an empty line of "
            "cells is a segment that is not valid."
        ) from error
