"""A table of text cells -> names, numbers and times. What is no plain number is never read as one."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from limssr.core.errors import InputError
from limssr.core.quoting import quoted
from limssr.data.groups import MISSING_WORDS
from limssr.data.importers.table.headers import Header, find_header, is_number
from limssr.data.importers.table.roles import is_count_name, is_time_name

DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
DECIMAL_POINT = re.compile(r"[+-]?\d*\.\d*(?:[eE][+-]?\d+)?")
# What is looked at to find out how a file is written.
LOOKED_AT = 50


@dataclass(frozen=True)
class TextTable:
    """A table as it was read.

    Attributes:
        array: [T, D] float64, counting columns and time left in.
        columns: D names; None where there is no header, or one of running numbers.
        header: Whether the first line was taken as one.
        times_at: The column that holds times of the calendar, already in seconds; None where there is none.
        remarks: What was decided, each a few words.
    """

    array: np.ndarray
    columns: tuple[str, ...] | None
    header: Literal["header", "no header"]
    times_at: int | None = None
    remarks: tuple[str, ...] = field(default=())


def split_lines(text: str) -> tuple[list[list[str]], str]:
    """The cells of a text, and what stands between them: comma, semicolon, tab or blanks.

    Raises:
        csv.Error: A quoted cell without an end, and other things that no table has.
    """
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    separator = ";" if ";" in first else "\t" if "\t" in first else ","
    if separator == "," and "," not in text and '"' not in first and len(first.split()) > 1:
        parts = first.split()
        if all(is_number(part) for part in parts):
            return [line.split() for line in lines], " "
    return list(csv.reader(lines, delimiter=separator)), separator


def read_cells(
    rows: Sequence[Sequence[str]],
    *,
    separator: str,
    header: Header = "detect",
    where: str,
    path: str,
) -> TextTable:
    """Make numbers of cells.

    Args:
        rows: Lines of cells.
        separator: What stood between the cells; "" where they come from a spreadsheet.
        header: Whether the first line is a header, or that this is to be found out.
        where: Beginning of the messages.
        path: Of the file, for messages.

    Raises:
        InputError: Lines of different lengths, a cell that is no number, decimal points and commas mixed, a first line
            of which nobody can say whether it is a header.
    """
    lines = [[cell.strip() for cell in row] for row in rows]
    while lines and not any(lines[-1]) and len(lines[-1]) < 2:
        lines.pop()
    if not lines:
        return TextTable(np.empty((0, 0)), None, "no header")
    widest = max(len(line) for line in lines[:LOOKED_AT])
    if widest == 1:
        # In a table of one column an empty line is an empty cell.
        lines = [line or [""] for line in lines]
    remarks = [] if separator in (",", "") else [f"cells separated by {_named(separator)}"]
    decimal = _decimal(lines, where, path)
    if decimal == ",":
        remarks.append("decimal commas read as decimal points")
        lines = [[cell.replace(",", ".") if DECIMAL_COMMA.fullmatch(cell) else cell for cell in line] for line in lines]
    elif separator == ",":
        _check_comma(lines, where, path)
    has_header = find_header(lines, header, where=where, path=path)
    names = lines[0] if has_header else None
    body = lines[has_header:]
    if names is not None and body and all(len(line) == len(names) + 1 for line in body):
        names = ["", *names]  # R writes no name over the names of the rows
    _check_rectangular(body, len(names or lines[0]), 1 + has_header, where=where, path=path)
    columns = _column_names(names)
    dates = _date_column(columns, body)
    array, num_words = _numbers(body, dates, width=len(names or lines[0]), first=1 + has_header, where=where, path=path)
    if num_words:
        remarks.append("words such as NA read as missing")
    return TextTable(array, columns, "header" if has_header else "no header", dates, tuple(remarks))


def read_score(text: str) -> float:
    """A plain number, or NaN for a word that means missing.

    Raises:
        ValueError: Anything else.
    """
    if text in MISSING_WORDS:
        return float("nan")
    if "_" in text:
        raise ValueError(text)
    return float(text)


def _named(separator: str) -> str:
    return {";": "semicolons", "\t": "tabs", " ": "blanks"}[separator]


def _decimal(lines: Sequence[Sequence[str]], where: str, path: str) -> Literal[".", ","]:
    cells = [cell for line in lines for cell in line]
    comma = next((cell for cell in cells if DECIMAL_COMMA.fullmatch(cell)), None)
    if comma is None:
        return "."
    point = next((cell for cell in cells if "." in cell and DECIMAL_POINT.fullmatch(cell) and is_number(cell)), None)
    if point is not None:
        raise InputError(
            f"{where}: expected one way to write decimals in {path}, found {quoted(comma)} and {quoted(point)}: write "
            "all with a point, and no thousands separators."
        )
    return ","


def _check_comma(lines: Sequence[Sequence[str]], where: str, path: str) -> None:
    """Refuse `0,05` that was cut at its decimal comma: behind it stand zeros that no whole number begins with."""
    widths = {len(line) for line in lines}
    if len(widths) != 1 or widths.pop() % 2:
        return
    pairs = [pair for line in lines for pair in zip(line[::2], line[1::2], strict=True)]
    if not all(re.fullmatch(r"[+-]?\d+", whole) and re.fullmatch(r"\d+", part) for whole, part in pairs):
        return
    cut = [f"{whole},{part}" for whole, part in pairs if whole == "-0" or (len(part) > 1 and part.startswith("0"))]
    if cut:
        raise InputError(
            f"{where}: expected numbers with a decimal point in {path}, found what looks like decimal commas "
            f"({quoted(cut[0])}) between commas that separate cells: write decimals with a point, or separate the "
            "cells by semicolons."
        )


def _check_rectangular(body: Sequence[Sequence[str]], width: int, first: int, *, where: str, path: str) -> None:
    for number, line in enumerate(body, start=first):
        if len(line) != width:
            raise InputError(
                f"{where}: expected {width} cells in every line of {path}, found {len(line)} in line {number}: make "
                "the table rectangular (decimal commas need semicolons between the cells)."
            )


def _column_names(names: Sequence[str] | None) -> tuple[str, ...] | None:
    if names is None or list(names) == [str(number) for number in range(len(names))]:
        return None
    return tuple(names)


def _date_column(columns: tuple[str, ...] | None, body: Sequence[Sequence[str]]) -> int | None:
    """The column of times of the calendar: named like a time or an index, and written like one."""
    for index, name in enumerate(columns or ()):
        first = body[0][index] if body and (is_time_name(name) or is_count_name(name)) else ""
        if first and not is_number(first) and _seconds(first) is not None:
            return index
    return None


def _seconds(cell: str) -> float | None:
    try:
        found = datetime.fromisoformat(cell)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _numbers(
    body: Sequence[Sequence[str]], dates: int | None, *, width: int, first: int, where: str, path: str
) -> tuple[np.ndarray, int]:
    array = np.empty((len(body), width))
    num_words = 0
    for row, line in enumerate(body):
        for column, cell in enumerate(line):
            if cell in MISSING_WORDS:
                array[row, column] = np.nan
                num_words += cell not in ("", "nan", "NaN", "-nan")
                continue
            value = _seconds(cell) if column == dates else float(cell) if is_number(cell) else None
            if value is None:
                raise InputError(
                    f"{where}: expected numbers in {path}, found {quoted(cell)} in line {row + first}: correct the "
                    "cell; an empty line of cells is a segment that is not valid."
                )
            array[row, column] = value
    return array, num_words
