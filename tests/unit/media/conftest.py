"""Small recordings whose truth is known."""

import numpy as np
import pytest

from limssr.media.decode import Picture, Reader


@pytest.fixture(scope="session")
def flash():
    """`flash(at_s, times)`: black pictures that are white from a moment on."""

    def make(at_s, times_s, *, size=(48, 64)):
        return [(time_s, np.full((*size, 3), 255 if time_s >= at_s else 0, np.uint8)) for time_s in times_s]

    return make


@pytest.fixture(scope="session")
def click():
    """`click(at_s, length_s)`: silence with one short click, [N, channels]."""

    def make(at_s, length_s, *, rate_hz=48_000, channels=1):
        sound_NC = np.zeros((round(length_s * rate_hz), channels), np.float32)
        sound_NC[round(at_s * rate_hz) : round(at_s * rate_hz) + rate_hz // 1000] = 0.9
        return sound_NC

    return make


@pytest.fixture(scope="session")
def read():
    """`read(path)` -> reader, pictures, sounds."""

    def run(path, *, pictures_hz=100.0, sound=True):
        reader = Reader(path, pictures_hz=pictures_hz, sound=sound)
        pieces = list(reader)
        pictures = [piece for piece in pieces if isinstance(piece, Picture)]
        return reader, pictures, [piece for piece in pieces if not isinstance(piece, Picture)]

    return run


@pytest.fixture(scope="session")
def first_light():
    """Second of the first white picture."""
    return lambda pictures: next(picture.time_ns for picture in pictures if picture.rgb_HWC.mean() > 127) / 1e9


@pytest.fixture(scope="session")
def first_click():
    """Second of the first loud sample."""

    def find(sounds):
        for sound in sounds:
            loud = np.flatnonzero(np.abs(sound.samples_N) > 0.3)
            if len(loud):
                return sound.start_ns / 1e9 + loud[0] / 16_000
        raise AssertionError("no click")

    return find
