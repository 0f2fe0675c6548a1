"""A server that ends gracefully: requests in progress are answered, new ones are sent elsewhere."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

import uvicorn

from limssr.serve.app import ScoreServer
from limssr.serve.protocol import protocol_with
from limssr.serve.settings import ServeSettings

KEEP_ALIVE_S = 30
MAX_MESSAGE = 16 * 2**20
"""Bytes of one message of a live session."""
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


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
