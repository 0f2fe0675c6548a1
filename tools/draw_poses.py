"""Draw the picture of docs/recordings.md: what `pose` sees of a filmed routine, on a contact sheet.

    python tools/draw_poses.py docs/images/pose.jpg [RECORDING]

Without a recording a routine is filmed for it. Such a sheet of your own tells whether the pose can be trusted.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from limssr.media.decode import Picture, Reader
from limssr.media.encoders.pose_tracker import PoseModels, PoseTracker
from limssr.media.extras import import_cv2
from limssr.media.routine import film, make_routine

BONES = (
    *((0, 11), (0, 12), (11, 12), (11, 23), (12, 24), (23, 24)),
    *((11, 13), (13, 15), (12, 14), (14, 16), (23, 25), (25, 27), (27, 31), (24, 26), (26, 28), (28, 32)),
)
TILES, COLUMNS, PICTURES_HZ = 8, 4, 8.0


def sheet(recording: Path) -> np.ndarray:
    """Evenly spaced pictures with the bones drawn over them, RGB."""
    cv2 = import_cv2()
    tracker = PoseTracker(PoseModels())
    drawn = []
    for piece in Reader(recording, pictures_hz=PICTURES_HZ, sound=False, longest_px=320):
        if isinstance(piece, Picture):
            picture_HWC, pose = piece.rgb_HWC.copy(), tracker.find(piece.rgb_HWC)
            for start, end in BONES if pose is not None else ():
                assert pose is not None
                ends = [tuple(int(value) for value in np.rint(pose.points_L2[place])) for place in (start, end)]
                cv2.line(picture_HWC, *ends, (0, 230, 0), 2, cv2.LINE_AA)
            drawn.append(picture_HWC)
    tiles = [drawn[place] for place in np.linspace(0, len(drawn) - 1, TILES).astype(int)]
    return np.concatenate([np.concatenate(tiles[row : row + COLUMNS], 1) for row in range(0, TILES, COLUMNS)])


def main() -> int:
    """Write the sheet."""
    out = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(folder) / "routine.mp4"
        if len(sys.argv) == 2:
            film(make_routine(0, length_s=6, seed=1), recording, sound=False)
        import_cv2().imwrite(str(out), sheet(recording)[:, :, ::-1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
