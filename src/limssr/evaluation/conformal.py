"""Intervals around a score whose coverage is guaranteed by counting: split-conformal prediction for missing streams.

A model is scored on calibration samples under every subset of what they own. The interval of a new sample that shows
the pattern P is as wide as the errors of calibration samples under P: those that own more are masked down to P
(missing data augmentation, arXiv 2306.02732). Where too few own all of P, every calibration sample is taken under what
it shares with P; errors grow as streams go, so such intervals err on the wide side (the nested form of the same paper
and of arXiv 2405.15641). With many streams not every subset of what a sample owns was scored: then each counts under
the scored one that is most like P, and coverage is a matter of measuring. With k errors of n below it, a new error is
as well with probability at least k / (n + 1) if the calibration samples and the new one could have come in any order.
Samples of one group could not: counting whole groups (arXiv 2306.06342) gives each group the same weight, and needs
more groups than one would think.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from limssr.core.errors import InputError

Count = Literal["samples", "groups"]
Source = Literal["pattern", "nested", "nearest", "none"]


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Errors on calibration samples: one row a sample and subset of its streams.

    Attributes:
        streams: Names of the M streams.
        criteria: Names of the C criteria.
        sample_R: Which of the N calibration samples each of the R rows is of.
        shown_RM: The streams that were shown.
        error_RC: |score - prediction| in the data set's unit; NaN where the criterion was not judged.
        difficulty_RC: What errors are divided by; ones, where nothing is known of it. Above 0.
        group_N: The group of each calibration sample, 0, 1, ...; a sample without one is a group of its own.
    """

    streams: tuple[str, ...]
    criteria: tuple[str, ...]
    sample_R: np.ndarray
    shown_RM: np.ndarray
    error_RC: np.ndarray
    difficulty_RC: np.ndarray
    group_N: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Width:
    """Half the width of the intervals of one pattern, before it is multiplied by a sample's difficulty.

    Attributes:
        half_C: In the data set's unit; infinite where there are too few errors for the level.
        source_C: "pattern": errors under just this pattern; "nested": under what each sample shares with it; "nearest":
            under the scored subset of each sample that is most like it; "none".
        num_C: Calibration samples (or groups) that were counted.
    """

    half_C: np.ndarray
    source_C: tuple[Source, ...]
    num_C: np.ndarray


def errors_of(
    predictions: pa.Table,
    streams: Sequence[str],
    criteria: Sequence[str],
    *,
    groups: Mapping[str, str | None] | None = None,
) -> Errors:
    """Errors from the predictions of an evaluation under every subset.

    Args:
        predictions: Columns id, streams ("video+audio"), criterion, score, prediction, as in `Evaluation.predictions`.
        streams: Names of the M streams.
        criteria: Names of the C criteria.
        groups: Sample id -> its group; None or a missing id: a group of its own.

    Raises:
        InputError: No row has both a score and a prediction.
    """
    ids = predictions["id"].to_pylist()
    sample_names = list(dict.fromkeys(ids))
    place = {name: n for n, name in enumerate(sample_names)}
    column = {name: c for c, name in enumerate(criteria)}
    rows: dict[tuple[int, str], np.ndarray] = {}
    score = predictions["score"].to_numpy(zero_copy_only=False)
    predicted = predictions["prediction"].to_numpy(zero_copy_only=False)
    for n, (name, shown, criterion) in enumerate(
        zip(ids, predictions["streams"].to_pylist(), predictions["criterion"].to_pylist(), strict=True)
    ):
        row = rows.setdefault((place[name], shown), np.full(len(criteria), np.nan))
        row[column[criterion]] = abs(score[n] - predicted[n])
    error_RC = np.array(list(rows.values())).reshape(len(rows), len(criteria))
    if not np.isfinite(error_RC).any():
        raise InputError("Expected judged samples with predictions to calibrate on, found none: use another split.")
    named = [(groups or {}).get(name) or f"\0{name}" for name in sample_names]
    numbers = {name: n for n, name in enumerate(dict.fromkeys(named))}
    return Errors(
        streams=tuple(streams),
        criteria=tuple(criteria),
        sample_R=np.array([sample for sample, _ in rows], dtype=int),
        shown_RM=np.array([[name in shown.split("+") for name in streams] for _, shown in rows], dtype=bool),
        error_RC=error_RC,
        difficulty_RC=np.ones_like(error_RC),
        group_N=np.array([numbers[name] for name in named], dtype=int),
    )


def width(errors: Errors, shown: Sequence[str], level: float, *, count: Count = "samples") -> Width:
    """How wide intervals are for samples that show exactly the streams `shown`.

    Args:
        errors: Of calibration samples.
        shown: Names of the streams; one that calibration knows nothing of is left out.
        level: Share of new scores that intervals are to cover, as 0.9.
        count: "samples" counts each calibration sample once; "groups" gives every group the same weight.

    Raises:
        InputError: `level` outside (0, 1), or no known stream.
    """
    check_level(level)
    pattern_M = np.array([name in shown for name in errors.streams], dtype=bool)
    if not pattern_M.any():
        raise InputError(
            f"Expected one of the streams {', '.join(errors.streams)}, found {', '.join(shown) or 'none'}."
        )
    exact_R = (errors.shown_RM == pattern_M).all(axis=1)
    nested_R = _nested(errors, pattern_M)
    ratio_RC = errors.error_RC / errors.difficulty_RC
    found = []
    for column in range(len(errors.criteria)):
        judged_R = np.isfinite(ratio_RC[:, column])
        tries: tuple[tuple[Source, np.ndarray], ...] = (
            ("pattern", exact_R & judged_R),
            ("nested", nested_R & judged_R),
            ("nearest", _nearest(errors, pattern_M) & judged_R),
        )
        found.append(_first_finite(errors, ratio_RC[:, column], tries, level=level, count=count))
    return Width(
        half_C=np.array([half for half, _, _ in found]),
        source_C=tuple(source for _, source, _ in found),
        num_C=np.array([num for _, _, num in found]),
    )


def check_level(level: float) -> None:
    """Raise `InputError` unless `level` is a share between 0 and 1."""
    if not 0.0 < level < 1.0:
        raise InputError(f"Expected a level between 0 and 1, as 0.9, found {level}: say which share to cover.")


def smallest_number(level: float) -> int:
    """Calibration samples (or groups) below which no interval of this level is finite: n with n / (n + 1) >= level."""
    return math.ceil(level / (1.0 - level) - 1e-9)


def _nested(errors: Errors, pattern_M: np.ndarray) -> np.ndarray:
    """[R] One row a sample: the one that shows what the sample owns of the pattern, where it owns any of it."""
    owned_NM = np.zeros((len(errors.group_N), len(errors.streams)), dtype=bool)
    np.logical_or.at(owned_NM, errors.sample_R, errors.shown_RM)
    wanted_RM = owned_NM[errors.sample_R] & pattern_M
    return (errors.shown_RM == wanted_RM).all(axis=1) & wanted_RM.any(axis=1)


def _nearest(errors: Errors, pattern_M: np.ndarray) -> np.ndarray:
    """[R] One row a sample: the one whose streams have the largest share in common with the pattern, at least one."""
    shared_R = (errors.shown_RM & pattern_M).sum(axis=1)
    likeness_R = shared_R / (errors.shown_RM | pattern_M).sum(axis=1)
    chosen_R = np.zeros(len(likeness_R), dtype=bool)
    # Of rows that are equally like it the one with fewer streams: its errors are the larger ones.
    order = np.lexsort((errors.shown_RM.sum(axis=1), -likeness_R, errors.sample_R))
    _, firsts = np.unique(errors.sample_R[order], return_index=True)
    chosen_R[order[firsts]] = True
    return chosen_R & (shared_R > 0)


def _first_finite(
    errors: Errors, ratio_R: np.ndarray, tries: Sequence[tuple[Source, np.ndarray]], *, level: float, count: Count
) -> tuple[float, Source, int]:
    num = 0
    for source, chosen_R in tries:
        group_K = errors.group_N[errors.sample_R[chosen_R]]
        num = int(chosen_R.sum()) if count == "samples" else len(np.unique(group_K))
        half = _quantile(ratio_R[chosen_R], group_K, level, count)
        if math.isfinite(half):
            return half, source, num
    return math.inf, "none", num


def _quantile(ratio_K: np.ndarray, group_K: np.ndarray, level: float, count: Count) -> float:
    """The value that a share `level` of the errors is at or below, where a new one counts as infinite."""
    if count == "samples":
        weight_K = np.full(len(ratio_K), 1.0 / (len(ratio_K) + 1))
    else:
        _, inverse_K, sizes = np.unique(group_K, return_inverse=True, return_counts=True)
        weight_K = 1.0 / ((len(sizes) + 1) * sizes[inverse_K])
    order_K = np.argsort(ratio_K)
    upto_K = np.cumsum(weight_K[order_K])
    place = int(np.searchsorted(upto_K, level - 1e-9))
    return float(ratio_K[order_K[place]]) if place < len(ratio_K) else math.inf
