"""A table as text, LaTeX, Markdown, CSV and the contents of a page: one renderer each, for every table there is."""

import csv
import io
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from limssr.report.banners import Banner
from limssr.report.table import Cell, Row, Table, label_width, widths_of

TEXT_WIDTH = 80
"""Of a terminal."""
GAP = "  "
MAX_LABEL = 30
"""Characters of a row's label in a terminal and in print; longer ones are folded."""
TEXT_WIDTH_PT = 345.0
"""\\textwidth of LaTeX's article at ten points, on letter paper and on A4."""
DIGIT_PT, SMALL_DIGIT_PT, COLUMN_GAP_PT = 5.0, 4.25, 12.0
"""Width of a digit of Computer Modern at ten points and in \\footnotesize, and of what separates two columns."""
LINES_OF_A_PAGE = 40
"""Lines of a table in print; longer ones go on in another."""
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "²": r"\textsuperscript{2}", "−": r"$-$", "·": r"$\cdot$", "×": r"$\times$", "…": r"\ldots{}",
    "“": "``", "”": "''", "ρ": r"$\rho$", "≤": r"$\le$", "†": r"\dag{}", "‡": r"\ddag{}", "§": r"\S{}",
    "◊": r"$\diamond$",
}  # fmt: skip


def table_text(table: Table) -> str:
    """A table for a terminal or an e-mail, folded where it is too wide."""
    lines = [*wrapped(table.title), "-" * min(len(table.title), TEXT_WIDTH), *wrapped(table.hint)]
    if table.layout == "words":
        for row in table.rows:
            lines += [GAP + row.label, *(GAP * 2 + line for line in _lines(table, row))]
    else:
        room = TEXT_WIDTH - len(GAP) - min(label_width(table), MAX_LABEL)
        for places in panels([width + len(GAP) for width in widths_of(table)], room):
            lines += ["", *_grid(table, places)]
    for note in table.notes:
        lines += [GAP + line for line in wrapped(note, indent=GAP, room=TEXT_WIDTH - len(GAP))]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def wrapped(text: str, *, indent: str = "", room: int = TEXT_WIDTH) -> list[str]:
    """Lines for a terminal; names with a hyphen stay whole. `indent` is put before all lines but the first."""
    return textwrap.wrap(text, room, subsequent_indent=indent, break_on_hyphens=False)


def banner_lines(banner: Banner) -> list[str]:
    """A banner as lines of text."""
    return wrapped(f"! {banner.title}. {banner.text}", indent="  ")


def panels(widths: Sequence[float], room: float) -> list[list[int]]:
    """Places of the columns that fit side by side, panel after panel; one that fits nowhere has a panel of its own."""
    blocks: list[list[int]] = []
    left = -1.0
    for place, width in enumerate(widths):
        if not blocks or left < width:
            blocks.append([])
            left = room
        blocks[-1].append(place)
        left -= width
    return blocks


def table_markdown(table: Table, *, small: bool = True) -> str:
    """A table for a README or a page on GitHub.

    Args:
        table: Of numbers or words.
        small: Whether the small lines of the cells are shown, after their texts.
    """
    heads = [
        f"{head} ({text})" if text and small else head for head, text in zip(table.columns, table.smalls, strict=True)
    ]
    lines = [f"| {' | '.join(_pipe(head) for head in ('', *heads))} |", "|---" * (len(heads) + 1) + "|"]
    for row in table.rows:
        cells = row.cells or (Cell(""),) * len(table.columns)
        label = f"**{_pipe(row.label)}**" if row.kind in ("chosen", "head") else _pipe(row.label)
        lines.append(f"| {' | '.join([label, *(_markdown_cell(cell, small) for cell in cells)])} |")
    notes = [table.hint, *table.notes]
    return "\n".join([f"## {table.title}", "", *lines, "", *(f"{note}\n" for note in notes if note)]).rstrip() + "\n"


def csv_text(head: Sequence[str], rows: Iterable[Sequence[Any]], *, comments: Sequence[str] = ()) -> str:
    """A file for programs; lines that begin with # are comments (pandas: comment="#")."""
    output = io.StringIO()
    for text in comments:
        output.write(f"# {' '.join(text.split())}\n")
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return output.getvalue()


def table_csv(table: Table, *, comments: Sequence[str] = ()) -> str:
    """The texts of a table, a line a row; small lines are columns of their own."""
    depth = [
        max((len(row.cells[place].small) for row in table.rows if row.cells), default=0)
        for place in range(len(table.columns))
    ]
    head = [table.first]
    for name, deep in zip(table.heads, depth, strict=True):
        head += [name, *(f"{name} ({n + 1})" for n in range(deep))]
    rows = []
    for row in table.rows:
        line = [row.label]
        for cell, deep in zip(row.cells, depth, strict=False):
            line += [cell.text, *cell.small, *[""] * (deep - len(cell.small))]
        rows.append(line)
    return csv_text(head, rows, comments=comments)


def table_latex(table: Table, *, banners: Sequence[Banner] = (), label: str = "limssr") -> str:
    """Table environments that fit a page, which need the package booktabs; a list where there are words in it.

    Columns that do not fit a line of text side by side, and rows that do not fit a page, go on in another environment.

    Args:
        table: Of numbers or words.
        banners: Printed above the first.
        label: Begins the labels for references.
    """
    if table.layout == "words":
        return _latex_list(table, label)
    room = TEXT_WIDTH_PT - COLUMN_GAP_PT - DIGIT_PT * min(label_width(table), MAX_LABEL)
    parts = [(places, rows) for rows in _pages(table) for places in panels(_widths_pt(table), room)]
    lines: list[str] = []
    for number, (places, rows) in enumerate(parts):
        title = latex(table.title) + (" (continued)" if number else "")
        lines += [r"\begin{table}", r"\centering", rf"\caption{{{title}}}"]
        lines.append(rf"\label{{tab:{label}-{table.key}{f'-{number + 1}' if number else ''}}}")
        for banner in banners if not number else ():
            text = f"{latex(banner.title)}.}} {latex(banner.text)}"
            lines.append(rf"\par{{\footnotesize\raggedright \textbf{{{text}\par}}")
        lines += _tabular(table, places, rows)
        if number == len(parts) - 1:
            notes = " ".join(note for note in (table.hint, *table.notes) if note)
            lines.append(rf"\par{{\footnotesize\raggedright {_number(notes)}\par}}")
        lines.append(r"\end{table}")
    return "\n".join(lines) + "\n"


def table_contents(table: Table) -> dict[str, Any]:
    """A table for the template of a page: heads, rows, cells with their places on an axis."""
    return {
        "key": table.key,
        "title": table.title,
        "hint": table.hint,
        "first": table.first,
        "columns": [{"name": name, "small": small} for name, small in zip(table.heads, table.smalls, strict=True)],
        "rows": [
            {"label": row.label, "kind": row.kind, "cells": [_cell_contents(cell) for cell in row.cells]}
            for row in table.rows
        ],
        "notes": table.notes,
        "layout": table.layout,
        "figure": None,
    }


def latex(text: str) -> str:
    """Text with LaTeX's own signs escaped."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def with_minus(text: str) -> str:
    """The true minus before digits; other dashes stay."""
    return re.sub(r"-(?=\d)", "−", text)


def _cell_contents(cell: Cell) -> dict[str, Any]:
    drawn = None
    if cell.span and cell.axis:
        low, high = cell.axis
        left, dot, right = (round(100 * (value - low) / (high - low), 1) for value in cell.span)
        zero = round(100 * (0.0 - low) / (high - low), 1) if low < 0 < high else None
        drawn = {"left": left, "width": round(right - left, 1), "dot": dot, "zero": zero}
    number, _, deviation = cell.text.partition(" ± ")
    return {
        "text": with_minus(number),
        "sd": f"± {deviation}" if deviation else "",
        "small": [with_minus(line) for line in cell.small],
        "kind": cell.kind,
        "axis": drawn,
    }


def _markdown_cell(cell: Cell, small: bool) -> str:
    text = f"**{_pipe(cell.text)}**" if cell.kind == "best" else _pipe(cell.text)
    return " ".join([text, *(_pipe(line) for line in cell.small)]) if small else text


def _pipe(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*")


def _lines(table: Table, row: Row) -> list[str]:
    return textwrap.wrap(_sentence(table, row), TEXT_WIDTH - 2 * len(GAP), break_on_hyphens=False)


def _sentence(table: Table, row: Row) -> str:
    """A row of words: "What it is: GCNet (TPAMI 2023). Epochs: 15."."""
    parts = [
        f"{head[0].upper()}{head[1:]}: {cell.text}" + (f" ({'; '.join(cell.small)})" if cell.small else "")
        for head, cell in zip(table.columns, row.cells, strict=True)
    ]
    return " ".join(f"{part}." for part in parts)


def _grid(table: Table, places: Sequence[int]) -> list[str]:
    widths = widths_of(table)
    first = min(label_width(table), MAX_LABEL)

    def line(label: str, texts: Sequence[str]) -> str:
        cells = [text.rjust(widths[place]) for place, text in zip(places, texts, strict=True)]
        return GAP.join([label.ljust(first), *cells])

    lines = [line("", [table.columns[place] for place in places])]
    if any(table.smalls[place] for place in places):
        lines.append(line("", [table.smalls[place] for place in places]))
    lines.append("─" * len(lines[0]))
    for row in table.rows:
        if not row.cells:
            lines += ["", *wrapped(row.label)]
            continue
        cells = [row.cells[place] for place in places]
        texts = [[cell.text for cell in cells]]
        texts += [
            [cell.small[deep] if deep < len(cell.small) else "" for cell in cells]
            for deep in range(max(len(cell.small) for cell in cells))
        ]
        labels = textwrap.wrap(row.label, first, break_on_hyphens=False) or [""]
        for place in range(max(len(labels), len(texts))):
            label = labels[place] if place < len(labels) else ""
            lines.append(line(label, texts[place] if place < len(texts) else [""] * len(places)))
    return lines


def _latex_list(table: Table, label: str) -> str:
    lines = [rf"\paragraph{{{latex(table.title)}}}\label{{tab:{label}-{table.key}}}", latex(table.hint)]
    items = [rf"\item[{{{latex(row.label)}}}] {_number(_sentence(table, row))}" for row in table.rows]
    lines += [r"\begin{description}", *items, r"\end{description}"]
    # Ragged lines: words such as cross-validation are not broken well.
    return "\n".join([r"{\raggedright", *lines, *(rf"{latex(note)}\par" for note in table.notes), r"\par}"]) + "\n"


def _widths_pt(table: Table) -> list[float]:
    """Of each column in print, with what separates it from the next."""
    widths = []
    for place in range(len(table.columns)):
        cells = [row.cells[place] for row in table.rows if row.cells]
        large = max(map(len, [table.columns[place], *(cell.text for cell in cells)]))
        small = max(map(len, [table.smalls[place], *(line for cell in cells for line in cell.small)]))
        widths.append(max(DIGIT_PT * large, SMALL_DIGIT_PT * small) + COLUMN_GAP_PT)
    return widths


def _pages(table: Table) -> list[list[Row]]:
    """Rows of one environment after another."""
    pages: list[list[Row]] = [[]]
    lines = 0
    for row in table.rows:
        high = max(1 + max((len(cell.small) for cell in row.cells), default=0), -(-len(row.label) // MAX_LABEL))
        if pages[-1] and lines + high > LINES_OF_A_PAGE:
            pages.append([])
            lines = 0
        pages[-1].append(row)
        lines += high
    return pages


def _tabular(table: Table, places: Sequence[int], rows: Sequence[Row]) -> list[str]:
    long = label_width(table) > MAX_LABEL
    first = rf">{{\raggedright\arraybackslash}}p{{{DIGIT_PT * MAX_LABEL:.0f}pt}}" if long else "l"
    lines = [rf"\begin{{tabular}}{{{first}*{{{len(places)}}}{{r}}}}", r"\toprule"]
    lines.append(_latex_line("", [latex(table.columns[place]) for place in places]))
    if any(table.smalls[place] for place in places):
        lines.append(_latex_line("", [_small(table.smalls[place]) for place in places]))
    lines.append(r"\midrule")
    for row in rows:
        if not row.cells:
            lines += [r"\midrule"] if lines[-1] != r"\midrule" else []
            lines.append(rf"\multicolumn{{{len(places) + 1}}}{{l}}{{\textit{{{latex(row.label)}}}}} \\")
            continue
        cells = [row.cells[place] for place in places]
        texts = [rf"\textbf{{{_number(cell.text)}}}" if cell.kind == "best" else _number(cell.text) for cell in cells]
        lines.append(_latex_line(latex(row.label), texts))
        for deep in range(max(len(cell.small) for cell in cells)):
            small = [_small(cell.small[deep]) if deep < len(cell.small) else "" for cell in cells]
            lines.append(_latex_line("", small))
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _latex_line(label: str, cells: Sequence[str]) -> str:
    # A line of LaTeX that begins with [ would be read as an argument of the line break before it.
    return " & ".join([label or r"\relax", *cells]) + r" \\"


def _small(text: str) -> str:
    return rf"{{\footnotesize {_number(text)}}}" if text else ""


def _number(text: str) -> str:
    """Text with a true minus before digits."""
    return latex(with_minus(text))
