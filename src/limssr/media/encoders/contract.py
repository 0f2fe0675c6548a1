"""The interface of encoders: what each declares, and what extraction may ask of it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

from limssr.media.clock import NS, Segments
from limssr.media.encoders.pooling import pooled

Reads = Literal["picture", "sound", "vectors"]


@dataclass(frozen=True, kw_only=True)
class Need:
    """A package that an encoder needs.

    Attributes:
        module: As it is imported.
        package: As it is installed.
        command: What to type to install it.
    """

    module: str
    package: str
    command: str


@dataclass(frozen=True, kw_only=True)
class EncoderCard:
    """What an encoder is, known without loading it.

    Attributes:
        name: Also that of its stream.
        reads: Pictures, sound, or the motion vectors of the codec.
        does: One sentence.
        columns: Names of the D features of a segment.
        pictures_hz: How many pictures a second it looks at; 0 for sound.
        weights: Where they come from; "none" if it has none.
        licence: Of the weights, or of the library that does the work.
        verified: How it was checked that it does what it says.
        version: Raised whenever its numbers change.
        needs: Packages beside those that decode.
        settings: What else its numbers depend on; plain JSON values.
    """

    name: str
    reads: Reads
    does: str
    columns: tuple[str, ...]
    pictures_hz: float = 0.0
    weights: str = "none"
    licence: str
    verified: str
    version: int = 1
    needs: tuple[Need, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        """Width D of the stream."""
        return len(self.columns)


class Session(ABC):
    """Encodes one recording: gets its pieces in order of time and is then asked for the segments."""

    @abstractmethod
    def add(self, piece: Any) -> None:
        """Take in the next piece: `Picture`, `Sound` or `Vectors`, as its card says."""

    @abstractmethod
    def segments(self, segments: Segments, num_segments: int) -> Float32[np.ndarray, "T D"]:
        """One row a segment after the last piece; rows of NaN are segments that are not valid."""


class Encoder(ABC):
    """Weights and settings, shared by the recordings that a process encodes.

    Attributes:
        card: What it is.
        weights_sha256: Of the file that its weights come from; None without weights.
    """

    card: EncoderCard
    weights_sha256: str | None = None

    @abstractmethod
    def session(self, segments: Segments) -> Session:
        """Begin a recording that is cut by this clock."""


class RowSession(Session):
    """A session that measures single moments; the segments are statistics of what they cover.

    Args:
        statistics: Of `pooling.STATISTICS`.
    """

    def __init__(self, statistics: Sequence[str]) -> None:
        self._statistics = tuple(statistics)
        self._times: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []

    def note(self, times_ns: np.ndarray, rows_NF: np.ndarray) -> None:
        """Keep what was measured at some moments."""
        if len(times_ns):
            self._times.append(np.asarray(times_ns, dtype=np.int64))
            self._rows.append(np.asarray(rows_NF, dtype=np.float32))

    def finish(self) -> None:
        """Measure what is still in a buffer."""

    def noted(self) -> tuple[np.ndarray, np.ndarray]:
        """All moments [N] and rows [N, F] so far."""
        if not self._times:
            return np.empty(0, np.int64), np.empty((0, 0), np.float32)
        return np.concatenate(self._times), np.concatenate(self._rows)

    def segments(self, segments: Segments, num_segments: int) -> Float32[np.ndarray, "T D"]:
        """Statistics of each segment."""
        self.finish()
        times_ns, rows_NF = self.noted()
        return pooled(times_ns, rows_NF, segments, num_segments, statistics=self._statistics)


class Thinner:
    """Lets through at most `rate_hz` pictures a second, evenly spaced."""

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self._slot = -1

    def lets(self, time_ns: int) -> bool:
        """Whether this picture is the first one of its slot."""
        slot = int(time_ns * self._rate_hz // NS)
        passed, self._slot = slot != self._slot, slot
        return passed
