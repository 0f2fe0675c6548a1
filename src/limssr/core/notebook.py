"""Progress in a notebook: one display that is rewritten, in place of a line for every step."""

import html
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

LINES = 8
"""The last ones, which stay in sight."""
EVERY_S = 0.25
"""Between two drawings, but for what is said once."""


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this process; nothing is imported to find out."""
    shell = sys.modules.get("IPython")
    found = shell.get_ipython() if shell is not None else None
    return found is not None and hasattr(found, "kernel")


class NotebookReporter:
    """Shows the last lines and a bar.

    Args:
        line_of: (record, total, best epoch) -> an epoch as text.
        show: Called with HTML, once; returns what redraws it. Without it the notebook's own display.
    """

    def __init__(
        self,
        line_of: Callable[..., str],
        show: Callable[[str], Callable[[str], None]] | None = None,
    ) -> None:
        self._line_of, self._show = line_of, show or _displayed
        self._redraw: Callable[[str], None] | None = None
        self._lines: list[str] = []
        self._what, self._unit, self._done, self._total = "", "", 0.0, 0
        self._drawn_at = 0.0

    def note(self, text: str) -> None:
        """Add a line; the oldest goes out of sight."""
        self._lines = [*self._lines, html.escape(text)][-LINES:]
        self._draw()

    def warn(self, text: str) -> None:
        """Add a line in bold letters."""
        self._lines = [*self._lines, f"<b>warning: {html.escape(text)}</b>"][-LINES:]
        self._draw()

    def start(self, what: str, total: int, done: int = 0, unit: str = "") -> None:
        """Show a bar."""
        self._what, self._unit, self._done, self._total = what, unit, float(done), total
        self._draw()

    def advance(self, what: str) -> None:
        """Move the bar and rename it."""
        self._what, self._done = what, float(int(self._done) + 1)
        self._draw(wait=True)

    def within(self, what: str, done: int, total: int) -> None:
        """Move the bar by a piece of a part."""
        if total:
            # Short of the whole part, which `advance` counts.
            self._what, self._done = what, int(self._done) + 0.999 * done / total
            self._draw(wait=True)

    def epoch(self, record: Mapping[str, Any], *, total: int, best_epoch: int | None) -> None:
        """Add the epoch's losses as a line."""
        self.note(self._line_of(record, total=total, best_epoch=best_epoch))

    def finish(self) -> None:
        """Take the bar away."""
        self._total = 0
        self._draw()

    def _draw(self, *, wait: bool = False) -> None:
        now = time.monotonic()
        if wait and now - self._drawn_at < EVERY_S:
            return
        self._drawn_at = now
        bar = ""
        if self._total:
            units = f" {self._unit}s" if self._unit else ""
            bar = (
                f'<progress value="{self._done:.3f}" max="{self._total}"></progress> '
                f"{html.escape(self._what)}: {int(self._done)} of {self._total}{html.escape(units)}"
            )
        page = f'<pre style="margin:0;white-space:pre-wrap">{"<br>".join(self._lines)}</pre>{bar}'
        if self._redraw is None:
            self._redraw = self._show(page)
        else:
            self._redraw(page)


def _displayed(page: str) -> Callable[[str], None]:
    """Show HTML in the notebook's cell."""
    from IPython.display import HTML, display  # pyright: ignore[reportMissingImports]

    handle: Any = display(HTML(page), display_id=True)

    def redraw(page: str) -> None:
        handle.update(HTML(page))

    return redraw
