"""Motion vectors as a codec keeps them: where it found each block of a picture in an earlier one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from limssr.media.clock import NS

CELL_PX = 8
WHOLE, FROM_PAST = 1, 2
"""FFmpeg's numbers of I and P pictures."""
OPTIONS = {"flags2": "+export_mvs"}
"""For the decoder, so that it hands them out."""


@dataclass(frozen=True, kw_only=True)
class Vectors:
    """How the blocks of one picture moved.

    Attributes:
        time_ns: When the picture is shown, from the start of the recording.
        flow_HW2: Right and down in picture heights a second, for cells of `CELL_PX` pixels, upright; 0 where the codec
            keeps no vector.
    """

    time_ns: int
    flow_HW2: Float32[np.ndarray, "H W 2"]


class VectorReader:
    """Pictures in the order in which they are shown -> their vectors.

    Vectors do not say how old the picture is that they lead to. We take those of pictures that are predicted from the
    past alone (P), and the picture before that was not predicted from both sides (I or P): so do usual encoders with
    one reference; with several, some vectors span more time than we think.
    """

    def __init__(self) -> None:
        self._before_ns: int | None = None

    def read(self, frame: Any, time_ns: int) -> Vectors | None:
        """The vectors of a picture; None where it is no P, or has none."""
        if (kind := int(frame.pict_type)) not in (WHOLE, FROM_PAST):
            return None
        before_ns, self._before_ns = self._before_ns, time_ns
        held = frame.side_data.get("MOTION_VECTORS")
        if kind == WHOLE or before_ns is None or held is None or time_ns <= before_ns:
            return None
        flow_HW2 = _cells(held.to_ndarray(), frame.width, frame.height) * (NS / (time_ns - before_ns) / frame.height)
        turns = round(frame.rotation / 90) % 4
        return Vectors(time_ns=time_ns, flow_HW2=_turned(flow_HW2, turns) * np.float32(_heights(frame, turns)))


def _cells(vectors_N: np.ndarray, width: int, height: int) -> np.ndarray:
    """Movement in pixels, [H, W, 2]."""
    past_N = vectors_N[vectors_N["source"] < 0]
    flow_HW2 = np.zeros((-(-height // CELL_PX), -(-width // CELL_PX), 2), np.float32)
    scale_N = np.maximum(past_N["motion_scale"], 1)
    moved_N2 = -np.stack([past_N["motion_x"] / scale_N, past_N["motion_y"] / scale_N], axis=1)
    left_N = (past_N["dst_x"].astype(np.int64) - past_N["w"] // 2) // CELL_PX
    top_N = (past_N["dst_y"].astype(np.int64) - past_N["h"] // 2) // CELL_PX
    for down in (0, 1):
        for right in (0, 1):
            row_N, column_N = top_N + down, left_N + right
            there_N = (past_N["w"] > CELL_PX * right) & (past_N["h"] > CELL_PX * down) & (row_N >= 0) & (column_N >= 0)
            there_N &= (row_N < flow_HW2.shape[0]) & (column_N < flow_HW2.shape[1])
            flow_HW2[row_N[there_N], column_N[there_N]] = moved_N2[there_N]
    return flow_HW2


def _heights(frame: Any, turns: int) -> float:
    """Heights of the upright picture in a height of the picture as it is stored."""
    return frame.height / frame.width if turns % 2 else 1.0


def _turned(flow_HW2: np.ndarray, turns: int) -> np.ndarray:
    """Turned as pictures are: by so many quarters, counter-clockwise."""
    for _ in range(turns):
        flow_HW2 = np.rot90(flow_HW2)
        flow_HW2 = np.stack([flow_HW2[..., 1], -flow_HW2[..., 0]], axis=-1)
    return np.ascontiguousarray(flow_HW2)
