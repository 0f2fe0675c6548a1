"""Scores requests one batch after the other in one thread, with a bound on how many may wait."""

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from limssr.core.types import Sample
from limssr.evaluation.scorer import MAX_SEGMENTS_AT_ONCE
from limssr.runs.live.scorer import LiveScorer, LiveSession
from limssr.serve.problems import Problem
from limssr.serve.served import Served

MAX_RETRY_S = 60
FIRST_GUESS_S = 0.5
"""What a request is taken to need before one was measured."""
MAX_TOGETHER = 64
"""Jobs of one batch."""
STOPPING = "The server is stopping: send the request to another one, or again in a moment."


@dataclass(frozen=True, eq=False)
class LiveSegments:
    """New segments of one live session."""

    scorer: LiveScorer
    session: LiveSession
    streams: Mapping[str, Any]


@dataclass(eq=False, kw_only=True)
class Job:
    """Something to compute.

    Attributes:
        work: Does it; None for samples to be scored, which may share a batch with those of other jobs.
        served: The run that scores them.
        samples: To score.
        live: New segments of a live session; those of several sessions that wait are read side by side.
        future: Holds what came out.
        arrived: When it was handed over, seconds.
        waited_s: How long it waited for its turn.
    """

    work: Callable[[], Any] | None = None
    served: Served | None = None
    samples: Sequence[Sample] = ()
    live: LiveSegments | None = None
    future: Future = field(default_factory=Future)
    arrived: float = field(default_factory=time.perf_counter)
    waited_s: float = 0.0

    @property
    def kind(self) -> object:
        """What jobs of a batch have in common; None for one that stays alone."""
        return self.live.scorer if self.live is not None else self.served

    @property
    def size(self) -> int:
        """Segments, over all streams."""
        return sum(len(stream) for sample in self.samples for stream in sample.streams.values())


class Engine:
    """One thread that computes, and the requests that wait for it.

    Args:
        max_waiting: Requests that may be under way at the same time.
        wait_s: How long the first of a batch waits for further ones; 0: every request is a batch by itself, so that its
            scores are those of `limssr predict` to the last bit, whatever else is asked.
        threads: Of torch; None: as many as torch takes by itself.
    """

    def __init__(self, *, max_waiting: int, wait_s: float = 0.0, threads: int | None = None) -> None:
        self.max_waiting, self.wait_s = max_waiting, wait_s
        self._threads = threads or torch.get_num_threads()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._held: Job | None = None
        self._lock = threading.Lock()
        self._admitted = 0
        self._mean_s = FIRST_GUESS_S
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="limssr engine", daemon=True)
        self._thread.start()

    @property
    def admitted(self) -> int:
        """Requests under way."""
        return self._admitted

    @property
    def is_stopping(self) -> bool:
        """Whether new requests are refused."""
        return self._stopping

    def stop_admitting(self) -> None:
        """Refuse requests from now on; those under way end."""
        self._stopping = True

    @contextmanager
    def admission(self) -> Iterator[None]:
        """A place for one request, from before its body is read until it is answered.

        Raises:
            Problem: 429 where all places are taken, 503 where the server is stopping.
        """
        with self._lock:
            if self._stopping:
                raise Problem(503, STOPPING, {"Retry-After": "5"})
            if self._admitted >= self.max_waiting:
                after = min(MAX_RETRY_S, max(1, math.ceil(self._mean_s * self._admitted)))
                raise Problem(
                    429,
                    f"Expected at most {self.max_waiting} requests at the same time, found that all these places are "
                    f"taken: try again in {after} s.",
                    {"Retry-After": str(after)},
                )
            self._admitted += 1
        begun = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._admitted -= 1
                self._mean_s += 0.1 * (time.perf_counter() - begun - self._mean_s)

    def submit(self, job: Job) -> Future:
        """Hand something over; its future holds the answer."""
        self._jobs.put(job)
        return job.future

    def close(self) -> None:
        """End the thread after what it is at; whatever still waits is cancelled."""
        self._stopping = True
        self._jobs.put(None)
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        torch.set_num_threads(self._threads)
        while True:
            job = self._held or self._jobs.get()
            self._held = None
            if job is None:
                break
            if not job.future.set_running_or_notify_cancel():
                continue
            batch = [job]
            # Segments of other sessions that wait already come along; samples are waited for where that was asked.
            wait_s = 0.0 if job.live is not None else self.wait_s
            if (job.live is not None or wait_s > 0) and not self._gather(batch, wait_s):
                self._jobs.put(None)
            for one in batch:
                one.waited_s = time.perf_counter() - one.arrived
            _compute(batch)
        with suppress(queue.Empty):
            while True:
                if (left := self._jobs.get_nowait()) is not None:
                    left.future.cancel()

    def _gather(self, batch: list[Job], wait_s: float) -> bool:
        """Add jobs of the same kind that arrive in time; False where the end was asked for meanwhile."""
        until = time.perf_counter() + wait_s
        size = batch[0].size
        while size < MAX_SEGMENTS_AT_ONCE and len(batch) < MAX_TOGETHER:
            try:
                left = until - time.perf_counter()
                job = self._jobs.get(timeout=left) if left > 0 else self._jobs.get_nowait()
            except queue.Empty:
                return True
            if job is None:
                return False
            if job.work is not None or job.kind is not batch[0].kind:
                self._held = job
                return True
            if job.future.set_running_or_notify_cancel():
                batch.append(job)
                size += job.size
        return True


def _compute(batch: Sequence[Job]) -> None:
    """Compute a batch; where it fails as a whole, every job by itself, so that none suffers for another."""
    if len(batch) == 1:
        job = batch[0]
        try:
            job.future.set_result(_alone(job))
        except BaseException as error:  # told to whoever asked; the thread goes on
            job.future.set_exception(error)
        return
    try:
        if batch[0].live is not None:
            lives = [job.live for job in batch if job.live is not None]
            told = lives[0].scorer.add_to([(live.session, live.streams) for live in lives])
            for job, score in zip(batch, told, strict=True):
                job.future.set_result(score)
            return
        scores_NC = _scores(batch[0].served, [sample for job in batch for sample in job.samples])
    except Exception:
        for job in batch:
            _compute([job])
        return
    ends = np.cumsum([len(job.samples) for job in batch])
    for job, part_NC in zip(batch, np.split(scores_NC, ends[:-1]), strict=True):
        job.future.set_result(part_NC)


def _alone(job: Job) -> Any:
    if job.work is not None:
        return job.work()
    if job.live is not None:
        return job.live.scorer.add(job.live.session, job.live.streams)
    return _scores(job.served, job.samples)


def _scores(served: Served | None, samples: Sequence[Sample]) -> np.ndarray:
    """Scores [N, C]; NaN for samples without a stream that the run knows, as in `limssr predict`."""
    assert served is not None
    scores_NC = np.full((len(samples), len(served.found.criteria)), np.nan)
    owning = [index for index, sample in enumerate(samples) if sample.streams]
    if owning:
        scores_NC[owning] = served.found.score([samples[index] for index in owning])
    return scores_NC
