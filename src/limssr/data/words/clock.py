"""Words with times on the segments of a performance."""

import math

import numpy as np

from limssr.core.errors import InputError
from limssr.core.words import GAP, Words

MAX_SEGMENTS = 100_000


def last_moment(words: Words) -> float:
    """The end of the last piece in seconds; 0 for words without times."""
    return max((end for _, end in words.times or ()), default=0.0)


def length(words: Words, segment_s: float, *, where: str) -> int:
    """T of a performance of these words alone: the last segment is at least half filled.

    Raises:
        InputError: Times that give more segments than a performance has.
    """
    number = max(1, math.floor(last_moment(words) / segment_s + 0.5))
    if number > MAX_SEGMENTS:
        raise InputError(
            f"{where}: expected at most {MAX_SEGMENTS:,} segments, found times up to {last_moment(words):g} s: give "
            "times in seconds."
        )
    return number


def placed(words: Words, segment_s: float, num_segments: int) -> tuple[Words, int]:
    """Put each piece into the segment that it begins in.

    Args:
        words: With times.
        segment_s: From the start of a segment to the start of the next.
        num_segments: T.

    Returns:
        The words with segments, and how many pieces were left out because they begin before the performance or after
        its end. What begins in a last stretch too short to be a segment is said in the last segment.
    """
    assert words.times is not None
    kept, segments = [], []
    for n, (start, _) in enumerate(words.times):
        # A hair is added so that 0.5 s, counted in steps of 0.1 s, is in the segment that begins there.
        segment = math.floor(start / segment_s + 1e-6)
        if 0 <= segment <= num_segments:
            kept.append(n)
            segments.append(min(segment, num_segments - 1))
    found = Words(tuple(words.pieces[n] for n in kept), tuple(words.times[n] for n in kept), tuple(segments))
    return found, len(words.pieces) - len(kept)


def heard(words: Words, segment_s: float | None, num_segments: int) -> np.ndarray:
    """[T] bool: which segments were recorded. One without words is silence; one that a gap covers was not recorded."""
    found_T = np.ones(num_segments, dtype=bool)
    if words.times is None or segment_s is None or words.segments is None:
        return found_T
    for piece, (start, end) in zip(words.pieces, words.times, strict=True):
        if piece is GAP:
            first, after = math.ceil(start / segment_s - 1e-6), math.floor(end / segment_s + 1e-6)
            found_T[max(first, 0) : max(after, 0)] = False
    for piece, segment in zip(words.pieces, words.segments, strict=True):
        if piece:
            found_T[segment] = True
    return found_T
