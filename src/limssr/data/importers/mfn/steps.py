"""What the all-zero steps of a clip mean in the release of the Memory Fusion Network.

Shorter clips are padded with zeros in front, behind or on both sides, and what is missing is zeros too. Audio tells
the two apart:

* steps before the first and behind the last that is filled in audio are padding: they are cut;
* between these, an empty step of a stream is a segment that is missing there: a row of NaN;
* a stream that is empty from end to end is absent.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from limssr.core.errors import InputError


@dataclass(frozen=True)
class Clip:
    """A clip without its padding.

    Attributes:
        streams: Stream -> float64 [T, D], rows of NaN where it is missing; absent streams are no keys.
        missing: Stream -> such rows.
        front: Padding steps cut in front.
        behind: Padding steps cut behind.
    """

    streams: Mapping[str, np.ndarray]
    missing: Mapping[str, int]
    front: int
    behind: int

    @property
    def num_steps(self) -> int:
        """T, the steps in use."""
        return len(self.streams["audio"])


def cut_clip(padded: Mapping[str, np.ndarray], *, where: str) -> Clip:
    """Cut the padding and mark what is missing.

    Args:
        padded: Stream -> [steps, D] of any real type, with zeros; "audio" is one of them.
        where: Beginning of the messages.

    Raises:
        InputError: Audio is empty throughout, or another stream goes on where audio has ended.
    """
    filled = {stream: (array_TD != 0).any(axis=1) for stream, array_TD in padded.items()}
    in_use = np.flatnonzero(filled["audio"])
    if not in_use.size:
        raise InputError(
            f"{where}: expected at least one step of audio that is not zero, found none: audio tells how long a clip "
            "is; leave the clip out of all files of its split."
        )
    start, stop = int(in_use[0]), int(in_use[-1]) + 1
    streams, missing = {}, {}
    for stream, filled_T in filled.items():
        if filled_T[:start].any() or filled_T[stop:].any():
            raise InputError(
                f"{where}: expected {stream} to be zero where audio has not begun or has ended (steps outside {start} "
                f"to {stop - 1}), found values: do the rows of both files belong together?"
            )
        if not filled_T.any():
            continue
        cut_TD = np.array(padded[stream][start:stop], dtype=np.float64)
        empty_T = ~filled_T[start:stop]
        cut_TD[empty_T] = np.nan
        streams[stream], missing[stream] = cut_TD, int(empty_T.sum())
    return Clip(streams, missing, start, len(filled["audio"]) - stop)
