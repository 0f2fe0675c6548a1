"""A table of short texts, with small lines below each: for a terminal and for LaTeX. HTML is the page's business."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from limssr.report.render import TEXT_WIDTH, latex

GAP = "  "
LATEX_COLUMNS = 6
"""Columns of numbers side by side in print; more go below."""


@dataclass(frozen=True)
class SheetCell:
    """What stands in a cell.

    Attributes:
        text: The number.
        small: Lines below it.
        kind: "best" of its column, "none" where there is no number, "" otherwise.
    """

    text: str
    small: tuple[str, ...] = ()
    kind: Literal["", "best", "none"] = ""


NONE = SheetCell("n/a", kind="none")


@dataclass(frozen=True)
class SheetRow:
    """A row: label, and one cell a column. `is_chosen` marks the row that the others are compared with."""

    label: str
    cells: tuple[SheetCell, ...]
    is_chosen: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        key: For links and labels.
        title: What it shows.
        hint: How to read it.
        columns: Heads, short.
        long_columns: The same in full words, for where there is room.
        small_columns: A line below each head, or "".
        rows: In order.
        notes: Why numbers are missing, and the like.
        layout: Cells hold "numbers", side by side; or "words", of which a terminal and print make a list.
    """

    key: str
    title: str
    hint: str
    columns: tuple[str, ...]
    long_columns: tuple[str, ...]
    small_columns: tuple[str, ...]
    rows: tuple[SheetRow, ...]
    notes: tuple[str, ...] = ()
    layout: Literal["numbers", "words"] = "numbers"


def sheet_text(sheet: Sheet) -> str:
    """A sheet for a terminal or an e-mail, folded where it is too wide."""
    lines = [sheet.title, "-" * len(sheet.title), *wrapped(sheet.hint)]
    if sheet.layout == "words":
        for row in sheet.rows:
            lines += [GAP + row.label, *(GAP * 2 + line for line in _lines(sheet, row))]
    else:
        for places in _folded(sheet):
            lines += ["", *_grid(sheet, places)]
    for note in sheet.notes:
        lines += [GAP + line for line in wrapped(note, indent=GAP)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def wrapped(text: str, *, indent: str = "") -> list[str]:
    """Lines for a terminal; names with a hyphen stay whole. `indent` stands before all lines but the first."""
    return textwrap.wrap(text, TEXT_WIDTH - len(indent), subsequent_indent=indent, break_on_hyphens=False)


def sheet_latex(sheet: Sheet) -> str:
    """A table environment, which needs the package booktabs; a list where there are words in it."""
    if sheet.layout == "words":
        return _latex_list(sheet)
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{latex(sheet.title)}}}"]
    lines.append(rf"\label{{tab:limssr-compare-{sheet.key}}}")
    places = list(range(len(sheet.columns)))
    for start in range(0, len(places), LATEX_COLUMNS):
        lines += _tabular(sheet, places[start : start + LATEX_COLUMNS])
    notes = " ".join((sheet.hint, *sheet.notes))
    lines += [rf"\par{{\footnotesize\raggedright {latex(notes)}\par}}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _lines(sheet: Sheet, row: SheetRow) -> list[str]:
    return textwrap.wrap(_sentence(sheet, row), TEXT_WIDTH - 2 * len(GAP), break_on_hyphens=False)


def _sentence(sheet: Sheet, row: SheetRow) -> str:
    """A row of words: "What it is: GCNet (TPAMI 2023). Epochs: 15."."""
    parts = [
        f"{head[0].upper()}{head[1:]}: {cell.text}" + (f" ({'; '.join(cell.small)})" if cell.small else "")
        for head, cell in zip(sheet.columns, row.cells, strict=True)
    ]
    return " ".join(f"{part}." for part in parts)


def _latex_list(sheet: Sheet) -> str:
    lines = [rf"\paragraph{{{latex(sheet.title)}}}\label{{tab:limssr-compare-{sheet.key}}}", latex(sheet.hint)]
    items = [rf"\item[{{{latex(row.label)}}}] {_number(_sentence(sheet, row))}" for row in sheet.rows]
    lines += [r"\begin{description}", *items, r"\end{description}"]
    return "\n".join([*lines, *(rf"{latex(note)}\par" for note in sheet.notes)]) + "\n"


def _folded(sheet: Sheet) -> list[list[int]]:
    """Columns that fit side by side."""
    room = TEXT_WIDTH - max(len(row.label) for row in sheet.rows) - len(GAP)
    blocks: list[list[int]] = []
    left = -1
    for place, width in enumerate(_widths(sheet)):
        if left < width + len(GAP):
            blocks.append([])
            left = room
        blocks[-1].append(place)
        left -= width + len(GAP)
    return blocks


def _widths(sheet: Sheet) -> list[int]:
    return [
        max(
            len(sheet.columns[place]),
            len(sheet.small_columns[place]),
            *(len(line) for row in sheet.rows for line in (row.cells[place].text, *row.cells[place].small)),
        )
        for place in range(len(sheet.columns))
    ]


def _grid(sheet: Sheet, places: Sequence[int]) -> list[str]:
    widths = _widths(sheet)
    label_width = max(len(row.label) for row in sheet.rows)

    def line(label: str, texts: Sequence[str]) -> str:
        cells = [text.rjust(widths[place]) for place, text in zip(places, texts, strict=True)]
        return GAP + GAP.join([label.ljust(label_width), *cells])

    lines = [line("", [sheet.columns[place] for place in places])]
    if any(sheet.small_columns[place] for place in places):
        lines.append(line("", [sheet.small_columns[place] for place in places]))
    lines.append(GAP + "─" * (len(lines[0]) - len(GAP)))
    for row in sheet.rows:
        cells = [row.cells[place] for place in places]
        lines.append(line(row.label, [cell.text for cell in cells]))
        for deep in range(max(len(cell.small) for cell in cells)):
            lines.append(line("", [cell.small[deep] if deep < len(cell.small) else "" for cell in cells]))
    return lines


def _tabular(sheet: Sheet, places: Sequence[int]) -> list[str]:
    lines = ["", rf"\begin{{tabular}}{{l*{{{len(places)}}}{{r}}}}", r"\toprule"]
    lines.append(_latex_line("", [latex(sheet.columns[place]) for place in places]))
    if any(sheet.small_columns[place] for place in places):
        lines.append(_latex_line("", [_small(sheet.small_columns[place]) for place in places]))
    lines.append(r"\midrule")
    for row in sheet.rows:
        cells = [row.cells[place] for place in places]
        texts = [rf"\textbf{{{_number(cell.text)}}}" if cell.kind == "best" else _number(cell.text) for cell in cells]
        lines.append(_latex_line(latex(row.label), texts))
        for deep in range(max(len(cell.small) for cell in cells)):
            small = [_small(cell.small[deep]) if deep < len(cell.small) else "" for cell in cells]
            lines.append(_latex_line("", small))
    return [*lines, r"\bottomrule", r"\end{tabular}", r"\medskip"]


def _latex_line(label: str, cells: Sequence[str]) -> str:
    # A line of LaTeX that begins with [ would be read as an argument of the line break before it.
    return " & ".join([label or r"\relax", *cells]) + r" \\"


def _small(text: str) -> str:
    return rf"{{\footnotesize {_number(text)}}}" if text else ""


def _number(text: str) -> str:
    """Text with a true minus before digits."""
    return latex(re.sub(r"-(?=\d)", "−", text))
