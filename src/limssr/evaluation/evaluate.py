"""Scores under subsets of the streams: what a model is worth when it sees only some of them (paper, section 4.1).

All 2^M - 1 non-empty subsets are evaluated up to six streams, and chosen ones beyond (`limssr.data.missing`). A sample
counts for a subset when it owns all its streams, and then the scorer is handed a sample that holds these streams and
nothing else: it cannot read what it should not see.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from limssr.core.config import EvalConfig
from limssr.core.errors import InputError
from limssr.core.types import Criterion, Sample
from limssr.data.batching import attend_padding
from limssr.data.missing import chosen_subsets, distinct_subsets
from limssr.evaluation.counting import count_judged, minimum_of, too_few
from limssr.evaluation.metrics import (
    NO_SAMPLES,
    TOO_FEW,
    Metric,
    arithmetic_mean,
    mae,
    mean_of,
    mean_of_counted,
    mse,
    pearson,
    relative_l2,
    spearman,
)
from limssr.evaluation.resampling import spearman_draws
from limssr.evaluation.results import (
    METRICS,
    DrawnSubset,
    Evaluation,
    IncompleteAverage,
    SubsetResult,
    average_incomplete,
)
from limssr.evaluation.scorer import ExplainsGaps, LeavesOutStreams, ModelScorer, Scorer
from limssr.evaluation.uncertainty import Uncertainty, units_of

__all__ = [
    "Evaluation",
    "ExplainsGaps",
    "ModelScorer",
    "Scorer",
    "SubsetResult",
    "attend_padding",
    "evaluate",
]

LONG_S = 60.0
"""What is expected to take longer is said before it begins."""
FEW_SCORES, TRIED = 50, 3
"""Below so many scores nothing is tried first; else so many samples are timed."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What every subset is measured with.

    Attributes:
        criteria: C.
        spans: Of each criterion's scores in the split, for the relative error.
        minimum: Judged samples that a criterion needs to count.
        uncertainty: How intervals are made.
        config: Confidence.
    """

    criteria: tuple[Criterion, ...]
    spans: tuple[float, ...]
    minimum: int
    uncertainty: Uncertainty
    config: EvalConfig


def evaluate(
    scorer: Scorer,
    samples: Sequence[Sample],
    modalities: tuple[str, ...],
    criteria: tuple[Criterion, ...],
    *,
    config: EvalConfig | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    note: Callable[[str], None] | None = None,
    split: str | None = None,
    selection: str | None = None,
    availability: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Score `samples` under subsets of `modalities` and compare with their scores.

    Args:
        scorer: The system.
        samples: N judged samples; each is used for the subsets of what it owns.
        modalities: Names of the M streams, in modality order.
        criteria: The C criteria, in the order of `Sample.scores`.
        config: Subsets, the minimum of samples, and how intervals are made; None: the defaults.
        seed: Of the bootstrap alone.
        progress: Called with (subsets done, subsets in all).
        note: Told which subsets are scored, where not all are, and that it will take more than a minute.
        split: For the record; None takes the split of the samples where they share one.
        selection: For the record.
        availability: For the record.

    Raises:
        InputError: No samples, or samples without scores.
    """
    config = config or EvalConfig()
    truth_NC = _truth(samples, criteria)
    asked_subsets = chosen_subsets(modalities, config.subsets)
    owning = [
        np.array([n for n, sample in enumerate(samples) if set(streams) <= set(sample.streams)], dtype=int)
        for streams in asked_subsets
    ]
    asked = _asked(samples, criteria, config, truth_NC, owning, seed=seed)
    num_all = 2 ** len(modalities) - 1
    if len(asked_subsets) < num_all and note is not None:
        note(
            f"{len(modalities)} streams have {num_all:,} subsets; {len(asked_subsets)} chosen ones are scored "
            "(evaluation.subsets)"
        )
    _say_how_long(scorer, samples, asked_subsets, owning, note)
    results, drawn, tables = [], [], []
    for done, (streams, members) in enumerate(zip(asked_subsets, owning, strict=True)):
        shown = [samples[n].restricted_to(streams) for n in members]
        prediction_NC = _score(scorer, shown, len(criteria))
        why = scorer.why_no_prediction(streams) if isinstance(scorer, ExplainsGaps) else None
        result, draws = _subset_result(streams, (truth_NC[members], prediction_NC), members, asked, why)
        results.append(result)
        drawn.append(draws)
        tables.append(_prediction_rows(shown, streams, criteria, truth_NC[members], prediction_NC))
        if progress is not None:
            progress(done + 1, len(asked_subsets))
    return Evaluation(
        subsets=tuple(results),
        average=_average(scorer, results, drawn, asked, num_all - 1),
        full=results[-1].metrics,
        predictions=pa.concat_tables(tables),
        criteria=tuple(criterion.name for criterion in criteria),
        split=split if split is not None else _common_split(samples),
        selection=selection,
        availability=availability,
        min_samples=asked.minimum,
        uncertainty=asked.uncertainty,
        scales={criterion.name: (criterion.low, criterion.high) for criterion in criteria},
    )


def _asked(
    samples: Sequence[Sample],
    criteria: tuple[Criterion, ...],
    config: EvalConfig,
    truth_NC: np.ndarray,
    owning: Sequence[np.ndarray],
    *,
    seed: int,
) -> _Asked:
    num_SC = np.stack([count_judged(truth_NC[members]) for members in owning])
    groups = units_of([sample.group for sample in samples], [sample.id for sample in samples])
    return _Asked(
        criteria=criteria,
        spans=tuple(_span(truth_NC[:, column]) for column in range(len(criteria))),
        minimum=minimum_of(num_SC, config.min_samples),
        uncertainty=uncertainty_of(config, groups, seed=seed),
        config=config,
    )


def _average(
    scorer: Scorer, results: Sequence[SubsetResult], drawn: Sequence[DrawnSubset], asked: _Asked, num_all: int
) -> IncompleteAverage:
    """The mean over the incomplete subsets that read different streams."""
    unseen = scorer.unseen if isinstance(scorer, LeavesOutStreams) else ()
    distinct = distinct_subsets([result.streams for result in results], unseen)
    kept = [(result, draws) for result, draws in zip(results, drawn, strict=True) if result.streams in distinct.kept]
    return average_incomplete(
        {result.streams: result.metrics for result, _ in kept},
        {result.streams: draws for result, draws in kept},
        asked.uncertainty,
        confidence=asked.config.confidence,
        left_out=distinct.same_as,
        unseen=unseen,
        num_all=num_all,
    )


def uncertainty_of(config: EvalConfig, groups: tuple[int, ...], *, seed: int = 0) -> Uncertainty:
    """How a recipe wants its intervals, for samples of these groups.

    Args:
        config: Of the recipe.
        groups: Number of each sample's group, see `limssr.evaluation.uncertainty.units_of`.
        seed: Of the bootstrap alone.
    """
    share = len(set(groups)) < len(groups)
    drawn = groups if config.resample == "groups" or (config.resample == "auto" and share) else None
    return Uncertainty(len(groups), config.interval, drawn, config.bootstrap, seed)


def _subset_result(
    streams: tuple[str, ...],
    scores: tuple[np.ndarray, np.ndarray],
    members: np.ndarray,
    asked: _Asked,
    why: str | None,
) -> tuple[SubsetResult, DrawnSubset]:
    """Metrics of one subset, and its mean Spearman on every draw."""
    truth_NC, prediction_NC = scores
    num_C = count_judged(truth_NC)
    per_criterion: dict[str, dict[str, Metric]] = {}
    counted: dict[str, list[str]] = {name: [] for name in METRICS}
    for column, criterion in enumerate(asked.criteria):
        truth_N = truth_NC[:, column]
        found = _measure(truth_N, prediction_NC[:, column], asked.spans[column], why)
        perfect = _measure(truth_N, truth_N, asked.spans[column], None)
        few = too_few(int(num_C[column]), asked.minimum)
        per_criterion[criterion.name] = {name: _marked(metric, few) for name, metric in found.items()}
        for name in METRICS:
            if perfect[name].is_defined and not few:
                counted[name].append(criterion.name)
    names = [criterion.name for criterion in asked.criteria]
    means = {
        name: mean_of_counted(
            {part: metrics[name] for part, metrics in per_criterion.items()}, counted[name], mean_of(name)
        )
        for name in METRICS
    }
    spearmans = {part: metrics["spearman"] for part, metrics in per_criterion.items()}
    plain = mean_of_counted(spearmans, counted["spearman"], arithmetic_mean)
    draws_R = spearman_draws(
        truth_NC,
        prediction_NC,
        asked.uncertainty.plan,
        members_N=members,
        counted_C=[names.index(name) for name in counted["spearman"]],
    )
    judged_N = np.flatnonzero(~np.isnan(truth_NC).all(axis=1))
    drawn = DrawnSubset(draws_R, members[judged_N], tuple(name for name in METRICS if counted[name]), plain)
    interval = asked.uncertainty.interval(
        means["spearman"].value,
        draws_R,
        num_units=asked.uncertainty.num_units(drawn.members_N),
        confidence=asked.config.confidence,
        scale="fisher",
    )
    result = SubsetResult(
        streams=streams,
        num_samples=len(members),
        metrics=means,
        spearman_ci=interval,
        per_criterion=per_criterion,
        num_judged=dict(zip(names, map(int, num_C), strict=True)),
        num_cut=_cut_off(prediction_NC, asked.criteria),
        plain_spearman=plain,
    )
    return result, drawn


def _cut_off(prediction_NC: np.ndarray, criteria: Sequence[Criterion]) -> dict[str, int]:
    """Criterion -> predictions that lie at an end of its scale, where scores are cut off."""
    found = {}
    for column, criterion in enumerate(criteria):
        ends = [np.isclose(prediction_NC[:, column], end, rtol=1e-12) for end in (criterion.low, criterion.high)]
        found[criterion.name] = int(np.any(ends, axis=0).sum())
    return found


def _marked(metric: Metric, few: str) -> Metric:
    """A value of a criterion that does not count says why, and keeps its number."""
    return replace(metric, reason=few) if few and metric.is_defined else metric


def _say_how_long(
    scorer: Scorer,
    samples: Sequence[Sample],
    asked_subsets: Sequence[tuple[str, ...]],
    owning: Sequence[np.ndarray],
    note: Callable[[str], None] | None,
) -> None:
    """Score a few samples first, and say how long all will take where that is long."""
    num_scores = sum(map(len, owning))
    if note is None or num_scores < FEW_SCORES:
        return
    largest = max(range(len(owning)), key=lambda s: (len(owning[s]) > 0, len(asked_subsets[s])))
    few = [samples[n].restricted_to(asked_subsets[largest]) for n in owning[largest][: TRIED + 1]]
    scorer.score(few[:1])  # the first one also waits for what is loaded once
    started = time.monotonic()
    scorer.score(few[1:] or few)
    expected_s = (time.monotonic() - started) / len(few[1:] or few) * num_scores
    if expected_s > LONG_S:
        note(f"scoring {len(asked_subsets)} subsets of the streams will take up to {expected_s / 60:.0f} min")


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
            "group": pa.array([sample.group for sample in samples for _ in criteria], pa.string()),
        }
    )
