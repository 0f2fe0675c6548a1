"""Rows in time -> segments of one length, and streams of different lengths -> one length."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from limssr.core.errors import InputError
from limssr.data.importers.table.reading import Align

# A row speaks for a segment that begins up to this many of its own periods later: slower streams hold their value.
HELD_PERIODS = 1.5
# A stated rate and the times of a file may differ by this share.
RATE_TOLERANCE = 0.05


@dataclass(frozen=True)
class Timed:
    """A stream whose rows have a time.

    Attributes:
        array: [T, D].
        times: [T] seconds, rising.
        clock: Whether the times were read, or counted from a rate and so begin when the sample begins.
    """

    array: np.ndarray
    times: np.ndarray
    clock: bool


def timed(array: np.ndarray, times: np.ndarray | None, rate: float | None, *, where: str) -> Timed | None:
    """Put a time to the rows, from the file or from a stated rate; None where neither is there.

    Raises:
        InputError: The rate contradicts the times.
    """
    if times is not None:
        if rate is not None and len(times) > 1 and abs(rate * period_of(times) - 1) > RATE_TOLERANCE:
            raise InputError(
                f"{where}: expected rows at the stated {rate:g} a second, found times that say "
                f"{1 / period_of(times):.4g}: correct --rate, or leave it out where the file has times."
            )
        return Timed(array, times, clock=True)
    if rate is None:
        return None
    return Timed(array, np.arange(array.shape[0]) / rate, clock=False)


def period_of(times: np.ndarray) -> float:
    """The usual distance of rows in seconds; 0 for a single row."""
    steps = np.diff(times)
    steps = steps[steps > 0]
    return float(np.median(steps)) if steps.size else 0.0


def pooled(streams: Mapping[str, Timed], segment_s: float, *, where: str) -> dict[str, np.ndarray]:
    """Average the rows of each segment; a segment without rows is not valid.

    All streams of a sample share the time at which the first of them begins. A last segment that is less than half
    filled is left out. Streams slower than the segments hold their value until the next row.

    Raises:
        InputError: Two streams with times do not meet in time: their clocks differ.
    """
    read = {name: one.times for name, one in streams.items() if one.clock and len(one.times)}
    origin = min((float(times[0]) for times in read.values()), default=0.0)
    for name, times in read.items():
        others = {other: found for other, found in read.items() if other != name}
        if others and times[0] > max(float(found[-1]) for found in others.values()) + segment_s:
            raise InputError(
                f"{where}: expected streams on one clock, found {name} beginning at {times[0]:.10g} s, after "
                f"{' and '.join(others)} ended: write the times of all streams from one beginning."
            )
    return {
        name: _pool(one.array, one.times - (origin if one.clock else 0.0), segment_s) for name, one in streams.items()
    }


def _pool(array: np.ndarray, times: np.ndarray, segment_s: float) -> np.ndarray:
    if array.ndim != 2 or not len(array) or array.dtype.kind not in "fiu":
        return array
    period = period_of(times)
    num_segments = max(1, round((float(times[-1]) + period) / segment_s))
    values = array.astype(np.float64)
    # A hair is added so that 0.5 s, counted in steps of 0.02 s, is in the segment that begins there.
    place = np.floor(times / segment_s + 1e-6).astype(np.int64)
    inside = (place >= 0) & (place < num_segments)
    place, kept = place[inside], values[inside]
    valid = ~np.isnan(kept)
    sums = np.zeros((num_segments, array.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, place, np.where(valid, kept, 0.0))
    np.add.at(counts, place, valid)
    with np.errstate(invalid="ignore"):
        segments = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    if period > segment_s:
        centers = (np.arange(num_segments) + 0.5) * segment_s
        row = np.searchsorted(times, centers, side="right") - 1
        empty = (counts == 0).all(axis=1) & (row >= 0) & (centers - times[np.maximum(row, 0)] < HELD_PERIODS * period)
        segments[empty] = values[row[empty]]
    return segments


def aligned(streams: Mapping[str, np.ndarray], align: Align) -> tuple[dict[str, np.ndarray], int]:
    """Streams of one length, and by how many segments the longest of them was shortened.

    Args:
        streams: Arrays; such as are not of rank 2 are left for the check of the sample.
        align: "refuse" leaves them as they are.
    """
    lengths = {len(array) for array in streams.values() if array.ndim == 2 and array.size}
    if align == "refuse" or len(lengths) < 2:
        return dict(streams), 0
    shortest = min(lengths)
    change = _resample if align == "resample" else _cut
    return {name: change(array, shortest) for name, array in streams.items()}, max(lengths) - shortest


def _cut(array: np.ndarray, length: int) -> np.ndarray:
    return array[:length] if array.ndim == 2 else array


def _resample(array: np.ndarray, length: int) -> np.ndarray:
    """Average over `length` stretches of equal time; a row that lies in two counts for each by its share."""
    if array.ndim != 2 or not array.size or len(array) == length or array.dtype.kind not in "fiu":
        return array
    values = array.astype(np.float64)
    valid = ~np.isnan(values)
    edges = np.linspace(0, len(values), length + 1)
    sums, counts = (_between(np.where(valid, values, 0.0), edges), _between(valid.astype(np.float64), edges))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(counts > 1e-9, sums / counts, np.nan)


def _between(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """[T, D] -> [len(edges) - 1, D]: the sum of the rows between the edges, rows in part by their share."""
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    whole = np.minimum(edges.astype(np.int64), len(values) - 1)
    at = total[whole] + (edges - whole)[:, None] * values[whole]
    return np.diff(at, axis=0)
