"""Starts a server and ends it gracefully: requests in progress are answered, new ones are sent elsewhere."""

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from limssr.core.errors import InputError
from limssr.serve.app import ScoreServer
from limssr.serve.logs import log, set_up_logs
from limssr.serve.protocol import protocol_with
from limssr.serve.settings import ServeSettings

KEEP_ALIVE_S = 30
BACKLOG = 256
MAX_MESSAGE = 16 * 2**20
"""Bytes of one message of a live session."""
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


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
            _supervise(settings, listening, say)
            return
        app = ScoreServer(settings)
        try:
            say(f"Serving {', '.join(app.state.runs)} at {address(settings, listening)} (Ctrl+C to stop)")
            StoppableServer(configured(app, settings), app).run(sockets=[listening])
            log("stopped")
        finally:
            app.close()


def _supervise(settings: ServeSettings, listening: socket.socket, say: Callable[[str], None]) -> None:
    from limssr.serve.workers import supervise

    names = ", ".join(run.name or str(run) for run in settings.runs)
    where = address(settings, listening)
    supervise(
        settings,
        listening,
        say=lambda: say(f"Serving {names} at {where} with {settings.workers} workers (Ctrl+C to stop)"),
    )
    log("stopped")


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


def configured(app: ScoreServer, settings: ServeSettings) -> uvicorn.Config:
    """How uvicorn speaks for an application."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=protocol_with(settings.head_s),
        ws="websockets-sansio",
        ws_max_size=MAX_MESSAGE,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=round(settings.stop_s),
    )


class StoppableServer(uvicorn.Server):
    """Refuses new requests after the first signal, answers those in progress, and then ends.

    Args:
        config: From `configured`.
        app: The application.
    """

    def __init__(self, config: uvicorn.Config, app: ScoreServer) -> None:
        super().__init__(config)
        self._app = app
        self._until: float | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals stop the server inside the block; afterwards they mean what they meant before."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {one: signal.signal(one, self.handle_exit) for one in SIGNALS}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal: no more requests; a second one ends at once."""
        if self._until is not None:
            self.should_exit = self.force_exit = True
            return
        self._until = time.monotonic() + self._app.state.settings.stop_s
        self._app.state.engine.stop_admitting()

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second."""
        self._app.state.measures.under_way.set(self._app.state.engine.admitted)
        if self._until is not None and (not self._app.state.engine.admitted or time.monotonic() > self._until):
            self.should_exit = True
        return await super().on_tick(counter)
