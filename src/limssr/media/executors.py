"""Run jobs one after another, on several processes or on a Ray cluster; the results are the same bytes."""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from limssr.core.cluster import Cluster, LostTask
from limssr.core.errors import InputError, MissingExtraError
from limssr.media.work import Job, encode_file


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


def run_jobs(jobs: Sequence[Job], *, processes: int, cluster: Cluster | None = None) -> Iterator[Outcome]:
    """Do all jobs and yield each outcome as it comes, in any order.

    Args:
        jobs: Files that are read.
        processes: How many at a time on this machine.
        cluster: Does them in place of this machine; it sees the same folders.

    Raises:
        InputError: A number of processes below one, or no such cluster.
        LimssrError: Something that concerns all jobs: a full disk, a missing package.
    """
    if processes < 1:
        raise InputError(f"Expected at least one process, found {processes}: give --processes 1 or more.")
    if cluster is not None:
        yield from _on_ray(jobs, cluster)
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
            yield Outcome(index=index, reason=_died(job))


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


def _on_ray(jobs: Sequence[Job], cluster: Cluster) -> Iterator[Outcome]:
    with cluster:
        for index, found in cluster.run(_do_numbered, list(enumerate(jobs))):
            if isinstance(found, LostTask):
                yield Outcome(index=index, reason=_died(jobs[index]))
            else:
                yield found


def _do_numbered(numbered: tuple[int, Job]) -> Outcome:
    return _do(*numbered)


def _died(job: Job) -> str:
    return f"{job.path}: the process that read it died (out of memory, or a fault of the decoder)"
