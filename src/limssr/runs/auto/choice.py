"""From judged candidates to the final model: leaderboard, sum or one alone, what the language model adds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from limssr.runs.auto.candidates import CANDIDATES
from limssr.runs.auto.folds import Folds, Judged
from limssr.runs.auto.judge import Score, Shown, interval, judge, mean_score
from limssr.runs.auto.stack import Weights, learn_weights, out_of_fold_sum, pruned

LEAST_GAIN = 0.0
"""Of the sum over the best candidate alone, measured by nested folds; otherwise the candidate is kept alone."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was found out of fold.

    Attributes:
        scores: Candidate -> its score.
        members: Names of the final model's members.
        weights: Theirs.
        sum_score: Of the sum of all, by nested folds; None where there is one candidate.
        best: The best candidate by itself.
        final_score: Of what was chosen.
        language_model_adds: Mean and interval of the sum with LIMSSR over the sum without; None without LIMSSR.
        predicted_RC: Out-of-fold predictions of what was chosen, first repeat.
    """

    scores: dict[str, Score]
    members: list[str]
    weights: Weights
    sum_score: Score | None
    best: str
    final_score: Score
    language_model_adds: dict[str, Any] | None
    predicted_RC: np.ndarray

    def difference(self, other: Score) -> dict[str, Any]:
        """What was chosen minus another, paired."""
        return paired(self.final_score, other)


@dataclass(frozen=True, kw_only=True)
class Centred:
    """Predictions and truth in deviations of each criterion from its mean."""

    members: dict[str, list[np.ndarray]]
    targets_RC: np.ndarray
    mean_C: np.ndarray
    deviation_C: np.ndarray

    @classmethod
    def of(cls, shown: Shown, judged: Sequence[Judged]) -> "Centred":
        """Predictions that are NaN count as the mean."""
        mean_C, deviation_C = np.nanmean(shown.truth_RC, axis=0), np.nanstd(shown.truth_RC, axis=0)
        deviation_C[deviation_C < 1e-12] = 1.0
        members = {one.name: [np.nan_to_num((part - mean_C) / deviation_C) for part in one.predicted] for one in judged}
        return cls(
            members=members,
            targets_RC=(shown.truth_RC - mean_C) / deviation_C,
            mean_C=mean_C,
            deviation_C=deviation_C,
        )

    def stacked(self, names: Sequence[str], repeat: int) -> np.ndarray:
        """[K, R, C] of some members."""
        return np.stack([self.members[name][repeat] for name in names])


def choose(shown: Shown, judged: Sequence[Judged], folds: Folds, *, seed: int) -> Choice:
    """Weigh the candidates against each other, by out-of-fold predictions alone."""
    # Means of the other folds go against the mean of the held-out one; a constant has no order.
    no_order = np.zeros(shown.truth_RC.shape)
    parts_of = {one.name: [no_order] if one.name == "constant" else one.predicted for one in judged}
    scores = {name: mean_score([judge(shown, part, seed=seed) for part in parts]) for name, parts in parts_of.items()}
    able = [one.name for one in judged if one.name != "constant"] or [judged[0].name]
    best = max(able, key=lambda name: np.nan_to_num(scores[name].value, nan=-1.0))
    centred = Centred.of(shown, judged)
    summed = _sum_of(able, shown, centred, folds, seed=seed) if len(able) > 1 else None
    adds = None
    without = [name for name in able if not CANDIDATES[name].has_language_model]
    if summed is not None and 0 < len(without) < len(able):
        adds = paired(summed[0], _sum_of(without, shown, centred, folds, seed=seed)[0])
    alone = summed is None or summed[0].value - scores[best].value <= LEAST_GAIN
    if alone:
        one = np.array([1.0])
        predicted_RC = next(j for j in judged if j.name == best).predicted[0]
        return Choice(
            scores=scores, members=[best], weights=Weights(common=one, by_pattern={}), best=best,
            sum_score=None if summed is None else summed[0], final_score=scores[best], language_model_adds=adds,
            predicted_RC=predicted_RC,
        )  # fmt: skip
    assert summed is not None
    everything = np.arange(len(shown.rows))
    stacked = centred.stacked(able, 0)
    members = pruned(able, learn_weights(shown, stacked, centred.targets_RC, everything))
    kept = centred.stacked(members, 0)
    weights = learn_weights(shown, kept, centred.targets_RC, everything)
    return Choice(
        scores=scores, members=members, weights=weights, best=best, sum_score=summed[0], final_score=summed[0],
        language_model_adds=adds, predicted_RC=summed[1] * centred.deviation_C + centred.mean_C,
    )  # fmt: skip


def _sum_of(
    names: Sequence[str], shown: Shown, centred: Centred, folds: Folds, *, seed: int
) -> tuple[Score, np.ndarray]:
    """Score of the sum by nested folds, over the repeats that all of them have, and the first one's predictions."""
    repeats = min(len(centred.members[name]) for name in names)
    parts = [
        out_of_fold_sum(shown, centred.stacked(names, repeat), centred.targets_RC, folds.fold_RR[repeat])
        for repeat in range(repeats)
    ]
    return mean_score([judge(shown, part, seed=seed) for part in parts]), parts[0]


def paired(one: Score, other: Score) -> dict[str, Any]:
    """Difference of two scores with the interval of the same resamples."""
    return {"spearman": one.value - other.value, "ci": interval(one.draws_D - other.draws_D)}
