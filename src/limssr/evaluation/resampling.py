"""One way to ask how far chance reaches: the same performances, or whole groups of them, drawn for everybody.

Every verb that prints an interval draws here. A plan says which performances are in each draw, and how often; `draw`
computes Spearman and MSE of many systems on every draw. `limssr.evaluation.uncertainty` makes intervals and p values of
it. Draws are counts instead of copies: a draw is how often each sample is in it, so ranks are a running sum over an
order that is found once. Arrays stand as [N, R], samples first: a sample's counts over all draws are then one run of
memory, and sorting samples moves whole runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from limssr.evaluation.metrics import spearman, spearman_limit

_CHUNK_VALUES = 2_000_000
BLOCK = 128
"""Draws at once: what is computed of them stays in the processor's cache, which is worth a factor of five."""
MAX_BLOCKS = 400
"""Of leave-one-out draws: more samples than that are left out in blocks of equal size."""


class Plan(Protocol):
    """Which samples are in each draw."""

    @property
    def num_samples(self) -> int:
        """N."""
        ...

    def counts(self) -> Iterator[np.ndarray]:
        """Yield blocks [r, N] that add up to R rows: how often each sample is in a draw."""
        ...


@dataclass(frozen=True)
class Resamples:
    """The bootstrap: samples or groups are drawn with replacement.

    Attributes:
        num_samples: N, how many samples there are to draw from (with replacement, N times).
        num_resamples: R.
        seed: The draws are a pure function of (num_samples, num_resamples, seed, groups).
        groups: Number (from 0) of each sample's group; then groups are drawn, each with all its samples, as often as
            there are groups. None: every sample is drawn by itself.
    """

    num_samples: int
    num_resamples: int
    seed: int
    groups: tuple[int, ...] | None = None

    def counts(self) -> Iterator[np.ndarray]:
        """Yield blocks [r, N] that add up to R rows: how often each sample was drawn."""
        units = self.num_samples if self.groups is None else max(self.groups, default=-1) + 1
        rng = np.random.default_rng([self.seed, units])
        left = self.num_resamples
        while left > 0:
            rows = min(left, max(1, _CHUNK_VALUES // max(1, self.num_samples)))
            draws = rng.integers(0, units, size=(rows, units))
            draws += np.arange(rows)[:, None] * units
            counts = np.bincount(draws.ravel(), minlength=rows * units).reshape(rows, units).astype(np.float64)
            yield counts if self.groups is None else counts[:, self.groups]
            left -= rows


@dataclass(frozen=True)
class LeftOut:
    """The jackknife: in each draw one sample, or one group, is left out, and everything else is there once.

    Attributes:
        num_samples: N.
        groups: As in `Resamples`. None: every sample is left out by itself.
        max_blocks: More units than that are shuffled, always in the same way, and left out in so many blocks.
    """

    num_samples: int
    groups: tuple[int, ...] | None = None
    max_blocks: int = MAX_BLOCKS

    @property
    def blocks_N(self) -> np.ndarray:
        """Number of the draw that each sample is left out of."""
        units = np.arange(self.num_samples) if self.groups is None else np.asarray(self.groups, dtype=int)
        num_units = int(units.max(initial=-1)) + 1
        if num_units <= self.max_blocks:
            return units
        return np.random.default_rng(num_units).permutation(num_units)[units] % self.max_blocks

    def num_blocks(self, members_N: np.ndarray | None = None) -> int:
        """How many different draws leave one of some samples out; None: of all samples."""
        blocks_N = self.blocks_N
        return len(np.unique(blocks_N if members_N is None else blocks_N[members_N]))

    def counts(self) -> Iterator[np.ndarray]:
        """Yield [R, N]: 0 for what is left out, 1 for everything else."""
        blocks_N = self.blocks_N
        yield (blocks_N[None, :] != np.arange(blocks_N.max(initial=-1) + 1)[:, None]).astype(np.float64)


@dataclass(frozen=True)
class Drawn:
    """E systems on R draws, for one subset of the streams and one criterion.

    Attributes:
        by_metric: Name of a metric -> [E, R]; NaN where a draw has no such number.
        number_R: Judged samples in each draw.
    """

    by_metric: Mapping[str, np.ndarray]
    number_R: np.ndarray

    @property
    def spearman_ER(self) -> np.ndarray:
        """Spearman, where it was asked for."""
        return self.by_metric["spearman"]

    @property
    def mse_ER(self) -> np.ndarray:
        """Mean squared error, where it was asked for."""
        return self.by_metric["mse"]


def draw(
    truth_N: np.ndarray,
    predicted_EN: np.ndarray,
    plan: Plan,
    *,
    members_N: np.ndarray | None = None,
    metrics: Sequence[str] = ("spearman", "mse"),
) -> Drawn:
    """Metrics of E systems on every draw.

    Args:
        truth_N: Scores, NaN where not judged.
        predicted_EN: Predictions; a system with NaN among the judged ones has NaN everywhere.
        plan: Which samples are in each draw.
        members_N: Positions of the N samples among those that are drawn from; None: they are all of them.
        metrics: Of spearman, pearson, mse and mae.
    """
    judged_N = ~np.isnan(truth_N)
    places = np.flatnonzero(judged_N) if members_N is None else members_N[judged_N]
    truth_N, predicted_EN = truth_N[judged_N], predicted_EN[:, judged_N]
    truth = _Order(truth_N)
    orders = [_Order(predicted_N) if np.isfinite(predicted_N).all() else None for predicted_N in predicted_EN]
    errors_EN = predicted_EN - truth_N
    of_errors = {"mse": errors_EN**2, "mae": np.abs(errors_EN)}
    blocks: dict[str, list[np.ndarray]] = {name: [np.empty((len(orders), 0))] for name in metrics}
    numbers = [np.empty(0)]
    for counts_RN in plan.counts():
        for start in range(0, len(counts_RN), BLOCK):
            counts_NR = np.ascontiguousarray(counts_RN[start : start + BLOCK, places].T)
            numbers.append(counts_NR.sum(axis=0))
            for name in metrics:
                if name == "spearman":
                    found_ER = _correlations(truth, orders, counts_NR)
                elif name == "pearson":
                    found_ER = _linear_correlations(truth_N, predicted_EN, counts_NR)
                else:
                    with np.errstate(invalid="ignore", divide="ignore"):
                        found_ER = of_errors[name] @ counts_NR / numbers[-1]
                blocks[name].append(found_ER)
    return Drawn({name: np.concatenate(parts, axis=1) for name, parts in blocks.items()}, np.concatenate(numbers))


def spearman_draws(
    truth_NC: np.ndarray,
    prediction_NC: np.ndarray,
    plan: Plan,
    *,
    members_N: np.ndarray | None = None,
    counted_C: Sequence[int] | None = None,
) -> np.ndarray:
    """Fisher's mean over criteria of Spearman, on every draw; samples are drawn jointly over the criteria.

    Args:
        truth_NC: Scores, NaN where not judged.
        prediction_NC: Predictions in the same unit.
        plan: Which samples are in each draw.
        members_N: Positions of the N rows among `plan.num_samples`, where only some samples of a split belong to a
            subset: the draws stay those of the split, so that subsets can be averaged within a draw.
        counted_C: Criteria of the mean; None: those whose truth allows a correlation.

    Returns:
        [R]; all NaN where a counted criterion has no correlation at all: the mean has no number then, either.
    """
    if counted_C is None:
        counted_C = [c for c in range(truth_NC.shape[1]) if spearman(truth_NC[:, c], truth_NC[:, c]).is_defined]
    columns = []
    for c in counted_C:
        found = draw(truth_NC[:, c], prediction_NC[None, :, c], plan, members_N=members_N, metrics=("spearman",))
        defined = spearman(truth_NC[:, c], prediction_NC[:, c]).is_defined
        rho_R = found.spearman_ER[0] if defined else np.full(len(found.number_R), np.nan)
        columns.append((rho_R, spearman_limit(found.number_R)))
    if not columns:
        return np.full(sum(len(counts) for counts in plan.counts()), np.nan)
    rho_RK, limit_RK = (np.stack(parts, axis=1) for parts in zip(*columns, strict=True))
    lacking_K = np.isnan(rho_RK).all(axis=0)
    return fisher_mean_rows(rho_RK, limit_RK) if not lacking_K.any() else np.full(len(rho_RK), np.nan)


def fisher_mean_rows(rho_RK: np.ndarray, limit_RK: np.ndarray | None = None) -> np.ndarray:
    """[R, K] correlations -> [R]: Fisher's mean over K of what is not NaN; NaN where all are.

    Args:
        rho_RK: Correlations.
        limit_RK: Where |rho| is cut, see `limssr.evaluation.metrics.spearman_limit`; None: only short of 1.
    """
    limit = spearman_limit(np.inf) if limit_RK is None else limit_RK
    z_RK = np.arctanh(np.clip(rho_RK, -limit, limit))
    defined_RK = ~np.isnan(z_RK)
    num_R = defined_RK.sum(axis=1)
    total_R = np.where(defined_RK, z_RK, 0.0).sum(axis=1)
    return np.where(num_R > 0, np.tanh(total_R / np.maximum(num_R, 1)), np.nan)


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


def _linear_correlations(truth_N: np.ndarray, predicted_EN: np.ndarray, counts_NR: np.ndarray) -> np.ndarray:
    """[E, R] Pearson's correlation."""
    if not len(truth_N):
        return np.full((len(predicted_EN), counts_NR.shape[1]), np.nan)
    x_N, y_EN = truth_N - truth_N.mean(), predicted_EN - predicted_EN.mean(axis=1, keepdims=True)
    number_R = np.maximum(counts_NR.sum(axis=0), 1.0)
    mean_x_R, mean_y_ER = x_N @ counts_NR / number_R, y_EN @ counts_NR / number_R
    covariance_ER = (y_EN * x_N) @ counts_NR / number_R - mean_y_ER * mean_x_R
    spread_x_R = x_N**2 @ counts_NR / number_R - mean_x_R**2
    spread_y_ER = y_EN**2 @ counts_NR / number_R - mean_y_ER**2
    # What is left of a constant after rounding is no spread.
    scale_ER = np.sqrt(np.maximum(spread_x_R, 0.0) * np.maximum(spread_y_ER, 0.0))
    there_ER = (scale_ER > 1e-12 * (np.mean(x_N**2) + np.mean(y_EN**2, axis=1, keepdims=True))) & (number_R >= 3)
    return np.where(there_ER, covariance_ER / np.where(there_ER, scale_ER, 1.0), np.nan)


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
