"""Scores under every subset of the streams (paper, section 4.1).

All 2^M - 1 non-empty subsets are evaluated. A sample counts for a subset when it owns all its streams, and then the
scorer is handed a sample that holds these streams and nothing else: it cannot read what it should not see.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from limssr.core.config import EvalConfig
from limssr.core.errors import InputError
from limssr.core.types import Criterion, Sample
from limssr.data.batching import attend_padding
from limssr.data.missing import distinct_subsets, subsets
from limssr.evaluation.metrics import (
    NO_SAMPLES,
    TOO_FEW,
    Metric,
    arithmetic_mean,
    fisher_mean,
    mae,
    mse,
    pearson,
    relative_l2,
    spearman,
)
from limssr.evaluation.resampling import Resamples, bootstrap_spearman, percentile_interval
from limssr.evaluation.results import METRICS, Evaluation, SubsetResult, average_incomplete
from limssr.evaluation.scorer import ExplainsGaps, LeavesOutStreams, ModelScorer, Scorer

__all__ = [
    "Evaluation",
    "ExplainsGaps",
    "ModelScorer",
    "Scorer",
    "SubsetResult",
    "attend_padding",
    "evaluate",
]


def evaluate(
    scorer: Scorer,
    samples: Sequence[Sample],
    modalities: tuple[str, ...],
    criteria: tuple[Criterion, ...],
    *,
    config: EvalConfig | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    split: str | None = None,
    selection: str | None = None,
    availability: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Score `samples` under every subset of `modalities` and compare with their scores.

    Args:
        scorer: The system.
        samples: N judged samples; each is used for the subsets of what it owns.
        modalities: Names of the M streams, in modality order.
        criteria: The C criteria, in the order of `Sample.scores`.
        config: Resamples and confidence of the intervals; None: the defaults.
        seed: Of the bootstrap alone.
        progress: Called with (subsets done, subsets in all).
        split: For the record; None takes the split of the samples where they share one.
        selection: For the record.
        availability: For the record.

    Raises:
        InputError: No samples, or samples without scores.
    """
    config = config or EvalConfig()
    truth_NC = _truth(samples, criteria)
    resamples = Resamples(len(samples), config.bootstrap, seed)
    spans = [_span(truth_NC[:, column]) for column in range(len(criteria))]
    all_subsets = subsets(modalities)
    results, draws, tables, judged = [], [], [], []
    for done, streams in enumerate(all_subsets):
        owning = np.array([n for n, sample in enumerate(samples) if set(streams) <= set(sample.streams)], dtype=int)
        shown = [samples[n].restricted_to(streams) for n in owning]
        prediction_NC = _score(scorer, shown, len(criteria))
        why = scorer.why_no_prediction(streams) if isinstance(scorer, ExplainsGaps) else None
        draws_R = bootstrap_spearman(truth_NC[owning], prediction_NC, resamples, members_N=owning)
        per_criterion = {
            criterion.name: _measure(truth_NC[owning, column], prediction_NC[:, column], spans[column], why)
            for column, criterion in enumerate(criteria)
        }
        interval = percentile_interval(draws_R, config.confidence)
        results.append(SubsetResult(streams, len(owning), _means(per_criterion), interval, per_criterion))
        draws.append(draws_R)
        judged.append(_judged(truth_NC[owning], spans))
        tables.append(_prediction_rows(shown, streams, criteria, truth_NC[owning], prediction_NC))
        if progress is not None:
            progress(done + 1, len(all_subsets))
    unseen = scorer.unseen if isinstance(scorer, LeavesOutStreams) else ()
    distinct = distinct_subsets(all_subsets, unseen)
    kept = [(result, n) for n, result in enumerate(results) if result.streams in distinct.kept]
    return Evaluation(
        subsets=tuple(results),
        average=average_incomplete(
            {result.streams: result.metrics for result, _ in kept},
            {result.streams: judged[n] for result, n in kept},
            [draws[n] for _, n in kept],
            confidence=config.confidence,
            left_out=distinct.same_as,
            unseen=unseen,
        ),
        full=results[-1].metrics,
        predictions=pa.concat_tables(tables),
        criteria=tuple(criterion.name for criterion in criteria),
        split=split if split is not None else _common_split(samples),
        selection=selection,
        availability=availability,
    )


def _truth(samples: Sequence[Sample], criteria: Sequence[Criterion]) -> np.ndarray:
    if not samples:
        raise InputError("Expected samples to evaluate, found none; choose a split that is not empty.")
    for sample in samples:
        if np.shape(sample.scores) != (len(criteria),):
            raise InputError(
                f"Expected {len(criteria)} scores for sample {sample.id!r}, found {np.size(sample.scores)}; "
                "evaluation needs judged samples, use predict for others."
            )
    return np.stack([np.asarray(sample.scores, dtype=np.float64) for sample in samples])


def _score(scorer: Scorer, samples: Sequence[Sample], num_criteria: int) -> np.ndarray:
    if not samples:
        return np.empty((0, num_criteria))
    prediction_NC = np.asarray(scorer.score(samples), dtype=np.float64)
    if prediction_NC.shape != (len(samples), num_criteria):
        raise InputError(
            f"Expected predictions of shape {(len(samples), num_criteria)} from {type(scorer).__name__}, found "
            f"{prediction_NC.shape}; return one row a sample and one column a criterion."
        )
    return prediction_NC


def _measure(truth_N: np.ndarray, prediction_N: np.ndarray, span: float, why: str | None) -> dict[str, Metric]:
    metrics = {
        "spearman": spearman(truth_N, prediction_N),
        "pearson": pearson(truth_N, prediction_N),
        "mse": mse(truth_N, prediction_N),
        "mae": mae(truth_N, prediction_N),
        "relative_l2": relative_l2(truth_N, prediction_N, span=span),
    }
    if why is None:
        return metrics
    # The scorer knows better why nothing can be said, unless there was nothing to score in the first place.
    own = (NO_SAMPLES, TOO_FEW)
    return {
        name: Metric(metric.value, why) if metric.reason and metric.reason not in own else metric
        for name, metric in metrics.items()
    }


def _judged(truth_NC: np.ndarray, spans: Sequence[float]) -> list[str]:
    """Names of the metrics that a perfect prediction of some criterion would have."""
    perfect = [_measure(truth_NC[:, c], truth_NC[:, c], span, None) for c, span in enumerate(spans)]
    return [name for name in METRICS if any(metrics[name].is_defined for metrics in perfect)]


def _means(parts: Mapping[str, Mapping[str, Metric]]) -> dict[str, Metric]:
    means = {}
    for name in METRICS:
        mean = fisher_mean if name in ("spearman", "pearson") else arithmetic_mean
        means[name] = mean({part: metrics[name] for part, metrics in parts.items()})
    return means


def _span(truth_N: np.ndarray) -> float:
    judged = truth_N[~np.isnan(truth_N)]
    return float(np.ptp(judged)) if len(judged) else 0.0


def _common_split(samples: Sequence[Sample]) -> str | None:
    splits = {sample.split for sample in samples}
    return splits.pop() if len(splits) == 1 else None


def _prediction_rows(
    samples: Sequence[Sample],
    streams: tuple[str, ...],
    criteria: Sequence[Criterion],
    truth_NC: np.ndarray,
    prediction_NC: np.ndarray,
) -> pa.Table:
    rows = len(samples) * len(criteria)
    return pa.table(
        {
            "id": pa.array([sample.id for sample in samples for _ in criteria], pa.string()),
            "streams": pa.array(["+".join(streams)] * rows, pa.string()),
            "criterion": pa.array([criterion.name for criterion in criteria] * len(samples), pa.string()),
            "score": pa.array(truth_NC.ravel(), pa.float64()),
            "prediction": pa.array(prediction_NC.ravel(), pa.float64()),
        }
    )
