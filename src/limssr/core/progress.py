"""Progress messages of a run. All of them go to stderr; stdout is for results."""

import sys
import time
from collections.abc import Callable, Mapping
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

from limssr.core.notebook import NotebookReporter, in_notebook


class Reporter(Protocol):
    """Listener of a run; no method returns anything or changes a result."""

    def note(self, text: str) -> None:
        """A step has begun or ended."""

    def warn(self, text: str) -> None:
        """Something is allowed but should be known."""

    def start(self, what: str, total: int, done: int = 0, unit: str = "") -> None:
        """A piece of work of `total` parts begins, `done` of which are there already; `unit` is what a part is."""

    def advance(self, what: str) -> None:
        """One more part is done."""

    def within(self, what: str, done: int, total: int) -> None:
        """Of the part that is being worked on, `done` of `total` pieces are done."""

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

    def start(self, what: str, total: int, done: int = 0, unit: str = "") -> None:
        """Nothing."""

    def advance(self, what: str) -> None:
        """Nothing."""

    def within(self, what: str, done: int, total: int) -> None:
        """Nothing."""

    def epoch(self, record: Mapping[str, Any], *, total: int, best_epoch: int | None) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


def counted(reporter: Reporter, what: str, *, unit: str) -> Callable[[int, int], None]:
    """A function that is called with (parts done, parts in all) after each part, and tells a reporter.

    Args:
        reporter: Is told.
        what: The piece of work.
        unit: What a part is.
    """

    def progress(done: int, total: int) -> None:
        if done == 1:
            reporter.start(what, total, unit=unit)
        reporter.advance(what)
        if done == total:
            reporter.finish()

    return progress


QUIET_S = 30.0
"""A log is told of what lasts longer than this between two of its lines."""


class LineReporter(SilentReporter):
    """One plain line an epoch, and in long ones a line now and then; for logs and pipes."""

    def __init__(self) -> None:
        self._said_at = self._started_at = time.monotonic()
        self._first = self._done = self._total = 0
        self._unit = ""

    def start(self, what: str, total: int, done: int = 0, unit: str = "") -> None:
        """Remember what is to be done."""
        self._said_at = self._started_at = time.monotonic()
        self._first, self._done, self._total, self._unit = done, done, total, unit

    def advance(self, what: str) -> None:
        """Count, and print how far it is where nothing has been printed for a while."""
        self._done += 1
        if self._done < self._total and time.monotonic() - self._said_at >= QUIET_S:
            units = f" {self._unit}s" if self._unit else ""
            self.note(f"{what}: {self._done} of {self._total}{units}{self._left(self._done - self._first)}")

    def _left(self, over: float) -> str:
        """Words for the time that is left, by the time that `over` parts have taken."""
        if not over:
            return ""
        seconds = (time.monotonic() - self._started_at) * (self._total - self._first - over) / over
        return f", at most {_duration(seconds)} left"

    def within(self, what: str, done: int, total: int) -> None:
        """Print how far it is and how long it will take, where nothing has been printed for a while."""
        now = time.monotonic()
        if not total or now - self._said_at < QUIET_S:
            return
        left = self._left(self._done - self._first + done / total)
        self.note(f"{what}: {100 * done / total:.0f} % of {self._unit or 'part'} {self._done + 1}/{self._total}{left}")

    def note(self, text: str) -> None:
        """Print the text."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
        self._said_at = time.monotonic()

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
        self._done = 0

    def note(self, text: str) -> None:
        """Print above the bar."""
        self._console.print(text, highlight=False, markup=False)

    def warn(self, text: str) -> None:
        """Print in yellow above the bar."""
        self._console.print(f"warning: {text}", style="yellow", highlight=False, markup=False)

    def start(self, what: str, total: int, done: int = 0, unit: str = "") -> None:
        """Show a bar."""
        self.finish()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        progress = Progress(*columns, console=self._console, transient=True)
        progress.start()
        self._task = progress.add_task(what, total=total, completed=done, unit=f"{unit}s" if unit else "")
        self._progress = progress
        self._done = done

    def advance(self, what: str) -> None:
        """Move the bar and rename it."""
        if self._progress and self._task is not None:
            self._done += 1
            self._progress.update(self._task, completed=self._done, description=what)

    def within(self, what: str, done: int, total: int) -> None:
        """Move the bar by a piece of a part, so that it knows the time left before the first part is over."""
        if self._progress and self._task is not None and total:
            # Short of the whole part, which `advance` counts.
            self._progress.update(self._task, completed=self._done + 0.999 * done / total, description=what)

    def epoch(self, record: Mapping[str, Any], *, total: int, best_epoch: int | None) -> None:
        """Print the epoch's losses above the bar."""
        self.note(epoch_line(record, total=total, best_epoch=best_epoch))

    def finish(self) -> None:
        """Take the bar away."""
        if self._progress:
            self._progress.stop()
        self._progress = None
        self._task = None


class NamedReporter:
    """Another reporter that hears whose progress it is.

    Args:
        reporter: Hears everything.
        name: Stands in front of everything.
    """

    def __init__(self, reporter: Reporter, name: str) -> None:
        self._reporter = reporter
        self._name = name

    def note(self, text: str) -> None:
        """Named."""
        self._reporter.note(f"{self._name}: {text}")

    def warn(self, text: str) -> None:
        """Named."""
        self._reporter.warn(f"{self._name}: {text}")

    def start(self, what: str, total: int, done: int = 0, unit: str = "") -> None:
        """Named."""
        self._reporter.start(f"{self._name}: {what}", total, done, unit)

    def advance(self, what: str) -> None:
        """Named."""
        self._reporter.advance(f"{self._name}: {what}")

    def within(self, what: str, done: int, total: int) -> None:
        """Named."""
        self._reporter.within(f"{self._name}: {what}", done, total)

    def epoch(self, record: Mapping[str, Any], *, total: int, best_epoch: int | None) -> None:
        """As a named line: the number of the epoch is that of this training."""
        self._reporter.note(f"{self._name}: {epoch_line(record, total=total, best_epoch=best_epoch)}")

    def finish(self) -> None:
        """As it is."""
        self._reporter.finish()


def make_reporter() -> Reporter:
    """One display in a notebook, bars where stderr is a terminal, plain lines otherwise."""
    if in_notebook():
        return NotebookReporter(epoch_line)
    return TerminalReporter() if sys.stderr.isatty() else LineReporter()


def epoch_line(record: Mapping[str, Any], *, total: int, best_epoch: int | None) -> str:
    """One epoch as text, counted from 1.

    Training and validation are compared by the loss of the task alone; the weighted sum of all terms, which training
    lowers, is another quantity and has its own place where it differs.
    """
    whole, task, val_loss = record["train_loss"], record.get("train_task"), record.get("val_loss")
    task = whole if task is None else task
    losses = f"task loss: training {task:.5f}" + ("" if val_loss is None else f", validation {val_loss:.5f}")
    parts = [f"epoch {record['epoch'] + 1:>3}/{total}", *([record["stage"]] if record.get("stage") else []), losses]
    if whole != task:
        parts.append(f"all terms, weighted: {whole:.5f}")
    parts += [f"lr {record['learning_rate']:.2e}", f"{record['seconds']:.1f} s"]
    if best_epoch == record["epoch"]:
        parts.append("best so far")
    return "  ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
