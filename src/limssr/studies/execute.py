"""Executes the runs of a study, one after another, in several processes or on a cluster."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from limssr.core.cluster import Cluster, LostTask
from limssr.core.config import RunConfig
from limssr.core.diagnosis import diagnosis
from limssr.core.errors import InputError, LimssrError
from limssr.core.locks import being_written, check_nobody_writes
from limssr.core.progress import Reporter, SilentReporter
from limssr.report.text import duration
from limssr.runs.folder import write_config
from limssr.runs.train import train_run
from limssr.studies.plan import PlannedRun, RunsFailed, check_runs, check_study, distinct_runs, is_paused
from limssr.studies.processes import Job, run_jobs
from limssr.systems.table import SYSTEMS

FREE_AFTER_S = 30.0


def run_all(
    runs: Sequence[PlannedRun],
    out: Path,
    *,
    processes: int = 1,
    device: str = "auto",
    cluster: Cluster | None = None,
    reporter: Reporter | None = None,
    until: Mapping[str, int] | None = None,
) -> None:
    """Train what is not done, resume what was interrupted, leave alone what is done.

    Runs of equal configurations (apart from their names) are one run, in the folder of the first.

    Args:
        runs: The plan.
        out: The study's folder; each run gets a folder below it.
        processes: More than 1: that many runs at a time, each a process of its own, with the machine's threads (and
            CUDA devices) divided among them.
        device: See `limssr.core.runtime.choose_device`.
        cluster: Trains them in place of this machine, each in a process of its own, with what is declared for it. A run
            whose machine is lost goes on elsewhere, after its last whole epoch.
        reporter: Is told of the progress.
        until: Key -> epochs after which its run pauses, to be resumed or not; None: none does.

    Raises:
        InputError: Something is wrong with a run, or another process works in the folder; found before the first one
            starts.
        RunsFailed: Some runs failed; the others are done.
    """
    check_study(out, processes=processes)
    reporter = reporter or SilentReporter()
    num_runs = len({id(run) for run in distinct_runs(runs).values()})
    with being_written(out, "study"):
        until = until or {}
        waiting = [
            run for run in check_runs(runs, out, device=device) if not is_paused(out / run.key, until.get(run.key))
        ]
        if processes > 1 or cluster is not None:
            _check_other_processes_know(waiting)
        if len(waiting) < num_runs:
            reporter.note(f"{num_runs - len(waiting)} of {num_runs} runs are done already")
        tally = _Tally(waiting, reporter, min(processes, max(1, len(waiting))))
        if cluster is not None:
            _on_cluster(waiting, out, device, cluster=cluster, tally=tally, until=until)
        elif processes == 1:
            _one_by_one(waiting, out, device, tally, until)
        else:
            _side_by_side(waiting, out, device, tally, until)
    if tally.failures:
        raise RunsFailed(tally.failures, num_runs)


def _check_other_processes_know(runs: Sequence[PlannedRun]) -> None:
    here = {run.config.model.system for run in runs} & set(SYSTEMS.of_this_process)
    if here:
        raise InputError(
            f"Expected systems that other processes know too, found {', '.join(sorted(here))}, registered in this one "
            "alone: take one process, or install a package with the entry point limssr.systems (docs/own-system.md)."
        )


class _Tally:
    """Counts what is over, and says so with the time that is left."""

    def __init__(self, waiting: Sequence[PlannedRun], reporter: Reporter, processes: int) -> None:
        self.reporter = reporter
        self.processes = processes
        self.failures: dict[str, LimssrError] = {}
        # A run's share of the whole work; what else makes runs differ shows soon enough.
        self._epochs = {run.key: run.config.train.epochs for run in waiting}
        self._left = dict(self._epochs)
        self._started = time.monotonic()

    def begin(self, key: str) -> None:
        """A run starts."""
        number = list(self._epochs).index(key) + 1
        self.reporter.note(f"run {number} of {len(self._epochs)}: {key}")

    def end(self, key: str, error: LimssrError | None) -> None:
        """A run is over."""
        del self._left[key]
        if error is not None:
            self.failures[key] = error
            self.reporter.warn(f"{key} failed: {error}")
        over = len(self._epochs) - len(self._left)
        self.reporter.note(
            f"{key} {'failed' if error else 'is done'}; {over - len(self.failures)} finished, "
            f"{len(self.failures)} failed, {len(self._left)} to go{self._time_left()}"
        )

    def _time_left(self) -> str:
        if not self._left:
            return ""
        left = sum(self._left.values())
        done = sum(self._epochs.values()) - left
        return f", about {duration((time.monotonic() - self._started) * left / done)} left"


def _one_by_one(waiting: Sequence[PlannedRun], out: Path, device: str, tally: _Tally, until: Mapping[str, int]) -> None:
    for run in waiting:
        tally.begin(run.key)
        tally.end(run.key, _trained(run.config, out / run.key, device, tally.reporter, until.get(run.key)))


def _trained(config: RunConfig, folder: Path, device: str, reporter: Reporter, until: int | None) -> LimssrError | None:
    """Train one run, or go on with it; why it failed, None where it did not."""
    try:
        train_run(config, folder, device=device, resume="auto", reporter=reporter, until=until)
    except LimssrError as failure:
        return failure
    except Exception as failure:  # one run's misfortune, such as a full memory, is not the others'
        return diagnosis(failure) or LimssrError(f"{type(failure).__name__}: {failure}")
    return None


def _on_cluster(
    waiting: Sequence[PlannedRun],
    out: Path,
    device: str,
    *,
    cluster: Cluster,
    tally: _Tally,
    until: Mapping[str, int],
) -> None:
    tasks = [(run.config, out / run.key, until.get(run.key)) for run in waiting]
    for place, found in cluster.run(partial(train_task, device=device), tasks, process="fresh"):
        error = LimssrError(f"its process was lost: {found.reason}") if isinstance(found, LostTask) else None
        if isinstance(found, tuple):
            code, text = found
            error = InputError(text) if code == InputError.exit_code else LimssrError(text)
        tally.end(waiting[place].key, error)


def train_task(run: tuple[RunConfig, Path, int | None], *, device: str) -> tuple[int, str] | None:
    """One run, as a task of a cluster.

    Args:
        run: Its configuration, its folder, and after how many epochs it pauses.
        device: See `limssr.core.runtime.choose_device`.

    Returns:
        Exit code and message of what went wrong; None where nothing did.
    """
    config, folder, until = run
    _wait_until_free(folder)
    error = _trained(config, folder, device, SilentReporter(), until)
    return None if error is None else (error.exit_code, str(error))


def _wait_until_free(folder: Path) -> None:
    """An earlier attempt on a machine that was lost may hold the folder for a moment yet."""
    deadline = time.monotonic() + FREE_AFTER_S
    while time.monotonic() < deadline:
        with contextlib.suppress(InputError):
            check_nobody_writes(folder, "run")
            return
        time.sleep(1.0)


def _side_by_side(
    waiting: Sequence[PlannedRun], out: Path, device: str, tally: _Tally, until: Mapping[str, int]
) -> None:
    planned = {run.key: run for run in waiting}
    jobs = []
    for key in planned:
        words = ["train", str(out / key / "config.yaml"), "--out", str(out / key), "--resume", "--json"]
        words += ["--until", str(until[key])] if key in until else []
        jobs.append(Job(key, tuple(words), out / f"{key}.log"))

    def begin(key: str) -> None:
        if not (out / key / "run.json").exists():  # else it goes on with what is written there, which is the same
            (out / key).mkdir(parents=True, exist_ok=True)
            write_config(out / key, planned[key].config)
        tally.begin(key)

    run_jobs(jobs, processes=tally.processes, device=device, begin=begin, end=tally.end)
