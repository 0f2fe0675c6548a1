"""The numbers of a comparison: every system under every subset of the streams, on the same resampled performances."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from limssr.core.progress import Reporter, SilentReporter
from limssr.data.missing import distinct_subsets
from limssr.evaluation.metrics import NO_PREDICTION, Metric, mse, spearman
from limssr.evaluation.paired import draw
from limssr.evaluation.resampling import Resamples, fisher_mean_rows, percentile_interval
from limssr.studies.compare.predictions import Answers
from limssr.studies.compare.rows import CompareRow

MetricName = Literal["spearman", "mse"]
METRICS: tuple[MetricName, ...] = ("spearman", "mse")
MEASURES: Mapping[MetricName, Callable[[np.ndarray, np.ndarray], Metric]] = {"spearman": spearman, "mse": mse}
INCOMPLETE = "average of incomplete"
"""The part that is the mean over the subsets which lack a stream."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Number:
    """One number of a row.

    Attributes:
        value: Mean over the seeds; NaN where there is none.
        sd: Sample standard deviation over the seeds; NaN with one.
        low: Of the interval over resampled performances, seeds averaged within each resample.
        high: Likewise.
        num_seeds: Behind `value`.
        reason: Why there is no number; "" where there is one.
        partial: Of an average without a number: the mean over the subsets that the system has; NaN where it has none.
        num_partial: How many these are.
        num_subsets: How many subsets the average is over; 1 where it is no average.
        drawn_R: The number on every resample.
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
    drawn_R: np.ndarray

    @property
    def is_defined(self) -> bool:
        """Whether there is a number."""
        return not math.isnan(self.value)


@dataclass(frozen=True)
class Scores:
    """All numbers.

    Attributes:
        subsets: The S subsets, that of all streams last.
        criteria: The C criteria.
        num_samples: Subset -> samples that own all its streams.
        numbers: (row's label, part, metric) -> number; a part is a subset or `INCOMPLETE`.
        spearman_by_criterion: Row's label -> Spearman [S, C], mean over the seeds; NaN where there is none.
        judged_SC: Whether the truth of a criterion allows a correlation among the samples of a subset: at least three
            judged ones that are not all the same; and some system has a prediction. What is not judged is left out for
            all systems alike.
        unanswered: Subsets that the data could judge and for which no system has a prediction.
        same_as: Incomplete subset that reads no other streams than another one, as nobody was trained on the rest ->
            that one, "" where it reads nothing; averages and ranks do without it.
        num_resamples: R.
        drawn: What a resample draws, in words.
    """

    subsets: tuple[str, ...]
    criteria: tuple[str, ...]
    num_samples: Mapping[str, int]
    numbers: Mapping[tuple[str, str, MetricName], Number]
    spearman_by_criterion: Mapping[str, np.ndarray]
    judged_SC: np.ndarray
    unanswered: tuple[str, ...]
    same_as: Mapping[str, str]
    num_resamples: int
    drawn: str

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


@dataclass(frozen=True)
class _Found:
    """What E entries (all rows, all seeds) score under one metric, in one subset or in several.

    Attributes:
        criterion: [..., C]; NaN where there is none.
        mean: [...] over the criteria.
        drawn: [..., R], the same on every resample.
        reasons: [...], why there is none, or "".
        usable: [..., C]: whether a perfect prediction would have a number, of the data alone; in several subsets also
            whether anybody has one.
    """

    criterion: np.ndarray
    mean: np.ndarray
    drawn: np.ndarray
    reasons: np.ndarray
    usable: np.ndarray


def score_rows(
    rows: Sequence[CompareRow],
    *,
    num_resamples: int,
    seed: int = 0,
    groups: tuple[int, ...] | None = None,
    reporter: Reporter | None = None,
) -> Scores:
    """Score every row under every subset.

    Args:
        rows: As read, samples and criteria in the same order in all of them.
        num_resamples: Draws of the test performances.
        seed: Of the draws.
        groups: Drawn instead of performances, see `limssr.evaluation.resampling.Resamples`.
        reporter: Is told of the progress.
    """
    answers = [entry.answers for row in rows for entry in row.entries]
    first, reporter = answers[0], reporter or SilentReporter()
    resamples, what = Resamples(len(first.ids), num_resamples, seed, groups), "subsets"
    reporter.start(what, len(first.subsets))
    each: list[dict[MetricName, _Found]] = []
    for s in range(len(first.subsets)):
        each.append(_score_subset(answers, s, resamples))
        reporter.advance(what)
    reporter.finish()
    answered_S = np.array([any(one.predicts(s) for one in answers) for s in range(len(first.subsets))])
    same_as = _same_subsets(rows)
    unanswered = tuple(
        name
        for name, answered, one in zip(first.subsets, answered_S, each, strict=True)
        if not answered and one["mse"].usable.any() and name not in same_as
    )
    found = {metric: _stacked([one[metric] for one in each]) for metric in METRICS}
    counted_S = answered_S & [name not in same_as for name in first.subsets]
    found = {metric: replace(one, usable=one.usable & counted_S[:, None]) for metric, one in found.items()}
    numbers: dict[tuple[str, str, MetricName], Number] = {}
    by_criterion: dict[str, np.ndarray] = {}
    end = 0
    for row in rows:
        start, end = end, end + len(row.entries)
        by_criterion[row.label] = found["spearman"].criterion[:, start:end].mean(axis=1)
        for metric in METRICS:
            for part, number in _row_numbers(row, found[metric], slice(start, end), metric).items():
                numbers[row.label, part, metric] = number
    counts = {name: int(owned_N.sum()) for name, owned_N in zip(first.subsets, first.owned_SN, strict=True)}
    judged_SC = found["spearman"].usable
    drawn = "test performances" if groups is None else "groups of test performances"
    return Scores(
        first.subsets,
        first.criteria,
        counts,
        numbers,
        by_criterion,
        judged_SC,
        unanswered,
        same_as,
        num_resamples,
        drawn,
    )


def _same_subsets(rows: Sequence[CompareRow]) -> dict[str, str]:
    """See `Scores.same_as`; a stream that a single run has learned from is read."""
    names = rows[0].first.answers.subsets
    owned = [entry.owned_in_training for row in rows for entry in row.entries]
    if None in owned:
        return {}
    learned = set().union(*(streams for streams in owned if streams is not None))
    distinct = distinct_subsets([tuple(name.split("+")) for name in names], set(names[-1].split("+")) - learned)
    return {"+".join(streams): "+".join(same) for streams, same in distinct.same_as.items()}


def _score_subset(answers: Sequence[Answers], s: int, resamples: Resamples) -> dict[MetricName, _Found]:
    first = answers[0]
    members = np.flatnonzero(first.owned_SN[s])
    values: dict[MetricName, list[list[Metric]]] = {metric: [] for metric in METRICS}
    drawn: dict[MetricName, list[np.ndarray]] = {metric: [] for metric in METRICS}
    usable: dict[MetricName, list[bool]] = {metric: [] for metric in METRICS}
    for c in range(len(first.criteria)):
        truth_N = first.truth_NC[members, c]
        predicted_EN = np.stack([one.predicted_SNC[s, members, c] for one in answers])
        found = draw(truth_N, predicted_EN, resamples, members_N=members)
        drawn["spearman"].append(found.spearman_ER)
        drawn["mse"].append(found.mse_ER)
        for metric in METRICS:
            measure = MEASURES[metric]
            values[metric].append([measure(truth_N, predicted_N) for predicted_N in predicted_EN])
            usable[metric].append(measure(truth_N, truth_N).is_defined)
    found_by_metric: dict[MetricName, _Found] = {}
    for metric in METRICS:
        usable_C = np.array(usable[metric])
        reasons = [
            _why_none([of_criterion[e] for of_criterion in values[metric]], usable_C, one, s)
            for e, one in enumerate(answers)
        ]
        found_by_metric[metric] = _over_criteria(values[metric], np.stack(drawn[metric]), usable_C, reasons, metric)
    return found_by_metric


def _over_criteria(
    values: Sequence[Sequence[Metric]],
    drawn_CER: np.ndarray,
    usable_C: np.ndarray,
    reasons: Sequence[str],
    metric: MetricName,
) -> _Found:
    """Means over the criteria that the data allows; an entry that lacks one of these has no mean."""
    criterion_EC = np.array([[one.value for one in of_criterion] for of_criterion in values]).T
    num_entries, num_resamples = drawn_CER.shape[1:]
    mean_E, drawn_ER = np.full(num_entries, np.nan), np.full((num_entries, num_resamples), np.nan)
    for e, reason in enumerate(reasons):
        if not reason:
            mean_E[e] = _mean(criterion_EC[e : e + 1, usable_C], metric)[0]
            drawn_ER[e] = _mean(drawn_CER[usable_C, e].T, metric)
    return _Found(criterion_EC, mean_E, drawn_ER, np.array(reasons, dtype=object), usable_C)


def _why_none(metrics: Sequence[Metric], usable_C: np.ndarray, answers: Answers, s: int) -> str:
    if not usable_C.any():
        return str(metrics[0].reason)
    lacking = [c for c, one in enumerate(metrics) if usable_C[c] and not one.is_defined]
    if not lacking:
        return ""
    reason = str(metrics[lacking[0]].reason)
    if reason == NO_PREDICTION:
        reason = answers.reasons_S[s] or NO_PREDICTION
    if len(lacking) == usable_C.sum():
        return reason
    more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    return f"{reason} for {answers.criteria[lacking[0]]}{more}"


def _stacked(each: Sequence[_Found]) -> _Found:
    return _Found(
        np.stack([one.criterion for one in each]),
        np.stack([one.mean for one in each]),
        np.stack([one.drawn for one in each]),
        np.stack([one.reasons for one in each]),
        np.stack([one.usable for one in each]),
    )


def _mean(values_RK: np.ndarray, metric: MetricName) -> np.ndarray:
    """[R, K] -> [R]: Fisher's mean of correlations, the plain mean of errors."""
    return fisher_mean_rows(values_RK) if metric == "spearman" else values_RK.mean(axis=1)


def _row_numbers(row: CompareRow, found: _Found, seeds: slice, metric: MetricName) -> dict[str, Number]:
    """Every part of one row; `found` holds [S, E]."""
    names = row.first.answers.subsets
    mean_SE, drawn_SER, reasons_SE = found.mean[:, seeds], found.drawn[:, seeds], found.reasons[:, seeds]
    numbers = {
        name: _number(mean_SE[s], drawn_SER[s], [reason for reason in reasons_SE[s] if reason])
        for s, name in enumerate(names)
    }
    judged = [s for s in range(len(names) - 1) if found.usable[s].any()]
    if not judged:
        return numbers
    gaps = [f"{names[s]}: {reason}" for s in judged for reason in dict.fromkeys(reasons_SE[s]) if reason]
    average_E = _mean(mean_SE[judged].T, metric) if not gaps else np.full(len(row.entries), np.nan)
    drawn_ER = np.stack([_mean(drawn_SER[judged, e].T, metric) for e in range(len(row.entries))])
    there = [s for s in judged if not any(reasons_SE[s])]
    partial = float(np.mean(_mean(mean_SE[there].T, metric))) if gaps and there else math.nan
    average = _number(average_E, drawn_ER, gaps)
    numbers[INCOMPLETE] = replace(average, partial=partial, num_partial=len(there), num_subsets=len(judged))
    return numbers


def _number(mean_E: np.ndarray, drawn_ER: np.ndarray, reasons: Sequence[str]) -> Number:
    reason = "; ".join(dict.fromkeys(reasons))
    if reason:
        none_R = np.full(drawn_ER.shape[1], np.nan)
        return Number(math.nan, math.nan, math.nan, math.nan, 0, reason, math.nan, 0, 1, none_R)
    drawn_R = drawn_ER.mean(axis=0)
    low, high = percentile_interval(drawn_R, CONFIDENCE)
    sd = float(mean_E.std(ddof=1)) if len(mean_E) > 1 else math.nan
    return Number(float(mean_E.mean()), sd, low, high, len(mean_E), "", math.nan, 0, 1, drawn_R)
