"""Whether the first line of a table names its columns."""

import itertools
import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from limssr.core.errors import InputError
from limssr.data.groups import MISSING_WORDS

Header = Literal["detect", "first-line", "none"]
LOOKED_AT = 50


def find_header(lines: Sequence[Sequence[str]], header: Header, *, where: str, path: str) -> bool:
    """Whether the first line is a header.

    A line with a word in it is one, and so are the running numbers 0, 1, 2, … that table programs write over columns
    without names. Words that mean "missing" are data.

    Raises:
        InputError: The first line holds numbers that look like names (1 to D, frequencies, years, what a merge makes of
            repeated names): whether a segment or names stand there is for the user to say.
    """
    if header != "detect":
        return header == "first-line"
    first = lines[0]
    if any(cell not in MISSING_WORDS and not is_number(cell) for cell in first):
        return True
    running = [str(number) for number in range(len(first))]
    if len(first) > 1 and (list(first) == running or list(first) == ["", *running[:-1]]):
        return True
    numbers = [cell for cell in first if cell not in MISSING_WORDS]
    if len(numbers) == len(first) and (why := _why_suspected(lines)):
        raise InputError(
            f"{where}: expected a first line that is clearly names or clearly a segment in {path}, found "
            f"{', '.join(first[:6])}{', …' if len(first) > 6 else ''}, which {why}: say which it is with --header "
            "first-line or --header none, or write words over the columns."
        )
    return False


def rising_integers(cells: Sequence[str]) -> bool:
    """Whether cells are whole numbers, each larger than the one before."""
    if not all(re.fullmatch(r"[+-]?\d+", cell) for cell in cells):
        return False
    return all(int(after) > int(before) for before, after in itertools.pairwise(cells))


def _why_suspected(lines: Sequence[Sequence[str]]) -> str:
    """What speaks for names in a first line of numbers; "" where nothing does."""
    first, below = lines[0], lines[1:LOOKED_AT]
    plain = all(cell in MISSING_WORDS or is_number(cell) for line in below for cell in line)
    if len(first) < 2 or not below or not plain or any(len(line) != len(first) for line in below):
        return ""
    if rising_integers(first) and all(
        any(not _is_whole(line[column]) for line in below) for column in range(len(first))
    ):
        return "are whole numbers that rise, over columns of other numbers"
    if _is_made_unique(first) and not any(_is_made_unique(line) for line in below):
        return "are what a merge makes of repeated names"
    values = [[float(cell) if is_number(cell) else np.nan for cell in line] for line in (first, *below)]
    if len(first) >= 3 and _is_progression(values[0]) and not any(_is_progression(row) for row in values[1:]):
        return "rise evenly, unlike the lines below"
    if len(first) >= 6 and len(below) > 1 and _is_sorted(values[0]) and not any(_is_sorted(row) for row in values[1:]):
        return "rise, unlike the lines below"
    return ""


def is_number(cell: str) -> bool:
    """True for what `float` reads, without the underscores that it also allows."""
    if "_" in cell:
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_whole(cell: str) -> bool:
    return cell in MISSING_WORDS or re.fullmatch(r"[+-]?\d+", cell) is not None


def _is_made_unique(cells: Sequence[str]) -> bool:
    """0, 1, 0.1, 1.1: a table program adds .1, .2 to names that occur again."""
    again = [cell for cell in cells if re.fullmatch(r"\d+\.\d+", cell)]
    return (
        bool(again)
        and all(cell.split(".")[0] in cells if cell in again else cell.isdigit() for cell in cells)
        and len(set(cells)) == len(cells)
    )


def _is_progression(values: Sequence[float]) -> bool:
    row = np.asarray(values)
    if not np.isfinite(row).all():
        return False
    steps = np.diff(row)
    if (steps == 0).any():
        return False
    if np.allclose(steps, steps[0], rtol=1e-9, atol=0):
        return True
    return bool((row > 0).all() and np.allclose(row[1:] / row[:-1], row[1] / row[0], rtol=1e-9, atol=0))


def _is_sorted(values: Sequence[float]) -> bool:
    steps = np.diff(np.asarray(values))
    return bool((steps > 0).all() or (steps < 0).all())
