"""A comparison as one self-contained page, in the look of a study."""

import base64
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from limssr.core.files import write_atomically
from limssr.core.version import __version__
from limssr.report import render_page
from limssr.report.sheets import Sheet, SheetCell
from limssr.studies.compare.figure import draw_critical_difference, figure_words
from limssr.studies.compare.notes import SURE, listed
from limssr.studies.compare.numbers import INCOMPLETE
from limssr.studies.compare.run import Comparison
from limssr.studies.compare.tables import all_sheets

Span = tuple[float, float, float]
"""Low, value and high of a cell that is drawn on an axis."""


def write_page(path: Path, found: Comparison, command: str) -> None:
    """Write the page, replacing an older one.

    Args:
        path: The file.
        found: What stands on it.
        command: How to do it again.
    """
    contents: dict[str, Any] = {
        "name": _title(found),
        "lead": lead_of(found),
        "stamps": found.stamps,
        "tables": [_contents(found, sheet) for sheet in all_sheets(found)],
        "runs": _runs(found, path.parent),
        "command": command,
        "version": __version__,
    }
    write_atomically(path, render_page("compare.html.j2", contents))


def lead_of(found: Comparison) -> list[str]:
    """What was compared, and what came of it, in plain words."""
    first, scores = found.rows[0].first, found.scores
    criteria = "one criterion" if len(scores.criteria) == 1 else f"{len(scores.criteria)} criteria"
    counted = (
        f"{len(found.rows)} systems or settings on the {first.answers.split} split: "
        f"{len(first.answers.ids)} performances, {criteria}, {len(scores.subsets)} "
        f"subset{'s' * (len(scores.subsets) > 1)} of {len(scores.full.split('+'))} streams."
    )
    return [counted, *_verdict(found)]


def _title(found: Comparison) -> str:
    store = (found.rows[0].first.document.get("store") or {}).get("name")
    return f"{len(found.rows)} systems on {store}" if store else f"{len(found.rows)} systems compared"


def _verdict(found: Comparison) -> list[str]:
    """Who is better and who is worse than the chosen row, as far as that is settled."""
    name = found.against.label
    texts: list[str] = []
    for part in found.scores.main_parts:
        better, worse, open_ = [], [], []
        for row in found.rows:
            one = found.differences.get((row.label, part, "spearman"))
            if one is None or one.reason:
                continue
            settled = one.adjusted_p < SURE
            (open_ if not settled else better if one.value > 0 else worse).append(found.signed(row.label))
        where = "On incomplete streams" if part == INCOMPLETE else "With all streams"
        words = ((f"above {name}", better), (f"below {name}", worse), (f"not told apart from {name}", open_))
        said = [f"{how}: {listed(labels)}" for how, labels in words if labels]
        if said:
            texts.append(f"{where}, {'; '.join(said)}.")
    return texts


def _contents(found: Comparison, sheet: Sheet) -> dict[str, Any]:
    spans = _spans(found, sheet)
    values = [value for row in spans for span in row if span for value in span]
    axis = (min(values), max(values)) if values and max(values) > min(values) else None
    with_zero = sheet.key == "differences"
    return {
        "key": sheet.key,
        "title": sheet.title,
        "hint": sheet.hint,
        "columns": [
            {"name": name, "small": small} for name, small in zip(sheet.long_columns, sheet.small_columns, strict=True)
        ],
        "rows": [
            {
                "label": row.label,
                "is_chosen": row.is_chosen,
                "cells": [
                    _cell(cell, span, _axis_of(spans, place) if with_zero else axis, with_zero)
                    for place, (cell, span) in enumerate(zip(row.cells, cell_spans, strict=True))
                ],
            }
            for row, cell_spans in zip(sheet.rows, spans, strict=True)
        ],
        "notes": [note for note in sheet.notes if not note.startswith("Streams: ")],
        "figure": _figure(found) if sheet.key == "ranks" else None,
        "layout": sheet.layout,
    }


def _spans(found: Comparison, sheet: Sheet) -> list[list[Span | None]]:
    """Interval and value of every cell of scores and differences; None elsewhere."""
    rows: list[list[Span | None]] = []
    if sheet.key in found.options.metrics:
        keys: list[Any] = [(part, sheet.key) for part in found.scores.parts]
        shown, source = [row.label for row in found.rows], found.scores.numbers
    elif sheet.key == "differences":
        keys = [(part, metric) for metric in found.options.metrics for part in found.scores.main_parts]
        shown, source = [row.label for row in found.rows if row is not found.against], found.differences
    else:
        return [[None] * len(row.cells) for row in sheet.rows]
    for label in shown:
        ones = [source[label, part, metric] for part, metric in keys]
        spans = [(one.low, one.value, one.high) for one in ones]
        rows.append([None if any(map(math.isnan, span)) else span for span in spans])
    return rows


def _axis_of(spans: Sequence[Sequence[Span | None]], place: int) -> tuple[float, float] | None:
    """The axis of one column of differences, zero in its middle."""
    reach = max((abs(value) for row in spans for value in row[place] or ()), default=0.0)
    return (-reach, reach) if reach else None


def _cell(cell: SheetCell, span: Span | None, axis: tuple[float, float] | None, with_zero: bool) -> dict[str, Any]:
    drawn = None
    if span and axis:

        def percent(value: float) -> float:
            return round(100 * (value - axis[0]) / (axis[1] - axis[0]), 1)

        low, value, high = map(percent, span)
        zero = percent(0.0) if with_zero else None
        drawn = {"left": low, "width": round(high - low, 1), "dot": value, "zero": zero}
    number, _, deviation = cell.text.partition(" ± ")
    return {
        "text": _with_minus(number),
        "sd": f"± {deviation}" if deviation else "",
        "small": [_with_minus(line) for line in cell.small],
        "kind": cell.kind,
        "axis": drawn,
    }


def _with_minus(text: str) -> str:
    """The true minus before digits; other dashes stay."""
    return re.sub(r"-(?=\d)", "−", text)


def _figure(found: Comparison) -> dict[str, str] | None:
    ranking = found.ranking
    if ranking.test is None:
        return None
    labels, chosen = [found.signed(label) for label in ranking.labels], found.signed(found.against.label)
    shapes: tuple[Literal["wide", "narrow"], ...] = ("wide", "narrow")
    drawn = {shape: draw_critical_difference(labels, ranking.test, chosen=chosen, shape=shape) for shape in shapes}
    sources = {
        shape: f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}" for shape, content in drawn.items()
    }
    return {**sources, "words": figure_words(labels, ranking.test)}


def _runs(found: Comparison, out: Path) -> list[dict[str, str]]:
    runs: dict[Path, tuple[int, list[str]]] = {}
    for row in found.rows:
        for entry in row.entries:
            runs.setdefault(entry.run, (entry.config.seed, []))[1].append(row.label)
    listed = []
    for run, (seed, labels) in runs.items():
        report = run / "report.html"
        link = Path(os.path.relpath(report, out)).as_posix() if report.exists() else ""
        listed.append({"key": str(run), "link": link, "status": f"seed {seed}: {', '.join(labels)}"})
    return listed
