"""`limssr extract` at the command line."""

import numpy as np
import pytest

from limssr.media.write import write_media


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    random = np.random.default_rng(0)
    lines = ["id,split,score:total,media:video"]
    for number, split in enumerate(("train", "train", "val", "test")):
        pictures = [(time_s, random.integers(0, 255, (48, 64, 3), np.uint8)) for time_s in np.arange(50) / 25]
        write_media(folder / f"r{number}.mp4", pictures=pictures)
        lines.append(f"r{number},{split},{number},r{number}.mp4")
    (folder / "good.csv").write_text("\n".join(lines) + "\n")
    (folder / "broken.mp4").write_bytes(b"nothing" * 100)
    (folder / "some.csv").write_text("\n".join([*lines, "bad,train,3,broken.mp4"]) + "\n")
    return folder


def test_recordings_become_a_store(limssr, recordings, tmp_path):
    words = ("extract", recordings / "good.csv", tmp_path / "store", "--encoders", "motion", "--scale", "total=0:9")
    told = limssr(*words, "--segments", "1", "--json")
    assert told.code == 0
    assert told.document["streams"] == {"motion": 4}
    assert told.document["criteria"] == {"total": [0, 9]}
    assert limssr("data", "verify", tmp_path / "store").code == 0
    again = limssr(*words, "--segments", "1")
    assert again.code == 2
    assert limssr(*words, "--segments", "1", "--resume").code == 0


def test_a_failure_list_ends_with_3(limssr, recordings, tmp_path):
    outcome = limssr("extract", recordings / "some.csv", tmp_path / "store", "--encoders", "motion", "--json")
    assert outcome.code == 3
    assert [failure["id"] for failure in outcome.document["failures"]] == ["bad"]
    assert "bad" in (tmp_path / "store.failures.csv").read_text()
    assert limssr("data", "verify", tmp_path / "store").code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--encoders", "moton"], "did you mean 'motion'"),
        (["--segments", "fs100"], "did you mean 'fs1000'"),
        (["--processes", "0"], "at least one process"),
        (["--scale", "total"], "--scale total=0:40"),
        (["--encoders", "sound"], "found none"),
    ],
)
def test_mistakes(limssr, recordings, tmp_path, words, told):
    outcome = limssr("extract", recordings / "good.csv", tmp_path / "store", *words)
    assert outcome.code == 2
    assert told in outcome.err
    assert not (tmp_path / "store").exists()


def test_what_is_missing_is_said(limssr, recordings):
    assert "recordings.csv stores/mine" in limssr("extract").err
    assert limssr("extract", recordings / "good.csv").code == 2


def test_the_list_of_encoders(limssr):
    shown = limssr("extract", "--list")
    assert shown.code == 0
    document = limssr("extract", "--list", "--json").document
    for card in document["encoders"]:
        assert card["name"] in shown.out
        assert len(card["columns"]) == card["width"]
        assert all(card[key] for key in ("does", "weights", "licence", "verified"))
