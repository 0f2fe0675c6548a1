"""Metrics of predictions: each is a number, or NaN with the reason for it.

`truth_NC` and `prediction_NC` hold N samples and C criteria in the data set's unit; NaN in the truth means that the
criterion was not judged, and that pair is left out. NaN in the prediction is never left out: the metric is NaN too.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

from limssr.core.errors import InputError

RHO_LIMIT = 1.0 - 1e-7
"""|rho| is cut here before Fisher's z, infinite at 1; earlier where samples are few, see `spearman_limit`."""


MIN_SAMPLES = 10
"""Judged samples below which a criterion or a subset does not enter a mean, unless recipes say otherwise."""


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
        num_samples: Judged samples behind it; None: not known, as of a published number or of a mean.
    """

    value: float
    reason: str | None = None
    num_samples: int | None = field(default=None, repr=False, compare=False)

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
        return Metric(math.nan, reason, len(truth))
    return Metric(float(np.asarray(stats.spearmanr(truth, prediction)[0])), None, len(truth))


def pearson(truth_N: np.ndarray, prediction_N: np.ndarray) -> Metric:
    """Pearson's linear correlation."""
    truth, prediction, reason = _judged(truth_N, prediction_N)
    reason = reason or _no_correlation(truth, prediction)
    if reason is not None:
        return Metric(math.nan, reason, len(truth))
    return Metric(float(np.asarray(stats.pearsonr(truth, prediction)[0])), None, len(truth))


def mse(truth_N: np.ndarray, prediction_N: np.ndarray) -> Metric:
    """Mean squared error, in the squared unit of the scores."""
    truth, prediction, reason = _judged(truth_N, prediction_N)
    return Metric(math.nan if reason else float(np.mean((truth - prediction) ** 2)), reason, len(truth))


def mae(truth_N: np.ndarray, prediction_N: np.ndarray) -> Metric:
    """Mean absolute error, in the unit of the scores."""
    truth, prediction, reason = _judged(truth_N, prediction_N)
    return Metric(math.nan if reason else float(np.mean(np.abs(truth - prediction))), reason, len(truth))


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
    if reason is None and span is None:
        span = float(np.ptp(truth))
    if reason is None and not (span or 0.0) > 0.0:
        reason = CONSTANT_TRUTH
    value = math.nan if reason else float(100.0 * np.mean(((truth - prediction) / span) ** 2))
    return Metric(value, reason, len(truth))


def spearman_limit(num_samples: Any) -> Any:
    """Where |rho| of so many samples is cut before Fisher's z: half a swap of neighbours away from a perfect order.

    A perfect order of n samples would otherwise have z = 8.4 whatever n is, and four samples in order would decide a
    mean over any number of criteria. Nothing but a perfect order, or one that ties keep from being perfect, is cut.

    Args:
        num_samples: One number, or an array of them.

    Example:
        >>> round(spearman_limit(4), 3), round(spearman_limit(30), 5)
        (0.9, 0.99978)
    """
    cubed = np.asarray(num_samples, dtype=np.float64) ** 3 - num_samples if np.isfinite(num_samples).all() else np.inf
    limit = np.clip(1.0 - 6.0 / np.maximum(cubed, 6.0), 0.0, RHO_LIMIT)
    return float(limit) if np.ndim(limit) == 0 else limit


def fisher_mean(metrics: Mapping[str, Metric]) -> Metric:
    """Mean of correlations by Fisher's z: tanh(mean(atanh(rho))), |rho| cut by `spearman_limit`.

    Args:
        metrics: Name -> correlation. NaN is left out and named in the result's `reason`.
    """
    return _mean(metrics, to_mean=_fisher_z, back=np.tanh)


def arithmetic_mean(metrics: Mapping[str, Metric]) -> Metric:
    """Plain mean; NaN is left out and named in the result's `reason`."""
    return _mean(metrics, to_mean=lambda metric: metric.value, back=lambda value: value)


def mean_of(name: str) -> Callable[[Mapping[str, Metric]], Metric]:
    """The mean that a metric takes: Fisher's for the two correlations, the plain one for errors."""
    return fisher_mean if name in ("spearman", "pearson") else arithmetic_mean


def mean_of_counted(
    metrics: Mapping[str, Metric], counted: Collection[str], mean: Callable[[Mapping[str, Metric]], Metric]
) -> Metric:
    """The mean over the parts that count; one of these without a number leaves the mean without one.

    A mean over the rest would answer another question. What does not count is named in the result's `reason`.

    Args:
        metrics: Part (a criterion) -> value; what does not count has the reason for that.
        counted: Names of the parts that count.
        mean: Such as `fisher_mean`.
    """
    gaps = [name for name in counted if not metrics[name].is_defined]
    if gaps:
        lacking = [metrics[name].reason or "not defined" for name in gaps]
        words = _shared_reason([metrics[name] for name in gaps])
        if len(gaps) < len(counted):
            words = "; ".join(f"{name}: {reason}" for name, reason in zip(gaps, lacking, strict=True))
        return Metric(math.nan, words)
    return mean(
        {name: metric if name in counted else Metric(math.nan, metric.reason) for name, metric in metrics.items()}
    )


def _fisher_z(metric: Metric) -> float:
    limit = spearman_limit(np.inf if metric.num_samples is None else metric.num_samples)
    return float(np.arctanh(np.clip(metric.value, -limit, limit)))


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
    defined = [metric for metric in metrics.values() if metric.is_defined]
    left_out = [
        f"{name}: {metric.reason or 'not defined'}" for name, metric in metrics.items() if not metric.is_defined
    ]
    if not defined:
        return Metric(math.nan, _shared_reason(list(metrics.values())))
    reason = f"left out: {'; '.join(left_out)}" if left_out else None
    return Metric(float(back(np.mean([to_mean(metric) for metric in defined]))), reason)


def _shared_reason(metrics: Sequence[Metric]) -> str:
    reasons = list(dict.fromkeys(metric.reason or "not defined" for metric in metrics))
    return "; ".join(reasons) if reasons else "nothing to average"


def mean_r2(truth_NC: np.ndarray, predicted_NC: np.ndarray, weight_N: np.ndarray) -> float:
    """Coefficient of determination, the mean over the criteria that were judged on at least two samples.

    Raises:
        InputError: There is no such criterion.
    """
    from sklearn.metrics import r2_score

    values = []
    for truth_N, predicted_N in zip(truth_NC.T, predicted_NC.T, strict=True):
        judged_N = ~np.isnan(truth_N)
        if judged_N.sum() >= 2:
            values.append(r2_score(truth_N[judged_N], predicted_N[judged_N], sample_weight=weight_N[judged_N]))
    if not values:
        raise InputError(
            f"Expected a criterion that was judged on at least two of the {len(truth_NC)} samples, found none: R² "
            "compares samples; give more scores."
        )
    return float(np.mean(values))
