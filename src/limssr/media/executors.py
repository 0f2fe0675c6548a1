"""Run jobs one after another, on several processes or on a Ray cluster; the results are the same bytes."""

import importlib
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Literal

from limssr.core.errors import InputError, LimssrError, MissingExtraError
from limssr.media.work import Job, encode_file

Engine = Literal["local", "ray"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a job; its features are in the cache.

    Attributes:
        index: Of the job.
        end_ns: Where the recording ends; 0 after a failure.
        damage: (second, what was wrong there).
        reason: Why it failed; None where it did not.
    """

    index: int
    end_ns: int = 0
    damage: tuple[tuple[float, str], ...] = ()
    reason: str | None = None


def run_jobs(jobs: Sequence[Job], *, processes: int, engine: Engine) -> Iterator[Outcome]:
    """Do all jobs and yield each outcome as it comes, in any order.

    Raises:
        InputError: A number of processes below one, or Ray is not installed.
        LimssrError: Something that concerns all jobs: a full disk, a missing package.
    """
    if processes < 1:
        raise InputError(f"Expected at least one process, found {processes}: give --processes 1 or more.")
    if engine == "ray":
        yield from _on_ray(jobs, processes)
    elif processes == 1 or len(jobs) < 2:
        for index, job in enumerate(jobs):
            yield _do(index, job)
    else:
        yield from _in_processes(jobs, min(processes, len(jobs)))


def _do(index: int, job: Job) -> Outcome:
    try:
        result = encode_file(job)
    except MissingExtraError:
        raise
    except InputError as error:
        return Outcome(index=index, reason=str(error))
    return Outcome(index=index, end_ns=result.end_ns, damage=result.damage)


def _in_processes(jobs: Sequence[Job], processes: int) -> Iterator[Outcome]:
    left = dict(enumerate(jobs))
    try:
        for outcome in _pooled(left, processes):
            del left[outcome.index]
            yield outcome
        return
    except BrokenProcessPool:
        pass
    # A process died, and with it the pool: one by one, so that only the file that kills its process is lost.
    for index, job in left.items():
        try:
            yield from _pooled({index: job}, 1)
        except BrokenProcessPool:
            reason = f"{job.path}: the process that read it died (out of memory, or a fault of the decoder)"
            yield Outcome(index=index, reason=reason)


def _pooled(jobs: dict[int, Job], processes: int) -> Iterator[Outcome]:
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures: set[Future[Outcome]] = {pool.submit(_do, index, job) for index, job in list(jobs.items())}
        try:
            while futures:
                done, futures = wait(futures, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=lambda one: one.exception() is not None):
                    yield future.result()
        finally:
            for future in futures:
                future.cancel()


def _on_ray(jobs: Sequence[Job], processes: int) -> Iterator[Outcome]:
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise MissingExtraError("Expected the package ray for --engine ray, found none: pip install ray") from error
    if not ray.is_initialized():
        ray.init(num_cpus=processes, include_dashboard=False, log_to_driver=False)
    task = ray.remote(num_cpus=1, max_retries=1)(_do)
    references = [task.remote(index, job) for index, job in enumerate(jobs)]
    place = {reference: index for index, reference in enumerate(references)}
    while references:
        ready, references = ray.wait(references, num_returns=1)
        try:
            yield ray.get(ready[0])
        except ray.exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, LimssrError) else None
            raise cause or error from error
        except ray.exceptions.WorkerCrashedError:
            index = place[ready[0]]
            yield Outcome(index=index, reason=f"{jobs[index].path}: the process that read it died")
