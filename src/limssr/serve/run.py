"""Opens the port and serves until a signal says to stop."""

import contextlib
import socket
from collections.abc import Callable

from limssr.core.errors import InputError
from limssr.serve.app import ScoreServer
from limssr.serve.logs import log, set_up_logs
from limssr.serve.server import StoppableServer, configured
from limssr.serve.settings import ServeSettings
from limssr.serve.workers import supervise

BACKLOG = 256


def serve(settings: ServeSettings, *, say: Callable[[str], None]) -> None:
    """Serve until a signal says to stop.

    Args:
        settings: Checked here.
        say: Told where the page is, once it can be opened.

    Raises:
        InputError: The settings or a run are not right, or the port is taken.
    """
    settings.check()
    listening = listen(settings)
    with contextlib.closing(listening):
        set_up_logs()
        if settings.workers > 1:
            names = ", ".join(run.name or str(run) for run in settings.runs)
            told = f"Serving {names} at {address(settings, listening)} with {settings.workers} workers (Ctrl+C to stop)"
            supervise(settings, listening, say=lambda: say(told))
            log("stopped")
            return
        app = ScoreServer(settings)
        try:
            say(f"Serving {', '.join(app.state.runs)} at {address(settings, listening)} (Ctrl+C to stop)")
            StoppableServer(configured(app, settings), app).run(sockets=[listening])
            log("stopped")
        finally:
            app.close()


def listen(settings: ServeSettings) -> socket.socket:
    """An open port.

    Raises:
        InputError: It is taken, or the machine has no such address.
    """
    host = settings.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise InputError(
            f"Expected a free port {settings.port} at {settings.host}, found: {error.strerror or error}. Choose "
            "another with --port, or 0 for any that is free."
        ) from None


def address(settings: ServeSettings, listening: socket.socket) -> str:
    """Where the page is."""
    host = f"[{settings.host.strip('[]')}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listening.getsockname()[1]}/"
