"""Progress messages of a run. All of them go to stderr; stdout is for results."""

import sys
from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Reporter(Protocol):
    """Listener of a run; no method returns anything or changes a result."""

    def note(self, text: str) -> None:
        """A step has begun or ended."""

    def warn(self, text: str) -> None:
        """Something is allowed but should be known."""

    def start(self, what: str, total: int, done: int = 0) -> None:
        """A piece of work of `total` parts begins, `done` of which are there already."""

    def advance(self, what: str) -> None:
        """One more part is done."""

    def epoch(self, record: Mapping[str, Any], *, total: int, best_epoch: int | None) -> None:
        """An epoch has ended; `record` is its line of metrics.jsonl."""

    def finish(self) -> None:
        """The piece of work is over."""


class SilentReporter:
    """Says nothing; for tests and for use as a library."""

    def note(self, text: str) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        """Nothing."""

    def start(self, what: str, total: int, done: int = 0) -> None:
        """Nothing."""

    def advance(self, what: str) -> None:
        """Nothing."""

    def epoch(self, record: Mapping[str, Any], *, total: int, best_epoch: int | None) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


class LineReporter(SilentReporter):
    """One plain line an epoch, for logs and pipes."""

    def note(self, text: str) -> None:
        """Print the text."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def warn(self, text: str) -> None:
        """Print the text, marked."""
        self.note(f"warning: {text}")

    def epoch(self, record: Mapping[str, Any], *, total: int, best_epoch: int | None) -> None:
        """Print the epoch's losses."""
        self.note(epoch_line(record, total=total, best_epoch=best_epoch))


class TerminalReporter:
    """Progress bars on a terminal, with the epochs' lines above them."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def note(self, text: str) -> None:
        """Print above the bar."""
        self._console.print(text, highlight=False, markup=False)

    def warn(self, text: str) -> None:
        """Print in yellow above the bar."""
        self._console.print(f"warning: {text}", style="yellow", highlight=False, markup=False)

    def start(self, what: str, total: int, done: int = 0) -> None:
        """Show a bar."""
        self.finish()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        progress = Progress(*columns, console=self._console, transient=True)
        progress.start()
        self._task = progress.add_task(what, total=total, completed=done)
        self._progress = progress

    def advance(self, what: str) -> None:
        """Move the bar and rename it."""
        if self._progress and self._task is not None:
            self._progress.update(self._task, advance=1, description=what)

    def epoch(self, record: Mapping[str, Any], *, total: int, best_epoch: int | None) -> None:
        """Print the epoch's losses above the bar."""
        self.note(epoch_line(record, total=total, best_epoch=best_epoch))

    def finish(self) -> None:
        """Take the bar away."""
        if self._progress:
            self._progress.stop()
        self._progress = None
        self._task = None


def make_reporter() -> Reporter:
    """Bars where stderr is a terminal, plain lines otherwise."""
    return TerminalReporter() if sys.stderr.isatty() else LineReporter()


def epoch_line(record: Mapping[str, Any], *, total: int, best_epoch: int | None) -> str:
    """One epoch as text, counted from 1."""
    val_loss = record.get("val_loss")
    parts = [f"epoch {record['epoch'] + 1:>3}/{total}", f"train {record['train_loss']:.5f}"]
    if val_loss is not None:
        parts.append(f"val {val_loss:.6f}")
    parts += [f"lr {record['learning_rate']:.2e}", f"{record['seconds']:.1f} s"]
    if best_epoch == record["epoch"]:
        parts.append("best so far")
    return "  ".join(parts)
