"""How good predictions are: one number, or NaN with the reason for it.

`truth_NC` and `prediction_NC` hold N samples and C criteria in the data set's unit; NaN in the truth means that the
criterion was not judged, and that pair is left out. NaN in the prediction is never left out: the metric is NaN too.
Resampling is done with counts instead of copies: a resample is how often each sample was drawn, so ranks are a running
sum over an order that is found once, and 1000 resamples cost little more than one.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

RHO_LIMIT = 1.0 - 1e-7
"""|rho| is cut here before Fisher's z, whose value at 1 is infinite (one perfect criterion must not decide a mean)."""

TOO_FEW = "fewer than 3 samples"
CONSTANT_PREDICTION = "constant prediction"
CONSTANT_TRUTH = "constant truth"
NO_SAMPLES = "no judged samples"
NO_PREDICTION = "no prediction"

_CHUNK_VALUES = 2_000_000
_Curve = Callable[[Any], Any]


@dataclass(frozen=True)
class Metric:
    """A number with its footnote.

    Attributes:
        value: The number; NaN where there is none.
        reason: Why it is NaN or, with a finite value, what was left out of it; None: nothing to say.
    """

    value: float
    reason: str | None = None

    def __float__(self) -> float:
        return self.value

    @property
    def is_defined(self) -> bool:
        """True where `value` is a number."""
        return math.isfinite(self.value)


@dataclass(frozen=True)
class Resamples:
    """A bootstrap plan: the same draws for every criterion, subset and system that is compared.

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


def spearman(truth_N: np.ndarray, prediction_N: np.ndarray) -> Metric:
    """Spearman's rank correlation, ties at their mean rank.

    Example:
        >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([10.0, 30.0, 20.0]))
        Metric(value=0.5, reason=None)
        >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([5.0, 5.0, 5.0]))
        Metric(value=nan, reason='constant prediction')
    """
    truth, prediction, reason = _judged(truth_N, prediction_N)
    reason = reason or _no_correlation(truth, prediction)
    if reason is not None:
        return Metric(math.nan, reason)
    return Metric(float(np.asarray(stats.spearmanr(truth, prediction)[0])))


def pearson(truth_N: np.ndarray, prediction_N: np.ndarray) -> Metric:
    """Pearson's linear correlation."""
    truth, prediction, reason = _judged(truth_N, prediction_N)
    reason = reason or _no_correlation(truth, prediction)
    if reason is not None:
        return Metric(math.nan, reason)
    return Metric(float(np.asarray(stats.pearsonr(truth, prediction)[0])))


def mse(truth_N: np.ndarray, prediction_N: np.ndarray) -> Metric:
    """Mean squared error, in the squared unit of the scores."""
    truth, prediction, reason = _judged(truth_N, prediction_N)
    return Metric(math.nan, reason) if reason else Metric(float(np.mean((truth - prediction) ** 2)))


def mae(truth_N: np.ndarray, prediction_N: np.ndarray) -> Metric:
    """Mean absolute error, in the unit of the scores."""
    truth, prediction, reason = _judged(truth_N, prediction_N)
    return Metric(math.nan, reason) if reason else Metric(float(np.mean(np.abs(truth - prediction))))


def relative_l2(truth_N: np.ndarray, prediction_N: np.ndarray, *, span: float | None = None) -> Metric:
    """R-l2 of action quality assessment: 100 * mean(((y - prediction) / (y_max - y_min)) ** 2), without unit.

    The factor 100 is the convention of that field's tables: a value of 1 is a root mean squared error of a tenth of the
    range.

    Args:
        truth_N: Scores, NaN where not judged.
        prediction_N: Predictions in the same unit.
        span: y_max - y_min; None takes it from `truth_N`. Give that of the whole split to compare subsets.
    """
    truth, prediction, reason = _judged(truth_N, prediction_N)
    if reason is not None:
        return Metric(math.nan, reason)
    if span is None:
        span = float(np.ptp(truth))
    if not span > 0.0:
        return Metric(math.nan, CONSTANT_TRUTH)
    return Metric(float(100.0 * np.mean(((truth - prediction) / span) ** 2)))


def fisher_mean(metrics: Mapping[str, Metric]) -> Metric:
    """Mean of correlations by Fisher's z: tanh(mean(atanh(rho))), |rho| cut at `RHO_LIMIT`.

    Args:
        metrics: Name -> correlation. NaN is left out and named in the result's `reason`.
    """
    return _mean(metrics, to_mean=lambda rho: np.arctanh(np.clip(rho, -RHO_LIMIT, RHO_LIMIT)), back=np.tanh)


def arithmetic_mean(metrics: Mapping[str, Metric]) -> Metric:
    """Plain mean; NaN is left out and named in the result's `reason`."""
    return _mean(metrics, to_mean=lambda value: value, back=lambda value: value)


def fisher_mean_rows(rho_RK: np.ndarray) -> np.ndarray:
    """[R, K] correlations -> [R]: Fisher's mean over K of what is not NaN; NaN where all are."""
    z_RK = np.arctanh(np.clip(rho_RK, -RHO_LIMIT, RHO_LIMIT))
    defined_RK = ~np.isnan(z_RK)
    num_R = defined_RK.sum(axis=1)
    total_R = np.where(defined_RK, z_RK, 0.0).sum(axis=1)
    return np.where(num_R > 0, np.tanh(total_R / np.maximum(num_R, 1)), np.nan)


def bootstrap_spearman(
    truth_NC: np.ndarray, prediction_NC: np.ndarray, resamples: Resamples, *, members_N: np.ndarray | None = None
) -> np.ndarray:
    """Criterion-mean Spearman (Fisher's z) of every resample; samples are drawn jointly over the criteria.

    Args:
        truth_NC: Scores, NaN where not judged.
        prediction_NC: Predictions in the same unit.
        resamples: The plan.
        members_N: Positions of the N rows among `resamples.num_samples`, where only some samples of a split belong to
            a subset: the draws stay those of the split, so that subsets can be averaged within a resample.

    Returns:
        [R]; NaN where a resample has no defined correlation at all.
    """
    # A criterion without a correlation (constant, too few) is left out of the mean; so it is of the interval.
    defined = [c for c in range(truth_NC.shape[1]) if spearman(truth_NC[:, c], prediction_NC[:, c]).is_defined]
    orders = [(_Order(truth_NC[:, c]), _Order(prediction_NC[:, c])) for c in defined]
    usable_NC = ~np.isnan(truth_NC)[:, defined]
    blocks = []
    for counts_RN in resamples.counts():
        if members_N is not None:
            counts_RN = counts_RN[:, members_N]
        rho_RC = np.full((len(counts_RN), len(orders)), np.nan)
        for column, (truth, prediction) in enumerate(orders):
            rho_RC[:, column] = _weighted_spearman(truth, prediction, counts_RN * usable_NC[:, column])
        blocks.append(fisher_mean_rows(rho_RC))
    return np.concatenate(blocks) if blocks else np.empty(0)


def percentile_interval(values_R: np.ndarray, confidence: float) -> tuple[float, float]:
    """Percentile interval of bootstrap values, NaN left out; (NaN, NaN) where nothing is left."""
    defined = values_R[~np.isnan(values_R)]
    if len(defined) == 0:
        return math.nan, math.nan
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(defined, [tail, 1.0 - tail])
    return float(low), float(high)


def mean_spearman(truth_NC: np.ndarray, prediction_NC: np.ndarray) -> Metric:
    """Fisher's mean over criteria of Spearman's correlation."""
    return fisher_mean({str(c): spearman(truth_NC[:, c], prediction_NC[:, c]) for c in range(truth_NC.shape[1])})


def _judged(truth_N: np.ndarray, prediction_N: np.ndarray) -> tuple[np.ndarray, np.ndarray, str | None]:
    judged = ~np.isnan(truth_N)
    truth, prediction = truth_N[judged].astype(np.float64), prediction_N[judged].astype(np.float64)
    if len(truth) == 0:
        return truth, prediction, NO_SAMPLES
    return truth, prediction, None if np.isfinite(prediction).all() else NO_PREDICTION


def _no_correlation(truth: np.ndarray, prediction: np.ndarray) -> str | None:
    if len(truth) < 3:
        return TOO_FEW
    if _is_constant(truth):
        return CONSTANT_TRUTH
    return CONSTANT_PREDICTION if _is_constant(prediction) else None


def _is_constant(values: np.ndarray) -> bool:
    # Rounding noise of a model that always says the same must not be ranked as if it meant something.
    return bool(np.ptp(values) <= 1e-12 * np.abs(values).max())


def _mean(metrics: Mapping[str, Metric], *, to_mean: _Curve, back: _Curve) -> Metric:
    defined = [metric.value for metric in metrics.values() if metric.is_defined]
    left_out = [
        f"{name}: {metric.reason or 'not defined'}" for name, metric in metrics.items() if not metric.is_defined
    ]
    if not defined:
        return Metric(math.nan, _shared_reason(list(metrics.values())))
    reason = f"left out: {'; '.join(left_out)}" if left_out else None
    return Metric(float(back(np.mean([to_mean(value) for value in defined]))), reason)


def _shared_reason(metrics: Sequence[Metric]) -> str:
    reasons = list(dict.fromkeys(metric.reason or "not defined" for metric in metrics))
    return "; ".join(reasons) if reasons else "nothing to average"


class _Order:
    """Values sorted once, with the places where a run of equal values ends."""

    def __init__(self, values_N: np.ndarray) -> None:
        self.order_N = np.argsort(values_N, kind="stable")
        ordered = values_N[self.order_N]
        ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if len(ordered) else np.empty(0, int)
        run_of_ordered = np.searchsorted(ends, np.arange(len(ordered)))
        self.ends = ends
        self.run_N = np.empty(len(ordered), dtype=int)
        self.run_N[self.order_N] = run_of_ordered

    def centred_ranks(self, counts_RN: np.ndarray) -> np.ndarray:
        """[R, N] mean ranks in each resample, minus their mean (n + 1) / 2."""
        cumulative = np.cumsum(counts_RN[:, self.order_N], axis=1)
        upto_RG = cumulative[:, self.ends]
        before_RG = np.concatenate([np.zeros((len(upto_RG), 1)), upto_RG[:, :-1]], axis=1)
        # mean rank of a run is (before + 1 + upto) / 2; the mean of all ranks (n + 1) / 2 takes the 1 away
        middle_RG = 0.5 * (before_RG + upto_RG - upto_RG[:, -1:])
        return middle_RG[:, self.run_N]


def _weighted_spearman(truth: _Order, prediction: _Order, counts_RN: np.ndarray) -> np.ndarray:
    if counts_RN.shape[1] == 0:
        return np.full(len(counts_RN), np.nan)
    x_RN, y_RN = truth.centred_ranks(counts_RN), prediction.centred_ranks(counts_RN)
    weighted_RN = counts_RN * x_RN
    covariance_R = np.einsum("rn,rn->r", weighted_RN, y_RN)
    variance_x_R = np.einsum("rn,rn->r", weighted_RN, x_RN)
    variance_y_R = np.einsum("rn,rn->r", counts_RN * y_RN, y_RN)
    scale_R = np.sqrt(variance_x_R * variance_y_R)
    defined_R = (scale_R > 0) & (counts_RN.sum(axis=1) >= 3)
    return np.where(defined_R, covariance_R / np.where(defined_R, scale_R, 1.0), np.nan)
