"""How long the solved candidates of a search will take, from what small parts of the work take on this machine."""

import time
from collections.abc import Sequence

import numpy as np

from limssr.core.types import Modality
from limssr.runs.auto.folds import REFIT_SHARE, Folds
from limssr.runs.auto.judge import Shown
from limssr.systems.solved.evidence import Evidence, dilations_of
from limssr.systems.solved.kernel_ridge import CHOICE_ROWS, FOLDS_USED, MOST_ROWS, NUM_FOLDS

PROBED_SAMPLES, PROBED_SIZE = 12, 300
TREES_S = 1.2e-5
"""Seconds for a row and a feature of all trees, on a core of a small server."""
SMALLEST_S = 0.02
"""Of a fold, whatever its size."""


def estimated_s(shown: Shown, folds: Folds, modalities: Sequence[Modality], names: Sequence[str]) -> float:
    """Seconds for judging the solved candidates and learning them from all samples; networks are not counted.

    Args:
        shown: What is judged.
        folds: How.
        modalities: The M streams.
        names: Candidates.
    """
    num_fits = sum(len(np.unique(fold_R)) for fold_R in folds.fold_RR) + REFIT_SHARE
    rows = 0.8 * len(shown.rows)
    solving_s = _solving_s(min(rows, MOST_ROWS), len(shown.truth_RC[0]))
    moments_s, num_numbers = _reading_s(shown, modalities, ())
    reading_s = 0.0
    if "convolutions" in names:
        reading_s, _ = _reading_s(shown, modalities, dilations_of(shown.samples))
    trees_s = TREES_S * rows * num_numbers
    costs = {
        "constant": moments_s,
        "ridge": moments_s + solving_s,
        "kernel-ridge": moments_s + solving_s,
        "convolutions": reading_s + solving_s,
        "extra-trees": moments_s + trees_s,
    }
    return float(num_fits * sum(SMALLEST_S + costs[name] for name in names if name in costs))


def _solving_s(rows: float, num_criteria: int) -> float:
    """Of choosing a strength and solving once, from the time of a small eigendecomposition."""
    values = np.random.default_rng(0).normal(size=(PROBED_SIZE, PROBED_SIZE))
    began = time.monotonic()
    np.linalg.eigh(values @ values.T)
    once_s = time.monotonic() - began
    choosing = FOLDS_USED * (min(rows, CHOICE_ROWS) * (1 - 1 / NUM_FOLDS) / PROBED_SIZE) ** 3
    final = 0.1 * (rows / PROBED_SIZE) ** 3
    del num_criteria
    return once_s * (choosing + final)


def _reading_s(shown: Shown, modalities: Sequence[Modality], dilations: Sequence[int]) -> tuple[float, int]:
    """Seconds for reading all samples twice, to measure and to score, and how many numbers come out."""
    evidence = Evidence(modalities, dilations=dilations, seed=0)
    some = shown.samples[:: max(1, len(shown.samples) // PROBED_SAMPLES)][:PROBED_SAMPLES]
    began = time.monotonic()
    evidence.fit(some)
    return (time.monotonic() - began) * len(shown.samples) / len(some), evidence.num_outputs
