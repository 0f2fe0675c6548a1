"""Metrics of predictions: each is a number, or NaN with the reason for it.

`truth_NC` and `prediction_NC` hold N samples and C criteria in the data set's unit; NaN in the truth means that the
criterion was not judged, and that pair is left out. NaN in the prediction is never left out: the metric is NaN too.
Resampling is done with counts instead of copies: a resample is how often each sample was drawn, so ranks are a running
sum over an order that is found once, and 1000 resamples cost little more than one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
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


_Curve = Callable[[Any], Any]


@dataclass(frozen=True)
class Metric:
    """A number, and the reason where there is none.

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
