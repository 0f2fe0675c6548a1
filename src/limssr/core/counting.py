"""How far a piece of work is, for what calls back with (done, total)."""

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def counting(what: str, *, show: bool = True) -> Iterator[Callable[[int, int], None]]:
    """A function of (done, total) that shows on stderr how far a piece of work is: a bar, or lines in a log."""
    from limssr.core.progress import SilentReporter, make_reporter

    reporter = make_reporter() if show else SilentReporter()
    shown = 0

    def progress(done: int, total: int) -> None:
        nonlocal shown
        if not shown:
            reporter.start(what, total)
        for _ in range(done - shown):
            reporter.advance(what)
        shown = done

    try:
        yield progress
    finally:
        reporter.finish()
