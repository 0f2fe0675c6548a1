"""Signals that end a process: SIGTERM and SIGHUP act like Ctrl+C, and children end with their parent.

Everything that cleans up after an interruption does so on the way of an exception. A signal whose default is to end the
process at once would leave half-written files and working children behind, so it is turned into an exception here.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

WITH_PARENT = "LIMSSR_ENDS_WITH_STDIN"
"""Set for a child whose standard input is a pipe from its parent: when that closes, the parent is gone."""
GRACE_S = 10.0
"""How long a process may clean up before a further signal, or the loss of its parent, ends it all the same."""
_asked: list[int] = []
ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Terminated(KeyboardInterrupt):
    """The process was asked to end.

    Attributes:
        number: Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def told_apart(error: KeyboardInterrupt) -> KeyboardInterrupt:
    """`Terminated` in place of a bare interruption that a package made of it; any other is what it was."""
    return Terminated(_asked[-1]) if _asked and not isinstance(error, Terminated) else error


@contextlib.contextmanager
def signals_as_interruptions() -> Iterator[None]:
    """SIGTERM and SIGHUP raise `Terminated` inside the block; left alone where somebody else decides on them.

    While the first of them is being answered further ones are not heard, for `GRACE_S`: they would break the clean-up.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    answered_at: list[float] = []
    _asked.clear()

    def answer(number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if not answered_at or now - answered_at[-1] > GRACE_S:
            answered_at.append(now)
            _asked.append(number)
            raise Terminated(number)

    before: dict[int, Any] = {one: signal.getsignal(one) for one in ENDING}
    ours = [one for one, handler in before.items() if handler == signal.SIG_DFL]
    for one in ours:
        signal.signal(one, answer)
    try:
        yield
    finally:
        for one in ours:
            signal.signal(one, before[one])


def end_with_parent() -> None:
    """End this process when the one that started it is gone, however that ended; called once, by a command.

    Does nothing unless the parent asked for it with `WITH_PARENT`.
    """
    if os.environ.pop(WITH_PARENT, None):
        threading.Thread(target=_watch_stdin, name="end with parent", daemon=True).start()


def _watch_stdin() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(128 + signal.SIGTERM)


def end_processes(processes: "Sequence[subprocess.Popen[bytes]]") -> None:
    """Ask children to end, all at once, and after `GRACE_S` end those that have not."""
    for process in processes:
        process.terminate()  # does nothing to one that has ended
    deadline = time.monotonic() + GRACE_S
    for process in processes:
        try:
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
