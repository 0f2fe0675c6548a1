"""`codec-motion`: what `motion` measures, from the motion vectors of the codec: no picture is looked at."""

import numpy as np
from jaxtyping import Float32

from limssr.media.clock import Segments
from limssr.media.decode import Picture, Sound
from limssr.media.encoders.contract import Encoder, EncoderCard, RowSession
from limssr.media.encoders.motion import ROWS, STATISTICS, describe_flow
from limssr.media.encoders.pooling import statistic_names
from limssr.media.vectors import Vectors

# All but the last, which compares pictures.
VECTOR_ROWS = ROWS[:-1]
CARD = EncoderCard(
    name="codec-motion",
    reads="vectors",
    does="the cheap variant of motion: the codec's own motion vectors (H.264, MPEG-4, MPEG-2); else not valid",
    columns=statistic_names(VECTOR_ROWS, STATISTICS),
    licence="ours (MIT)",
    verified="patterns moving at known speeds, with and without B-pictures, and turned, beside `motion`",
)


class CodecMotionEncoder(Encoder):
    """See the module."""

    card = CARD

    def session(self, segments: Segments) -> "CodecMotionSession":
        """Begin a recording."""
        return CodecMotionSession()


class CodecMotionSession(RowSession):
    """Movement in one recording."""

    def __init__(self) -> None:
        super().__init__(STATISTICS)

    def add(self, piece: Picture | Sound | Vectors) -> None:
        """Describe the vectors of a picture."""
        assert isinstance(piece, Vectors)
        self.note(np.array([piece.time_ns]), np.array([describe_flow(piece.flow_HW2)]))

    def segments(self, segments: Segments, num_segments: int) -> Float32[np.ndarray, "T D"]:
        """Statistics of each segment; nothing is valid where the codec keeps no vectors."""
        if not len(self.noted()[0]):
            return np.full((num_segments, CARD.dim), np.nan, np.float32)
        return super().segments(segments, num_segments)
