"""Weights of members from out-of-fold predictions, and what the sum of them is worth, measured by folds again.

Weights are not negative (Breiman, Stacked Regressions, 1996), minimise the squared error in training deviations, every
sample counting once, and those of a set of streams are drawn towards the weights that all sets have in common.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from limssr.runs.auto.judge import Shown

SHRINK_SAMPLES = 100.0
"""A set of streams with so many samples has weights half-way between its own and the common ones."""

EQUAL_SAMPLES = 60.0
"""With so many samples the common weights are half-way between their own and equal ones."""

SMALLEST = 0.03
"""A smaller weight is not worth a member."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Of the members, in their order.

    Attributes:
        common: [K], for any sample.
        by_pattern: Streams -> [K].
    """

    common: np.ndarray
    by_pattern: dict[tuple[str, ...], np.ndarray]

    def apply(self, shown: Shown, centred_KRC: np.ndarray) -> np.ndarray:
        """[K, R, C] deviations of members -> [R, C]."""
        weights_RK = np.stack([self.by_pattern.get(streams, self.common) for _, streams in shown.rows])
        return np.einsum("rk,krc->rc", weights_RK, centred_KRC)


def learn_weights(shown: Shown, centred_KRC: np.ndarray, targets_RC: np.ndarray, rows: np.ndarray) -> Weights:
    """Fit on some rows.

    Args:
        shown: Rows and their streams.
        centred_KRC: Out-of-fold predictions of K members, in deviations of each criterion; 0 where there is none.
        targets_RC: The same of the truth, NaN where not judged.
        rows: The rows to learn from.
    """
    num_members = len(centred_KRC)
    grams, sides, counts = {}, {}, {}
    for streams in dict.fromkeys(shown.rows[row][1] for row in rows):
        of = np.array([row for row in rows if shown.rows[row][1] == streams])
        known_RC = ~np.isnan(targets_RC[of])
        weight_RC = shown.weight_R[of, None] * known_RC
        own_KS = (centred_KRC[:, of] * np.sqrt(weight_RC)).reshape(num_members, -1)
        target_S = (np.nan_to_num(targets_RC[of]) * np.sqrt(weight_RC)).ravel()
        grams[streams], sides[streams] = own_KS @ own_KS.T, own_KS @ target_S
        counts[streams] = float(shown.weight_R[of].sum())
    gram_KK, side_K = np.asarray(sum(grams.values())), np.asarray(sum(sides.values()))
    # the median: one member of wild predictions must not decide how the others are weighed
    pull = EQUAL_SAMPLES / max(1e-9, sum(counts.values())) * float(np.median(np.diag(gram_KK)))
    common_K = _solve(gram_KK + pull * np.eye(num_members), side_K + pull / num_members)
    by_pattern = {}
    for streams in grams if len(grams) <= 31 else ():
        # as much of the common Gram matrix as the shrinkage has samples
        share = SHRINK_SAMPLES / max(1e-9, sum(counts.values())) * np.asarray(gram_KK)
        by_pattern[streams] = _solve(grams[streams] + share, sides[streams] + share @ common_K)
    return Weights(common=common_K, by_pattern=by_pattern)


def out_of_fold_sum(shown: Shown, centred_KRC: np.ndarray, targets_RC: np.ndarray, fold_R: np.ndarray) -> np.ndarray:
    """[R, C]: each fold's rows summed with weights learned from the other folds."""
    found_RC = np.zeros(targets_RC.shape)
    for fold in np.unique(fold_R):
        weights = learn_weights(shown, centred_KRC, targets_RC, np.flatnonzero(fold_R != fold))
        found_RC[fold_R == fold] = weights.apply(shown, centred_KRC)[fold_R == fold]
    return found_RC


def pruned(names: Sequence[str], weights: Weights) -> list[str]:
    """Members that carry something for some set of streams."""
    most_K = np.max([weights.common, *weights.by_pattern.values()], axis=0)
    total = max(1e-9, float(weights.common.sum()))
    kept = [name for name, most in zip(names, most_K, strict=True) if most >= SMALLEST * total]
    return kept or [names[int(most_K.argmax())]]


def _solve(gram_KK: np.ndarray, side_K: np.ndarray) -> np.ndarray:
    """Non-negative least squares from normal equations, with a trace of ridge against equal members."""
    size = max(float(np.trace(gram_KK)) / len(gram_KK), 1e-12)
    root = np.linalg.cholesky(gram_KK + 1e-3 * size * np.eye(len(gram_KK)))
    return nnls(root.T, np.linalg.solve(root, side_K))[0]
