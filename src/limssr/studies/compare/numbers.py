"""What a comparison knows in numbers: one number of a row, and all of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from limssr.evaluation.uncertainty import Scale, Uncertainty

MetricName = Literal["spearman", "pearson", "mse", "mae", "relative_l2"]
ALL_METRICS: tuple[MetricName, ...] = ("spearman", "pearson", "mse", "mae", "relative_l2")
METRICS: tuple[MetricName, ...] = ("spearman", "mse")
"""Those of every comparison; more can be asked for."""
CORRELATIONS: tuple[MetricName, ...] = ("spearman", "pearson")
INCOMPLETE = "average of incomplete"
"""The part that is the mean over the subsets which lack a stream."""
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Number:
    """One number of a row.

    Attributes:
        value: Mean over the seeds; NaN where there is none.
        sd: Sample standard deviation over the seeds; NaN with one.
        low: Of the interval over performances, seeds averaged within each draw.
        high: Likewise.
        num_seeds: Behind `value`.
        reason: Why there is no number; "" where there is one.
        partial: Of an average without a number: the mean over the subsets that the system has; NaN where it has none.
        num_partial: How many these are.
        num_subsets: How many subsets the average is over; 1 where it is no average.
        plain: The plain mean of the same correlations, over criteria and subsets; of an error its value.
        by_seed: The number of each seed.
        num_units: Performances, or groups of them, behind it.
        drawn_R: The number on every draw.
    """

    value: float
    sd: float
    low: float
    high: float
    num_seeds: int
    reason: str
    partial: float
    num_partial: int
    num_subsets: int
    plain: float
    by_seed: tuple[float, ...]
    num_units: int
    drawn_R: np.ndarray

    @property
    def is_defined(self) -> bool:
        """Whether there is a number."""
        return not math.isnan(self.value)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """All numbers.

    Attributes:
        subsets: The S subsets, that of all streams last.
        criteria: The C criteria.
        num_samples: Subset -> samples that own all its streams.
        num_judged_SC: Samples of a subset that were judged on a criterion.
        minimum: Judged samples that a criterion needs to count in a mean.
        metrics: Those that numbers are there of.
        numbers: (row's label, part, metric) -> number; a part is a subset or `INCOMPLETE`.
        by_criterion: (row's label, metric) -> values [S, C], mean over the seeds; NaN where there is none.
        judged_SC: Whether Spearman of a criterion counts among the samples of a subset: enough of them are judged and
            not all the same, and some system has a prediction. What does not count is left out for all systems alike.
        unanswered: Subsets that the data could judge and for which no system has a prediction.
        same_as: Incomplete subset that reads no other streams than another one, as nobody was trained on the rest ->
            that one, "" where it reads nothing; averages and ranks do without it.
        uncertainty: How intervals are made.
    """

    subsets: tuple[str, ...]
    criteria: tuple[str, ...]
    num_samples: Mapping[str, int]
    num_judged_SC: np.ndarray
    minimum: int
    metrics: tuple[MetricName, ...]
    numbers: Mapping[tuple[str, str, MetricName], Number]
    by_criterion: Mapping[tuple[str, MetricName], np.ndarray]
    judged_SC: np.ndarray
    unanswered: tuple[str, ...]
    same_as: Mapping[str, str]
    uncertainty: Uncertainty

    @property
    def full(self) -> str:
        """The subset of all streams."""
        return self.subsets[-1]

    @property
    def parts(self) -> tuple[str, ...]:
        """The average over incomplete subsets where there are any, all streams, then the other subsets."""
        incomplete = self.subsets[:-1]
        return ((INCOMPLETE,) if incomplete else ()) + (self.full, *incomplete)

    @property
    def main_parts(self) -> tuple[str, ...]:
        """The average and all streams."""
        return self.parts[: len(self.parts) - len(self.subsets) + 1]

    @property
    def averaged(self) -> tuple[str, ...]:
        """The incomplete subsets that the average is over."""
        return tuple(name for s, name in enumerate(self.subsets[:-1]) if self.judged_SC[s].any())

    @property
    def num_all(self) -> int:
        """Subsets that the streams have; more than `subsets` where a rule chose some."""
        return 2 ** len(self.full.split("+")) - 1


def scale_of(metric: MetricName) -> Scale:
    """On which scale an interval of a metric is made."""
    return "fisher" if metric in CORRELATIONS else "log"
