"""Statistics for comparing systems: p values, Holm's correction, ranks, critical differences.

The rank tests are those of Demšar, "Statistical comparisons of classifiers over multiple data sets" (JMLR 7, 2006).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

MIN_SYSTEMS = 3
"""Friedman's test needs so many; two systems are compared by their paired difference alone."""


@dataclass(frozen=True, kw_only=True)
class RankTest:
    """How systems rank over blocks (questions that all of them answered).

    Attributes:
        average_ranks: One a system; 1 is best, ties share their mean rank.
        num_blocks: B.
        statistic: Friedman's chi-square, corrected for ties; NaN with fewer than three systems.
        p_value: Of it, with K - 1 degrees of freedom.
        critical_difference: Nemenyi's: average ranks closer than this are not told apart; NaN with one system.
        alpha: Its level.
    """

    average_ranks: tuple[float, ...]
    num_blocks: int
    statistic: float
    p_value: float
    critical_difference: float
    alpha: float


def bootstrap_p_value(difference_R: np.ndarray) -> float:
    """Two-sided p value of a difference from its bootstrap distribution.

    Twice the smaller share of resamples on one side of zero, the observed data counted as one more resample on either
    side, so it is never below 2 / (R + 1). NaN where no resample has a difference.
    """
    defined = difference_R[~np.isnan(difference_R)]
    if len(defined) == 0:
        return math.nan
    smaller = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2.0 * (smaller + 1) / (len(defined) + 1))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's step-down adjusted p values, in the order given; NaN stays NaN and is not counted.

    Example:
        >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]
    """
    adjusted = [math.nan] * len(p_values)
    order = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    highest = 0.0
    for step, (p, place) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - step) * p))
        adjusted[place] = highest
    return tuple(adjusted)


def rank_test(scores_BK: np.ndarray, *, alpha: float = 0.05) -> RankTest:
    """Rank K systems within each of B blocks, and ask whether the ranks differ by more than chance.

    Args:
        scores_BK: Higher is better; no NaN.
        alpha: Level of the critical difference.

    Raises:
        ValueError: NaN, no block, or no system.
    """
    num_blocks, num_systems = scores_BK.shape
    if not scores_BK.size or np.isnan(scores_BK).any():
        raise ValueError(f"Expected a score of every system in at least one block, found shape {scores_BK.shape}.")
    ranks_BK = stats.rankdata(-scores_BK, axis=1)
    statistic = p_value = math.nan
    if num_systems >= MIN_SYSTEMS:
        # Ties everywhere leave nothing to divide by; scipy's answer is then NaN, which is ours too.
        with np.errstate(invalid="ignore", divide="ignore"):
            found = stats.friedmanchisquare(*scores_BK.T)
        statistic, p_value = float(found.statistic), float(found.pvalue)
    return RankTest(
        average_ranks=tuple(float(rank) for rank in ranks_BK.mean(axis=0)),
        num_blocks=num_blocks,
        statistic=statistic,
        p_value=p_value,
        critical_difference=critical_difference(num_systems, num_blocks, alpha=alpha),
        alpha=alpha,
    )


def nemenyi_quantile(num_systems: int, *, alpha: float = 0.05) -> float:
    """Nemenyi's q: the upper quantile of the studentized range for infinite degrees of freedom, over sqrt 2."""
    return float(stats.studentized_range.ppf(1.0 - alpha, num_systems, np.inf)) / math.sqrt(2.0)


def critical_difference(num_systems: int, num_blocks: int, *, alpha: float = 0.05) -> float:
    """The difference of average ranks from which Nemenyi's test tells two of K systems apart; NaN with one system."""
    if num_systems < 2:
        return math.nan
    scale = math.sqrt(num_systems * (num_systems + 1) / (6.0 * num_blocks))
    return nemenyi_quantile(num_systems, alpha=alpha) * scale


def indistinct_groups(average_ranks: Sequence[float], difference: float) -> tuple[tuple[int, ...], ...]:
    """Largest groups of systems whose average ranks all lie within a critical difference, best group first.

    Returns:
        Positions in `average_ranks`, best first; groups of one, and groups inside another, are left out.
    """
    order = sorted(range(len(average_ranks)), key=lambda place: (average_ranks[place], place))
    groups: list[tuple[int, ...]] = []
    last_end = 0
    for start in range(len(order)):
        end = start + 1
        while end < len(order) and average_ranks[order[end]] - average_ranks[order[start]] < difference:
            end += 1
        if end - start > 1 and end > last_end:
            groups.append(tuple(order[start:end]))
            last_end = end
    return tuple(groups)
