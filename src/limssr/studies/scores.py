"""The scores of finished runs, brought into the paper's terms: streams as letters, averages as the paper takes them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from limssr.metrics import Metric, arithmetic_mean, fisher_mean
from limssr.published.numbers import AVERAGE, FULL, INCOMPLETE, STREAM_OF_LETTER, SUBSETS
from limssr.studies.tables import Cell, over_seeds

METRICS = ("spearman", "mse")
ByMetric = dict[str, Metric]


def target_scores(document: Mapping[str, Any], target: str) -> dict[str, ByMetric]:
    """Subset as the paper writes it -> metric -> value, of one criterion of a finished evaluation.

    Args:
        document: evaluation.json.
        target: A criterion of it.

    Returns:
        The seven subsets, and their mean over the six incomplete ones.
    """
    by_streams = {frozenset(subset["streams"]): subset["per_criterion"][target] for subset in document["subsets"]}
    found: dict[str, ByMetric] = {}
    for subset in SUBSETS:
        if subset != INCOMPLETE:
            part = by_streams.get(frozenset(STREAM_OF_LETTER[letter] for letter in subset.split("+")))
            found[subset] = {metric: _metric(part, metric) for metric in METRICS}
    incomplete = {subset: values for subset, values in found.items() if subset != FULL}
    return {**found, INCOMPLETE: mean_scores(incomplete)}


def mean_scores(parts: Mapping[str, ByMetric]) -> ByMetric:
    """The paper's mean: Fisher's z for Spearman, arithmetic for MSE; not defined unless every part is.

    A part without a correlation, such as that of a constant prediction, is a failure and not a gap to be passed over.
    """
    means: ByMetric = {}
    for metric in METRICS:
        values = {name: part[metric] for name, part in parts.items()}
        undefined = [name for name, value in values.items() if not value.is_defined]
        mean = fisher_mean if metric == "spearman" else arithmetic_mean
        means[metric] = Metric(math.nan, f"not defined for {', '.join(undefined)}") if undefined else mean(values)
    return means


class Scores:
    """Scores of several systems, targets and seeds.

    Args:
        targets: All targets of the data set, in the paper's order.
        num_seeds: Planned.
    """

    def __init__(self, targets: Sequence[str], num_seeds: int) -> None:
        self.targets = tuple(targets)
        self.num_seeds = num_seeds
        self._found: dict[tuple[str, str, int], dict[str, ByMetric]] = {}

    def add(self, system: str, target: str, seed_number: int, scores: Mapping[str, ByMetric]) -> None:
        """Put in a finished run; `seed_number` counts from 0."""
        self._found[system, target, seed_number] = dict(scores)

    def cell(self, system: str, target: str, subset: str, metric: str) -> Cell:
        """Mean and deviation over the seeds that are finished.

        Args:
            system: As it was added.
            target: A target, or `AVERAGE`: the mean over all targets of the data set, of the seeds that have them all.
            subset: As the paper writes it.
            metric: "spearman" or "mse".
        """
        values = [self._value(system, target, seed, subset) for seed in range(self.num_seeds)]
        return over_seeds([value[metric] for value in values if value is not None])

    def _value(self, system: str, target: str, seed: int, subset: str) -> ByMetric | None:
        if target != AVERAGE:
            scores = self._found.get((system, target, seed))
            return None if scores is None else scores[subset]
        parts = {name: self._value(system, name, seed, subset) for name in self.targets}
        there = {name: part for name, part in parts.items() if part is not None}
        return mean_scores(there) if len(there) == len(self.targets) else None


def _metric(part: Mapping[str, Any] | None, name: str) -> Metric:
    if part is None:
        return Metric(math.nan, "not evaluated")
    value = part.get(name)
    reason = (part.get("reasons") or {}).get(name)
    return Metric(math.nan, reason or "not defined") if value is None else Metric(float(value))
