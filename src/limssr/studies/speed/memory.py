"""Peak memory of a side at a work: measured in a process of its own, which does nothing else."""

import dataclasses
import gc
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from limssr.core.errors import LimssrError
from limssr.studies.speed.implementations import Implementation, LiteralImplementation, OurImplementation
from limssr.studies.speed.setup import BenchmarkOptions, build_literal, build_ours, prepare, sizes_of
from limssr.studies.speed.workloads import WorkloadName, Workloads

SideName = Literal["literal", "ours"]
ROUNDS = 2
"""The optimizer makes its state in the first step, so the second is the one with everything in memory."""


@dataclass(frozen=True)
class Peak:
    """Bytes of memory.

    Attributes:
        peak: The most that the process (or, on CUDA, torch on the device) held while working.
        model: What it held before, with the model loaded.
    """

    peak: int
    model: int

    @property
    def work(self) -> int:
        """What the work took on top of the model."""
        return self.peak - self.model


def measure_in_process(options: BenchmarkOptions, side: SideName, work: WorkloadName) -> Peak:
    """Start a process that builds one side, runs one work, and says what it held at most.

    Raises:
        LimssrError: The process failed; its last words are in the message.
    """
    task = {"options": dataclasses.asdict(options), "side": side, "work": work}
    done = subprocess.run(
        [sys.executable, "-m", "limssr.studies.speed.memory"],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LimssrError(f"Measuring the memory of {side} at {work} failed: {done.stderr.strip()[-800:]}")
    return Peak(**json.loads(done.stdout.splitlines()[-1]))


def measure_here(options: BenchmarkOptions, side: SideName, work: WorkloadName) -> Peak:
    """Build one side, run one work and measure: what the process of `measure_in_process` does."""
    if options.threads:
        torch.set_num_threads(options.threads)
    setting = prepare(options)
    ours = build_ours(setting)
    sizes = sizes_of(setting, ours)
    chosen: Implementation = OurImplementation(setting, ours)
    if side == "literal":
        chosen = LiteralImplementation(setting, build_literal(setting, ours))
        ours.to("meta")
    del ours
    setting.backbone.table_VH.untyped_storage().resize_(0)  # both sides have what they need of it
    with Workloads(setting, sizes) as workloads:
        return peak_of(workloads.task(work, chosen), setting.device)


def peak_of(run: Callable[[], object], device: torch.device) -> Peak:
    """What this process (on CUDA: torch on the device) holds at most while something runs `ROUNDS` times."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        for _ in range(ROUNDS):
            run()
        return Peak(torch.cuda.max_memory_allocated(device), before)
    before = _resident()
    _forget_peak()
    for _ in range(ROUNDS):
        run()
    return Peak(max(_peak_resident(), before), before)


def _resident() -> int:
    """Bytes that this process holds now."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return _maxrss()


def _peak_resident() -> int:
    """Bytes that it held at most. The kernel's own mark is preferred: the other one outlives a change of program."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return _maxrss()


def _forget_peak() -> None:
    """Start the kernel's mark anew, where it can be (Linux): loading must not count as work."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _maxrss() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    """Read a task from stdin, measure it, print the result as JSON."""
    task = json.load(sys.stdin)
    options = BenchmarkOptions(**{**task["options"], "settings": tuple(task["options"]["settings"])})
    peak = measure_here(options, task["side"], task["work"])
    sys.stdout.write(json.dumps(dataclasses.asdict(peak)) + "\n")


if __name__ == "__main__":
    main()
