"""`limssr benchmark extract`: every figure is there, and fewer pictures change what they must."""

import json

import numpy as np
import pytest

from limssr.media.write import write_media


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Four seconds of a square that moves faster and faster, with a tone."""
    shown = []
    for number in range(40):
        rgb_HWC = np.full((96, 128, 3), 40, np.uint8)
        left = round(100 * (number / 40) ** 2)
        rgb_HWC[30:60, left : left + 24] = 220
        shown.append((number / 10, rgb_HWC))
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(4 * 16_000) / 16_000)).astype(np.float32)
    return write_media(tmp_path_factory.mktemp("recording") / "r.mkv", pictures=shown, sound_NC=tone[:, None])


def test_every_figure(limssr, recording, tmp_path):
    words = ("benchmark", "extract", recording, "--encoders", "motion", "sound", "--segments", "1", "--repeats", "1")
    told = limssr(*words, "--rates", "5", "1000", "--out", tmp_path / "b.json", "--json").document
    assert told["length_s"] == pytest.approx(4, abs=0.1)
    assert set(told["encoders"]) == {"motion", "sound"}
    assert 0 < told["decoder"]["median"] < told["plain"]["median"]
    assert list(told["rates"]) == ["motion"]
    few, every = (told["rates"]["motion"][hz] for hz in ("5", "1000"))
    assert every["correlation"] == pytest.approx(1)
    assert few["correlation"] < 0.9999
    assert json.loads((tmp_path / "b.json").read_text())["together"] == told["together"]


def test_mistakes(limssr, recording):
    assert limssr("benchmark", "extract", recording, "--repeats", "0").code == 2
    assert limssr("benchmark", "extract", recording.parent / "none.mp4").code == 2
