"""Follow one person through pictures: detect once, then look where the landmarks of the picture before were.

BlazePose (Bazarevsky et al., 2020) as MediaPipe runs it: a square around the hips, turned so that the trunk stands
upright, 33 landmarks in the picture and, in metres, around the hips.
"""

import math
from dataclasses import dataclass

import numpy as np

from limssr.media.encoders.boxes import Detector, DetectorShape, Square, angle, wrapped
from limssr.media.encoders.litert import MEDIAPIPE, LiteModel
from limssr.media.encoders.weights import checked_sha256, wheel_file

DETECTION = "modules/pose_detection/pose_detection.tflite"
LANDMARKS = "modules/pose_landmark/pose_landmark_full.tflite"
DETECTION_SHA256 = "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c"
LANDMARKS_SHA256 = "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f"
SHAPE = DetectorShape(strides=(8, 16, 32, 32, 32), per_cell=2, num_values=12, least_score=0.5)
NUM_LANDMARKS, NUM_ALL = 33, 39
# Two more landmarks say where the person is: the middle of the hips, and a point on the circle around the whole body.
MIDDLE, CIRCLE = 33, 34
LEAST_PRESENCE = 0.5
MARGIN = 1.25


@dataclass(frozen=True, kw_only=True)
class Pose:
    """A person in a picture.

    Attributes:
        points_L2: 33 landmarks in pixels.
        metres_L3: The same around the middle of the hips, in metres.
        visible_L: How likely each is to be seen.
    """

    points_L2: np.ndarray
    metres_L3: np.ndarray
    visible_L: np.ndarray


class PoseModels:
    """The two models, loaded once a process.

    Raises:
        MissingExtraError: A wheel is missing.
    """

    def __init__(self) -> None:
        detection = wheel_file("pose", MEDIAPIPE, DETECTION)
        landmarks = wheel_file("pose", MEDIAPIPE, LANDMARKS)
        checked_sha256(detection, DETECTION_SHA256)
        self.sha256 = checked_sha256(landmarks, LANDMARKS_SHA256)
        self.detector = Detector(LiteModel(detection, encoder="pose"), SHAPE)
        self.landmarks = LiteModel(landmarks, encoder="pose")


class PoseTracker:
    """Finds and follows a person."""

    def __init__(self, models: PoseModels) -> None:
        self._models = models
        self._square: Square | None = None

    def find(self, rgb_HWC: np.ndarray) -> Pose | None:
        """The person in the next picture; None where there is none."""
        pose = None
        if self._square is not None:
            pose = self._look(rgb_HWC, self._square)
        if pose is None:
            detection = self._models.detector.find(rgb_HWC)
            if detection is None:
                self._square = None
                return None
            pose = self._look(rgb_HWC, _around(detection.points_K2[0], detection.points_K2[1]))
        if pose is None:
            self._square = None
        return pose

    def _look(self, rgb_HWC: np.ndarray, square: Square) -> Pose | None:
        model = self._models.landmarks
        crop = square.crop(rgb_HWC, model.side_px)
        raw, presence, metres = model.run(crop, (1, 5 * NUM_ALL), (1, 1), (1, 3 * NUM_ALL))
        if presence[0] < LEAST_PRESENCE:
            return None
        raw_A5 = raw.reshape(NUM_ALL, 5)
        points_A2 = square.to_picture(raw_A5[:, :2] / model.side_px)
        self._square = _around(points_A2[MIDDLE], points_A2[CIRCLE])
        metres_A3 = metres.reshape(NUM_ALL, 3).copy()
        sine, cosine = math.sin(square.turn), math.cos(square.turn)
        metres_A3[:, :2] = metres_A3[:, :2] @ np.array([[cosine, sine], [-sine, cosine]])
        return Pose(
            points_L2=points_A2[:NUM_LANDMARKS],
            metres_L3=metres_A3[:NUM_LANDMARKS],
            visible_L=1 / (1 + np.exp(-raw_A5[:NUM_LANDMARKS, 3].astype(np.float64))),
        )


def _around(middle_2: np.ndarray, circle_2: np.ndarray) -> Square:
    side = 2 * float(np.hypot(*(circle_2 - middle_2))) * MARGIN
    turn = wrapped(math.pi / 2 - angle(middle_2, circle_2))
    return Square(x=float(middle_2[0]), y=float(middle_2[1]), side=max(side, 8.0), turn=turn)
