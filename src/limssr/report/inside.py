"""What `limssr explain` has found, for the report: its figures with a sentence each."""

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from limssr.core.reading.explained import ExplainDocument
from limssr.core.reading.records import own_file, read_document
from limssr.core.reading.regular import read_bytes

FOLDER, DOCUMENT = "explain", "explain.json"
NAME = re.compile(r"[a-z][a-z0-9-]{0,60}")
MAX_FIGURE_BYTES = 4 * 2**20
MAX_FIGURES = 40
TITLES = {
    "contributions": "What each stream adds",
    "coverage": "How often intervals hold",
    "returns": "When a withheld stream comes back",
    "attention": "What the fusion slots attend to",
    "attention-sample": "The same for one performance",
    "inferred": "Inferred streams against true ones",
    "inferred-columns": "The same, performance by performance",
    "clusters": "Streams before and after the language model",
    "recovery": "What can be read from a placeholder",
    "sensitivity": "Scores under nonsense",
    "scatter": "Next to other runs",
}
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read_explained(folder: Path) -> Mapping[str, Any] | None:
    """explain.json of a run folder; None where nobody has asked.

    Raises:
        ArtifactError: It was altered, or is of a newer format.
    """
    path = folder / FOLDER / DOCUMENT
    return read_document(path, ExplainDocument, newest_version=1) if path.exists() else None


def read_figures(folder: Path, explained: Mapping[str, Any] | None) -> dict[str, bytes]:
    """Name -> PNG of the figures that are there."""
    found = {}
    for one in list((explained or {}).get("figures") or ())[:MAX_FIGURES]:
        path = folder / FOLDER / f"{one['name']}.png"
        if NAME.fullmatch(one["name"]) and path.exists():
            content = read_bytes(own_file(path), limit=MAX_FIGURE_BYTES)
            if content.startswith(PNG_SIGNATURE):
                found[one["name"]] = content
    return found


def inside_of(explained: Mapping[str, Any] | None, figures: Mapping[str, bytes]) -> dict[str, Any] | None:
    """For the page: figures, and why sections are missing; None where nobody has asked."""
    if explained is None:
        return None
    shown = []
    for one in explained.get("figures") or ():
        if one["name"] not in figures:
            continue
        content = figures[one["name"]]
        width, height = (int.from_bytes(content[place : place + 4], "big") for place in (16, 20))
        source = "data:image/png;base64," + base64.b64encode(content).decode("ascii")
        title = TITLES.get(
            one["name"], "One performance over time" if one["name"].startswith("timeline") else one["name"]
        )
        shown.append(
            {
                "title": title,
                "words": one["words"],
                "source": source,
                "width": width * 96 // 150,
                "height": height * 96 // 150,
            }
        )
    return {
        "figures": shown,
        "not_applicable": dict(explained.get("not_applicable") or {}),
        "notes": list(explained.get("notes") or ()),
        "split": explained.get("split"),
    }
