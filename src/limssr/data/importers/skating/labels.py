"""Label files as FS1000, Fis-V and RG are published: one sample a line, columns between blanks or tabs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from limssr.core.errors import InputError
from limssr.core.files import sha256_of
from limssr.core.reading.regular import Outside, read_text
from limssr.core.types import Split

MAX_BYTES = 16 * 2**20


@dataclass(frozen=True)
class LabelRow:
    """One line of a label file.

    Attributes:
        id: Its first column.
        cells: All columns that the format has, as text.
        where: File and line, for messages.
        columns: The names of the columns.
    """

    id: str
    cells: tuple[str, ...]
    where: str
    columns: tuple[str, ...]

    def number(self, column: str) -> float:
        """The value of a column.

        Raises:
            InputError: It is no finite number.
        """
        cell = self.cells[self.columns.index(column)]
        value = _number(cell)
        if value is None or not math.isfinite(value):
            raise InputError(
                f"{self.where}, sample '{self.id}': expected a number in the column {column}, found '{cell}': the "
                f"columns are {' '.join(self.columns)}; correct the file or fetch it again."
            )
        return value


@dataclass(frozen=True, kw_only=True)
class LabelFile:
    """A label file as it was read.

    Attributes:
        path: The file.
        split: Where its samples belong.
        rows: One a sample, in the file's order.
        header: Whether its first line was taken as names of columns.
        sha256: Of its bytes.
        num_longer: Rows with more columns than the format has; those were not read.
    """

    path: Path
    split: Split
    rows: tuple[LabelRow, ...]
    header: Literal["header", "no header"]
    sha256: str
    num_longer: int


def read_label_files(
    files: Mapping[Split, Path], columns: Sequence[str], *, header: Literal["never", "detect"]
) -> tuple[LabelFile, ...]:
    """Read the label files of a data set.

    Args:
        files: Split -> file.
        columns: Names of all columns; a row has at least as many.
        header: "never": the first line is a sample. "detect": it is one if its second field is a number.

    Raises:
        InputError: A file that cannot be read, a row with too few columns, or an id that occurs twice, in one file or
            in two.
    """
    labels = tuple(_read(path, split, tuple(columns), header) for split, path in files.items())
    seen: dict[str, tuple[Split, str]] = {}
    for file in labels:
        for row in file.rows:
            if row.id in seen:
                split, where = seen[row.id]
                twice = "in one split" if split == file.split else f"in two splits ({split} and {file.split})"
                raise InputError(
                    f"{row.where}: expected every id once, found '{row.id}' {twice}, first in {where}: remove one of "
                    "the two lines, or a test sample would also be trained on."
                )
            seen[row.id] = file.split, row.where
    return labels


def _read(path: Path, split: Split, columns: tuple[str, ...], header: Literal["never", "detect"]) -> LabelFile:
    outside = Outside(path=path, what="a text file with labels", remedy="check the path, or fetch the file again")
    lines = read_text(outside, limit=MAX_BYTES).splitlines()
    cells = [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()]
    has_header = bool(header == "detect" and cells and len(cells[0][1]) > 1 and _number(cells[0][1][1]) is None)
    rows = []
    for number, row in cells[has_header:]:
        where = f"{path}, line {number}"
        if len(row) < len(columns):
            raise InputError(
                f"{where}: expected {len(columns)} columns ({' '.join(columns)}), found {len(row)}: '{' '.join(row)}'. "
                "Correct the line or fetch the file again."
            )
        rows.append(LabelRow(row[0], tuple(row[: len(columns)]), where, columns))
    if not rows:
        raise InputError(f"{path}: expected labels, one sample a line, found none: fetch the file again.")
    num_longer = sum(len(row) > len(columns) for _, row in cells[has_header:])
    decided = "header" if has_header else "no header"
    return LabelFile(
        path=path, split=split, rows=tuple(rows), header=decided, sha256=sha256_of(path), num_longer=num_longer
    )


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
