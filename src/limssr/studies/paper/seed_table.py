"""Tables of a study: mean and deviation over seeds, with a reason where a cell is empty."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from limssr.evaluation.metrics import Metric
from limssr.report.banners import Banner
from limssr.report.render import csv_text
from limssr.report.table import Cell, Row, Table

Source = Literal["published", "here", "difference"]
DIGITS = {"spearman": 3, "mse": 2}
"""Metric -> decimals, as the paper prints them."""
METRIC_WORDS = {"spearman": "Spearman's correlation (higher is better)", "mse": "MSE (lower is better)"}


@dataclass(frozen=True)
class SeedCell:
    """One number.

    Attributes:
        mean: Over the seeds; None where there is no number.
        sd: Sample standard deviation over the seeds; None with one seed, and where it is not known.
        num_seeds: Behind `mean`; 0 of a published number that does not say.
        reason: Why there is no number although its runs are done, or what was left out of it.
    """

    mean: float | None = None
    sd: float | None = None
    num_seeds: int = 0
    reason: str = ""


@dataclass(frozen=True)
class SeedRow:
    """One system: column -> metric -> cell. A column or metric that is not there has no number yet."""

    label: str
    source: Source
    cells: Mapping[str, Mapping[str, SeedCell]]

    def cell(self, column: str, metric: str) -> SeedCell:
        """The cell of a column, empty where there is none."""
        return self.cells.get(column, {}).get(metric, SeedCell())


@dataclass(frozen=True)
class SeedGroup:
    """Rows that belong together: the systems on one target."""

    label: str
    rows: tuple[SeedRow, ...]


@dataclass(frozen=True, kw_only=True)
class SeedTable:
    """A table of the study.

    Attributes:
        key: Name of its files: "table1".
        title: What it shows, with its number in the paper.
        columns: In order.
        groups: Blocks of rows.
        hint: How to read it.
        metrics: Shown one block below the other.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    groups: tuple[SeedGroup, ...]
    hint: str = ""
    metrics: tuple[str, ...] = field(default=("spearman", "mse"))


def over_seeds(values: Sequence[Metric]) -> SeedCell:
    """Mean and sample standard deviation over seeds.

    Args:
        values: One a finished seed; none at all is a cell without a number yet.
    """
    defined = [value.value for value in values if value.is_defined]
    reasons = list(dict.fromkeys(value.reason or "not defined" for value in values if not value.is_defined))
    reason = "; ".join(reasons)
    if not defined:
        return SeedCell(reason=reason)
    if reason:
        reason = f"{len(values) - len(defined)} of {len(values)} seeds left out: {reason}"
    sd = float(np.std(defined, ddof=1)) if len(defined) > 1 else None
    return SeedCell(float(np.mean(defined)), sd, len(defined), reason)


def published_cell(value: float, sd: float = math.nan, num_seeds: int | None = None) -> SeedCell:
    """A number of the paper; NaN is none."""
    if math.isnan(value):
        return SeedCell()
    return SeedCell(value, None if math.isnan(sd) else sd, num_seeds or 0)


def difference_row(label: str, ours: SeedRow, theirs: SeedRow) -> SeedRow:
    """Our means minus theirs, where both are there."""
    cells: dict[str, dict[str, SeedCell]] = {}
    for column, metrics in ours.cells.items():
        for metric, cell in metrics.items():
            other = theirs.cell(column, metric)
            if cell.mean is not None and other.mean is not None:
                cells.setdefault(column, {})[metric] = SeedCell(cell.mean - other.mean)
    return SeedRow(label, "difference", cells)


def seeds_label(row: SeedRow) -> str:
    """Such as "6 seeds", or "4 to 6 seeds" where cells differ; empty where nothing is there."""
    counts = [cell.num_seeds for metrics in row.cells.values() for cell in metrics.values() if cell.num_seeds]
    if not counts:
        return ""
    low, high = min(counts), max(counts)
    return f"{low} seed{'s' * (low > 1)}" if low == high else f"{low} to {high} seeds"


def row_label(row: SeedRow) -> str:
    """The label with where its numbers come from."""
    if row.source != "here":
        return row.label
    return ", ".join(part for part in (row.label, "here", seeds_label(row)) if part)


def cell_text(cell: SeedCell, metric: str, *, sign: Literal["plus", "none"] = "none") -> str:
    """A number for people: "0.789 ± 0.009"; "-" where nothing is finished, "n/a" where there is no such number."""
    if cell.mean is None:
        return "n/a" if cell.reason else "-"
    digits = DIGITS.get(metric, 3)
    text = f"{cell.mean:{'+' if sign == 'plus' else ''}.{digits}f}"
    return text if cell.sd is None else f"{text} ± {cell.sd:.{digits}f}"


def shown(row: SeedRow, column: str, metric: str) -> str:
    """What stands in a cell of a row; differences have a sign."""
    return cell_text(row.cell(column, metric), metric, sign="plus" if row.source == "difference" else "none")


def reasons_of(table: SeedTable) -> list[str]:
    """Why numbers are missing although their runs are done, and what was left out of others."""
    found: dict[tuple[str, str, str], dict[str, None]] = {}
    for group in table.groups:
        for row in group.rows:
            for column in table.columns:
                for metric in table.metrics:
                    reason = row.cell(column, metric).reason
                    if reason:
                        found.setdefault((group.label, row.label, reason), {})[column] = None
    return [f"{group}, {row}, {', '.join(columns)}: {reason}" for (group, row, reason), columns in found.items()]


SOURCE_WORDS = "Rows that do not say here are the paper's (arXiv 2605.00434, CC BY 4.0)."
READING_WORDS = "± is the sample standard deviation over seeds. - : not finished or not published."


def table_of(table: SeedTable) -> Table:
    """A table for people: every group under every metric, one below the other."""
    rows: list[Row] = []
    for metric in table.metrics:
        for group in table.groups:
            rows.append(Row(f"{group.label}: {METRIC_WORDS[metric]}", kind="head"))
            for row in group.rows:
                cells = tuple(_shown_cell(shown(row, column, metric)) for column in table.columns)
                kind = "" if row.source == "published" else row.source
                rows.append(Row(row_label(row), cells, kind))
    published = any(row.source == "published" for group in table.groups for row in group.rows)
    return Table(
        key=table.key,
        title=table.title,
        columns=table.columns,
        rows=tuple(rows),
        hint=" ".join(note for note in (table.hint, SOURCE_WORDS if published else "", READING_WORDS) if note),
        notes=tuple(f"n/a: {reason}" for reason in reasons_of(table)),
    )


def seeds_csv(table: SeedTable, banners: Sequence[Banner]) -> str:
    """One line a system and column; comments hold the title and the banners."""
    published = any(row.source == "published" for group in table.groups for row in group.rows)
    comments = [table.title, *(f"{banner.title}. {banner.text}" for banner in banners), table.hint]
    comments += [SOURCE_WORDS] if published else []
    values = [name for metric in table.metrics for name in (metric, f"{metric}_sd", f"{metric}_seeds")]
    rows = [
        [group.label, row.label, row.source, column]
        + [value for metric in table.metrics for value in _numbers(row, column, metric)]
        for group in table.groups
        for row in group.rows
        for column in table.columns
    ]
    return csv_text(
        ["group", "system", "source", "column", *values], rows, comments=[text for text in comments if text]
    )


def _shown_cell(text: str) -> Cell:
    number, _, deviation = text.partition(" ± ")
    return Cell(number, (f"± {deviation}",) if deviation else ())


def _numbers(row: SeedRow, column: str, metric: str) -> list[str]:
    cell = row.cell(column, metric)
    if cell.mean is None:
        return ["", "", "0" if row.source == "here" else ""]
    sd = "" if cell.sd is None else f"{cell.sd:.6g}"
    return [f"{cell.mean:.6g}", sd, str(cell.num_seeds) if cell.num_seeds else ""]
