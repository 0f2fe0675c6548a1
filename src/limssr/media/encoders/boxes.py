"""From a picture to the place of a person or a face, as MediaPipe's single-shot detectors say it.

A place is a turned square in pixels. It comes from a detection, or from the landmarks of the picture before.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from limssr.media.encoders.litert import LiteModel
from limssr.media.extras import import_cv2

# Overlap above which detections are the same thing; their boxes are averaged by score.
SAME = 0.3


@dataclass(frozen=True, kw_only=True)
class Square:
    """A turned square of a picture.

    Attributes:
        x: Of its centre, in pixels.
        y: Of its centre, in pixels.
        side: In pixels.
        turn: Clockwise, in radians.
    """

    x: float
    y: float
    side: float
    turn: float

    def crop(self, rgb_HWC: np.ndarray, side_px: int) -> np.ndarray:
        """The square, upright, scaled to `side_px`; black beyond the picture. float32 in [0, 1]."""
        cv2 = import_cv2()
        cropped = cv2.warpAffine(rgb_HWC, self._to_square(side_px), (side_px, side_px), flags=cv2.INTER_LINEAR)
        return cropped.astype(np.float32) / 255

    def to_picture(self, points_N2: np.ndarray) -> np.ndarray:
        """Points in [0, 1] of the square -> pixels of the picture."""
        away_N2 = (points_N2 - 0.5) * self.side
        sine, cosine = math.sin(self.turn), math.cos(self.turn)
        x_N = self.x + away_N2[:, 0] * cosine - away_N2[:, 1] * sine
        y_N = self.y + away_N2[:, 0] * sine + away_N2[:, 1] * cosine
        return np.stack([x_N, y_N], axis=1)

    def _to_square(self, side_px: int) -> np.ndarray:
        scale = side_px / self.side
        sine, cosine = scale * math.sin(self.turn), scale * math.cos(self.turn)
        middle = side_px / 2
        return np.array(
            [
                [cosine, sine, middle - cosine * self.x - sine * self.y],
                [-sine, cosine, middle + sine * self.x - cosine * self.y],
            ]
        )


@dataclass(frozen=True, kw_only=True)
class DetectorShape:
    """The grid of a detector.

    Attributes:
        strides: Pixels between cells, a layer each.
        per_cell: Boxes a cell and layer.
        num_values: 4 of the box, then 2 a key point.
        least_score: Below it nothing was detected.
    """

    strides: tuple[int, ...]
    per_cell: int
    num_values: int
    least_score: float


@dataclass(frozen=True, kw_only=True)
class Detection:
    """The most certain one in a picture, in pixels.

    Attributes:
        score: In [0, 1].
        box: Left, top, right, bottom.
        points_K2: Key points.
    """

    score: float
    box: tuple[float, float, float, float]
    points_K2: np.ndarray


class Detector:
    """Finds the most certain person or face of a picture."""

    def __init__(self, model: LiteModel, shape: DetectorShape) -> None:
        self._model, self._shape = model, shape
        self._centres_N2 = anchor_centres(model.side_px, shape)
        self._cv2: Any = import_cv2()

    def find(self, rgb_HWC: np.ndarray) -> Detection | None:
        """None where there is none."""
        height, width = rgb_HWC.shape[:2]
        side, longest = self._model.side_px, max(height, width)
        square = Square(x=width / 2, y=height / 2, side=longest, turn=0.0)
        number = len(self._centres_N2)
        raw_NV, score_N1 = self._model.run(
            square.crop(rgb_HWC, side) * 2 - 1, (1, number, self._shape.num_values), (1, number, 1)
        )
        score_N = 1 / (1 + np.exp(-np.clip(score_N1[:, 0].astype(np.float64), -100, 100)))
        best = int(np.argmax(score_N))
        if score_N[best] < self._shape.least_score:
            return None
        centre_N2 = raw_NV[:, :2] / side + self._centres_N2
        half_N2 = raw_NV[:, 2:4] / side / 2
        box_N4 = np.concatenate([centre_N2 - half_N2, centre_N2 + half_N2], axis=1)
        points_NK2 = raw_NV[:, 4:].reshape(number, -1, 2) / side + self._centres_N2[:, None]
        same_N = (score_N >= self._shape.least_score) & (overlaps(box_N4, box_N4[best]) > SAME)
        weight_N = score_N[same_N] / score_N[same_N].sum()
        corners_22 = square.to_picture((weight_N @ box_N4[same_N]).reshape(2, 2))
        points_K2 = np.einsum("n,nkc->kc", weight_N, points_NK2[same_N])
        left, top, right, bottom = (float(value) for value in corners_22.ravel())
        return Detection(
            score=float(score_N[best]), box=(left, top, right, bottom), points_K2=square.to_picture(points_K2)
        )


def anchor_centres(side_px: int, shape: DetectorShape) -> np.ndarray:
    """Centres of the cells in [0, 1], in the order of the outputs [N, 2]; layers of one stride share cells."""
    centres = []
    for stride in dict.fromkeys(shape.strides):
        cells = side_px // stride
        repeats = shape.per_cell * shape.strides.count(stride)
        grid = (np.arange(cells) + 0.5) / cells
        y_CC, x_CC = np.meshgrid(grid, grid, indexing="ij")
        centres.append(np.repeat(np.stack([x_CC.ravel(), y_CC.ravel()], axis=1), repeats, axis=0))
    return np.concatenate(centres)


def overlaps(box_N4: np.ndarray, box_4: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (left, top, right, bottom) with one box."""
    low_N2, high_N2 = np.maximum(box_N4[:, :2], box_4[:2]), np.minimum(box_N4[:, 2:], box_4[2:])
    shared_N = np.prod(np.maximum(high_N2 - low_N2, 0), axis=1)
    area_N = np.prod(np.maximum(box_N4[:, 2:] - box_N4[:, :2], 0), axis=1)
    area = float(np.prod(np.maximum(box_4[2:] - box_4[:2], 0)))
    return shared_N / np.maximum(area_N + area - shared_N, 1e-9)


def angle(start_2: np.ndarray, end_2: np.ndarray) -> float:
    """Direction from one point to another, counter-clockwise from the right, in radians; y points down."""
    return math.atan2(-(end_2[1] - start_2[1]), end_2[0] - start_2[0])


def wrapped(turn: float) -> float:
    """An angle between -pi and pi."""
    return turn - 2 * math.pi * math.floor((turn + math.pi) / (2 * math.pi))
