"""What an explanation has found so far, before it is written."""

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from limssr.explain.figures.canvas import Drawing

SECTIONS = ("attention", "inferred", "hallucination", "contributions", "coverage")


@dataclass
class Explanation:
    """What is found, while it is found.

    Attributes:
        sections: Name -> document; None where a section does not apply.
        why_not: Section -> why it does not apply.
        tables: File name without ending -> table.
        drawings: The figures.
        notes: What was decided.
    """

    sections: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(SECTIONS))
    why_not: dict[str, str] = field(default_factory=dict)
    tables: dict[str, pa.Table] = field(default_factory=dict)
    drawings: list[Drawing] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
