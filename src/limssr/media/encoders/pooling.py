"""Pools features of single moments into one row for each segment."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from limssr.media.clock import Segments

STATISTICS = ("mean", "deviation", "minimum", "maximum", "slope")


def statistic_names(columns: Sequence[str], statistics: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns that `pooled` returns: all columns of the first statistic, then of the next."""
    return tuple(f"{column}.{statistic}" for statistic in statistics for column in columns)


def pooled(
    times_ns: np.ndarray, rows_NF: np.ndarray, segments: Segments, num_segments: int, *, statistics: Sequence[str]
) -> Float32[np.ndarray, "T _"]:
    """Statistics of the rows that each segment covers.

    A segment is valid if it holds at least half of the rows that it would hold without gaps; the usual distance of
    rows is their median distance. Rows of NaN are moments at which there was nothing to measure: they count as there,
    but say nothing; a segment of only such rows is not valid.

    Args:
        times_ns: Ascending moments [N].
        rows_NF: What was measured, each row all NaN or without NaN.
        segments: The clock.
        num_segments: T.
        statistics: Some of `STATISTICS`; the slope is per second.

    Returns:
        [T, F x statistics]; segments that are not valid are NaN.
    """
    num_columns = rows_NF.shape[1]
    values_TD = np.full((num_segments, num_columns * len(statistics)), np.nan, dtype=np.float32)
    first_T, after_T = segments.bounds(times_ns, num_segments)
    valid_T = covered(times_ns, segments, num_segments)
    seen_N: np.ndarray = ~np.any(np.isnan(rows_NF), axis=1)
    for segment in np.flatnonzero(valid_T):
        span = slice(first_T[segment], after_T[segment])
        inside_N = seen_N[span]
        if inside_N.any():
            rows = rows_NF[span][inside_N].astype(np.float64)
            times_s = (times_ns[span][inside_N] - segments.start_ns(int(segment))) / 1e9
            values_TD[segment] = np.concatenate([_statistic(name, rows, times_s) for name in statistics])
    return values_TD


def covered(times_ns: np.ndarray, segments: Segments, num_segments: int) -> np.ndarray:
    """Which of the T segments hold at least half of the moments that they would hold without gaps, bool [T]."""
    first_T, after_T = segments.bounds(times_ns, num_segments)
    counts_T = after_T - first_T
    if len(times_ns) < 2:
        return counts_T > 0
    usual_ns = max(float(np.median(np.diff(times_ns))), 1.0)
    ends_T = np.arange(num_segments) * segments.stride_ns + segments.length_ns
    # The last segment may reach beyond the end of the recording: what cannot be there is not missed.
    reach_T = np.minimum(ends_T, times_ns[-1] + usual_ns) - (ends_T - segments.length_ns)
    return counts_T >= np.maximum(reach_T / usual_ns / 2, 1)


def _statistic(name: str, rows_NF: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    if name == "mean":
        return rows_NF.mean(axis=0)
    if name == "deviation":
        return rows_NF.std(axis=0)
    if name == "minimum":
        return rows_NF.min(axis=0)
    if name == "maximum":
        return rows_NF.max(axis=0)
    centred_N = times_s - times_s.mean()
    spread = float(centred_N @ centred_N)
    return centred_N @ rows_NF / spread if spread > 0 else np.zeros(rows_NF.shape[1])
