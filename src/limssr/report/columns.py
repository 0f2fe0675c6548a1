"""Tables that fit the terminal: one that is too wide is turned, or its columns are spread over several tables."""

from collections.abc import Sequence
from typing import Literal

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table

MIN_FIRST = 12
"""Columns that the first column may be folded to before a table counts as too wide."""
MARGIN = 3
EDGE = 1
"""The left edge of a table."""


class Columns:
    """A table whose first column names the rows.

    Numbers are never folded or cut. Where the columns do not fit side by side, several tables follow one another, each
    with the first column.

    Args:
        heads: Of the columns.
        others: How columns after the first are aligned; text ("left") may be folded.
        caption: Below the last table.
        turn: Rows and columns may change places where that makes the table fit.
    """

    def __init__(
        self,
        *heads: str,
        others: Literal["left", "right"] = "right",
        caption: str | None = None,
        turn: bool = False,
    ) -> None:
        self.heads, self.caption, self.turn = heads, caption, turn
        self.others: Literal["left", "right"] = others
        self.rows: list[tuple[str, ...]] = []

    def add_row(self, *cells: str) -> None:
        """One more row, with a cell for each column."""
        self.rows.append(cells)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render for the width that there is."""
        heads, rows = self.heads, self.rows
        if self.turn and rows and self._width(heads, rows) > options.max_width:
            head, *names = heads
            flat = [" ".join(name.split()) for name in names]
            turned = list(zip(flat, *(row[1:] for row in rows), strict=True))
            heads, rows = (head, *(row[0].replace("-", "-\n") for row in rows)), turned
        parts = self._parts(heads, rows, options.max_width)
        for number, places in enumerate(parts):
            caption = self.caption if number == len(parts) - 1 else None
            yield self._table(
                [heads[place] for place in places], [[row[place] for place in places] for row in rows], caption
            )

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """As wide as it is allowed to be."""
        return Measurement(min(20, options.max_width), options.max_width)

    def _parts(self, heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[list[int]]:
        """Places of the columns of each table, the first column in all."""
        if self.others == "left":
            return [list(range(len(heads)))]  # text is folded instead
        sizes = [_size(heads, rows, place) for place in range(len(heads))]
        first = min(sizes[0], max(MIN_FIRST, width // 3))
        parts, used = [[0]], first + EDGE
        for place in range(1, len(heads)):
            if used + sizes[place] > width and len(parts[-1]) > 1:
                parts, used = [*parts, [0]], first + EDGE
            parts[-1].append(place)
            used += sizes[place]
        return parts

    def _width(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
        first = min(_size(heads, rows, 0), MIN_FIRST)
        return EDGE + first + sum(_size(heads, rows, place) for place in range(1, len(heads)))

    def _table(self, heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str | None) -> Table:
        table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
        for number, head in enumerate(heads):
            folded = number == 0 or self.others == "left"
            justify: Literal["left", "right"] = "left" if number == 0 else self.others
            table.add_column(head, justify=justify, no_wrap=not folded, overflow="fold")
        for row in rows:
            table.add_row(*row)
        return table


def _size(heads: Sequence[str], rows: Sequence[Sequence[str]], place: int) -> int:
    """Columns of the terminal that a column takes: its widest line, a blank on each side, and the line that ends it."""
    cells = [heads[place], *(row[place] for row in rows)]
    return max(len(line) for cell in cells for line in (cell.split("\n") or [""])) + MARGIN
