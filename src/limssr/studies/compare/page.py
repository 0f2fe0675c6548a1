"""A comparison as one self-contained page, in the look of a study."""

import base64
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from limssr.report.study_page import Page
from limssr.report.study_page import write_page as write_study_page
from limssr.studies.compare.figure import draw_critical_difference, figure_words
from limssr.studies.compare.run import Comparison
from limssr.studies.compare.tables import all_tables
from limssr.studies.compare.verdict import verdict_of


def write_page(path: Path, found: Comparison, command: str) -> None:
    """Write the page, replacing an older one.

    Args:
        path: The file.
        found: What stands on it.
        command: How to do it again.
    """
    tables = [replace(table, notes=_without_legend(table.notes)) for table in all_tables(found)]
    figure = _figure(found)
    page = Page(
        title=_title(found),
        lead=lead_of(found),
        banners=found.banners,
        tables=tables,
        runs=_runs(found, path.parent),
        command=command,
        template="compare.html.j2",
        figures={"ranks": figure} if figure else {},
    )
    write_study_page(path, page)


def _without_legend(notes: Sequence[str]) -> tuple[str, ...]:
    """A page has room for the names of streams, and needs no legend of their short forms."""
    return tuple(note for note in notes if not note.startswith("Streams: "))


def lead_of(found: Comparison) -> list[str]:
    """What was compared, and what came of it, in plain words."""
    first, scores = found.rows[0].first, found.scores
    criteria = "one criterion" if len(scores.criteria) == 1 else f"{len(scores.criteria)} criteria"
    counted = (
        f"{len(found.rows)} systems or settings on the {first.answers.split} split: "
        f"{len(first.answers.ids)} performances, {criteria}, {len(scores.subsets)} "
        f"subset{'s' * (len(scores.subsets) > 1)} of {len(scores.full.split('+'))} streams."
    )
    return [counted, *verdict_of(found)]


def _title(found: Comparison) -> str:
    store = (found.rows[0].first.document.get("store") or {}).get("name")
    return f"{len(found.rows)} systems on {store}" if store else f"{len(found.rows)} systems compared"


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
