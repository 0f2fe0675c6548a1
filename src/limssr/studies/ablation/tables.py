"""The tables of an ablation: as text, Markdown, LaTeX, CSV and one page."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from limssr.core.files import write_atomically
from limssr.report.banners import Banner
from limssr.report.render import csv_text, table_latex, table_markdown, table_text
from limssr.report.study_page import Page, write_page
from limssr.report.table import Axis, Cell, Row, Table
from limssr.report.text import duration
from limssr.studies.ablation.ablate import AblationPlan, Difference, RowResult, to_document
from limssr.studies.ablation.rows import FULL, AblationTable
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


def write_tables(
    plan: AblationPlan,
    tables: Mapping[str, Sequence[RowResult]],
    out: Path,
    *,
    command: str,
    notes: Sequence[str] = (),
) -> tuple[Path, ...]:
    """Write ablation.json, ablation.csv, ablation.html and each table as Markdown, text and LaTeX into the folder.

    Args:
        plan: Of the study.
        tables: Table number -> its rows.
        out: Folder of the study.
        command: How to do it again, for the page.
        notes: What must be known of the settings, in sentences.

    Returns:
        The files.
    """
    shown = [table_of(table, tables[table.number]) for table in plan.tables]
    texts = {
        "ablation.json": json.dumps(to_document(plan, tables), indent=1) + "\n",
        "ablation.csv": to_csv(tables),
    }
    for table, one in zip(plan.tables, shown, strict=True):
        texts[f"table-{table.number}.md"] = table_markdown(one)
        texts[f"table-{table.number}.txt"] = table_text(one)
        texts[f"table-{table.number}.tex"] = "% needs \\usepackage{booktabs,array}\n" + table_latex(one)
    for name, text in texts.items():
        write_atomically(out / name, text.encode())
    runs = [
        {
            "key": run.key,
            "status": "done" if (out / run.key).is_dir() else "shared or not done",
            "link": _link(out, run.key),
        }
        for run in plan.runs.values()
    ]
    banners = [Banner("note", "Settings", note) for note in notes]
    lead = ["Every row is the recipe with a few keys changed; the full model is the recipe itself."]
    write_page(
        out / "ablation.html",
        Page(
            title="Ablation",
            lead=lead,
            banners=banners,
            tables=shown,
            runs=runs,
            command=command,
            template="compare.html.j2",
        ),
    )
    return (*(out / name for name in texts), out / "ablation.html")


def table_of(table: AblationTable, rows: Sequence[RowResult]) -> Table:
    """One table with its note, what each row means, and the rows that could not be run."""
    numbered = f"Table {table.number} of the paper" if table.number.isdigit() else "Rows of our own"
    compared = any(published(table, row) for row in rows)
    axis = _axis([one for row in rows for one in row.difference.values() if one])
    meanings = [f"{row.row.name}: {row.row.meaning}." for row in rows if row.row.meaning and not row.left_out]
    left = [f"{row.row.name} was not run: {' '.join(row.left_out.split())}" for row in rows if row.left_out]
    heads = ["ρ incomplete", "minus full", "ρ all streams", "minus full", "MSE inc.", "MSE all", "a run", "seeds"]
    heads += [f"{name}, paper" for name in DATASETS] if compared else []
    return Table(
        key=f"ablation-{table.number}",
        title=f"{numbered}: {table.title}",
        columns=tuple(heads),
        rows=tuple(
            Row(
                row.row.name,
                (*_cells(row, axis), *(_published_cells(table, row) if compared else ())),
                "chosen" if row.row.name == FULL else "",
            )
            for row in rows
            if not row.left_out
        ),
        hint=NOTE,
        notes=(*meanings, *left),
        first="row",
    )


def to_csv(tables: Mapping[str, Sequence[RowResult]]) -> str:
    """All tables, one line a row and part."""
    names = ("spearman", "spearman_sd", "mse", "mse_sd", "difference", "difference_low", "difference_high")
    lines = []
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
                lines.append(
                    [number, result.row.name, part, result.num_seeds, *texts, result.trained or "", result.left_out]
                )
    return csv_text(["table", "row", "part", "seeds", *names, "training_s", "trained_parameters", "left_out"], lines)


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


def _status(out: Path, key: str) -> str:
    return "done" if (out / key).is_dir() else "the same as another one, or not done"


def _link(out: Path, key: str) -> str:
    return f"{key}/report.html" if (out / key / "report.html").is_file() else ""


def _axis(differences: Sequence[Difference]) -> Axis | None:
    ends = [abs(end) for one in differences for end in (one.low, one.high) if not math.isnan(end)]
    reach = max(ends, default=0.0)
    return (-reach, reach) if reach else None


def _cells(result: RowResult, axis: Axis | None) -> tuple[Cell, ...]:
    cells = []
    for part in _PARTS:
        cells += [_spread(result, part, "spearman", 3), _difference(result.difference[part], axis)]
    cells += [_spread(result, part, "mse", 4) for part in _PARTS]
    seconds = Cell("-" if math.isnan(result.seconds) else duration(result.seconds))
    return (*cells, seconds, Cell(str(result.num_seeds)))


def _published_cells(table: AblationTable, result: RowResult) -> tuple[Cell, ...]:
    found = published(table, result)
    cells = []
    for dataset in DATASETS:
        pair = [found.get((dataset, part)) for part in _PARTS]
        cells.append(Cell(" / ".join("-" if value is None else f"{value:.3f}" for value in pair) if found else "-"))
    return tuple(cells)


def _spread(result: RowResult, part: str, measure: str, digits: int) -> Cell:
    mean, deviation = result.mean[part, measure], result.deviation[part, measure]
    if math.isnan(mean):
        return Cell("-")
    return Cell(f"{mean:.{digits}f}", () if math.isnan(deviation) else (f"± {deviation:.{digits}f}",))


def _difference(one: Difference | None, axis: Axis | None) -> Cell:
    if one is None:
        return Cell("-")
    if math.isnan(one.low):
        return Cell(f"{one.value:+.3f}")
    return Cell(f"{one.value:+.3f}", (f"[{one.low:+.3f}, {one.high:+.3f}]",), "", (one.low, one.value, one.high), axis)
