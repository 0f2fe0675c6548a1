"""One clock for all streams: which segments cover which moment.

Moments are whole nanoseconds, so that a frame at 32 / 25 s and a segment that begins at 1.28 s meet exactly; no time
stamp of a recording is that fine. A moment belongs to every segment with `start <= moment < start + length`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

import numpy as np

from limssr.core.errors import InputError, unknown_name

NS = 1_000_000_000
MAX_SEGMENTS = 100_000


@dataclass(frozen=True, kw_only=True)
class Segments:
    """How a recording is cut.

    Attributes:
        length_ns: Of a segment, in nanoseconds.
        stride_ns: From the start of a segment to the start of the next.
    """

    length_ns: int
    stride_ns: int

    @property
    def length_s(self) -> float:
        """Length of a segment in seconds."""
        return self.length_ns / NS

    @property
    def stride_s(self) -> float:
        """Seconds from the start of a segment to the start of the next."""
        return self.stride_ns / NS

    def number(self, end_ns: int) -> int:
        """T of a recording that ends at `end_ns`.

        The last segment exists if at least half of what it adds is filled; there is always one.
        """
        beyond = max(end_ns - self.length_ns, 0)
        return 1 + (2 * beyond + self.stride_ns) // (2 * self.stride_ns)

    def upper_number(self, end_ns: int) -> int:
        """T of a recording whose last moment also lies in a segment."""
        return 1 + -(-max(end_ns - self.length_ns, 0) // self.stride_ns)

    def start_ns(self, segment: int) -> int:
        """Where a segment begins."""
        return segment * self.stride_ns

    def bounds(self, times_ns: np.ndarray, num_segments: int) -> tuple[np.ndarray, np.ndarray]:
        """Which moments each segment covers.

        Args:
            times_ns: Ascending moments, int64.
            num_segments: T.

        Returns:
            For each of the T segments the index of its first moment and the index after its last.
        """
        starts_T = np.arange(num_segments, dtype=np.int64) * self.stride_ns
        first_T = np.searchsorted(times_ns, starts_T, side="left")
        after_T = np.searchsorted(times_ns, starts_T + self.length_ns, side="left")
        return first_T, after_T

    def to_dict(self) -> dict[str, float]:
        """For the store and the run folder."""
        return {"length_s": self.length_s, "stride_s": self.stride_s}


# The windows of the published features: 32 frames at 25 frames a second; 5 s that overlap by 3 s.
PRESETS: Mapping[str, Segments] = MappingProxyType(
    {
        "rg": Segments(length_ns=1_280_000_000, stride_ns=1_280_000_000),
        "fisv": Segments(length_ns=1_280_000_000, stride_ns=1_280_000_000),
        "fs1000": Segments(length_ns=5 * NS, stride_ns=2 * NS),
    }
)


def parse_segments(text: str) -> Segments:
    """Read `rg`, `fisv`, `fs1000` or `LENGTH[:STRIDE]` in seconds; without a stride segments do not overlap.

    Raises:
        InputError: Neither a preset nor such numbers.
    """
    if text in PRESETS:
        return PRESETS[text]
    length, colon, stride = text.partition(":")
    if length and length[0].isalpha():
        raise unknown_name("preset of segments", text, [*PRESETS, "LENGTH", "LENGTH:STRIDE"])
    return make_segments(_seconds(length, text), _seconds(stride, text) if colon else None)


def make_segments(length_s: float | Fraction, stride_s: float | Fraction | None = None) -> Segments:
    """Segments from seconds.

    Raises:
        InputError: Not positive, shorter than a millisecond, or with holes between segments.
    """
    length_ns, stride_ns = to_ns(length_s), to_ns(length_s if stride_s is None else stride_s)
    if stride_ns < 1_000_000 or length_ns < stride_ns or length_ns > 3_600 * NS:
        raise InputError(
            f"Expected segments of 0.001 to 3600 s whose stride is at most their length, found length "
            f"{float(length_s):g} s and stride {stride_ns / NS:g} s: write LENGTH or LENGTH:STRIDE in seconds, such as "
            "5:2."
        )
    return Segments(length_ns=length_ns, stride_ns=stride_ns)


def to_ns(seconds: float | Fraction) -> int:
    """Seconds -> the nearest whole nanosecond.

    Raises:
        InputError: Not finite.
    """
    if isinstance(seconds, float) and not math.isfinite(seconds):
        raise InputError(f"Expected a finite number of seconds, found {seconds}: correct it.")
    return round(Fraction(seconds) * NS)


def rows_ns(num_rows: int, rate_hz: float, offset_ns: int = 0, *, first: int = 0) -> np.ndarray:
    """The moments of rows that come at a fixed rate: row i stands for the moment i / rate_hz.

    Args:
        num_rows: How many moments, int64 [num_rows].
        rate_hz: Rows a second.
        offset_ns: The moment of row 0.
        first: The first of the rows.
    """
    # In float64 the error stays below a nanosecond for a hundred days.
    return np.rint(np.arange(first, first + num_rows, dtype=np.float64) * (NS / rate_hz)).astype(np.int64) + offset_ns


def _seconds(word: str, text: str) -> Fraction:
    try:
        return Fraction(word.strip())
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(
            f"Expected segments such as rg, fisv, fs1000, 2.5 or 5:2 (LENGTH:STRIDE in seconds), found {text!r}: write "
            "one of these forms."
        ) from error
