"""Several processes behind one port: uvicorn's own supervisor starts them, and again where one dies.

Each worker opens the runs by itself, computes with its share of the threads, and has its own queue, bounds and live
sessions. They share the listening socket, and a folder in which `/metrics` of each finds the counters of all.
"""

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import socket
from types import FrameType
from unittest import mock

import torch
import uvicorn
from prometheus_client import multiprocess
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import multiprocess as supervisor

from limssr.core.errors import InputError, LimssrError
from limssr.serve.app import ScoreServer
from limssr.serve.logs import log, set_up_logs
from limssr.serve.measures import FOLDER
from limssr.serve.server import StoppableServer, configured
from limssr.serve.settings import ServeSettings

HUNG_S = 60
"""A worker that does not say for so long that it lives is ended and replaced."""
LOOK_S = 0.05


def supervise(settings: ServeSettings, listening: socket, *, say: Callable[[], None]) -> None:
    """Serve with several workers until a signal says to stop.

    Args:
        settings: Checked.
        listening: The open port.
        say: Told when the first worker answers.

    Raises:
        InputError: A worker could not start; it has said why.
    """
    with (
        tempfile.TemporaryDirectory(prefix="limssr-metrics-") as folder,
        _counted_in(folder),
        mock.patch.object(supervisor, "Process", Worker),  # uvicorn has no other place to say what a worker runs
    ):
        workers = Workers(WorkerConfig(settings), [listening], folder, say)
        workers.run()
    if workers.has_failed:
        raise InputError("Expected workers that start, found one that ended: what it said stands above.")


@contextmanager
def _counted_in(folder: str) -> Iterator[None]:
    """Workers inherit the environment; prometheus_client reads it there when it is imported."""
    os.environ[FOLDER] = folder
    try:
        yield
    finally:
        del os.environ[FOLDER]


class WorkerConfig(uvicorn.Config):
    """What a worker is started with; it travels to the new process."""

    def __init__(self, settings: ServeSettings) -> None:
        super().__init__("limssr", workers=settings.workers, log_config=None, timeout_worker_healthcheck=HUNG_S)
        self.settings = settings


class Workers(supervisor.Multiprocess):
    """Starts workers, and starts those again that die.

    Args:
        config: Of all.
        sockets: That they share.
        folder: Of their counters.
        say: Told when the first worker answers.
    """

    def __init__(self, config: WorkerConfig, sockets: list[socket], folder: str, say: Callable[[], None]) -> None:
        super().__init__(config, sockets)
        self._folder, self._say = folder, say
        self.has_failed = False

    def init_processes(self) -> None:
        """The first one by itself: what is wrong with a run is said once."""
        number, self.processes_num = self.processes_num, 1
        super().init_processes()
        if not self._is_up(self.processes[0]):
            return
        self._say()
        self.processes_num = number - 1
        super().init_processes()
        self.processes_num = number

    def keep_subprocess_alive(self) -> None:
        """Look after all of them."""
        before = {one.pid for one in self.processes}
        super().keep_subprocess_alive()
        gone = before - {one.pid for one in self.processes}
        for pid in filter(None, gone):
            multiprocess.mark_process_dead(pid, self._folder)
            log("worker replaced", worker=pid)
        self.has_failed |= any(one.exitcode == STARTUP_FAILURE for one in self.processes)

    def _is_up(self, process: supervisor.Process) -> bool:
        while not self.should_exit.wait(LOOK_S):
            self.handle_signals()
            if process.is_ready(timeout=1.0):
                return True
            if not process.process.is_alive():
                self.has_failed = True
                self.should_exit.set()
        return False


class WorkerServer(StoppableServer):
    """A terminal sends Ctrl+C to every process; the supervisor passes it on as SIGTERM."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop on SIGTERM alone."""
        if sig == signal.SIGTERM:
            super().handle_exit(sig, frame)


class Worker(supervisor.Process):
    """One process that serves."""

    config: WorkerConfig

    def pong(self) -> None:
        """Tell the supervisor whether requests are taken; where it is gone, stop."""
        try:
            self.child_conn.recv()
            self.child_conn.send(self._server is not None and self._server.started)
        except (OSError, EOFError):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(self.config.settings.stop_s)
            os._exit(1)

    def target(self, sockets: list[socket] | None = None) -> None:
        """Runs in the new process."""
        self.parent_conn.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=self.always_pong, daemon=True).start()
        set_up_logs()
        settings = self.config.settings
        torch.set_num_threads(threads_of(settings))
        try:
            app = ScoreServer(settings)
        except LimssrError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)  # noqa: T201
            sys.exit(STARTUP_FAILURE)
        try:
            self._server = WorkerServer(configured(app, settings), app)
            self._server.run(sockets)
        finally:
            app.close()


def threads_of(settings: ServeSettings) -> int:
    """Of torch in each worker: its share of what torch takes by itself."""
    return settings.threads or max(1, torch.get_num_threads() // settings.workers)
