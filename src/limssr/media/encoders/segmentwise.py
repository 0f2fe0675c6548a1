"""Sessions of encoders that read a whole segment at once: they hold no more of a recording than the open segments."""

from abc import abstractmethod

import numpy as np
from jaxtyping import Float32

from limssr.media.clock import NS, Segments
from limssr.media.decode import SOUND_RATE_HZ, Picture, Sound
from limssr.media.encoders.contract import Session
from limssr.media.encoders.pooling import covered


class PictureSegments(Session):
    """Collects pictures and encodes each segment when it is over.

    Args:
        segments: The clock.
        dim: Width of the result.
    """

    def __init__(self, segments: Segments, dim: int) -> None:
        self._segments, self._dim = segments, dim
        self._times: list[int] = []
        self._held: list[tuple[int, np.ndarray]] = []
        self._done: list[np.ndarray] = []

    @abstractmethod
    def prepare(self, rgb_HWC: np.ndarray) -> np.ndarray:
        """A picture in the form in which it is kept."""

    @abstractmethod
    def encode(self, pictures: list[np.ndarray]) -> np.ndarray:
        """The pictures of a segment, at least one -> [D]."""

    def add(self, piece: Picture | Sound) -> None:
        """Keep a picture, and encode the segments that end before it."""
        assert isinstance(piece, Picture)
        self._close(before_ns=piece.time_ns)
        self._times.append(piece.time_ns)
        self._held.append((piece.time_ns, self.prepare(piece.rgb_HWC)))

    def segments(self, segments: Segments, num_segments: int) -> Float32[np.ndarray, "T D"]:
        """One row a segment; segments of which less than half is there are not valid."""
        end_ns = segments.start_ns(num_segments) + segments.length_ns
        self._close(before_ns=end_ns)
        values_TD = np.stack(self._done[:num_segments]).astype(np.float32)
        values_TD[~covered(np.array(self._times, dtype=np.int64), segments, num_segments)] = np.nan
        return values_TD

    def _close(self, *, before_ns: int) -> None:
        while self._segments.start_ns(len(self._done)) + self._segments.length_ns <= before_ns:
            start_ns = self._segments.start_ns(len(self._done))
            inside = [kept for time_ns, kept in self._held if start_ns <= time_ns < start_ns + self._segments.length_ns]
            self._done.append(self.encode(inside) if inside else np.full(self._dim, np.nan))
            next_ns = self._segments.start_ns(len(self._done))
            self._held = [held for held in self._held if held[0] >= next_ns]


class SoundSegments(Session):
    """Collects sound and encodes each segment when it is over; what is missing in one is silence."""

    def __init__(self, segments: Segments, dim: int) -> None:
        self._segments, self._dim = segments, dim
        self._held: list[Sound] = []
        self._done: list[np.ndarray] = []

    @abstractmethod
    def encode(self, samples_N: np.ndarray) -> np.ndarray:
        """The sound of a segment at `SOUND_RATE_HZ` -> [D]."""

    def add(self, piece: Picture | Sound) -> None:
        """Keep a piece, and encode the segments that end before it."""
        assert isinstance(piece, Sound)
        self._close(before_ns=piece.start_ns)
        self._held.append(piece)

    def segments(self, segments: Segments, num_segments: int) -> Float32[np.ndarray, "T D"]:
        """One row a segment; segments of which less than half is there are not valid."""
        self._close(before_ns=segments.start_ns(num_segments) + segments.length_ns)
        return np.stack(self._done[:num_segments]).astype(np.float32)

    def _close(self, *, before_ns: int) -> None:
        while self._segments.start_ns(len(self._done)) + self._segments.length_ns <= before_ns:
            start_ns = self._segments.start_ns(len(self._done))
            samples_N, there = self._cut(start_ns)
            whole = there >= len(samples_N) / 2
            self._done.append(self.encode(samples_N) if whole else np.full(self._dim, np.nan))
            next_ns = self._segments.start_ns(len(self._done))
            self._held = [held for held in self._held if _end_ns(held) > next_ns]

    def _cut(self, start_ns: int) -> tuple[np.ndarray, int]:
        number = round(self._segments.length_ns * SOUND_RATE_HZ / NS)
        samples_N, there = np.zeros(number, np.float32), 0
        for held in self._held:
            place = round((held.start_ns - start_ns) * SOUND_RATE_HZ / NS)
            first, after = max(place, 0), min(place + len(held.samples_N), number)
            if first < after:
                samples_N[first:after] = held.samples_N[first - place : after - place]
                there += after - first
        return samples_N, there


def _end_ns(sound: Sound) -> int:
    return sound.start_ns + round(len(sound.samples_N) * NS / SOUND_RATE_HZ)
