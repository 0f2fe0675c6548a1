"""The paper's Tables 1, 2, 9 and 11 to 13, with our rows below the published ones."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from limssr.evaluation.metrics import Metric, arithmetic_mean, fisher_mean
from limssr.studies.paper.benchmarks import Benchmark
from limssr.studies.paper.numbers import (
    AVERAGE,
    FULL,
    INCOMPLETE,
    LIMSSR,
    STREAM_OF_LETTER,
    SUBSETS,
    PublishedScore,
    published_scores,
)
from limssr.studies.paper.seed_table import (
    SeedCell,
    SeedGroup,
    SeedRow,
    SeedTable,
    difference_row,
    over_seeds,
    published_cell,
)

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

    def cell(self, system: str, target: str, subset: str, metric: str) -> SeedCell:
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


COLUMN_WORDS = {INCOMPLETE: "average"}


LETTERS = "v, f and a are the streams video, flow and audio. average: of the six incomplete subsets."


MEANS = "Means over targets and subsets: Fisher's z for Spearman, arithmetic for MSE."


def paper_tables(benchmark: Benchmark, scores: Scores, systems: Sequence[str]) -> tuple[SeedTable, ...]:
    """Every table of the paper that this data set stands in.

    Args:
        benchmark: The data set.
        scores: Ours.
        systems: Names of our rows.
    """
    return (
        _incomplete(benchmark, scores, systems),
        _complete(benchmark, scores, systems),
        _error_bars(benchmark, scores, systems),
        _by_class(benchmark, scores, systems),
    )


def _incomplete(benchmark: Benchmark, scores: Scores, systems: Sequence[str]) -> SeedTable:
    published = published_scores(1, benchmark.name)
    label = f"mean over {len(benchmark.targets)} targets"
    group = _group(label, published, systems, _by_subset(scores, AVERAGE))
    title = f"Table 1: {benchmark.name} under every subset of streams"
    return SeedTable(key="table1", title=title, columns=_subset_columns(), groups=(group,), hint=f"{LETTERS} {MEANS}")


def _complete(benchmark: Benchmark, scores: Scores, systems: Sequence[str]) -> SeedTable:
    columns = (*benchmark.targets, AVERAGE)

    def ours(system: str) -> dict[str, dict[str, SeedCell]]:
        return {target: {metric: scores.cell(system, target, FULL, metric) for metric in METRICS} for target in columns}

    group = _group("all streams", published_scores(2, benchmark.name), systems, ours, column=lambda cell: cell.target)
    return SeedTable(
        key="table2", title=f"Table 2: {benchmark.name} with all streams", columns=columns, groups=(group,), hint=MEANS
    )


def _by_class(benchmark: Benchmark, scores: Scores, systems: Sequence[str]) -> SeedTable:
    number = benchmark.by_class
    groups = []
    for target in benchmark.targets:
        published = [cell for cell in published_scores(number, benchmark.name) if cell.target == target]
        groups.append(_group(target, published, systems, _by_subset(scores, target)))
    title = f"Table {number}: {benchmark.name} under every subset of streams, by target"
    return SeedTable(key=f"table{number}", title=title, columns=_subset_columns(), groups=tuple(groups), hint=LETTERS)


def _error_bars(benchmark: Benchmark, scores: Scores, systems: Sequence[str]) -> SeedTable:
    columns = (_column(INCOMPLETE), FULL)
    group = _group(
        f"mean over {len(benchmark.targets)} targets",
        published_scores(9, benchmark.name),
        systems,
        _by_subset(scores, AVERAGE, (INCOMPLETE, FULL)),
    )
    title = f"Table 9: {benchmark.name}, mean and standard deviation over seeds"
    return SeedTable(key="table9", title=title, columns=columns, groups=(group,), hint=f"{LETTERS} {MEANS}")


def _by_subset(
    scores: Scores, target: str, subsets: Sequence[str] = SUBSETS
) -> Callable[[str], dict[str, dict[str, SeedCell]]]:
    def ours(system: str) -> dict[str, dict[str, SeedCell]]:
        return {
            _column(subset): {metric: scores.cell(system, target, subset, metric) for metric in METRICS}
            for subset in subsets
        }

    return ours


def _group(
    label: str,
    published: Sequence[PublishedScore],
    systems: Sequence[str],
    ours: Callable[[str], dict[str, dict[str, SeedCell]]],
    *,
    column: Callable[[PublishedScore], str] | None = None,
) -> SeedGroup:
    """Published rows in the paper's order, then ours, then how far our LIMSSR is from the published one."""
    column = column or (lambda cell: _column(cell.subset))
    by_system: dict[str, dict[str, dict[str, SeedCell]]] = {}
    for cell in published:
        by_system.setdefault(cell.system, {})[column(cell)] = {
            "spearman": published_cell(cell.spearman, cell.spearman_sd, cell.num_seeds),
            "mse": published_cell(cell.mse, cell.mse_sd, cell.num_seeds),
        }
    theirs = {system: SeedRow(system, "published", cells) for system, cells in by_system.items()}
    rows = {system: SeedRow(system, "here", ours(system)) for system in systems}
    last = ()
    if "limssr" in rows and LIMSSR in theirs:
        last = (difference_row("limssr here minus LIMSSR", rows["limssr"], theirs[LIMSSR]),)
    return SeedGroup(label, (*theirs.values(), *rows.values(), *last))


def _subset_columns() -> tuple[str, ...]:
    return tuple(_column(subset) for subset in SUBSETS)


def _column(subset: str) -> str:
    return COLUMN_WORDS.get(subset, subset)
