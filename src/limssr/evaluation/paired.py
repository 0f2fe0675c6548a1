"""Spearman and MSE of many systems on the same resampled performances: what they share is ranked once.

`limssr.evaluation.metrics` answers for one system at a time; the numbers are the same. Arrays stand as [N, R], samples
first: a sample's counts over all resamples are then one run of memory, and sorting samples moves whole runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limssr.evaluation.resampling import Resamples

BLOCK = 128
"""Resamples at once: what is computed of them stays in the processor's cache, which is worth a factor of five."""


@dataclass(frozen=True)
class Drawn:
    """E systems on R resamples, for one subset of the streams and one criterion.

    Attributes:
        spearman_ER: NaN where a resample has no correlation.
        mse_ER: NaN where a resample holds no judged sample.
    """

    spearman_ER: np.ndarray
    mse_ER: np.ndarray


def draw(
    truth_N: np.ndarray, predicted_EN: np.ndarray, resamples: Resamples, *, members_N: np.ndarray | None = None
) -> Drawn:
    """Both metrics of E systems on every resample.

    Args:
        truth_N: Scores, NaN where not judged.
        predicted_EN: Predictions; a system with NaN among the judged ones has NaN everywhere.
        resamples: The plan.
        members_N: Positions of the N samples among those that are drawn from; None: they are all of them.
    """
    judged_N = ~np.isnan(truth_N)
    places = np.flatnonzero(judged_N) if members_N is None else members_N[judged_N]
    truth_N, predicted_EN = truth_N[judged_N], predicted_EN[:, judged_N]
    truth = _Order(truth_N)
    orders = [_Order(predicted_N) if np.isfinite(predicted_N).all() else None for predicted_N in predicted_EN]
    squared_EN = (predicted_EN - truth_N) ** 2
    rho_blocks, mse_blocks = [np.empty((len(orders), 0))], [np.empty((len(orders), 0))]
    for counts_RN in resamples.counts():
        for start in range(0, len(counts_RN), BLOCK):
            counts_NR = np.ascontiguousarray(counts_RN[start : start + BLOCK, places].T)
            rho_blocks.append(_correlations(truth, orders, counts_NR))
            with np.errstate(invalid="ignore", divide="ignore"):
                mse_blocks.append(squared_EN @ counts_NR / counts_NR.sum(axis=0))
    return Drawn(np.concatenate(rho_blocks, axis=1), np.concatenate(mse_blocks, axis=1))


def _correlations(truth: "_Order", orders: Sequence["_Order | None"], counts_NR: np.ndarray) -> np.ndarray:
    number_R = counts_NR.sum(axis=0)
    ranks_NR = truth.centred_ranks(counts_NR)
    weighted_NR = counts_NR * ranks_NR
    spread_R = np.einsum("nr,nr->r", weighted_NR, ranks_NR)
    # Of values that all differ, whatever their order: ranks 1 to n but for the samples that were drawn repeatedly.
    own_spread_R = (number_R**3 - np.einsum("nr,nr,nr->r", counts_NR, counts_NR, counts_NR)) / 12.0
    half_R = 0.5 * np.einsum("nr,nr->r", weighted_NR, counts_NR)
    rho_ER = np.full((len(orders), len(number_R)), np.nan)
    for e, order in enumerate(orders):
        if order is None:
            continue
        if order.has_ties:
            own_NR = order.centred_ranks(counts_NR)
            covariance_R = np.einsum("nr,nr->r", weighted_NR, own_NR)
            scale_R = np.sqrt(spread_R * np.einsum("nr,nr,nr->r", counts_NR, own_NR, own_NR))
        else:
            # A sample's mean rank is what stands up to it, less half of its own count; weights sum to zero, so
            # constants fall away.
            upto_NR = np.cumsum(counts_NR[order.order_N], axis=0)
            covariance_R = np.einsum("nr,nr->r", weighted_NR[order.order_N], upto_NR) - half_R
            scale_R = np.sqrt(spread_R * own_spread_R)
        there_R = (scale_R > 0) & (number_R >= 3)
        rho_ER[e] = np.where(there_R, covariance_R / np.where(there_R, scale_R, 1.0), np.nan)
    return rho_ER


class _Order:
    """Values sorted once, and for each of them where its run of equal values begins and ends in that order."""

    def __init__(self, values_N: np.ndarray) -> None:
        self.order_N = np.argsort(values_N, kind="stable")
        ordered = values_N[self.order_N]
        self.has_ties = bool((ordered[1:] == ordered[:-1]).any())
        self.begin_N = np.searchsorted(ordered, values_N, side="left")
        self.end_N = np.searchsorted(ordered, values_N, side="right")

    def centred_ranks(self, counts_NR: np.ndarray) -> np.ndarray:
        """[N, R] mean ranks in each resample, minus their mean."""
        below_NR = np.zeros((len(counts_NR) + 1, counts_NR.shape[1]))
        np.cumsum(counts_NR[self.order_N], axis=0, out=below_NR[1:])
        # The mean rank of a run is (below + 1 + upto) / 2; the mean of all ranks (n + 1) / 2 takes the 1 away.
        return 0.5 * (below_NR[self.begin_N] + below_NR[self.end_N] - below_NR[-1])
