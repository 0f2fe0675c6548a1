"""The numbers of a comparison: every system under every subset of the streams, on the same draws of performances."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from limssr.core.progress import Reporter, SilentReporter
from limssr.data.missing import distinct_subsets
from limssr.evaluation.counting import count_judged, minimum_of, too_few
from limssr.evaluation.metrics import (
    MIN_SAMPLES,
    NO_PREDICTION,
    Metric,
    mae,
    mse,
    pearson,
    relative_l2,
    spearman,
    spearman_limit,
)
from limssr.evaluation.resampling import draw, fisher_mean_rows
from limssr.evaluation.uncertainty import Uncertainty
from limssr.studies.compare.numbers import (
    ALL_METRICS,
    CONFIDENCE,
    CORRELATIONS,
    INCOMPLETE,
    METRICS,
    MetricName,
    Number,
    Scores,
    scale_of,
)
from limssr.studies.compare.predictions import Answers
from limssr.studies.compare.rows import CompareRow


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What E entries (all rows, all seeds) score under one metric, in one subset or in several.

    Attributes:
        criterion: [..., C]; NaN where there is none.
        mean: [...] over the criteria that count.
        plain: [...] likewise, the plain mean.
        drawn: [..., R], `mean` on every draw.
        reasons: [...], why there is none, or "".
        usable: [..., C]: whether a criterion counts, see `Scores.judged_SC`.
    """

    criterion: np.ndarray
    mean: np.ndarray
    plain: np.ndarray
    drawn: np.ndarray
    reasons: np.ndarray
    usable: np.ndarray


def score_rows(
    rows: Sequence[CompareRow],
    uncertainty: Uncertainty,
    *,
    min_samples: int = MIN_SAMPLES,
    metrics: Sequence[MetricName] = METRICS,
    reporter: Reporter | None = None,
) -> Scores:
    """Score every row under every subset.

    Args:
        rows: As read, samples and criteria in the same order in all of them.
        uncertainty: How intervals are made.
        min_samples: Judged samples that a criterion needs to count, see `limssr.evaluation.counting.minimum_of`.
        metrics: Those of `METRICS` are always there.
        reporter: Is told of the progress.
    """
    answers = {row.label: tuple(entry.answers for entry in row.entries) for row in rows}
    return score_answers(
        answers,
        uncertainty,
        min_samples=min_samples,
        metrics=metrics,
        same_as=same_subsets(
            rows[0].first.answers.subsets, [entry.owned_in_training for row in rows for entry in row.entries]
        ),
        reporter=reporter,
    )


def score_answers(
    answers: Mapping[str, Sequence[Answers]],
    uncertainty: Uncertainty,
    *,
    min_samples: int = MIN_SAMPLES,
    metrics: Sequence[MetricName] = METRICS,
    same_as: Mapping[str, str] | None = None,
    reporter: Reporter | None = None,
) -> Scores:
    """Like `score_rows`, of answers: label -> those of each seed."""
    every = [one for of_label in answers.values() for one in of_label]
    first, reporter, what = every[0], reporter or SilentReporter(), "subsets"
    asked: tuple[MetricName, ...] = tuple(name for name in ALL_METRICS if name in METRICS or name in metrics)
    num_judged_SC = np.stack([count_judged(first.truth_NC[owned_N]) for owned_N in first.owned_SN])
    minimum = minimum_of(num_judged_SC, min_samples)
    reporter.start(what, len(first.subsets))
    each: list[dict[MetricName, _Found]] = []
    for s in range(len(first.subsets)):
        each.append(_score_subset(every, s, (uncertainty, minimum), asked))
        reporter.advance(what)
    reporter.finish()
    same_as = same_as or {}
    answered_S = np.array([any(one.predicts(s) for one in every) for s in range(len(first.subsets))])
    unanswered = tuple(
        name
        for name, answered, one in zip(first.subsets, answered_S, each, strict=True)
        if not answered and one["mse"].usable.any() and name not in same_as
    )
    counted_S = answered_S & [name not in same_as for name in first.subsets]
    numbers: dict[tuple[str, str, MetricName], Number] = {}
    by_criterion: dict[tuple[str, MetricName], np.ndarray] = {}
    judged_SC = np.zeros(num_judged_SC.shape, dtype=bool)
    for metric in asked:
        found = _stacked([one[metric] for one in each])
        found = replace(found, usable=found.usable & counted_S[:, None])
        judged_SC = found.usable if metric == "spearman" else judged_SC
        end = 0
        for label, of_label in answers.items():
            start, end = end, end + len(of_label)
            by_criterion[label, metric] = found.criterion[:, start:end].mean(axis=1)
            for part, number in _row_numbers(first, found, slice(start, end), metric, uncertainty).items():
                numbers[label, part, metric] = number
    return Scores(
        subsets=first.subsets,
        criteria=first.criteria,
        num_samples={name: int(owned_N.sum()) for name, owned_N in zip(first.subsets, first.owned_SN, strict=True)},
        num_judged_SC=num_judged_SC,
        minimum=minimum,
        metrics=asked,
        numbers=numbers,
        by_criterion=by_criterion,
        judged_SC=judged_SC,
        unanswered=unanswered,
        same_as=same_as,
        uncertainty=uncertainty,
    )


def same_subsets(subsets: Sequence[str], owned: Sequence[frozenset[str] | None]) -> dict[str, str]:
    """See `Scores.same_as`; a stream that a single run has learned from is read.

    Args:
        subsets: Their names, that of all streams last.
        owned: Of each run the streams that some training sample owned; None: it does not say.
    """
    if None in owned:
        return {}
    learned = set().union(*(streams for streams in owned if streams is not None))
    distinct = distinct_subsets([tuple(name.split("+")) for name in subsets], set(subsets[-1].split("+")) - learned)
    return {"+".join(streams): "+".join(same) for streams, same in distinct.same_as.items()}


def _measures(metric: MetricName, truth_N: np.ndarray, predicted_N: np.ndarray, span: float) -> Metric:
    if metric == "relative_l2":
        return relative_l2(truth_N, predicted_N, span=span)
    return {"spearman": spearman, "pearson": pearson, "mse": mse, "mae": mae}[metric](truth_N, predicted_N)


def _score_subset(
    answers: Sequence[Answers], s: int, how: tuple[Uncertainty, int], metrics: Sequence[MetricName]
) -> dict[MetricName, _Found]:
    """All entries in one subset; `how` is how intervals are made, and the minimum of judged samples."""
    first, (uncertainty, minimum) = answers[0], how
    members = np.flatnonzero(first.owned_SN[s])
    values: dict[MetricName, list[list[Metric]]] = {metric: [] for metric in metrics}
    drawn: dict[MetricName, list[np.ndarray]] = {metric: [] for metric in metrics}
    limits, usable = [], {metric: list[bool]() for metric in metrics}
    few: list[str] = []
    needed = ["mse" if metric == "relative_l2" else metric for metric in metrics]
    for c in range(len(first.criteria)):
        truth_N = first.truth_NC[members, c]
        span = _span(first.truth_NC[:, c])
        predicted_EN = np.stack([one.predicted_SNC[s, members, c] for one in answers])
        found = draw(truth_N, predicted_EN, uncertainty.plan, members_N=members, metrics=list(dict.fromkeys(needed)))
        limits.append(spearman_limit(found.number_R))
        few.append(too_few(int((~np.isnan(truth_N)).sum()), minimum))
        for metric, name in zip(metrics, needed, strict=True):
            drawn_ER = found.by_metric[name]
            scale = 100.0 / span**2 if metric == "relative_l2" and span > 0 else 1.0
            drawn[metric].append(scale * drawn_ER)
            values[metric].append([_measures(metric, truth_N, predicted_N, span) for predicted_N in predicted_EN])
            usable[metric].append(_measures(metric, truth_N, truth_N, span).is_defined and not few[-1])
    found_by_metric: dict[MetricName, _Found] = {}
    for metric in metrics:
        usable_C = np.array(usable[metric])
        reasons = [
            _why_none([of_criterion[e] for of_criterion in values[metric]], usable_C, few, (one, s))
            for e, one in enumerate(answers)
        ]
        found_by_metric[metric] = _over_criteria(
            values[metric], (np.stack(drawn[metric]), np.stack(limits)), usable_C, reasons, metric
        )
    return found_by_metric


def _over_criteria(
    values: Sequence[Sequence[Metric]],
    drawn: tuple[np.ndarray, np.ndarray],
    usable_C: np.ndarray,
    reasons: Sequence[str],
    metric: MetricName,
) -> _Found:
    """Means over the criteria that count; an entry that lacks one of these has no mean.

    Args:
        values: Of each criterion and entry.
        drawn: [C, E, R] values on every draw, and [C, R] where their correlations are cut.
        usable_C: Which criteria count.
        reasons: Of each entry, why it has no mean, or "".
        metric: Which.
    """
    drawn_CER, limit_CR = drawn
    criterion_EC = np.array([[one.value for one in of_criterion] for of_criterion in values]).T
    limit_C = np.array([spearman_limit(of_criterion[0].num_samples or 0) for of_criterion in values])
    num_entries, num_draws = drawn_CER.shape[1:]
    mean_E, plain_E, drawn_ER = (
        np.full(shape, np.nan) for shape in (num_entries, num_entries, (num_entries, num_draws))
    )
    for e, reason in enumerate(reasons):
        if not reason:
            chosen_C = criterion_EC[e, usable_C]
            mean_E[e] = _mean(chosen_C[None], metric, limit_C[None, usable_C])[0]
            plain_E[e] = chosen_C.mean()
            drawn_ER[e] = _mean(drawn_CER[usable_C, e].T, metric, limit_CR[usable_C].T)
    return _Found(
        criterion=criterion_EC,
        mean=mean_E,
        plain=plain_E,
        drawn=drawn_ER,
        reasons=np.array(reasons, dtype=object),
        usable=usable_C,
    )


def _why_none(metrics: Sequence[Metric], usable_C: np.ndarray, few: Sequence[str], whose: tuple[Answers, int]) -> str:
    if not usable_C.any():
        too_few_but_there = (reason for metric, reason in zip(metrics, few, strict=True) if metric.is_defined)
        return next((reason for reason in too_few_but_there if reason), str(metrics[0].reason))
    lacking = [c for c, one in enumerate(metrics) if usable_C[c] and not one.is_defined]
    if not lacking:
        return ""
    answers, s = whose
    reason = str(metrics[lacking[0]].reason)
    if reason == NO_PREDICTION:
        reason = answers.reasons_S[s] or NO_PREDICTION
    if len(lacking) == usable_C.sum():
        return reason
    more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    return f"{reason} for {answers.criteria[lacking[0]]}{more}"


def _stacked(each: Sequence[_Found]) -> _Found:
    return _Found(
        criterion=np.stack([one.criterion for one in each]),
        mean=np.stack([one.mean for one in each]),
        plain=np.stack([one.plain for one in each]),
        drawn=np.stack([one.drawn for one in each]),
        reasons=np.stack([one.reasons for one in each]),
        usable=np.stack([one.usable for one in each]),
    )


def _mean(values_RK: np.ndarray, metric: MetricName, limit_RK: np.ndarray | None = None) -> np.ndarray:
    """[R, K] -> [R]: Fisher's mean of correlations, the plain mean of errors."""
    return fisher_mean_rows(values_RK, limit_RK) if metric in CORRELATIONS else values_RK.mean(axis=1)


def _row_numbers(
    first: Answers, found: _Found, seeds: slice, metric: MetricName, uncertainty: Uncertainty
) -> dict[str, Number]:
    """Every part of one row; `found` holds [S, E]."""
    names = first.subsets
    mean_SE, plain_SE = found.mean[:, seeds], found.plain[:, seeds]
    drawn_SER, reasons_SE = found.drawn[:, seeds], found.reasons[:, seeds]
    judged_N = ~np.isnan(first.truth_NC).all(axis=1)

    def number(
        mean_E: np.ndarray, plain_E: np.ndarray, drawn_ER: np.ndarray, reasons: Sequence[str], of: list[int]
    ) -> Number:
        units = uncertainty.num_units(np.flatnonzero(first.owned_SN[of].any(axis=0) & judged_N))
        return _number((mean_E, plain_E, drawn_ER), reasons, metric, uncertainty, units)

    numbers = {
        name: number(mean_SE[s], plain_SE[s], drawn_SER[s], [reason for reason in reasons_SE[s] if reason], [s])
        for s, name in enumerate(names)
    }
    judged = [s for s in range(len(names) - 1) if found.usable[s].any()]
    if not judged:
        return numbers
    gaps = [f"{names[s]}: {reason}" for s in judged for reason in dict.fromkeys(reasons_SE[s]) if reason]
    average_E = _mean(mean_SE[judged].T, metric) if not gaps else np.full(mean_SE.shape[1], np.nan)
    drawn_ER = np.stack([_mean(drawn_SER[judged, e].T, metric) for e in range(mean_SE.shape[1])])
    there = [s for s in judged if not any(reasons_SE[s])]
    partial = float(np.mean(_mean(mean_SE[there].T, metric))) if gaps and there else math.nan
    average = number(average_E, plain_SE[judged].mean(axis=0), drawn_ER, gaps, judged)
    numbers[INCOMPLETE] = replace(average, partial=partial, num_partial=len(there), num_subsets=len(judged))
    return numbers


def _number(
    found: tuple[np.ndarray, np.ndarray, np.ndarray],
    reasons: Sequence[str],
    metric: MetricName,
    uncertainty: Uncertainty,
    num_units: int,
) -> Number:
    """Of one part: means, plain means and draws of all seeds."""
    mean_E, plain_E, drawn_ER = found
    reason = "; ".join(dict.fromkeys(reasons))
    drawn_R, value = (drawn_ER.mean(axis=0), float(mean_E.mean())) if not reason else (_none_like(drawn_ER), math.nan)
    low, high = uncertainty.interval(value, drawn_R, num_units=num_units, confidence=CONFIDENCE, scale=scale_of(metric))
    return Number(
        value=value,
        sd=float(mean_E.std(ddof=1)) if len(mean_E) > 1 and not reason else math.nan,
        low=low,
        high=high,
        num_seeds=len(mean_E) if not reason else 0,
        reason=reason,
        partial=math.nan,
        num_partial=0,
        num_subsets=1,
        plain=float(plain_E.mean()) if not reason else math.nan,
        by_seed=tuple(float(one) for one in mean_E) if not reason else (),
        num_units=num_units,
        drawn_R=drawn_R,
    )


def _none_like(drawn_ER: np.ndarray) -> np.ndarray:
    return np.full(drawn_ER.shape[1], np.nan)


def _span(truth_N: np.ndarray) -> float:
    judged = truth_N[~np.isnan(truth_N)]
    return float(np.ptp(judged)) if len(judged) else 0.0
