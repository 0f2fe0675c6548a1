"""The mean over the incomplete subsets of streams: over which of them it is, and when there is none."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from limssr.metrics import Metric, arithmetic_mean, fisher_mean, fisher_mean_rows, percentile_interval

METRICS = ("spearman", "pearson", "mse", "mae", "relative_l2")

Streams = tuple[str, ...]
ByMetric = Mapping[str, Metric]


@dataclass(frozen=True)
class Coverage:
    """How much of a mean a system has.

    Attributes:
        partial: Of a mean without a number: the mean over the subsets that the system has; NaN where it has none, and
            where the mean has a number.
        num_partial: Subsets that the system has.
        num_subsets: Subsets that the samples can judge, which the mean is over.
    """

    partial: float
    num_partial: int
    num_subsets: int


@dataclass(frozen=True)
class IncompleteAverage:
    """The mean over the incomplete subsets that read different streams.

    Attributes:
        metrics: Metric name -> mean; NaN where the system lacks a subset that the samples can judge.
        interval: Bootstrap interval of its Spearman.
        coverage: Metric name -> how much of it the system has.
        left_out: Subset that is no question of its own -> the one that reads the same; () where it reads nothing.
        unseen: Streams that the system leaves out, as no training sample had them.
    """

    metrics: ByMetric
    interval: tuple[float, float]
    coverage: Mapping[str, Coverage]
    left_out: Mapping[Streams, Streams]
    unseen: tuple[str, ...]

    def why_left_out(self, streams: Streams) -> str:
        """Why a subset of `left_out` is no question of its own."""
        differing = set(streams) ^ set(self.left_out[streams])
        return f"no training sample had {' or '.join(name for name in self.unseen if name in differing)}"


def average_incomplete(
    parts: Mapping[Streams, ByMetric],
    judged: Mapping[Streams, Sequence[str]],
    draws: Sequence[np.ndarray],
    *,
    confidence: float,
    left_out: Mapping[Streams, Streams],
    unseen: Sequence[str],
) -> IncompleteAverage:
    """Average what a system scores under incomplete subsets.

    Args:
        parts: The K subsets to average -> metric name -> value.
        judged: Each of them -> names of the metrics that the truth allows there. What it does not allow is passed over.
        draws: K times [R], Spearman on resamples that belong together.
        confidence: Of the interval.
        left_out: Incomplete subsets that are not averaged, see `IncompleteAverage`.
        unseen: Streams that the system leaves out.
    """
    metrics, coverage = {}, {}
    for name in METRICS:
        values = {"+".join(streams): found[name] for streams, found in parts.items()}
        asked = ["+".join(streams) for streams in parts if name in judged[streams]]
        metrics[name], coverage[name] = _mean(name, values, asked)
    if not parts:
        reason = "one stream has no incomplete subset"
        if left_out:
            reason = f"no incomplete subset differs from all streams: no training sample had {' or '.join(unseen)}"
        metrics = {name: Metric(math.nan, reason) for name in METRICS}
    interval = (math.nan, math.nan)
    if metrics["spearman"].is_defined:
        # Draws of different subsets belong together resample by resample, as all come from the same draw of the split.
        interval = percentile_interval(fisher_mean_rows(np.stack(draws, axis=1)), confidence)
    return IncompleteAverage(metrics, interval, coverage, dict(left_out), tuple(unseen))


def _mean(name: str, values: ByMetric, asked: Sequence[str]) -> tuple[Metric, Coverage]:
    """The mean and its coverage: a subset that is asked and has no number makes it n/a."""
    mean = (fisher_mean if name in ("spearman", "pearson") else arithmetic_mean)(values)
    gaps = [f"{label}: {values[label].reason}" for label in asked if not values[label].is_defined]
    num_partial = len(asked) - len(gaps)
    if not gaps or not mean.is_defined:
        return mean, Coverage(math.nan, num_partial, len(asked))
    return Metric(math.nan, "; ".join(gaps)), Coverage(mean.value, num_partial, len(asked))
