"""Device, precision, threads and seeds of a run, and a record of them.

Everything here is decided once, before anything is written, and comes with the reason in words.
"""

import contextlib
import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from limssr.core.config import ModelConfig
from limssr.core.errors import InputError
from limssr.core.launched import LAUNCHED
from limssr.core.rng import integer
from limssr.core.team import Team
from limssr.core.version import __version__

if TYPE_CHECKING:
    from accelerate import Accelerator

MPI = ("PMI_", "OMPI_COMM_WORLD_", "MV2_COMM_WORLD_")
"""How variables of MPI's launchers begin, which Accelerate reads too."""
MIXED_PRECISION = {"float32": "no", "tf32": "no", "bf16": "bf16", "fp16": "fp16"}


RECORDED_PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "numpy",
    "scipy",
    "scikit-learn",
    "safetensors",
    "pyarrow",
)


@dataclass(frozen=True)
class DeviceChoice:
    """A device and why it was taken."""

    device: torch.device
    reason: str


def choose_device(requested: str = "auto") -> DeviceChoice:
    """Decide where to compute.

    Args:
        requested: "auto" (the first CUDA device, else the CPU), "cpu", "cuda", "cuda:N", "mps" or "xpu".

    Raises:
        InputError: Another word, or a device that this machine does not have; it is never replaced by another.
    """
    if requested == "auto":
        if torch.cuda.is_available():
            return DeviceChoice(torch.device("cuda", 0), f"auto: {torch.cuda.get_device_name(0)} is there")
        return DeviceChoice(torch.device("cpu"), "auto: there is no CUDA device")
    kind, _, number = requested.partition(":")
    if kind not in ("cpu", "cuda", "mps", "xpu") or (number and not (kind == "cuda" and number.isdecimal())):
        raise InputError(
            f"Expected a device auto, cpu, cuda, cuda:N, mps or xpu, found {requested!r}: give one of them."
        )
    if kind == "cuda":
        return _cuda_device(int(number or 0))
    if kind == "mps" and not torch.backends.mps.is_available():
        raise InputError("Expected a machine with Apple's MPS for device mps, found none: use device cpu or auto.")
    if kind == "xpu" and not (hasattr(torch, "xpu") and torch.xpu.is_available()):
        raise InputError(
            f"Expected an Intel GPU that torch {torch.__version__} can use for device xpu, found none: use device cpu "
            "or auto, or install an XPU build of torch."
        )
    return DeviceChoice(torch.device(kind), "asked for")


def check_model_precision(model: ModelConfig, device: torch.device) -> None:
    """Warn of a backbone dtype that is slower than float32 on the device; other systems are always float32."""
    if model.system == "limssr":
        check_precision(model.backbone.dtype, device)


def cpu_flags() -> frozenset[str]:
    """Instruction set flags of the CPU as the kernel lists them; empty where it does not (not Linux)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    words = [line.partition(":")[2].split() for line in text.splitlines() if line.startswith(("flags", "Features"))]
    return frozenset(words[0]) if words else frozenset()


def check_one_process() -> None:
    """Raise `InputError` if this is one of several processes that a launcher started; only `train` divides its work."""
    if os.environ.get("WORLD_SIZE", "1") not in ("", "0", "1"):
        raise InputError(
            f"Expected one process, found WORLD_SIZE={os.environ['WORLD_SIZE']}: only `limssr train` divides "
            "its work; start everything else without a distributed launcher."
        )


def device_of(requested: str, team: Team) -> DeviceChoice:
    """Where this process of a team computes: with CUDA each process of a machine has a GPU of its own.

    Raises:
        InputError: As `choose_device`, or one device was asked for by its number for all processes.
    """
    if team.size == 1:
        return choose_device(requested)
    if requested in ("auto", "cuda") and torch.cuda.is_available():
        return _cuda_device(team.local)
    if requested not in ("auto", "cpu", "cuda"):
        raise InputError(
            f"Expected device auto, cpu or cuda for several processes, each of which takes its own GPU, found "
            f"{requested!r}: hide GPUs that are not to be used with CUDA_VISIBLE_DEVICES."
        )
    return choose_device(requested)


def make_accelerator(device: torch.device, precision: str = "float32") -> "Accelerator":
    """An Accelerator on exactly this device with exactly this precision.

    Accelerate keeps one state a process, which the first Accelerator fixes. A process that trains twice (references, an
    estimator in a notebook) may change its mind, so a state that does not fit is dropped first. It is told nothing of a
    launcher: what several processes exchange is ours (`limssr.core.team`), as its wrapper would take means over
    processes where a batch has one loss.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    with _environment_of_one(ACCELERATE_TORCH_DEVICE=str(device)):
        accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision=MIXED_PRECISION[precision])
    if accelerator.device.type != device.type:
        raise InputError(
            f"Expected Accelerate to use {device}, found {accelerator.device}: "
            "unset the ACCELERATE_ variables of the environment."
        )
    return accelerator


def seed_of(seed: int, *purpose: str | int) -> int:
    """A seed of 63 bits for one purpose of a run, from SHA-256 of (seed, purpose)."""
    return integer("torch", seed, *purpose) >> (256 - 63)


@contextlib.contextmanager
def seeded(seed: int, *purpose: str | int) -> Iterator[None]:
    """Torch's random numbers inside the block depend on (seed, purpose) alone; outside nothing has changed.

    Dropout and weight initialisation read torch's global generator, so it is forked, never set.
    """
    with contextlib.ExitStack() as forked:
        forked.enter_context(torch.random.fork_rng())
        if hasattr(torch, "xpu") and torch.xpu.is_available():
            forked.enter_context(torch.random.fork_rng(device_type="xpu"))
        torch.manual_seed(seed_of(seed, *purpose))
        yield


def environment(device: torch.device | None = None) -> dict[str, Any]:
    """What a result was computed with; plain JSON values."""
    return {
        "limssr": __version__,
        "git": _git_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in RECORDED_PACKAGES},
        "cpu": _cpu_name(),
        "num_cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "torch_threads": torch.get_num_threads(),
        "device": str(device) if device else "cpu",
        "device_name": torch.cuda.get_device_name(device) if device and device.type == "cuda" else _cpu_name(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def _cuda_device(number: int) -> DeviceChoice:
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if number >= found:
        raise InputError(
            f"Expected CUDA device {number}, found {found} CUDA devices that torch {torch.__version__} can use: "
            "use device cpu or auto, or install a CUDA build of torch."
        )
    return DeviceChoice(torch.device("cuda", number), f"asked for: {torch.cuda.get_device_name(number)}")


@contextlib.contextmanager
def _environment_of_one(**values: str) -> Iterator[None]:
    """These variables are set and those of launchers are not."""
    of_launchers = [name for name in os.environ if name in LAUNCHED or name.startswith(("ACCELERATE_", *MPI))]
    before = {name: os.environ[name] for name in of_launchers}
    for name in of_launchers:
        del os.environ[name]
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            os.environ.pop(name, None)
        os.environ.update(before)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of the checkout that limssr runs from, "-dirty" if it has changes; None if it is installed."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    try:
        result = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


DTYPES = {
    "bf16": torch.bfloat16,
    "bfloat16": torch.bfloat16,
    "fp16": torch.float16,
    "float16": torch.float16,
}


LEAST_GAIN = 1.1
"""Times as fast as float32 that a format has to be at a matrix product; what is emulated is several times slower."""


SIZES = {"cpu": 256}


SIZE_ELSEWHERE = 4096


ROUNDS = 3


TF32 = "tf32"


def check_precision(precision: str, device: torch.device) -> None:
    """Warn where reduced precision is slower than float32, as a device that lacks it has to emulate it.

    Args:
        precision: See `precision_words`.
        device: Where the run computes.

    Raises:
        InputError: No such precision, or none that the device could have.
    """
    words = precision_words(precision, device)
    if precision != "float32" and measured_gain(precision, device) < LEAST_GAIN:
        warnings.warn(f"{precision} on device {device}: {words}; float32 is the better choice here.", stacklevel=3)


def precision_words(precision: str, device: torch.device) -> str:
    """How fast a precision is on a device, measured.

    Args:
        precision: "float32", "tf32", "bf16" / "bfloat16" or "fp16" / "float16".
        device: Where the run computes.

    Raises:
        InputError: No such precision, or none that the device could have.
    """
    if precision == "float32":
        return "float32 works everywhere"
    if precision != TF32 and precision not in DTYPES:
        raise InputError(f"Expected precision float32, tf32, bf16 or fp16, found {precision!r}: give one of them.")
    if precision == TF32 and device.type != "cuda":
        raise InputError(
            f"TF32 needs an NVIDIA GPU (Ampere or newer), found device {device.type}, which has "
            "no such thing: use float32."
        )
    gain = measured_gain(precision, device)
    if gain < LEAST_GAIN:
        return f"a matrix product takes {1 / gain:.3g} times as long as in float32"
    return f"a matrix product is {gain:.3g} times as fast as in float32"


@functools.cache
def measured_gain(precision: str, device: torch.device) -> float:
    """Seconds of a matrix product in float32 over those in `precision`, the fastest of some turns; once a process."""
    size = SIZES.get(device.type, SIZE_ELSEWHERE)
    numbers = torch.rand(2, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    reduced = numbers.to(DTYPES.get(precision, torch.float32))
    taken: dict[str, list[float]] = {"float32": [], precision: []}
    for _ in range(1 + ROUNDS):
        taken["float32"].append(_seconds(numbers))
        with tf32(precision, device):
            taken[precision].append(_seconds(reduced))
    return min(taken["float32"][1:]) / min(taken[precision][1:])


@contextlib.contextmanager
def tf32(precision: str, device: torch.device) -> Iterator[None]:
    """With precision "tf32", matrix products of float32 on a CUDA device use it inside the block; else nothing."""
    if precision != TF32 or device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _seconds(pair: torch.Tensor) -> float:
    if pair.device.type == "cuda":
        torch.cuda.synchronize(pair.device)
    started = time.perf_counter()
    product = pair[0] @ pair[1]
    if pair.device.type == "cuda":
        torch.cuda.synchronize(pair.device)
    elif pair.device.type != "cpu":
        float(product[0, 0])
    return max(time.perf_counter() - started, 1e-9)


@contextlib.contextmanager
def limited_threads(number: int | None) -> Iterator[None]:
    """So many threads of torch inside the block; None: as many as before."""
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
