"""Renders a table as text, CSV and LaTeX, with the remarks that a reader needs first."""

import csv
import io
import textwrap
from collections.abc import Sequence

from limssr.report.stamps import Stamp
from limssr.report.table import METRIC_WORDS, Group, Row, Table, reasons_of, row_label, seeds_label, shown

TEXT_WIDTH = 110
SOURCE_WORDS = "Rows that do not say here are the paper's (arXiv 2605.00434, CC BY 4.0)."
READING_WORDS = "± is the sample standard deviation over seeds. - : not finished or not published."
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "²": r"\textsuperscript{2}", "−": r"$-$", "·": r"$\cdot$", "×": r"$\times$", "…": r"\ldots{}",
    "“": "``", "”": "''", "ρ": r"$\rho$", "≤": r"$\le$", "†": r"\dag{}", "‡": r"\ddag{}", "§": r"\S{}",
    "◊": r"$\diamond$",
}  # fmt: skip


def to_text(table: Table, stamps: Sequence[Stamp]) -> str:
    """A table for a terminal or an e-mail."""
    lines = [table.title, ""]
    for stamp in stamps:
        lines += stamp_lines(stamp)
    for group in table.groups:
        for metric in table.metrics:
            lines += ["", f"{group.label}: {METRIC_WORDS[metric]}", *_grid(table, group, metric)]
    lines += ["", *(line for note in notes_of(table) for line in textwrap.wrap(note, TEXT_WIDTH))]
    lines += [f"n/a: {reason}" for reason in reasons_of(table)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def stamp_lines(stamp: Stamp) -> list[str]:
    """A stamp as lines of text."""
    return textwrap.wrap(f"! {stamp.title}. {stamp.text}", TEXT_WIDTH, subsequent_indent="  ")


def to_csv(table: Table, stamps: Sequence[Stamp]) -> str:
    """One row a system and column; lines that start with # hold the title and the stamps (pandas: comment="#")."""
    output = io.StringIO()
    for text in (table.title, *(f"{stamp.title}. {stamp.text}" for stamp in stamps), *notes_of(table)[:-1]):
        output.write(f"# {' '.join(text.split())}\n")
    writer = csv.writer(output, lineterminator="\n")
    values = [name for metric in table.metrics for name in (metric, f"{metric}_sd", f"{metric}_seeds")]
    writer.writerow(["group", "system", "source", "column", *values])
    for group in table.groups:
        for row in group.rows:
            for column in table.columns:
                numbers = [value for metric in table.metrics for value in _numbers(row, column, metric)]
                writer.writerow([group.label, row.label, row.source, column, *numbers])
    return output.getvalue()


def to_latex(table: Table, stamps: Sequence[Stamp]) -> str:
    """A table environment; needs the package booktabs. The stamps are part of what is printed."""
    columns = len(table.columns) + 1
    lines = [
        "% needs \\usepackage{booktabs}; a wide one may want \\resizebox{\\textwidth}{!}{...}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex(table.title)}}}",
        rf"\label{{tab:limssr-{table.key}}}",
    ]
    for stamp in stamps:
        lines.append(rf"\par{{\footnotesize\raggedright \textbf{{{latex(stamp.title)}.}} {latex(stamp.text)}\par}}")
    lines += [rf"\begin{{tabular}}{{l*{{{columns - 1}}}{{r}}}}", r"\toprule"]
    lines.append(" & ".join(["", *(latex(column) for column in table.columns)]) + r" \\")
    for group in table.groups:
        for metric in table.metrics:
            head = latex(f"{group.label}: {METRIC_WORDS[metric]}")
            lines += [r"\midrule", rf"\multicolumn{{{columns}}}{{l}}{{\textit{{{head}}}}} \\"]
            for row in group.rows:
                cells = [latex(shown(row, column, metric)) for column in table.columns]
                lines.append(" & ".join([latex(row_label(row)), *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par{{\footnotesize\raggedright {latex(' '.join(notes_of(table)))}\par}}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def notes_of(table: Table) -> list[str]:
    """How to read a table; the last note is about the signs in it."""
    published = any(row.source == "published" for group in table.groups for row in group.rows)
    return [note for note in (table.hint, SOURCE_WORDS if published else "", READING_WORDS) if note]


def latex(text: str) -> str:
    """Text with LaTeX's own signs escaped."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def seeds_words(row: Row) -> str:
    """Number of seeds for a small line below a label."""
    return seeds_label(row) if row.source != "difference" else ""


def _grid(table: Table, group: Group, metric: str) -> list[str]:
    """Head and rows; deviations stand on a line of their own, which keeps the table narrow."""
    lines = [["", *table.columns]]
    for row in group.rows:
        pairs = [shown(row, column, metric).partition(" ± ") for column in table.columns]
        lines.append([row_label(row), *(number for number, _, _ in pairs)])
        if any(sd for _, _, sd in pairs):
            lines.append(["", *(f"± {sd}" if sd else "" for _, _, sd in pairs)])
    widths = [max(len(line[place]) for line in lines) for place in range(len(table.columns) + 1)]
    return [
        "  "
        + "  ".join([line[0].ljust(widths[0]), *(cell.rjust(widths[place + 1]) for place, cell in enumerate(line[1:]))])
        for line in lines
    ]


def _numbers(row: Row, column: str, metric: str) -> list[str]:
    cell = row.cell(column, metric)
    if cell.mean is None:
        return ["", "", "0" if row.source == "here" else ""]
    sd = "" if cell.sd is None else f"{cell.sd:.6g}"
    return [f"{cell.mean:.6g}", sd, str(cell.num_seeds) if cell.num_seeds else ""]
