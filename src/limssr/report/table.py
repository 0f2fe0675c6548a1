"""One table for people: short texts in cells, with small lines below them. `limssr.report.render` writes it out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Span = tuple[float, float, float]
"""Low, value and high of a cell that a page draws on an axis."""
Axis = tuple[float, float]
"""The ends of such an axis."""


@dataclass(frozen=True)
class Cell:
    """What is in a cell.

    Attributes:
        text: The number.
        small: Lines below it.
        kind: "best" of its column, "none" where there is no number, "" otherwise.
        span: Its interval, for a page that draws it; None: there is none.
        axis: The axis that `span` is drawn on.
    """

    text: str
    small: tuple[str, ...] = ()
    kind: Literal["", "best", "none"] = ""
    span: Span | None = None
    axis: Axis | None = None


NONE = Cell("n/a", kind="none")


@dataclass(frozen=True)
class Row:
    """A row: label and one cell a column.

    Attributes:
        label: What it is called.
        cells: In the order of the columns; none at all in a row that heads the ones below it.
        kind: "chosen" is what the others are compared with; "here" was measured by us and "difference" is computed, in
            tables that also show published numbers; "head" heads the rows below it.
    """

    label: str
    cells: tuple[Cell, ...] = ()
    kind: Literal["", "chosen", "here", "difference", "head"] = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        key: For links and labels.
        title: What it shows.
        hint: How to read it.
        columns: Heads, short.
        long_columns: The same in full words, for where there is room; () where they are the same.
        small_columns: A line below each head; () where there is none.
        rows: In order.
        notes: Why numbers are missing, and the like.
        layout: Cells hold "numbers", side by side; or "words", of which a terminal and print make a list.
        first: Head of the column of labels.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    hint: str = ""
    long_columns: tuple[str, ...] = ()
    small_columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    layout: Literal["numbers", "words"] = "numbers"
    first: str = "system"

    @property
    def heads(self) -> tuple[str, ...]:
        """Column heads in full words."""
        return self.long_columns or self.columns

    @property
    def smalls(self) -> tuple[str, ...]:
        """A line below each head, or ""."""
        return self.small_columns or ("",) * len(self.columns)


MAX_COLUMNS = 9
"""More columns than that become rows, where there are fewer rows: pages and print are higher than they are wide."""


def upright(table: Table, *, first: str) -> Table:
    """The table itself or, where it has many columns and fewer rows, with rows and columns exchanged.

    Args:
        table: Without rows that head others.
        first: Head of the column of labels after an exchange: what the columns were.
    """
    if len(table.columns) <= MAX_COLUMNS or len(table.rows) >= len(table.columns):
        return table
    small = tuple(f" ({text})" if text else "" for text in table.smalls)
    rows = tuple(
        Row(f"{head}{small[place]}", tuple(row.cells[place] for row in table.rows))
        for place, head in enumerate(table.heads)
    )
    labels = tuple(row.label for row in table.rows)
    return replace(table, columns=labels, rows=rows, long_columns=(), small_columns=(), first=first)


def widths_of(table: Table) -> list[int]:
    """Characters of each column."""
    lines: Sequence[Sequence[str]] = [
        [table.columns[place], table.smalls[place]]
        + [line for row in table.rows if row.cells for line in (row.cells[place].text, *row.cells[place].small)]
        for place in range(len(table.columns))
    ]
    return [max(map(len, column)) for column in lines]


def label_width(table: Table) -> int:
    """Characters of the longest label of a row with cells."""
    return max((len(row.label) for row in table.rows if row.cells), default=0)
