"""How far to trust scores from incomplete streams: coverage of their intervals, and what a returning stream changes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from limssr.core.types import Criterion
from limssr.evaluation.conformal import Errors, width
from limssr.evaluation.intervals import coverage, intervals
from limssr.explain.groups import SHARE, SIZE, finite, mean_known, mean_over_groups
from limssr.explain.scored import Scored, Subset


def widths_of(errors: Errors, subset: Subset, criteria: Sequence[Criterion], level: float) -> np.ndarray:
    """[C] how wide intervals are under a subset, in the data set's unit: at most the whole scale."""
    spans_C = np.array([one.high - one.low for one in criteria])
    return np.minimum(2.0 * width(errors, subset, level).half_C, spans_C)


def coverage_document(scored: Scored, errors: Errors, group_N: np.ndarray, *, level: float) -> dict[str, Any]:
    """How often intervals of one level hold the given scores.

    Returns:
        level, num_calibration, subsets (one a subset and criterion, as `evaluation.json` has them), and by_subset: for
        each subset, over all criteria, the share that is covered with its interval over groups, the mean width as a
        share of the scale, and the lowest share of one group with at least five scores.
    """
    rows = coverage(errors, scored.evaluation.predictions, scored.criteria, level=level)
    by_subset = []
    for subset, scores_NC in scored.by_subset.items():
        judged_NC = np.isfinite(scores_NC) & np.isfinite(scored.truth_NC)
        if not judged_NC.any():
            continue
        made = intervals(errors, ["+".join(subset)] * len(scores_NC), scores_NC, scored.criteria, level=level)
        inside_NC = (made.low_NC <= scored.truth_NC) & (scored.truth_NC <= made.high_NC)
        share_N = _share(inside_NC, judged_NC)
        wide_NC = np.where(judged_NC, (made.high_NC - made.low_NC) / scored.spans_C, np.nan)
        by_subset.append(
            {
                "streams": list(subset),
                "num_samples": int(judged_NC.any(axis=1).sum()),
                "covered": mean_over_groups(share_N, group_N, SHARE).to_dict(),
                "width": finite(float(np.nanmean(wide_NC))),
                "lowest_group": _lowest_group(inside_NC, judged_NC, group_N),
            }
        )
    return {"level": level, "num_calibration": len(errors.group_N), "subsets": rows, "by_subset": by_subset}


def _share(hit_NC: np.ndarray, there_NC: np.ndarray) -> np.ndarray:
    """[N] the share of hits among what is there; NaN where nothing is."""
    number_N = there_NC.sum(axis=1)
    return np.where(number_N > 0, (hit_NC & there_NC).sum(axis=1) / np.maximum(number_N, 1), np.nan)


MIN_SCORES = 5
"""Of a group, below which the share that is covered says nothing of it."""


def _lowest_group(inside_NC: np.ndarray, judged_NC: np.ndarray, group_N: np.ndarray) -> float | None:
    shares = [
        (inside_NC & judged_NC)[group_N == group].sum() / judged_NC[group_N == group].sum()
        for group in np.unique(group_N)
        if judged_NC[group_N == group].sum() >= MIN_SCORES
    ]
    return float(min(shares)) if len(shares) > 1 else None


@dataclass(frozen=True, kw_only=True)
class Return:
    """What happens to scores when a stream comes back.

    Attributes:
        stream: The one that comes back.
        subset: The streams that were there.
        moved_NC: New score minus old one, as a share of the old interval's width; NaN where the sample does not own it.
        wanted_NC: Given score minus old one, in the same unit.
    """

    stream: str
    subset: Subset
    moved_NC: np.ndarray
    wanted_NC: np.ndarray


def returns(scored: Scored, width_of: Callable[[Subset], np.ndarray]) -> list[Return]:
    """Every stream that comes back to every subset without it.

    Args:
        scored: Scores under subsets.
        width_of: Subset -> widths [C] of its intervals.
    """
    found = []
    for subset, before_NC in scored.by_subset.items():
        for stream in (name for name in scored.names if name not in subset):
            more = tuple(name for name in scored.names if name in subset or name == stream)
            after_NC = scored.by_subset.get(more)
            if after_NC is None or not (np.isfinite(after_NC) & np.isfinite(before_NC)).any():
                continue
            width_C = width_of(subset)
            there_NC = np.isfinite(after_NC) & np.isfinite(before_NC)
            moved_NC = np.where(there_NC, (after_NC - before_NC) / width_C, np.nan)
            wanted_NC = np.where(there_NC, (scored.truth_NC - before_NC) / width_C, np.nan)
            found.append(Return(stream=stream, subset=subset, moved_NC=moved_NC, wanted_NC=wanted_NC))
    return found


def return_document(one: Return, group_N: np.ndarray, *, seed: int = 0) -> dict[str, Any]:
    """One return in numbers.

    Returns:
        stream, subset, num_samples; moved: mean size of the movement, in widths of the interval; right: share of the
        movements that go towards the given score; right_by_chance: the same where each sample is given the movement of
        another one; nearer: by how many widths the error shrinks.
    """
    error_NC = np.abs(one.wanted_NC) - np.abs(one.wanted_NC - one.moved_NC)
    known_NC = np.isfinite(one.wanted_NC) & np.isfinite(one.moved_NC)
    return {
        "stream": one.stream,
        "subset": list(one.subset),
        "num_samples": int(known_NC.any(axis=1).sum()),
        "moved": mean_over_groups(mean_known(np.abs(one.moved_NC)), group_N, SIZE).to_dict(),
        "right": mean_over_groups(_agreement(one.moved_NC, one.wanted_NC), group_N, SHARE).to_dict(),
        "right_by_chance": finite(_by_chance(one, seed)),
        "nearer": mean_over_groups(mean_known(error_NC), group_N).to_dict(),
    }


def _agreement(moved_NC: np.ndarray, wanted_NC: np.ndarray) -> np.ndarray:
    """[N] the share of movements in the right direction; NaN where nothing moved."""
    counts_NC = np.isfinite(moved_NC) & np.isfinite(wanted_NC) & (moved_NC != 0.0) & (wanted_NC != 0.0)
    return _share(np.sign(np.nan_to_num(moved_NC)) == np.sign(np.nan_to_num(wanted_NC)), counts_NC)


def _by_chance(one: Return, seed: int, *, times: int = 20) -> float:
    rows = np.flatnonzero((np.isfinite(one.moved_NC) & np.isfinite(one.wanted_NC)).any(axis=1))
    if len(rows) < 2:
        return float("nan")
    generator, found = np.random.default_rng(seed), []
    for _ in range(times):
        found.append(np.nanmean(_agreement(one.moved_NC[generator.permutation(rows)], one.wanted_NC[rows])))
    return float(np.mean(found))
