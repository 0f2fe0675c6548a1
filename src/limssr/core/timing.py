"""Comparison of two pieces of work by timing them in turns: their ratio and its spread."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

SHORTEST_S = 0.02
"""Work that is quicker than this is repeated within a turn, so that the clock can see it."""


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of some measurements."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarise at least one value."""
        lower, median, upper = np.quantile(np.asarray(values, dtype=float), (0.25, 0.5, 0.75))
        return cls(float(median), float(lower), float(upper))


def take_turns(
    contestants: Mapping[str, Callable[[], object]], *, repeats: int, device: torch.device, warm_up: int = 1
) -> dict[str, list[float]]:
    """Seconds of every contestant in every round.

    All of them run in each round, in the order given (A B A B ...), after a warm-up of all.

    Args:
        contestants: Name -> what to run.
        repeats: Measured rounds.
        device: Waited for before the clock is read.
        warm_up: Rounds before, which are not kept.
    """
    estimate = dict.fromkeys(contestants, math.inf)
    for _ in range(warm_up):
        for name, run in contestants.items():
            estimate[name] = min(estimate[name], _seconds(run, 1, device))
    counts = {name: max(1, math.ceil(SHORTEST_S / max(seconds, 1e-6))) for name, seconds in estimate.items()}
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, run in contestants.items():
            count = counts[name] if math.isfinite(estimate[name]) else 1
            found[name].append(_seconds(run, count, device) / count)
    return found


def ratios(over: Sequence[float], under: Sequence[float]) -> Spread:
    """Median and quartiles of the ratios within rounds."""
    return Spread.of([a / b for a, b in zip(over, under, strict=True)])


def _seconds(run: Callable[[], object], count: int, device: torch.device) -> float:
    _wait(device)
    started = time.perf_counter()
    for _ in range(count):
        run()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
