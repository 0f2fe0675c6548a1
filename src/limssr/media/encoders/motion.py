"""`motion`: how the picture moves, without the movement of the camera.

Dense optical flow (OpenCV's DIS) between pictures an eighth of a second apart; its median is the camera and is taken
away. Speeds are in picture heights a second.
"""

from typing import Any

import numpy as np

from limssr.media.clock import NS, Segments
from limssr.media.decode import Picture, Sound
from limssr.media.encoders.contract import Encoder, EncoderCard, Need, RowSession
from limssr.media.encoders.pooling import statistic_names
from limssr.media.extras import INSTALL, import_cv2

PICTURES_HZ = 8.0
HEIGHT_PX = 144
NUM_DIRECTIONS = 8
# Slower than this does not count as moving, in picture heights a second.
STILL = 0.02
# Pictures further apart than this are not compared.
FURTHEST_NS = NS
STATISTICS = ("mean", "deviation", "maximum")
ROWS = (
    *("speed", "speed_median", "speed_p90", "speed_p99", "moving_share"),
    *(f"direction{number}" for number in range(NUM_DIRECTIONS)),
    *("camera_right", "camera_down", "camera_zoom", "place_x", "place_y", "spread", "change"),
)
CARD = EncoderCard(
    name="motion",
    reads="picture",
    does="optical flow without the camera: speeds, directions, where it moves; camera movement beside it",
    columns=statistic_names(ROWS, STATISTICS),
    pictures_hz=PICTURES_HZ,
    licence="Apache-2.0 (OpenCV)",
    verified="squares moving at known speeds and directions, with the camera still and panning",
    needs=(Need(module="cv2", package="opencv-python-headless", command=INSTALL),),
)


class MotionEncoder(Encoder):
    """See the module."""

    card = CARD

    def session(self, segments: Segments) -> "MotionSession":
        """Begin a recording."""
        return MotionSession()


class MotionSession(RowSession):
    """Movement in one recording."""

    def __init__(self) -> None:
        super().__init__(STATISTICS)
        self._cv2: Any = import_cv2()
        self._flow = self._cv2.DISOpticalFlow_create(self._cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._before: tuple[int, np.ndarray] | None = None

    def add(self, piece: Picture | Sound) -> None:
        """Compare a picture with the one before."""
        assert isinstance(piece, Picture)
        grey_HW = self._grey(piece.rgb_HWC)
        if self._before is None or piece.time_ns - self._before[0] > FURTHEST_NS:
            self.note(np.array([piece.time_ns]), np.full((1, len(ROWS)), np.nan))
        else:
            elapsed_s = (piece.time_ns - self._before[0]) / NS
            flow_HW2 = self._flow.calc(self._before[1], grey_HW, None) / (grey_HW.shape[0] * elapsed_s)
            change = float(self._cv2.absdiff(self._before[1], grey_HW).mean()) / 255
            self.note(np.array([piece.time_ns]), np.array([[*describe_flow(flow_HW2), change]]))
        self._before = piece.time_ns, grey_HW

    def _grey(self, rgb_HWC: np.ndarray) -> np.ndarray:
        grey_HW = self._cv2.cvtColor(rgb_HWC, self._cv2.COLOR_RGB2GRAY)
        height, width = grey_HW.shape
        scale = min(HEIGHT_PX / height, 2 * HEIGHT_PX / width)
        size = (max(round(width * scale), 32), max(round(height * scale), 32))
        return self._cv2.resize(grey_HW, size, interpolation=self._cv2.INTER_AREA)


def describe_flow(flow_HW2: np.ndarray) -> list[float]:
    """Every row feature but the last, from a flow in picture heights a second."""
    height, width = flow_HW2.shape[:2]
    camera_2 = np.median(flow_HW2.reshape(-1, 2), axis=0)
    own_HW2 = flow_HW2 - camera_2
    speed_HW = np.hypot(own_HW2[..., 0], own_HW2[..., 1])
    moving_HW = speed_HW > STILL
    weight_HW = np.where(moving_HW, speed_HW, 0)
    total = float(weight_HW.sum()) or 1.0
    sector_HW = np.floor(
        (np.arctan2(own_HW2[..., 1], own_HW2[..., 0]) / (2 * np.pi) + 0.5 / NUM_DIRECTIONS) * NUM_DIRECTIONS
    ).astype(np.int64)
    directions = np.bincount((sector_HW % NUM_DIRECTIONS).ravel(), weights=weight_HW.ravel(), minlength=NUM_DIRECTIONS)
    x_W, y_H = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    place_x, place_y = float(weight_HW.sum(axis=0) @ x_W) / total, float(weight_HW.sum(axis=1) @ y_H) / total
    variance = float(weight_HW.sum(axis=0) @ (x_W - place_x) ** 2 + weight_HW.sum(axis=1) @ (y_H - place_y) ** 2)
    if not moving_HW.any():
        place_x, place_y, variance = 0.5, 0.5, 0.0
    zoom = np.median(own_HW2[..., 0] * np.sign(x_W - 0.5)) + np.median(own_HW2[..., 1] * np.sign(y_H - 0.5)[:, None])
    percentiles = np.percentile(speed_HW, (50, 90, 99))
    return [
        float(speed_HW.mean()),
        *(float(value) for value in percentiles),
        float(moving_HW.mean()),
        *(float(value) / total for value in directions),
        float(camera_2[0]),
        float(camera_2[1]),
        float(zoom),
        place_x,
        place_y,
        float(np.sqrt(variance / total)),
    ]
