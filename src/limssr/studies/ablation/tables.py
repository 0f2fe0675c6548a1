"""The tables of an ablation as Markdown (which reads well in a terminal too) and CSV."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from limssr.core.files import write_atomically
from limssr.studies.ablation.ablate import AblationPlan, Difference, RowResult, to_document
from limssr.studies.ablation.rows import AblationTable
from limssr.studies.paper.numbers import FULL as ALL_STREAMS
from limssr.studies.paper.numbers import INCOMPLETE, published_scores

DATASETS = ("FS1000", "Fis-V")
"""Those of the paper's ablations."""
_PARTS = {"average_incomplete": INCOMPLETE, "full": ALL_STREAMS}
NOTE = (
    "Spearman and MSE: mean ± standard deviation over seeds; incomplete is the mean over all subsets that lack a "
    "stream. Difference: Spearman minus that of the full model, with the 95 % interval over the test performances, or "
    "over groups of them where they share any, the same for both, seeds averaged. paper: what it prints for the same "
    "row (arXiv 2605.00434)."
)


def write_tables(plan: AblationPlan, tables: Mapping[str, Sequence[RowResult]], out: Path) -> tuple[Path, ...]:
    """Write ablation.json, ablation.csv and one tableN.md a table into the study's folder.

    Returns:
        The files.
    """
    texts = {
        "ablation.json": json.dumps(to_document(plan, tables), indent=1) + "\n",
        "ablation.csv": to_csv(tables),
        **{f"table-{table.number}.md": to_markdown(table, tables[table.number]) for table in plan.tables},
    }
    for name, text in texts.items():
        write_atomically(out / name, text.encode())
    return tuple(out / name for name in texts)


def to_markdown(table: AblationTable, rows: Sequence[RowResult]) -> str:
    """One table with its title, its note, and the rows that could not be run."""
    numbered = f"Table {table.number} of the paper" if table.number.isdigit() else "Rows of our own"
    compared = any(published(table, row) for row in rows)
    head = ["row", "seeds", "ρ incomplete", "difference", "ρ all streams", "difference", "MSE inc.", "MSE all", "s/run"]
    head += [f"{name}, paper" for name in DATASETS] if compared else []
    lines = [[*_cells(row), *(_published_cells(table, row) if compared else [])] for row in rows if not row.left_out]
    widths = [max(len(line[place]) for line in [head, *lines]) for place in range(len(head))]
    text = [
        f"## {numbered}: {table.title}",
        "",
        _joined(head, widths),
        _joined(["-" * width for width in widths], widths),
    ]
    text += [_joined(line, widths) for line in lines]
    text += ["", NOTE]
    meanings = [f"- **{row.row.name}**: {row.row.meaning}." for row in rows if row.row.meaning and not row.left_out]
    left = [f"- **{row.row.name}** was not run: {' '.join(row.left_out.split())}" for row in rows if row.left_out]
    text += ["", *meanings, *left]
    return "\n".join(text).rstrip() + "\n"


def to_csv(tables: Mapping[str, Sequence[RowResult]]) -> str:
    """All tables, one line a row and part."""
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    names = ("spearman", "spearman_sd", "mse", "mse_sd", "difference", "difference_low", "difference_high")
    writer.writerow(["table", "row", "part", "seeds", *names, "training_s", "trained_parameters", "left_out"])
    for number, rows in tables.items():
        for result in rows:
            for part in _PARTS:
                pair = [
                    values[part, measure]
                    for measure in ("spearman", "mse")
                    for values in (result.mean, result.deviation)
                ]
                found = result.difference[part]
                numbers = [*pair, *((found.value, found.low, found.high) if found else (math.nan,) * 3), result.seconds]
                texts = ["" if math.isnan(value) else f"{value:.6g}" for value in numbers]
                writer.writerow(
                    [number, result.row.name, part, result.num_seeds, *texts, result.trained or "", result.left_out]
                )
    return output.getvalue()


def published(table: AblationTable, result: RowResult) -> dict[tuple[str, str], float]:
    """(data set, part) -> the paper's Spearman for the same row; empty where it has none."""
    if result.row.published is None or not table.number.isdigit():
        return {}
    parts = {subset: part for part, subset in _PARTS.items()}
    return {
        (score.dataset, parts[score.subset]): score.spearman
        for score in published_scores(int(table.number))
        if score.system == result.row.published and score.subset in parts
    }


def _cells(result: RowResult) -> list[str]:
    cells = [result.row.name, str(result.num_seeds)]
    for part in _PARTS:
        cells += [_spread(result, part, "spearman", 3), _interval(result.difference[part])]
    cells += [_spread(result, part, "mse", 4) for part in _PARTS]
    return [*cells, "-" if math.isnan(result.seconds) else f"{result.seconds:.0f}"]


def _published_cells(table: AblationTable, result: RowResult) -> list[str]:
    found = published(table, result)
    cells = []
    for dataset in DATASETS:
        pair = [found.get((dataset, part)) for part in _PARTS]
        cells.append(" / ".join("-" if value is None else f"{value:.3f}" for value in pair) if found else "-")
    return cells


def _spread(result: RowResult, part: str, measure: str, digits: int) -> str:
    mean, deviation = result.mean[part, measure], result.deviation[part, measure]
    if math.isnan(mean):
        return "-"
    return f"{mean:.{digits}f}" if math.isnan(deviation) else f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def _interval(difference: Difference | None) -> str:
    if difference is None:
        return "-"
    return f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
