"""The subset table for a terminal."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from rich.table import Table
from rich.text import Text

from limssr.results import Evaluation

MAX_SUBSET_COLUMNS = 8
"""More columns than this and subsets become the rows: a terminal is not wide enough."""


def render(
    evaluations: Evaluation | Mapping[str, Evaluation],
    *,
    metric: Literal["spearman", "mse", "pearson", "mae"] = "spearman",
) -> Table:
    """The subset table for a terminal: a row a system, a column a subset, then the average and all streams.

    With more than `MAX_SUBSET_COLUMNS` subsets, subsets are the rows and systems the columns. Bold: best of a column.

    Args:
        evaluations: One evaluation, or system name -> evaluation (all of the same streams).
        metric: What is shown; errors are in the unit of the scores (mse: squared).
    """
    named = {"limssr": evaluations} if isinstance(evaluations, Evaluation) else dict(evaluations)
    first = next(iter(named.values()))
    heads = ["\n+ ".join(subset.streams) for subset in first.subsets[:-1]] + ["average\nincomplete", "all streams"]
    values = {
        system: [*(s.metrics[metric] for s in found.subsets[:-1]), found.average_incomplete[metric], found.full[metric]]
        for system, found in named.items()
    }
    best = [_best([values[system][column].value for system in named], metric) for column in range(len(heads))]
    cells = {
        system: [_cell(value.value, best=best[column], lone=len(named) == 1) for column, value in enumerate(row)]
        for system, row in values.items()
    }
    table = Table(title=f"{metric} on {first.split or 'these'} samples", title_justify="left", header_style="bold")
    if len(heads) <= MAX_SUBSET_COLUMNS:
        table.add_column("system", vertical="bottom", no_wrap=True)
        for head in heads:
            table.add_column(head, justify="right", vertical="bottom")
        for system in named:
            table.add_row(system, *cells[system])
    else:
        table.add_column("streams")
        for system in named:
            table.add_column(system, justify="right")
        for row, head in enumerate(heads):
            table.add_row(head.replace("\n", " "), *(cells[system][row] for system in named))
    return table


def _cell(value: float, *, best: float, lone: bool) -> Text:
    text = f"{value:.3f}" if math.isfinite(value) and abs(value) < 1000 else f"{value:.4g}"
    if math.isnan(value):
        return Text("n/a", style="dim")
    return Text(text, style="bold" if value == best and not lone else "")


def _best(values: Sequence[float], metric: str) -> float:
    defined = [value for value in values if math.isfinite(value)]
    if not defined:
        return math.nan
    return max(defined) if metric in ("spearman", "pearson") else min(defined)
