"""The results of an evaluation, as JSON for scripts and as tables for the run folder."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from limssr.evaluation.metrics import MIN_SAMPLES, Metric, arithmetic_mean, mean_of
from limssr.evaluation.resampling import fisher_mean_rows
from limssr.evaluation.uncertainty import Uncertainty

METRICS = ("spearman", "pearson", "mse", "mae", "relative_l2")


Streams = tuple[str, ...]


ByMetric = Mapping[str, Metric]


@dataclass(frozen=True)
class DrawnSubset:
    """One subset of the streams on every draw.

    Attributes:
        spearman_R: Mean over the counted criteria; NaN where there is none.
        members_N: Positions in the split of the samples that it is about.
        judged: Names of the metrics that the truth allows. What it does not allow is passed over in averages.
        plain: Plain mean of Spearman over the counted criteria.
    """

    spearman_R: np.ndarray
    members_N: np.ndarray
    judged: tuple[str, ...]
    plain: Metric


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


@dataclass(frozen=True, kw_only=True)
class IncompleteAverage:
    """The mean over the incomplete subsets that read different streams.

    Attributes:
        metrics: Metric name -> mean; NaN where the system lacks a subset that the samples can judge.
        interval: Of its Spearman.
        plain_spearman: The plain mean of the same correlations, which no single one near 1 can carry away.
        coverage: Metric name -> how much of it the system has.
        left_out: Subset that is no question of its own -> the one that reads the same; () where it reads nothing.
        unseen: Streams that the system leaves out, as no training sample had them.
        passed_over: Subset -> why the samples cannot judge it, which the mean is therefore not over.
        num_all: Incomplete subsets that the streams have; more than were scored where a rule chose some.
    """

    metrics: ByMetric
    interval: tuple[float, float]
    plain_spearman: Metric
    coverage: Mapping[str, Coverage]
    left_out: Mapping[Streams, Streams]
    unseen: tuple[str, ...]
    passed_over: Mapping[Streams, str]
    num_all: int

    def why_left_out(self, streams: Streams) -> str:
        """Why a subset of `left_out` is no question of its own."""
        differing = set(streams) ^ set(self.left_out[streams])
        return f"no training sample had {' or '.join(name for name in self.unseen if name in differing)}"


def average_incomplete(
    parts: Mapping[Streams, ByMetric],
    drawn: Mapping[Streams, DrawnSubset],
    uncertainty: Uncertainty,
    *,
    confidence: float,
    left_out: Mapping[Streams, Streams],
    unseen: Sequence[str],
    num_all: int,
) -> IncompleteAverage:
    """Average what a system scores under incomplete subsets.

    Args:
        parts: The K subsets to average -> metric name -> value.
        drawn: Each of them on draws that belong together.
        uncertainty: How intervals are made.
        confidence: Of the interval.
        left_out: Incomplete subsets that are not averaged, see `IncompleteAverage`.
        unseen: Streams that the system leaves out.
        num_all: Incomplete subsets that the streams have.
    """
    metrics, coverage = {}, {}
    for name in METRICS:
        values = {"+".join(streams): found[name] for streams, found in parts.items()}
        asked = ["+".join(streams) for streams in parts if name in drawn[streams].judged]
        metrics[name], coverage[name] = _mean(name, values, asked)
    if not parts:
        reason = "one stream has no incomplete subset"
        if left_out:
            reason = f"no incomplete subset differs from all streams: no training sample had {' or '.join(unseen)}"
        metrics = {name: Metric(math.nan, reason) for name in METRICS}
    plain = {"+".join(streams): drawn[streams].plain for streams in parts}
    asked = [streams for streams in parts if "spearman" in drawn[streams].judged]
    interval = (math.nan, math.nan)
    if metrics["spearman"].is_defined:
        # Draws of different subsets belong together draw by draw, as all come from the same draw of the split.
        draws_R = fisher_mean_rows(np.stack([drawn[streams].spearman_R for streams in asked], axis=1))
        members_N = np.unique(np.concatenate([drawn[streams].members_N for streams in asked]))
        interval = uncertainty.interval(
            metrics["spearman"].value,
            draws_R,
            num_units=uncertainty.num_units(members_N),
            confidence=confidence,
            scale="fisher",
        )
    return IncompleteAverage(
        metrics=metrics,
        interval=interval,
        plain_spearman=arithmetic_mean(plain) if metrics["spearman"].is_defined else metrics["spearman"],
        coverage=coverage,
        left_out=dict(left_out),
        unseen=tuple(unseen),
        passed_over={
            streams: found["spearman"].reason or "cannot be judged"
            for streams, found in parts.items()
            if streams not in asked
        },
        num_all=num_all,
    )


def _mean(name: str, values: ByMetric, asked: Sequence[str]) -> tuple[Metric, Coverage]:
    """The mean and its coverage: a subset that is asked and has no number makes it n/a."""
    mean = mean_of(name)(values)
    gaps = [f"{label}: {values[label].reason}" for label in asked if not values[label].is_defined]
    num_partial = len(asked) - len(gaps)
    if not gaps or not mean.is_defined:
        return mean, Coverage(math.nan, num_partial, len(asked))
    return Metric(math.nan, "; ".join(gaps)), Coverage(mean.value, num_partial, len(asked))


@dataclass(frozen=True, kw_only=True)
class SubsetResult:
    """How well the scores are predicted from one subset of streams.

    Attributes:
        streams: The subset, in modality order.
        num_samples: Samples that own all of them.
        metrics: Metric name -> mean over the criteria (Fisher's z for the two correlations, arithmetic for the errors).
        spearman_ci: Interval of the mean Spearman; NaN where there is none.
        per_criterion: Criterion name -> metric name -> value. One that does not count in the mean has a number, and the
            reason why it does not count.
        num_judged: Criterion name -> samples that were judged on it.
        plain_spearman: The plain mean of the correlations that `metrics` has Fisher's mean of.
        num_cut: Criterion name -> predictions at an end of its scale, where scores are cut off.
    """

    streams: tuple[str, ...]
    num_samples: int
    metrics: Mapping[str, Metric]
    spearman_ci: tuple[float, float]
    per_criterion: Mapping[str, Mapping[str, Metric]]
    num_judged: Mapping[str, int]
    plain_spearman: Metric
    num_cut: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The subset as JSON values: NaN is null and explained under "reasons"."""
        reasons = {name: metric.reason for name, metric in self.metrics.items() if metric.reason}
        return {
            "streams": list(self.streams),
            "num_samples": self.num_samples,
            **{name: _json_number(metric.value) for name, metric in self.metrics.items()},
            "spearman_ci": [_json_number(bound) for bound in self.spearman_ci],
            "spearman_plain": _json_number(self.plain_spearman.value),
            "per_criterion": {
                name: {
                    **_json_metrics(values),
                    "num_judged": self.num_judged[name],
                    "num_cut": self.num_cut.get(name, 0),
                }
                for name, values in self.per_criterion.items()
            },
            **({"reasons": reasons} if reasons else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One system on one split, under subsets of the streams.

    Attributes:
        subsets: Those of `limssr.data.missing.chosen_subsets`; the full one is last.
        average: The mean over the incomplete subsets.
        full: Metric name -> value with all streams.
        predictions: Columns id, streams ("timing+dynamics"), criterion, score, prediction, group.
        criteria: Names of the C criteria.
        split: Which samples were scored; None: not of a split.
        selection: How the scored epoch was chosen (`train.selection`); None: not chosen.
        availability: How the data was made incomplete; None: taken as it is.
        min_samples: Judged samples that a criterion needed to count.
        uncertainty: How intervals were made.
        scales: Criterion name -> its lowest and highest score.
        learned_from: Whether the model learned from these samples, so that the numbers flatter it.
    """

    subsets: tuple[SubsetResult, ...]
    average: IncompleteAverage
    full: Mapping[str, Metric]
    predictions: pa.Table
    criteria: tuple[str, ...]
    split: str | None = None
    selection: str | None = None
    availability: Mapping[str, Any] | None = None
    min_samples: int = MIN_SAMPLES
    uncertainty: Uncertainty = field(default_factory=lambda: Uncertainty(0))
    scales: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    learned_from: bool = False

    def __repr__(self) -> str:
        # One line: in a notebook the tables behind it would fill the page.
        split = "" if self.split is None else f" of split {self.split}"
        full, average = (found["spearman"].value for found in (self.full, self.average_incomplete))
        return (
            f"Evaluation{split} under {len(self.subsets)} subsets of the streams (Spearman: {full:.3f} with all, "
            f"{average:.3f} as mean of the incomplete; .subsets, .predictions and .to_dict() have the rest)"
        )

    @property
    def average_incomplete(self) -> Mapping[str, Metric]:
        """Metric name -> mean over the incomplete subsets; NaN where a judged one has no number."""
        return self.average.metrics

    @property
    def average_ci(self) -> tuple[float, float]:
        """Interval of its Spearman."""
        return self.average.interval

    def to_dict(self) -> dict[str, Any]:
        """The document of `limssr evaluate --json`."""
        return {
            "split": self.split,
            "selection": self.selection,
            "learned_from": self.learned_from,
            "availability": None if self.availability is None else dict(self.availability),
            "criteria": list(self.criteria),
            "scales": {name: [float(end) for end in scale] for name, scale in self.scales.items()},
            "min_samples": self.min_samples,
            "interval": self.uncertainty.kind if self.uncertainty.num_resamples else None,
            "resample": "samples" if self.uncertainty.groups is None else "groups",
            "num_groups": None if self.uncertainty.groups is None else len(set(self.uncertainty.groups)),
            "subsets": [subset.to_dict() for subset in self.subsets],
            "average_incomplete": _json_average(self.average),
            "full": {
                **_json_metrics(self.full),
                "spearman_ci": [_json_number(bound) for bound in self.subsets[-1].spearman_ci],
                "spearman_plain": _json_number(self.subsets[-1].plain_spearman.value),
                "num_samples": self.subsets[-1].num_samples,
            },
        }

    def to_table(self, system: str = "limssr") -> pa.Table:
        """The rows of subsets.parquet: one for each subset and criterion, and one for the mean over criteria."""
        rows = []
        for subset in self.subsets:
            for criterion, metrics in [("mean", subset.metrics), *subset.per_criterion.items()]:
                low, high = subset.spearman_ci if criterion == "mean" else (math.nan, math.nan)
                reasons = [f"{name}: {metric.reason}" for name, metric in metrics.items() if metric.reason]
                rows.append(
                    {
                        "system": system,
                        "streams": "+".join(subset.streams),
                        "num_samples": subset.num_samples,
                        "num_judged": subset.num_judged.get(criterion),
                        "criterion": criterion,
                        **{name: metrics[name].value for name in METRICS},
                        "spearman_low": low,
                        "spearman_high": high,
                        "reason": "; ".join(reasons) or None,
                    }
                )
        return pa.Table.from_pylist(rows, schema=_SUBSET_SCHEMA)

    def to_predictions(self, system: str = "limssr") -> pa.Table:
        """The rows of predictions.parquet: `predictions` with the columns system and split in front."""
        rows = self.predictions.num_rows
        named = self.predictions.add_column(0, "system", pa.array([system] * rows, pa.string()))
        return named.add_column(1, "split", pa.array([self.split] * rows, pa.string()))


_SUBSET_SCHEMA = pa.schema(
    [
        ("system", pa.string()),
        ("streams", pa.string()),
        ("num_samples", pa.int64()),
        ("criterion", pa.string()),
        ("spearman", pa.float64()),
        ("spearman_low", pa.float64()),
        ("spearman_high", pa.float64()),
        ("pearson", pa.float64()),
        ("mse", pa.float64()),
        ("mae", pa.float64()),
        ("relative_l2", pa.float64()),
        ("reason", pa.string()),
        ("num_judged", pa.int64()),
    ]
)


def _json_number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _json_average(average: IncompleteAverage) -> dict[str, Any]:
    """The mean, what there is of it by metric, and the subsets that it leaves out."""
    return {
        **_json_metrics(average.metrics),
        "spearman_ci": [_json_number(bound) for bound in average.interval],
        "spearman_plain": _json_number(average.plain_spearman.value),
        "num_all": average.num_all,
        "partial": {name: _json_number(one.partial) for name, one in average.coverage.items()},
        "num_partial": {name: one.num_partial for name, one in average.coverage.items()},
        "num_subsets": {name: one.num_subsets for name, one in average.coverage.items()},
        "left_out": [
            {"streams": list(streams), "same_as": list(same_as), "reason": average.why_left_out(streams)}
            for streams, same_as in average.left_out.items()
        ],
        "passed_over": [
            {"streams": list(streams), "reason": reason} for streams, reason in average.passed_over.items()
        ],
    }


def _json_metrics(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    reasons = {name: metric.reason for name, metric in metrics.items() if metric.reason}
    document: dict[str, Any] = {name: _json_number(metric.value) for name, metric in metrics.items()}
    return {**document, "reasons": reasons} if reasons else document
