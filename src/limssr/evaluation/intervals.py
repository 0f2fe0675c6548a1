"""Intervals around predictions, from errors on calibration samples; how often they cover; errors as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from limssr.core.errors import ArtifactError
from limssr.core.types import Criterion
from limssr.evaluation.conformal import Count, Errors, Source, Width, width

CONFIDENCE = 0.95
"""Of the binomial intervals around a share that was counted."""


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Intervals of N predictions for C criteria, in the data set's unit, cut at the scale of each criterion.

    Attributes:
        low_NC: Lower ends; the end of the scale where errors were too few for the level.
        high_NC: Upper ends.
        sources: Shown streams ("video+audio") -> for each criterion, which errors the intervals are made of.
    """

    low_NC: np.ndarray
    high_NC: np.ndarray
    sources: dict[str, tuple[Source, ...]]


def intervals(
    errors: Errors,
    shown: Sequence[str],
    scores_NC: np.ndarray,
    criteria: Sequence[Criterion],
    *,
    level: float,
    count: Count = "samples",
) -> Intervals:
    """Intervals around scores.

    Args:
        errors: Of calibration samples.
        shown: The streams that each of the N samples was scored from ("video+audio").
        scores_NC: The predictions, NaN where there is none: its interval is NaN, too.
        criteria: The C criteria, with their scales.
        level: Share of new scores that intervals are to cover.
        count: See `limssr.evaluation.conformal.width`.

    Raises:
        InputError: `level` outside (0, 1), or a sample without a stream that was calibrated.
    """
    widths: dict[str, Width] = {
        pattern: width(errors, pattern.split("+"), level, count=count) for pattern in dict.fromkeys(shown)
    }
    half_NC = np.array([widths[pattern].half_C for pattern in shown]).reshape(scores_NC.shape)
    lowest_C = np.array([criterion.low for criterion in criteria])
    highest_C = np.array([criterion.high for criterion in criteria])
    centre_NC = np.clip(scores_NC, lowest_C, highest_C)
    return Intervals(
        low_NC=np.maximum(centre_NC - half_NC, lowest_C),
        high_NC=np.minimum(centre_NC + half_NC, highest_C),
        sources={pattern: found.source_C for pattern, found in widths.items()},
    )


def coverage(
    errors: Errors,
    predictions: pa.Table,
    criteria: Sequence[Criterion],
    *,
    level: float,
    count: Count = "samples",
) -> list[dict[str, Any]]:
    """How often intervals of one level cover the scores of judged samples, for each subset and criterion.

    Args:
        errors: Of calibration samples, none of which is in `predictions`.
        predictions: Columns id, streams, criterion, score, prediction, as in `Evaluation.predictions`.
        criteria: The C criteria.
        level: As for `intervals`.
        count: As for `intervals`.

    Returns:
        One document for each subset and criterion with judged samples: streams, criterion, num_samples, covered (a
        share), covered_ci (binomial, 95 %), width (mean, in the data set's unit), source (see `Width`).
    """
    from scipy import stats  # scoring alone does not need it

    names = [criterion.name for criterion in criteria]
    rows: dict[tuple[str, str], list[tuple[float, float]]] = {}
    columns = (predictions[name].to_pylist() for name in ("streams", "criterion", "score", "prediction"))
    for shown, criterion, score, prediction in zip(*columns, strict=True):
        if score is not None and prediction is not None and np.isfinite(score) and np.isfinite(prediction):
            rows.setdefault((shown, criterion), []).append((score, prediction))
    found = []
    for (shown, criterion), pairs in rows.items():
        column = names.index(criterion)
        score_N, prediction_N = np.array(pairs).T
        scores_NC = np.full((len(pairs), len(criteria)), np.nan)
        scores_NC[:, column] = prediction_N
        made = intervals(errors, [shown] * len(pairs), scores_NC, criteria, level=level, count=count)
        low_N, high_N = made.low_NC[:, column], made.high_NC[:, column]
        hits = int(((low_N <= score_N) & (score_N <= high_N)).sum())
        exact = stats.binomtest(hits, len(pairs)).proportion_ci(CONFIDENCE)
        found.append(
            {
                "streams": shown.split("+"),
                "criterion": criterion,
                "num_samples": len(pairs),
                "covered": hits / len(pairs),
                "covered_ci": [float(exact.low), float(exact.high)],
                "width": float((high_N - low_N).mean()),
                "source": made.sources[shown][column],
            }
        )
    return found


def errors_to_table(errors: Errors) -> pa.Table:
    """One row for each sample, subset and criterion: sample, group, streams, criterion, error, difficulty."""
    rows, num_criteria = errors.error_RC.shape
    shown = ["+".join(np.array(errors.streams)[shown_M]) for shown_M in errors.shown_RM]
    return pa.table(
        {
            "sample": pa.array(np.repeat(errors.sample_R, num_criteria), pa.int32()),
            "group": pa.array(np.repeat(errors.group_N[errors.sample_R], num_criteria), pa.int32()),
            "streams": pa.array(np.repeat(shown, num_criteria).tolist(), pa.string()),
            "criterion": pa.array(list(errors.criteria) * rows, pa.string()),
            "error": pa.array(errors.error_RC.ravel(), pa.float64()),
            "difficulty": pa.array(errors.difficulty_RC.ravel(), pa.float64()),
        }
    )


def errors_from_table(table: pa.Table, streams: Sequence[str], criteria: Sequence[str]) -> Errors:
    """The errors that `errors_to_table` wrote.

    Raises:
        ArtifactError: A column, a stream or a criterion is not what was written.
    """
    try:
        sample, group = (table[name].to_numpy() for name in ("sample", "group"))
        shown, found = table["streams"].to_pylist(), table["criterion"].to_pylist()
        value, difficulty = (table[name].to_numpy() for name in ("error", "difficulty"))
        num = len(criteria)
        if len(table) == 0 or found != list(criteria) * (len(table) // num):
            raise ValueError(f"criteria {sorted(set(found))} where {list(criteria)} were expected")
        parts = [set(text.split("+")) for text in shown[::num]]
        if unknown := set().union(*parts) - set(streams):
            raise ValueError(f"streams {sorted(unknown)} that the model does not know")
        group_N = np.zeros(int(sample.max()) + 1, dtype=int)
        group_N[sample] = group
        return Errors(
            streams=tuple(streams),
            criteria=tuple(criteria),
            sample_R=sample[::num].astype(int),
            shown_RM=np.array([[name in part for name in streams] for part in parts], dtype=bool),
            error_RC=value.astype(float).reshape(-1, num),
            difficulty_RC=difficulty.astype(float).reshape(-1, num),
            group_N=group_N,
        )
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, pa.ArrowException) as error:
        raise ArtifactError(
            f"Expected the errors on calibration samples as limssr wrote them, found {error}: train or evaluate again."
        ) from error
