"""Starts a command several times on this machine, as a launcher such as torchrun does: `limssr train --processes N`."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from limssr.core.cores import num_cores, threads_each
from limssr.core.errors import InputError
from limssr.core.signals import WITH_PARENT, end_processes

POLL_S = 0.05
LINGER_S = 5.0
"""How long the others may explain themselves after one has failed; one that waits for it notices and ends by itself."""


def launched(arguments: Sequence[str], number: int) -> int:
    """Run a command in `number` processes that know of one another; they end with this one, however it ends.

    Args:
        arguments: The words after `limssr`.
        number: How many processes.

    Returns:
        The exit code: of the process that failed first, 0 where none did.

    Raises:
        InputError: More processes than this machine has GPUs, where it has any, or cores.
    """
    _check_number(number)
    # Nothing is ever written into the pipe: it closes when this process ends, and they end then too.
    lifeline, held_here = os.pipe()
    port, running = _free_port(), list[subprocess.Popen[bytes]]()
    try:
        for place in range(number):
            running.append(_start(arguments, place, number, port=port, lifeline=lifeline))
        return _waited(running)
    finally:
        end_processes(running)
        os.close(lifeline)
        os.close(held_here)


def _check_number(number: int) -> None:
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there, what = (gpus, "CUDA devices") if gpus else (max(num_cores(), 4), "cores")
    if not 1 <= number <= there:
        raise InputError(f"Expected --processes from 1 to {there}, as there are {there} {what}, found {number}.")


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _start(arguments: Sequence[str], place: int, number: int, *, port: int, lifeline: int) -> "subprocess.Popen[bytes]":
    threads = str(threads_each(number))
    environment = {
        **os.environ,
        "RANK": str(place),
        "LOCAL_RANK": str(place),
        "WORLD_SIZE": str(number),
        "LOCAL_WORLD_SIZE": str(number),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        WITH_PARENT: "1",
    }
    command = [sys.executable, "-P", "-m", "limssr", *arguments]
    return subprocess.Popen(command, stdin=lifeline, env=environment)


def _waited(running: Sequence["subprocess.Popen[bytes]"]) -> int:
    """Wait for all of them; when one has failed, a moment for the others."""
    failed, until = 0, float("inf")
    while any(one.poll() is None for one in running) and time.monotonic() < until:
        codes = [one.returncode for one in running if one.returncode]
        if codes and not failed:
            failed, until = codes[0], time.monotonic() + LINGER_S
        time.sleep(POLL_S)
    failed = failed or next((one.returncode for one in running if one.returncode), 0)
    return 1 if failed < 0 else failed
