"""Runs several `limssr` commands at a time, each in a process with its share of the threads."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from limssr.core.cores import threads_each
from limssr.core.errors import InputError, LimssrError
from limssr.core.signals import WITH_PARENT, end_processes

POLL_S = 0.2
TAIL_CHARACTERS = 500


@dataclass(frozen=True)
class Job:
    """One command.

    Attributes:
        key: Its name.
        words: What stands after `limssr`; with --json among them.
        log: Gets what it says while it runs; removed when all went well.
    """

    key: str
    words: tuple[str, ...]
    log: Path


@dataclass(frozen=True)
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    slot: int


def run_jobs(
    jobs: Sequence[Job],
    *,
    processes: int,
    device: str,
    begin: Callable[[str], None],
    end: Callable[[str, LimssrError | None], None],
) -> None:
    """Run commands, `processes` at a time; whatever ends this, SIGKILL included, ends them too.

    Args:
        jobs: In the order in which they start.
        processes: How many at a time.
        device: For all of them; "auto" with several CUDA devices gives each process one in turn.
        begin: Called with a key.
        end: Called with a key and the error, None where all went well.
    """
    waiting, running = list(jobs), list[_Running]()
    devices = shared_devices(device)
    # Nothing is ever written into the pipe: it closes when this process ends, however it ends, and they end then too.
    lifeline, held_here = os.pipe()
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                slot = min(set(range(processes)) - {one.slot for one in running})
                job = waiting.pop(0)
                begin(job.key)
                running.append(_Running(job, _start(job, processes, devices[slot % len(devices)], lifeline), slot))
            for one in [one for one in running if one.process.poll() is not None]:
                running.remove(one)
                end(one.job.key, _error_of(one))
            if running:
                time.sleep(POLL_S)
    finally:
        end_processes([one.process for one in running])
        os.close(lifeline)
        os.close(held_here)
        for one in running:  # interrupted, and nobody's failure
            one.job.log.unlink(missing_ok=True)
            _answer_path(one.job).unlink(missing_ok=True)


def shared_devices(device: str) -> list[str]:
    """The devices that processes take in turn."""
    if device == "auto" and torch.cuda.is_available() and torch.cuda.device_count() > 1:
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return [device]


def _start(job: Job, processes: int, device: str, lifeline: int) -> subprocess.Popen[bytes]:
    threads = str(threads_each(processes))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "PYTHONUNBUFFERED": "1"}
    environment[WITH_PARENT] = "1"
    command = [sys.executable, "-P", "-m", "limssr", *job.words, "--device", device]
    with job.log.open("wb") as log, _answer_path(job).open("wb") as answer:
        return subprocess.Popen(command, stdin=lifeline, stdout=answer, stderr=log, env=environment)


def _answer_path(job: Job) -> Path:
    return job.log.with_name(f"{job.log.name}.json")


def _error_of(one: _Running) -> LimssrError | None:
    """What a command that is over has to say; its log stays only where it failed."""
    answer, code = _answer_path(one.job), one.process.returncode
    if code == 0:
        one.job.log.unlink(missing_ok=True)
        answer.unlink(missing_ok=True)
        return None
    try:
        message = str(json.loads(answer.read_text(encoding="utf-8"))["error"]["message"])
    except (OSError, ValueError, KeyError, TypeError):  # killed, or too broken to explain itself
        told = one.job.log.read_text(encoding="utf-8", errors="replace").strip()[-TAIL_CHARACTERS:]
        ended = f"its process was killed by signal {-code}" if code < 0 else f"its process ended with exit code {code}"
        message = f"{ended}. {told}".strip()
    answer.unlink(missing_ok=True)
    text = f"{message} (its log: {one.job.log})"
    return InputError(text) if code == 2 else LimssrError(text)
