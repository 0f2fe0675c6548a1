"""From judged candidates to the final model: leaderboard, sum or one alone, what the language model adds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from limssr.runs.auto.candidates import candidate_of
from limssr.runs.auto.folds import Folds, Judged, mean_scores
from limssr.runs.auto.judge import Score, Shown, interval, judge, mean_score, relative_error
from limssr.runs.auto.stack import Weights, learn_weights, out_of_fold_sum, pruned

LEAST_GAIN = -0.01
"""Of the sum over the best candidate alone, measured by nested folds; otherwise the candidate is kept alone.

Below zero: the best of several is flattered by being the best, and nested folds learn weights from fewer samples.
"""


DECIMALS = 4
"""Of deviations: the rounding of float32 is no order."""


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
        levelled: The same from the mean of all scores on (`Centred`), for "auto" and every candidate.
    """

    scores: dict[str, Score]
    members: list[str]
    weights: Weights
    sum_score: Score | None
    best: str
    final_score: Score
    language_model_adds: dict[str, Any] | None
    predicted_RC: np.ndarray
    levelled: dict[str, np.ndarray]

    @property
    def is_sum(self) -> bool:
        """Whether several carry the score."""
        return len(self.members) > 1

    def difference(self, other: Score) -> dict[str, Any]:
        """What was chosen minus another, paired."""
        return paired(self.final_score, other)


@dataclass(frozen=True, kw_only=True)
class Centred:
    """Predictions and truth in deviations of each criterion, of predictions from what their own model learned from.

    A model draws what it does not know towards the mean of its training scores. Where a group of high scores is held
    out this mean is low, and the other way round: of few groups the means of the folds alone give a strong negative
    correlation. So a prediction counts from the mean of its fold's training scores on.

    Attributes:
        members: Candidate -> one [R, C] a repeat.
        targets_RC: Deviations of the truth from the mean of all samples.
        base_RRC: See `Folds`.
        mean_C: Of the scores of all samples.
        deviation_C: Theirs.
    """

    members: dict[str, list[np.ndarray]]
    targets_RC: np.ndarray
    base_RRC: list[np.ndarray]
    mean_C: np.ndarray
    deviation_C: np.ndarray

    @classmethod
    def of(cls, shown: Shown, judged: Sequence[Judged], folds: Folds) -> "Centred":
        """Predictions that are NaN count as the mean."""
        # every sample counts once, as in the mean that the final model starts from
        scores_NC = np.stack([sample.scores for sample in shown.samples]).astype(float)
        mean_C = mean_scores(scores_NC)
        deviation_C = np.sqrt(mean_scores(np.square(scores_NC - mean_C)))
        deviation_C = np.where(deviation_C > 1e-12, deviation_C, 1.0)
        members = {
            one.name: [
                np.nan_to_num(((part - base) / deviation_C).round(DECIMALS))
                for part, base in zip(one.predicted, folds.base_RRC, strict=False)
            ]
            for one in judged
        }
        targets_RC = (shown.truth_RC - mean_C) / deviation_C
        return cls(
            members=members, targets_RC=targets_RC, base_RRC=folds.base_RRC, mean_C=mean_C, deviation_C=deviation_C
        )

    def stacked(self, names: Sequence[str], repeat: int) -> np.ndarray:
        """[K, R, C] of some members."""
        return np.stack([self.members[name][repeat] for name in names])

    def predicted(self, centred_RC: np.ndarray, repeat: int) -> np.ndarray:
        """Deviations -> scores as models of the folds give them."""
        return centred_RC * self.deviation_C + self.base_RRC[repeat]

    def levelled(self, centred_RC: np.ndarray) -> np.ndarray:
        """Deviations -> scores from the mean of all on."""
        return centred_RC * self.deviation_C + self.mean_C

    def judge(self, shown: Shown, parts: Sequence[np.ndarray], *, seed: int) -> Score:
        """Rank correlations of deviations, one a repeat, and errors of the scores that the folds' models gave."""
        return mean_score([
            replace(
                judge(shown, part, seed=seed),
                error=relative_error(shown, self.predicted(part, repeat)),
            )
            for repeat, part in enumerate(parts)
        ])  # fmt: skip


def choose(shown: Shown, judged: Sequence[Judged], folds: Folds, *, seed: int) -> Choice:
    """Weigh the candidates against each other, by out-of-fold predictions alone."""
    centred = Centred.of(shown, judged, folds)
    scores = {name: centred.judge(shown, parts, seed=seed) for name, parts in centred.members.items()}
    able = [one.name for one in judged if one.name != "constant"] or [judged[0].name]
    best = max(able, key=lambda name: np.nan_to_num(scores[name].value, nan=-1.0))
    summed = _sum_of(able, shown, centred, folds, seed=seed) if len(able) > 1 else None
    adds = None
    without = [name for name in able if not candidate_of(name).has_language_model]
    if summed is not None and 0 < len(without) < len(able):
        adds = paired(summed[0], _sum_of(without, shown, centred, folds, seed=seed)[0])
    if _nothing_learnt(scores, able, summed[0] if summed else None):
        best, summed_gain = "constant", -math.inf
    else:
        summed_gain = summed[0].value - _on_same_repeats(best, able, shown, centred, seed=seed) if summed else 0.0
    if summed is not None and summed_gain > LEAST_GAIN:
        members, weights = _learned(able, shown, centred)
        score, centred_RC = summed
    else:
        members, (weights, score, centred_RC) = [best], _alone(best, scores[best], shown, centred, folds, seed=seed)
    levelled = {name: centred.levelled(parts[0]) for name, parts in centred.members.items()}
    levelled["auto"] = centred.levelled(centred_RC)
    return Choice(
        scores=scores, members=members, weights=weights, sum_score=None if summed is None else summed[0], best=best,
        final_score=score, language_model_adds=adds, predicted_RC=centred.predicted(centred_RC, 0),
        levelled=levelled,
    )  # fmt: skip


def _nothing_learnt(scores: Mapping[str, Score], able: Sequence[str], summed: Score | None) -> bool:
    """Whether no candidate orders held-out samples at all, nor comes nearer to their scores than a constant."""
    if "constant" not in scores or "constant" in able:
        return False
    found = [*(scores[name] for name in able), *([summed] if summed else [])]
    return all(not one.value > 0.0 for one in found) and all(
        one.error >= scores["constant"].error for one in (scores[name] for name in able)
    )


def _on_same_repeats(best: str, able: Sequence[str], shown: Shown, centred: Centred, *, seed: int) -> float:
    """The score of a candidate on the repeats that the sum is judged on, too: those that every candidate has."""
    repeats = min(len(centred.members[name]) for name in able)
    return centred.judge(shown, centred.members[best][:repeats], seed=seed).value


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
    if name == "constant":
        return plain, score, centred.members[name][0]
    drawn, drawn_RC = _sum_of([name], shown, centred, folds, seed=seed)
    as_it_is = plain, score, centred.members[name][0]
    if np.isnan(drawn.value) or drawn.value < score.value or drawn.error >= score.error:
        return as_it_is
    everything = np.arange(len(shown.rows))
    weights = learn_weights(shown, centred.stacked([name], 0), centred.targets_RC, everything)
    if min(float(one.min()) for one in [weights.common, *weights.by_pattern.values()]) <= 0.0:
        return as_it_is
    return weights, drawn, drawn_RC


def _sum_of(
    names: Sequence[str], shown: Shown, centred: Centred, folds: Folds, *, seed: int
) -> tuple[Score, np.ndarray]:
    """Score of the sum by nested folds, over the repeats that all of them have, and the first one's deviations."""
    repeats = min(len(centred.members[name]) for name in names)
    parts = [
        out_of_fold_sum(shown, centred.stacked(names, repeat), centred.targets_RC, folds.fold_RR[repeat])
        for repeat in range(repeats)
    ]
    return centred.judge(shown, parts, seed=seed), parts[0]


def paired(one: Score, other: Score) -> dict[str, Any]:
    """Difference of two scores with the interval of the same resamples."""
    return {"spearman": one.value - other.value, "ci": interval(one.draws_D - other.draws_D)}
