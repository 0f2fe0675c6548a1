"""`limssr benchmark serve`: throughput and waiting under load, on this machine's loopback alone."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limssr.core.errors import InputError
from limssr.core.types import Sample
from limssr.data.store.reader import FeatureStore
from limssr.runs.folder import read_run
from limssr.runs.load import Loaded, load

MAX_REQUESTS, MAX_CLIENTS = 20_000, 256
START_S = 120.0
WAYS = ("plain", "serve", "serve, waiting")
"""Servers: a handler without batching, ours as it is, and ours with `--wait-ms`."""
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, kw_only=True)
class Level:
    """One way to score under one number of clients; times in milliseconds.

    Attributes:
        way: "loop", or one of `WAYS`.
        clients: At the same time.
        a_second: Requests answered.
        p50, p95, p99: From sending a request to its whole answer.
        failed: Requests that got another answer than scores.
    """

    way: str
    clients: int
    a_second: float
    p50: float
    p95: float
    p99: float
    failed: int


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What was measured.

    Attributes:
        run: That was served.
        requests: Of each level.
        levels: In the order in which they were measured.
        memory_mib: Requests answered -> resident memory of the server.
    """

    run: str
    requests: int
    levels: tuple[Level, ...]
    memory_mib: dict[int, float]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        rows = [
            f"{one.way:<22} {one.clients:>3} clients  {one.a_second:>7.1f} a second  p50 {one.p50:>7.1f} ms  "
            f"p95 {one.p95:>7.1f} ms  p99 {one.p99:>7.1f} ms  {one.failed} failed"
            for one in self.levels
        ]
        told = ", ".join(f"{mib:.0f} MiB after {number:,}" for number, mib in self.memory_mib.items())
        return [*rows, f"memory of the server: {told} requests"]


def measure_load(
    run: Path,
    *,
    clients: Sequence[int] = (1, 8, 64),
    requests: int = 200,
    wait_ms: float = 5.0,
    ways: Sequence[str] = WAYS,
    say: Callable[[str], None] | None = None,
) -> LoadReport:
    """Measure it with the test samples of the run's store, one sample a request.

    Args:
        run: A run folder whose store is on this machine.
        clients: Numbers of clients.
        requests: For each level.
        wait_ms: Of the server that waits for others.
        ways: Which servers, of `WAYS`; the loop is always measured.
        say: Told what was measured.

    Raises:
        InputError: Numbers out of bounds, a run without its store, or a server that does not start.
    """
    if not 1 <= requests <= MAX_REQUESTS or not clients or not all(1 <= one <= MAX_CLIENTS for one in clients):
        raise InputError(
            f"Expected 1 to {MAX_REQUESTS:,} requests and 1 to {MAX_CLIENTS} clients, found {requests:,} and "
            f"{', '.join(map(str, clients))}: choose other numbers."
        )
    found = load(run)
    samples = _samples(run, found)
    bodies = [_rows(sample) for sample in samples]
    levels, memory = [_loop(found, samples, requests)], {}
    commands = {
        "plain": [sys.executable, "-m", "limssr.serve.plain", str(run)],
        "serve": _command(run),
        "serve, waiting": [*_command(run), "--wait-ms", str(wait_ms)],
    }
    for way, words in ((way, commands[way]) for way in ways):
        path, made = ("/score", _plain_body) if way == "plain" else ("/v1/score", _body)
        contents = [json.dumps(made(rows, sample.id)).encode() for rows, sample in zip(bodies, samples, strict=True)]
        with _server(words, positional_port=way == "plain") as (port, process):
            _ask(port, path, contents, clients=1, requests=5)
            answered = 5
            for number in clients:
                levels.append(_level(way, port, path, contents, clients=number, requests=requests))
                answered += requests
                if way == "serve":
                    memory[answered] = _resident_mib(process.pid)
                if say is not None:
                    say(f"{way}: {number} clients")
    return LoadReport(run=str(run), requests=requests, levels=tuple(levels), memory_mib=memory)


def measure_memory(
    run: Path, marks: Sequence[int], *, clients: int = 4, say: Callable[[str], None] | None = None
) -> dict[int, float]:
    """Resident memory of a server of one run, in MiB, after so many requests have been answered.

    Args:
        run: A run folder whose store is on this machine.
        marks: Numbers of requests, growing.
        clients: At the same time.
        say: Told each number.

    Raises:
        InputError: As `measure_load`, or a request that was not answered with scores.
    """
    found = load(run)
    samples = _samples(run, found)
    contents = [json.dumps(_body(_rows(sample), sample.id)).encode() for sample in samples]
    memory, answered = {}, 0
    with _server(_command(run), positional_port=False) as (port, process):
        for mark in marks:
            _, failed = _ask(port, "/v1/score", contents, clients=clients, requests=mark - answered)
            if failed:
                raise InputError(f"Expected scores for every request, found {failed} other answers: read the log.")
            answered, memory[mark] = mark, _resident_mib(process.pid)
            if say is not None:
                say(f"{mark:>6,} requests: {memory[mark]:.1f} MiB")
    return memory


def _samples(run: Path, found: Loaded) -> list[Sample]:
    path = Path((read_run(run).document.get("store") or {}).get("path", ""))
    if not path.is_dir():
        raise InputError(f"Expected the store of {run} at {path}, found none: measure where it is.")
    store = FeatureStore.open(path)
    names = tuple(one.name for one in found.modalities)
    return [store.sample(one).restricted_to(names) for one in list(store.ids("test"))[:64]]


def _rows(sample: Sample) -> dict[str, list[Any]]:
    return {
        name: [None if np.isnan(row).all() else [float(x) for x in row] for row in array]
        for name, array in sample.streams.items()
    }


def _body(rows: dict[str, list[Any]], name: str) -> dict[str, Any]:
    return {"samples": [{"id": name, "streams": rows}], "columns": "by-place"}


def _plain_body(rows: dict[str, list[Any]], name: str) -> dict[str, Any]:
    del name
    # The plain handler knows no gaps.
    return {"samples": [{key: [row or [0.0] * _width(some) for row in some] for key, some in rows.items()}]}


def _width(rows: Sequence[list[float] | None]) -> int:
    return next((len(row) for row in rows if row is not None), 1)


def _command(run: Path) -> list[str]:
    return [sys.executable, "-m", "limssr", "serve", str(run), "--max-waiting", str(2 * MAX_CLIENTS)]


def _loop(found: Loaded, samples: Sequence[Sample], requests: int) -> Level:
    times = []
    begun = time.perf_counter()
    for number in range(requests):
        start = time.perf_counter()
        found.score([samples[number % len(samples)]])
        times.append(time.perf_counter() - start)
    return _summed("loop", 1, times, time.perf_counter() - begun, 0)


def _level(way: str, port: int, path: str, contents: Sequence[bytes], *, clients: int, requests: int) -> Level:
    begun = time.perf_counter()
    times, failed = _ask(port, path, contents, clients=clients, requests=requests)
    return _summed(way, clients, times, time.perf_counter() - begun, failed)


def _summed(way: str, clients: int, times: Sequence[float], seconds: float, failed: int) -> Level:
    p50, p95, p99 = (float(value) for value in 1000 * np.percentile(times or [np.nan], (50, 95, 99)))
    return Level(way=way, clients=clients, a_second=len(times) / seconds, p50=p50, p95=p95, p99=p99, failed=failed)


def _ask(port: int, path: str, contents: Sequence[bytes], *, clients: int, requests: int) -> tuple[list[float], int]:
    """Seconds of each request that was answered, and the number of others; a connection a client."""
    times: list[float] = []
    failed: list[int] = []
    left = iter(range(requests))
    lock = threading.Lock()

    def one() -> None:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
            while True:
                with lock:
                    number = next(left, None)
                if number is None:
                    return
                start = time.perf_counter()
                connection.request("POST", path, contents[number % len(contents)], JSON)
                answer = connection.getresponse()
                answer.read()
                (times if answer.status == 200 else failed).append(
                    time.perf_counter() - start if answer.status == 200 else answer.status  # type: ignore[arg-type]
                )

    threads = [threading.Thread(target=one) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times, len(failed)


@contextlib.contextmanager
def _server(words: Sequence[str], *, positional_port: bool) -> Iterator[tuple[int, subprocess.Popen]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    more = [str(port)] if positional_port else ["--port", str(port)]
    process = subprocess.Popen(
        [*words, *more], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ)
    )
    try:
        until = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > until or process.poll() is not None:
                    raise InputError(f"Expected a server that starts, found none: try {' '.join(words)}.") from None
                time.sleep(0.1)
        yield port, process
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _resident_mib(process: int) -> float:
    """Of a process, in MiB; NaN where the system does not say."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
