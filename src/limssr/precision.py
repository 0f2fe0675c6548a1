"""Reduced precision where a device is really faster with it: measured once a process, refused elsewhere."""

import contextlib
import functools
import time
from collections.abc import Iterator

import torch

from limssr.errors import InputError

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


def check_precision(precision: str, device: torch.device) -> str:
    """Refuse reduced precision where the device would only emulate it.

    Args:
        precision: "float32", "tf32", "bf16" / "bfloat16" or "fp16" / "float16".
        device: Where the run computes.

    Returns:
        Why it is fine.

    Raises:
        InputError: It is no faster there than float32; the message says what was measured.
    """
    if precision == "float32":
        return "float32 works everywhere"
    if precision != TF32 and precision not in DTYPES:
        raise InputError(f"Expected precision float32, tf32, bf16 or fp16, found {precision!r}: give one of them.")
    if precision == TF32 and device.type != "cuda":
        raise InputError(
            f"TF32 is a way of NVIDIA GPUs from Ampere on to multiply float32, found device {device.type}, which has "
            "no such thing: use float32."
        )
    gain = measured_gain(precision, device)
    if gain < LEAST_GAIN:
        raise InputError(
            f"Expected {precision} to be faster than float32 on device {device}, found a product of two matrices to "
            f"take {1 / gain:.3g} times as long: it has no instructions for it, and would emulate it. Use float32."
        )
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
    elif pair.device.type == "mps":
        float(product[0, 0])
    return max(time.perf_counter() - started, 1e-9)
