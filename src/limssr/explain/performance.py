"""Why one performance got its score: its streams, its stretches of time, and its score under every subset."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from limssr.core.types import Criterion, Sample
from limssr.evaluation.conformal import Errors
from limssr.evaluation.intervals import intervals
from limssr.evaluation.scorer import Scorer
from limssr.explain.contributions import (
    StreamContributions,
    Stretch,
    TimeContributions,
    stream_contributions,
    stretches,
    time_contributions,
)
from limssr.explain.groups import finite


def performance_document(
    scorer: Scorer,
    sample: Sample,
    criteria: Sequence[Criterion],
    baseline_C: np.ndarray,
    *,
    errors: Errors | None = None,
    level: float = 0.9,
    segment_s: float | None = None,
) -> tuple[dict[str, Any], TimeContributions]:
    """Everything about one sample, and the contributions of its windows.

    Args:
        scorer: The system.
        sample: With at least one stream.
        criteria: The C criteria.
        baseline_C: The score where nothing is known.
        errors: For intervals; None: none are given.
        level: Share of new scores that intervals are to cover.
        segment_s: Seconds a segment; None: stretches are given in segments alone.

    Returns:
        The document: id, streams, num_segments, subsets (with scores and intervals), criteria (name -> given, score,
        baseline, shapley, completeness, helpful and harmful stretches), and the windows.
    """
    shared = stream_contributions(scorer, sample, baseline_C)
    timed = time_contributions(scorer, sample)
    own = tuple(sample.streams)
    judged = len(sample.scores) == len(criteria)
    document: dict[str, Any] = {
        "id": sample.id,
        "streams": list(own),
        "num_segments": sample.num_segments,
        "segment_s": segment_s,
        "subsets": [
            _subset_document(part, score_C, criteria, errors, level) for part, score_C in shared.subset_scores.items()
        ],
        "criteria": {},
    }
    for column, one in enumerate(criteria):
        helpful, harmful = stretches(timed, column)
        document["criteria"][one.name] = {
            "given": finite(float(sample.scores[column])) if judged else None,
            "score": finite(float(shared.subset_scores[own][column])),
            "baseline": float(shared.baseline_C[column]),
            "shapley": dict(zip(own, map(finite, shared.shapley_MC[:, column]), strict=True)),
            "alone": dict(zip(own, map(finite, shared.alone_MC[:, column]), strict=True)),
            "last": dict(zip(own, map(finite, shared.last_MC[:, column]), strict=True)),
            "completeness": finite(_gap(shared, own, column)),
            "helpful": [_stretch_document(part, segment_s) for part in helpful],
            "harmful": [_stretch_document(part, segment_s) for part in harmful],
        }
    return document, timed


def _gap(shared: StreamContributions, own: tuple[str, ...], column: int) -> float:
    total = shared.subset_scores[own][column] - shared.baseline_C[column]
    return float(abs(shared.shapley_MC[:, column].sum() - total))


def _subset_document(
    part: tuple[str, ...], score_C: np.ndarray, criteria: Sequence[Criterion], errors: Errors | None, level: float
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "streams": list(part),
        "scores": {one.name: finite(float(score)) for one, score in zip(criteria, score_C, strict=True)},
    }
    if errors is not None and set(part) & set(errors.streams):
        made = intervals(errors, ["+".join(part)], score_C[None], criteria, level=level)
        found["intervals"] = {
            one.name: [finite(float(made.low_NC[0, c])), finite(float(made.high_NC[0, c]))]
            for c, one in enumerate(criteria)
        }
    return found


def _stretch_document(one: Stretch, segment_s: float | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "stream": one.stream,
        "begin": one.begin,
        "end": one.end,
        "contribution": one.contribution,
    }
    if segment_s is not None:
        found |= {"begin_s": round(one.begin * segment_s, 3), "end_s": round(one.end * segment_s, 3)}
    return found


def windows_table(windows: Sequence[tuple[str, TimeContributions]], criteria: Sequence[Criterion]) -> pa.Table:
    """What every window adds: id, stream, begin, end (segments), criterion, contribution (in the data set's unit)."""
    columns: dict[str, list[Any]] = {name: [] for name in ("id", "stream", "begin", "end", "criterion", "contribution")}
    for name, timed in windows:
        shape = timed.lost_MWC.shape
        for m, w, c in itertools.product(*map(range, shape)):
            if np.isfinite(timed.lost_MWC[m, w, c]):
                row = (name, timed.streams[m], int(timed.begin_W[w]), int(timed.end_W[w]), criteria[c].name)
                for key, value in zip(columns, (*row, float(timed.lost_MWC[m, w, c])), strict=True):
                    columns[key].append(value)
    kinds = (pa.string(), pa.string(), pa.int32(), pa.int32(), pa.string(), pa.float64())
    return pa.table({key: pa.array(columns[key], kind) for key, kind in zip(columns, kinds, strict=True)})
