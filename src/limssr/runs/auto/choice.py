"""From judged candidates to the final model: leaderboard, sum or one alone, what the language model adds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from limssr.runs.auto.candidates import CANDIDATES
from limssr.runs.auto.folds import Folds, Judged
from limssr.runs.auto.judge import Score, Shown, interval, judge, mean_score, relative_error
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

    @property
    def is_sum(self) -> bool:
        """Whether several carry the score."""
        return len(self.members) > 1

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
        # every sample counts once, as in the mean that the final model starts from
        weight_RC = shown.weight_R[:, None] * ~np.isnan(shown.truth_RC)
        weight_C = np.maximum(weight_RC.sum(axis=0), 1e-12)
        mean_C = (weight_RC * np.nan_to_num(shown.truth_RC)).sum(axis=0) / weight_C
        deviation_C = np.sqrt((weight_RC * np.square(np.nan_to_num(shown.truth_RC) - mean_C)).sum(axis=0) / weight_C)
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

    def as_scores(self, centred_RC: np.ndarray) -> np.ndarray:
        """Deviations -> scores."""
        return centred_RC * self.deviation_C + self.mean_C


def choose(shown: Shown, judged: Sequence[Judged], folds: Folds, *, seed: int) -> Choice:
    """Weigh the candidates against each other, by out-of-fold predictions alone."""
    # Means of the other folds go against the mean of the held-out one; a constant has no order.
    no_order = np.zeros(shown.truth_RC.shape)
    scores = {one.name: mean_score([judge(shown, part, seed=seed) for part in one.predicted]) for one in judged}
    if "constant" in scores:
        scores["constant"] = replace(judge(shown, no_order, seed=seed), error=scores["constant"].error)
    able = [one.name for one in judged if one.name != "constant"] or [judged[0].name]
    best = max(able, key=lambda name: np.nan_to_num(scores[name].value, nan=-1.0))
    centred = Centred.of(shown, judged)
    summed = _sum_of(able, shown, centred, folds, seed=seed) if len(able) > 1 else None
    adds = None
    without = [name for name in able if not CANDIDATES[name].has_language_model]
    if summed is not None and 0 < len(without) < len(able):
        adds = paired(summed[0], _sum_of(without, shown, centred, folds, seed=seed)[0])
    if summed is not None and summed[0].value - scores[best].value > LEAST_GAIN:
        members, weights = _learned(able, shown, centred)
        score, predicted_RC = summed
    else:
        members, (weights, score, predicted_RC) = [best], _alone(best, scores[best], shown, centred, folds, seed=seed)
    return Choice(
        scores=scores, members=members, weights=weights, sum_score=None if summed is None else summed[0], best=best,
        final_score=score, language_model_adds=adds, predicted_RC=predicted_RC,
    )  # fmt: skip


def _learned(able: Sequence[str], shown: Shown, centred: Centred) -> tuple[list[str], Weights]:
    """Members and weights from all rows; what carries nothing is left out until all that are left do."""
    everything, members = np.arange(len(shown.rows)), list(able)
    while True:
        weights = learn_weights(shown, centred.stacked(members, 0), centred.targets_RC, everything)
        kept = pruned(members, weights)
        if kept == members:
            return members, weights
        members = kept


def _alone(
    name: str, score: Score, shown: Shown, centred: Centred, folds: Folds, *, seed: int
) -> tuple[Weights, Score, np.ndarray]:
    """One candidate: as it is, or drawn towards the mean where its errors are smaller so, measured by nested folds."""
    plain = Weights(common=np.array([1.0]), by_pattern={})
    (drawn, drawn_RC) = _sum_of([name], shown, centred, folds, seed=seed)
    as_is_RC = centred.as_scores(centred.members[name][0])
    if np.isnan(drawn.value) or drawn.value < score.value or drawn.error >= relative_error(shown, as_is_RC):
        return plain, score, as_is_RC
    everything = np.arange(len(shown.rows))
    weights = learn_weights(shown, centred.stacked([name], 0), centred.targets_RC, everything)
    if min(float(one.min()) for one in [weights.common, *weights.by_pattern.values()]) <= 0.0:
        return plain, score, as_is_RC
    return weights, drawn, drawn_RC


def _sum_of(
    names: Sequence[str], shown: Shown, centred: Centred, folds: Folds, *, seed: int
) -> tuple[Score, np.ndarray]:
    """Score of the sum by nested folds, over the repeats that all of them have, and the first one's predictions."""
    repeats = min(len(centred.members[name]) for name in names)
    parts = [
        centred.as_scores(
            out_of_fold_sum(shown, centred.stacked(names, repeat), centred.targets_RC, folds.fold_RR[repeat])
        )
        for repeat in range(repeats)
    ]
    return mean_score([judge(shown, part, seed=seed) for part in parts]), parts[0]


def paired(one: Score, other: Score) -> dict[str, Any]:
    """Difference of two scores with the interval of the same resamples."""
    return {"spearman": one.value - other.value, "ci": interval(one.draws_D - other.draws_D)}
