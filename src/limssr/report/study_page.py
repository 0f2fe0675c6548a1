"""A study, a comparison or an ablation as one self-contained page, in the look of a run's report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limssr.core.files import write_atomically
from limssr.core.version import __version__
from limssr.report import render_page
from limssr.report.banners import Banner
from limssr.report.render import table_contents
from limssr.report.table import Table

WIDE = 8
"""Columns from which a page takes all the width that there is."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """What stands on the page.

    Attributes:
        title: The heading.
        lead: Paragraphs below it.
        banners: What must be known before a number is quoted.
        tables: In order.
        runs: One line a run for the list at the end: "key", "status", and "link" to its report or "".
        command: How to do it again.
        template: "study.html.j2", or one that extends it.
        figures: Key of a table -> "wide", "narrow" and "words" of the picture above it.
    """

    title: str
    lead: Sequence[str]
    banners: Sequence[Banner]
    tables: Sequence[Table]
    runs: Sequence[Mapping[str, str]]
    command: str
    template: str = "study.html.j2"
    figures: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def write_page(path: Path, page: Page) -> None:
    """Write the page, replacing an older one."""
    contents: dict[str, Any] = {
        "name": page.title,
        "lead": page.lead,
        "banners": page.banners,
        "tables": [table_contents(table) | {"figure": page.figures.get(table.key)} for table in page.tables],
        "is_wide": any(table.layout == "numbers" and len(table.columns) > WIDE for table in page.tables),
        "runs": page.runs,
        "command": page.command,
        "version": __version__,
    }
    write_atomically(path, render_page(page.template, contents))
