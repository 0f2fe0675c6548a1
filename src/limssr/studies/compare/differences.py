"""Paired differences between systems with Holm's correction, and average ranks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limssr.evaluation.significance import RankTest, holm, indistinct_groups, rank_test
from limssr.studies.compare.numbers import CONFIDENCE, MetricName, Scores
from limssr.studies.compare.rows import CompareRow


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """A row minus the chosen one.

    Attributes:
        value: Of the means over seeds; NaN where one of them has no number.
        low: Of the interval over performances, the same draws for both.
        high: Likewise.
        p_value: Of the same draws.
        adjusted_p: After Holm's correction over all rows of this part and metric.
        reason: Why there is no difference; "" where there is one.
    """

    value: float
    low: float
    high: float
    p_value: float
    adjusted_p: float
    reason: str


@dataclass(frozen=True)
class Ranking:
    """Average ranks over blocks: one block is one criterion under one subset, Spearman averaged over the seeds.

    Attributes:
        labels: Rows that are ranked, as given.
        test: Their ranks and the tests; None where fewer than two rows can be ranked.
        groups: Labels that the critical difference does not tell apart, best group first.
        left_out: Label -> why it has no rank.
    """

    labels: tuple[str, ...]
    test: RankTest | None
    groups: tuple[tuple[str, ...], ...]
    left_out: dict[str, str]


def paired_differences(
    labels: Sequence[str], scores: Scores, against: str
) -> dict[tuple[str, str, MetricName], PairedDifference]:
    """(label, part, metric) -> difference to the chosen row, for the average of incomplete subsets and all streams.

    Both rows are scored on the same draws, seeds averaged within each; as a mean of differences is the difference
    of means, rows with the same seeds are thereby also compared seed by seed.
    """
    others = [label for label in labels if label != against]
    found: dict[tuple[str, str, MetricName], PairedDifference] = {}
    for part in scores.main_parts:
        for metric in scores.metrics:
            plain = [_difference(scores, label, against, part, metric) for label in others]
            adjusted = holm([one.p_value for one in plain])
            for label, one, p in zip(others, plain, adjusted, strict=True):
                found[label, part, metric] = PairedDifference(
                    value=one.value, low=one.low, high=one.high, p_value=one.p_value, adjusted_p=p, reason=one.reason
                )
    return found


def rank_rows(rows: Sequence[CompareRow], scores: Scores, against: CompareRow, *, alpha: float = 0.05) -> Ranking:
    """Rank the rows over all (subset, criterion) pairs that the data allows.

    Ranked is who was trained on the same kind of data as the chosen row (`trained_on`) and has a number in every block:
    a rank among fewer blocks would be one among other, perhaps easier questions.
    """
    labels, left_out = [], {}
    for row in rows:
        gaps_SC = scores.judged_SC & np.isnan(scores.by_criterion[row.label, "spearman"])
        if row.first.trained_on != against.first.trained_on:
            left_out[row.label] = (
                f"trained on {row.first.trained_on} data, {against.label} on {against.first.trained_on}"
            )
        elif gaps_SC.any():
            left_out[row.label] = f"no number in {int(gaps_SC.sum())} of {int(scores.judged_SC.sum())} blocks"
        else:
            labels.append(row.label)
    if len(labels) < 2 or not scores.judged_SC.any():
        return Ranking(tuple(labels), None, (), left_out)
    scores_BK = np.stack([scores.by_criterion[label, "spearman"][scores.judged_SC] for label in labels], axis=1)
    test = rank_test(scores_BK, alpha=alpha)
    groups = indistinct_groups(test.average_ranks, test.critical_difference)
    return Ranking(tuple(labels), test, tuple(tuple(labels[k] for k in group) for group in groups), left_out)


def _difference(scores: Scores, label: str, against: str, part: str, metric: MetricName) -> PairedDifference:
    one, other = scores.numbers[label, part, metric], scores.numbers[against, part, metric]
    for name, number in ((label, one), (against, other)):
        if not number.is_defined:
            return PairedDifference(
                value=math.nan,
                low=math.nan,
                high=math.nan,
                p_value=math.nan,
                adjusted_p=math.nan,
                reason=f"{name} has no number: {number.reason}",
            )
    value, drawn_R, uncertainty = one.value - other.value, one.drawn_R - other.drawn_R, scores.uncertainty
    low, high = uncertainty.interval(value, drawn_R, num_units=one.num_units, confidence=CONFIDENCE)
    p_value = uncertainty.p_value(value, drawn_R, num_units=one.num_units)
    return PairedDifference(value=value, low=low, high=high, p_value=p_value, adjusted_p=math.nan, reason="")
