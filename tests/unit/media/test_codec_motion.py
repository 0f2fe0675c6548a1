"""Motion vectors of the codec: a pattern that moves at a known speed, however it is coded and turned."""

import numpy as np
import pytest

from limssr.media.clock import make_segments
from limssr.media.encoders.table import ENCODERS, chosen
from limssr.media.extras import import_cv2
from limssr.media.work import Job, encode_file
from limssr.media.write import WriteOptions, write_media

HEIGHT, WIDTH, SQUARE = 192, 256, 64


def film(path, right, down, **how):
    """Two seconds of a patterned square on a patterned ground; it moves by so many pixels a picture, 25 a second."""
    random = np.random.default_rng(0)
    ground, square = (random.integers(0, 255, (*size, 3), np.uint8) for size in ((HEIGHT, WIDTH), (SQUARE, SQUARE)))
    ground, square = (import_cv2().GaussianBlur(one, (0, 0), 2) for one in (ground, square))
    shown = []
    for number in range(50):
        picture = ground.copy()
        left, top = round(60 + right * (number - 25)), round(64 + down * (number - 25))
        picture[top : top + SQUARE, left : left + SQUARE] = square
        shown.append((number / 25, picture))
    return write_media(path, pictures=shown, options=WriteOptions(**how))


def encoded(path, *names):
    result = encode_file(Job(path=path, encoders=names, segments=make_segments(2)))
    columns = {name: ENCODERS[name].card.columns for name in names}
    return {name: dict(zip(columns[name], result.values[name][0], strict=True)) for name in names}


def strongest(values):
    return max(range(8), key=lambda number: values[f"direction{number}.mean"])


@pytest.mark.parametrize("between", [0, 2])
@pytest.mark.parametrize(("right", "down", "direction"), [(1, 0, 0), (0, 1, 2), (-2, 0, 4)])
def test_speed_and_direction(tmp_path, between, right, down, direction):
    coded = {"preset": "medium", "bf": str(between), "refs": "1", "threads": "1", "g": "100", "b_strategy": "0"}
    path = film(tmp_path / "film.mp4", right, down, codec_options=coded)
    found = encoded(path, "codec-motion", "motion")
    for values in found.values():
        assert strongest(values) == direction
    cheap = found["codec-motion"]
    share = SQUARE * SQUARE / (HEIGHT * WIDTH)
    speed = np.hypot(right, down) * 25 / HEIGHT
    assert cheap["moving_share.mean"] == pytest.approx(share, rel=0.5)
    assert cheap["speed.mean"] / cheap["moving_share.mean"] == pytest.approx(speed, rel=0.2)
    assert cheap["place_x.mean"] == pytest.approx(found["motion"]["place_x.mean"], abs=0.08)
    assert cheap["place_y.mean"] == pytest.approx(found["motion"]["place_y.mean"], abs=0.08)


@pytest.mark.parametrize(("rotation", "direction"), [(90, 6), (180, 4), (270, 2)])
def test_turned_pictures_have_turned_movement(tmp_path, rotation, direction):
    """To the right on the sensor; each quarter counter-clockwise turns it up, left, down."""
    coded = {"preset": "medium", "bf": "0", "refs": "1", "threads": "1", "g": "100"}
    path = film(tmp_path / "film.mp4", 1, 0, codec_options=coded, rotation=rotation)
    found = encoded(path, "codec-motion", "motion")
    assert strongest(found["motion"]) == strongest(found["codec-motion"]) == direction
    cheap = found["codec-motion"]
    height = HEIGHT if rotation == 180 else WIDTH
    assert cheap["speed.mean"] / cheap["moving_share.mean"] == pytest.approx(25 / height, rel=0.2)


def test_a_codec_without_vectors_gives_no_valid_segment(tmp_path):
    path = film(tmp_path / "film.mkv", 1, 0, codec="mjpeg", pixel_format="yuvj420p", codec_options={})
    found = encode_file(Job(path=path, encoders=("codec-motion",), segments=make_segments(1)))
    assert np.isnan(found.values["codec-motion"]).all()
    assert found.values["codec-motion"].shape == (2, ENCODERS["codec-motion"].card.dim)
    assert "codec-motion" not in chosen(None)
