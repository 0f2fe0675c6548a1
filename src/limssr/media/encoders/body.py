"""From followed landmarks to what a judge looks at: angles, spread, symmetry, speeds, accelerations.

Lengths are in trunk lengths, places in picture heights, angles in radians, time in seconds.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

# Numbers of BlazePose's landmarks.
HEAD, SHOULDERS, ELBOWS, WRISTS = 0, (11, 12), (13, 14), (15, 16)
HIPS, KNEES, ANKLES, TOES = (23, 24), (25, 26), (27, 28), (31, 32)
SIDES = ("left", "right")
# Joint -> (from, at, to), for the left and the right side.
JOINTS: Mapping[str, tuple[tuple[int, int], tuple[int, int], tuple[int, int]]] = MappingProxyType(
    {
        "shoulder": (HIPS, SHOULDERS, ELBOWS),
        "elbow": (SHOULDERS, ELBOWS, WRISTS),
        "hip": (SHOULDERS, HIPS, KNEES),
        "knee": (HIPS, KNEES, ANKLES),
        "ankle": (KNEES, ANKLES, TOES),
    }
)
POINTS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "centre": HIPS,
        "head": (HEAD,),
        **{f"{side}_wrist": (WRISTS[place],) for place, side in enumerate(SIDES)},
        **{f"{side}_ankle": (ANKLES[place],) for place, side in enumerate(SIDES)},
    }
)
POSTURE = (
    *(f"{side}_{joint}" for joint in JOINTS for side in SIDES),
    *(f"{joint}_asymmetry" for joint in JOINTS),
    *("trunk_lean", "shoulder_tilt", "hip_tilt", "twist"),
    *("hands_apart", "feet_apart", "hands_height", "feet_height"),
    *("place_x", "place_y", "size", "visible", "arms_visible", "legs_visible"),
)
SPEEDS = tuple(f"{name}_speed" for name in POINTS)
CHANGES = tuple(f"{name}_acceleration" for name in POINTS)
# Poses further apart than this do not tell a speed.
FURTHEST_S = 0.5
# A trunk that points at the camera must not make lengths endless: its least length, in picture heights.
LEAST_TRUNK = 0.02


def postures(points_NL2: np.ndarray, metres_NL3: np.ndarray, visible_NL: np.ndarray) -> np.ndarray:
    """What a single picture shows.

    Args:
        points_NL2: Landmarks in picture heights.
        metres_NL3: Landmarks around the hips in metres.
        visible_NL: How likely each is to be seen.

    Returns:
        [N, `POSTURE`].
    """
    angles = {
        (joint, place): _angle(metres_NL3, before[place], at[place], after[place])
        for joint, (before, at, after) in JOINTS.items()
        for place in range(2)
    }
    trunk_N2 = _middle(points_NL2, SHOULDERS) - _middle(points_NL2, HIPS)
    length_N = trunk_lengths(points_NL2)
    columns = [angles[joint, place] for joint in JOINTS for place in range(2)]
    columns += [np.abs(angles[joint, 0] - angles[joint, 1]) for joint in JOINTS]
    columns += [
        np.arctan2(trunk_N2[:, 0], -trunk_N2[:, 1]),
        _tilt(points_NL2, SHOULDERS),
        _tilt(points_NL2, HIPS),
        _twist(metres_NL3),
        _apart(points_NL2, WRISTS) / length_N,
        _apart(points_NL2, ANKLES) / length_N,
        (_middle(points_NL2, SHOULDERS) - _middle(points_NL2, WRISTS))[:, 1] / length_N,
        (_middle(points_NL2, HIPS) - _middle(points_NL2, ANKLES))[:, 1] / length_N,
        _middle(points_NL2, HIPS)[:, 0],
        _middle(points_NL2, HIPS)[:, 1],
        length_N,
        visible_NL.mean(axis=1),
        visible_NL[:, [*ELBOWS, *WRISTS]].mean(axis=1),
        visible_NL[:, [*KNEES, *ANKLES]].mean(axis=1),
    ]
    return np.stack(columns, axis=1)


def movements(times_s: np.ndarray, points_NL2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Speeds from each pose to the next, and how velocities change.

    Returns:
        Speeds [N, `SPEEDS`] in trunk lengths a second and accelerations [N, `CHANGES`] a second more; rows of NaN where
        the pose before is missing or too long ago.
    """
    place_NP2 = np.stack([_middle(points_NL2, POINTS[name]) for name in POINTS], axis=1)
    speed_NP, change_NP = (np.full(place_NP2.shape[:2], np.nan) for _ in range(2))
    if len(times_s) < 2:
        return speed_NP, change_NP
    elapsed_N = np.diff(times_s)
    close_N = elapsed_N <= FURTHEST_S
    usual = np.median(trunk_lengths(points_NL2))
    velocity_NP2 = np.diff(place_NP2, axis=0) / np.maximum(elapsed_N, 1e-3)[:, None, None] / usual
    speed_NP[1:][close_N] = np.hypot(velocity_NP2[..., 0], velocity_NP2[..., 1])[close_N]
    if len(times_s) > 2:
        both_N = close_N[1:] & close_N[:-1]
        span_N = (elapsed_N[1:] + elapsed_N[:-1]) / 2
        turn_NP2 = np.diff(velocity_NP2, axis=0) / np.maximum(span_N, 1e-3)[:, None, None]
        change_NP[2:][both_N] = np.hypot(turn_NP2[..., 0], turn_NP2[..., 1])[both_N]
    return speed_NP, change_NP


def trunk_lengths(points_NL2: np.ndarray) -> np.ndarray:
    """From the middle of the hips to that of the shoulders, in picture heights."""
    trunk_N2 = _middle(points_NL2, SHOULDERS) - _middle(points_NL2, HIPS)
    return np.maximum(np.hypot(trunk_N2[:, 0], trunk_N2[:, 1]), LEAST_TRUNK)


def _middle(points_NLC: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    return points_NLC[:, list(numbers)].mean(axis=1)


def _apart(points_NL2: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    away_N2 = points_NL2[:, pair[0]] - points_NL2[:, pair[1]]
    return np.hypot(away_N2[:, 0], away_N2[:, 1])


def _tilt(points_NL2: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    """Against the horizontal, whichever way the person faces."""
    away_N2 = points_NL2[:, pair[0]] - points_NL2[:, pair[1]]
    return np.arctan2(away_N2[:, 1], np.abs(away_N2[:, 0]))


def _twist(metres_NL3: np.ndarray) -> np.ndarray:
    """Shoulders against hips, seen from above."""
    lines = [metres_NL3[:, pair[0]] - metres_NL3[:, pair[1]] for pair in (SHOULDERS, HIPS)]
    turns = [np.arctan2(line[:, 2], line[:, 0]) for line in lines]
    return np.abs(np.angle(np.exp(1j * (turns[0] - turns[1]))))


def _angle(metres_NL3: np.ndarray, before: int, at: int, after: int) -> np.ndarray:
    one_N3, two_N3 = metres_NL3[:, before] - metres_NL3[:, at], metres_NL3[:, after] - metres_NL3[:, at]
    lengths_N = np.linalg.norm(one_N3, axis=1) * np.linalg.norm(two_N3, axis=1)
    return np.arccos(np.clip((one_N3 * two_N3).sum(axis=1) / np.maximum(lengths_N, 1e-9), -1, 1))
