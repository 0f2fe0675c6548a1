"""A number over samples with an interval over groups: every group is left out once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from limssr.core.types import Sample
from limssr.evaluation.resampling import LeftOut
from limssr.evaluation.uncertainty import Uncertainty, units_of

CONFIDENCE = 0.95
"""Of every interval in this room."""
ANY, SIZE, SHARE, COSINE = (-np.inf, np.inf), (0.0, np.inf), (0.0, 1.0), (-1.0, 1.0)
"""Ranges of numbers: of few groups an interval would leave them."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number and how far it reaches.

    Attributes:
        value: NaN where there is none.
        low: Lower end of the interval; NaN with fewer than two groups.
        high: Upper end.
        num_groups: Groups behind it.
    """

    value: float
    low: float
    high: float
    num_groups: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON; what is not a number is null."""
        return {
            "value": finite(self.value),
            "interval": [finite(self.low), finite(self.high)],
            "num_groups": self.num_groups,
        }


def groups_of(samples: Sequence[Sample]) -> np.ndarray:
    """[N] the number of each sample's group; a sample without one is a group of its own."""
    return np.array(units_of([one.group for one in samples], [one.id for one in samples]), dtype=int)


def over_groups(
    statistic: Callable[[np.ndarray], float], group_N: np.ndarray, within: tuple[float, float] = ANY
) -> Estimate:
    """A statistic of N samples, and its jackknife interval over their groups.

    Args:
        statistic: Positions of some of the samples -> the number.
        group_N: The group of each sample.
        within: The values that the number can have; the interval ends there.
    """
    num = len(group_N)
    value = statistic(np.arange(num)) if num else float("nan")
    names, units_N = np.unique(group_N, return_inverse=True)
    if len(names) < 2 or not np.isfinite(value):
        return Estimate(value=value, low=np.nan, high=np.nan, num_groups=len(names))
    uncertainty = Uncertainty(num, groups=tuple(units_N.tolist()))
    blocks_N = LeftOut(num, groups=uncertainty.groups).blocks_N
    drawn = np.array([statistic(np.flatnonzero(blocks_N != block)) for block in np.unique(blocks_N)])
    if not np.isfinite(drawn).all():
        return Estimate(value=value, low=np.nan, high=np.nan, num_groups=len(names))
    low, high = uncertainty.interval(value, drawn, num_units=len(drawn), confidence=CONFIDENCE)
    low, high = (float(np.clip(end, *within)) for end in (low, high))
    return Estimate(value=value, low=low, high=high, num_groups=len(names))


def mean_over_groups(values_N: np.ndarray, group_N: np.ndarray, within: tuple[float, float] = ANY) -> Estimate:
    """The mean of what is known of N numbers, which lie `within` two values."""
    there_N = np.isfinite(values_N)
    values, groups = values_N[there_N], group_N[there_N]
    return over_groups(lambda rows: float(values[rows].mean()) if len(rows) else float("nan"), groups, within)


def finite(value: float) -> float | None:
    """A number for JSON; None where it is none."""
    return float(value) if np.isfinite(value) else None


def mean_known(values: np.ndarray) -> np.ndarray:
    """The mean over the last axis of what is a number; NaN where nothing is."""
    there = np.isfinite(values)
    total, number = np.where(there, values, 0.0).sum(axis=-1), there.sum(axis=-1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)
