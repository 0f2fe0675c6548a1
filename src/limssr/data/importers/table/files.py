"""Read one stream [T, D] from a file: .npy, .npz, .csv, .parquet. Nothing that runs code is ever opened."""

import csv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from limssr.core.errors import InputError, unknown_name

SUFFIXES = (".npy", ".npz", ".csv", ".parquet")
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
    if not path.is_file():
        raise InputError(
            f"{where}: expected a file at {path}, found {'a folder' if path.is_dir() else 'nothing'}: stream paths are "
            "relative to the manifest; leave the cell empty if the stream is absent."
        )
    try:
        if suffix == ".csv":
            return _read_csv(path, where)
        if suffix == ".parquet":
            return StreamFile(_read_parquet(path, where))
        return StreamFile(_read_npz(path, key, where) if suffix == ".npz" else _read_npy(path, where))
    except (OSError, EOFError, UnicodeDecodeError, zipfile.BadZipFile, csv.Error, pa.ArrowException) as error:
        raise InputError(
            f"{where}: expected a readable {suffix} file, found that {path} is not ({error}): write it again."
        ) from error


def _read_npy(path: Path, where: str) -> np.ndarray:
    try:
        with path.open("rb") as file:
            loaded = np.lib.format.read_array(file, allow_pickle=False)
    except ValueError as error:
        raise _not_plain(path, where, error) from error
    return loaded


def _read_npz(path: Path, key: str, where: str) -> np.ndarray:
    try:
        # Opened here and not by NumPy, which leaves the file open when it is no archive.
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            if key and key not in archive.files:
                raise InputError(f"{where}: {path}: {unknown_name('array', key, archive.files)}")
            if not key and len(archive.files) != 1:
                raise InputError(
                    f"{where}: expected exactly one array in {path}, found {len(archive.files)} "
                    f"({', '.join(archive.files)}): name one as '{path.name}{KEY_MARK}KEY'."
                )
            return archive[key or archive.files[0]]
    except InputError:
        raise
    except ValueError as error:
        raise _not_plain(path, where, error) from error


def _not_plain(path: Path, where: str, error: ValueError) -> InputError:
    # NumPy's own words for "this file would have to be unpickled".
    if "pickle" in str(error) or "Object arrays" in str(error):
        return InputError(
            f"{where}: expected a plain array of numbers, found a pickled object in {path}: a pickle can run code when "
            "it is read and is never opened here; save the array again as float32 (np.save of a numeric array)."
        )
    return InputError(f"{where}: expected a readable NumPy file, found that {path} is not ({error}): write it again.")


def _read_parquet(path: Path, where: str) -> np.ndarray:
    table = pq.read_table(path)
    for field in table.schema:
        if not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)):
            raise InputError(
                f"{where}: expected numeric columns in {path}, found '{field.name}' of type {field.type}: keep one "
                "numeric column a feature."
            )
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
