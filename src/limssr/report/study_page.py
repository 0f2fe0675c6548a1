"""A study as one self-contained page, in the look of a run's report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limssr.core.files import write_atomically
from limssr.core.version import __version__
from limssr.report import render_page
from limssr.report.render import notes_of, seeds_words
from limssr.report.stamps import Stamp
from limssr.report.table import METRIC_WORDS, Table, reasons_of, shown


@dataclass(frozen=True)
class Page:
    """What stands on the page.

    Attributes:
        title: The heading.
        lead: Paragraphs below it.
        stamps: What must be known before a number is quoted.
        tables: In order.
        runs: One line a run for the list at the end: "key", "status", and "link" to its report or "".
        command: How to do it again.
    """

    title: str
    lead: Sequence[str]
    stamps: Sequence[Stamp]
    tables: Sequence[Table]
    runs: Sequence[Mapping[str, str]]
    command: str


def write_page(path: Path, page: Page) -> None:
    """Write the page, replacing an older one."""
    contents: dict[str, Any] = {
        "name": page.title,
        "lead": page.lead,
        "stamps": page.stamps,
        "tables": [_contents_of(table) for table in page.tables],
        "runs": page.runs,
        "command": page.command,
        "version": __version__,
    }
    write_atomically(path, render_page("study.html.j2", contents))


def _contents_of(table: Table) -> dict[str, Any]:
    """One grid a metric: groups of rows of texts, and how good each number is marked."""
    grids = []
    for metric in table.metrics:
        groups = []
        for group in table.groups:
            rows = [
                {
                    "label": row.label,
                    "source": row.source,
                    "seeds": seeds_words(row) if row.source == "here" else "",
                    "cells": [_parts(shown(row, column, metric)) for column in table.columns],
                }
                for row in group.rows
            ]
            groups.append({"label": group.label, "rows": rows})
        grids.append({"metric": METRIC_WORDS[metric], "groups": groups})
    return {
        "key": table.key,
        "title": table.title,
        "hint": " ".join(notes_of(table)),
        "columns": table.columns,
        "grids": grids,
        "reasons": reasons_of(table),
    }


def _parts(text: str) -> dict[str, str]:
    number, _, deviation = text.partition(" ± ")
    return {"number": number.replace("-", "−") if number != "-" else "-", "sd": f"± {deviation}" if deviation else ""}
