"""`limssr extract` at the command line."""

import json
import re
import shutil

import numpy as np
import pytest

from limssr.cli import main
from limssr.data.store.reader import FeatureStore
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
    said = limssr("extract", recordings / "good.csv", tmp_path / "said", "--encoders", "motion", "--segments", "2").out
    assert len(set(said.splitlines())) == len(said.splitlines())
    assert said.count("derived from the training scores") == 1
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
        assert len(card["columns"]) == (card["width"] or 0)
        assert all(card[key] for key in ("does", "weights", "licence", "verified"))


@pytest.fixture(scope="module")
def run(recordings, tmp_path_factory):
    """A run on a store of motion and sound, and the folder of new recordings beside it."""
    folder = tmp_path_factory.mktemp("run")
    lines = ["id,split,score:total,media:clip"]
    random = np.random.default_rng(1)
    for number in range(14):
        sound_NC = None if number % 3 == 1 else 0.1 * random.normal(size=(96_000, 1))
        pictures = [(time_s, random.integers(0, 255, (48, 64, 3), np.uint8)) for time_s in np.arange(50) / 25]
        write_media(folder / f"r{number}.mp4", pictures=pictures, sound_NC=sound_NC)
        lines.append(f"r{number},{('train', 'train', 'train', 'val', 'test')[number % 5]},{number},r{number}.mp4")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    words = ["extract", folder / "table.csv", folder / "store", "--encoders", "motion", "sound", "--segments", "0.5"]
    assert main([str(word) for word in words]) == 0
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f"data: {{store: {folder / 'store'}}}\nmodel: {{backbone: {{name: tiny}}}}\ntrain: {{epochs: 1}}\n"
        "evaluation: {bootstrap: 20, references: []}\n"
    )
    assert main(["train", str(recipe), "--out", str(folder / "run")]) == 0
    return folder


def test_a_recording_is_scored_as_it_is_in_the_store(limssr, run):
    told = limssr("predict", run / "run", run / "r4.mp4", "--json").document
    assert [row["streams"] for row in told["predictions"]] == ["motion"]
    stored = limssr("predict", run / "run", run / "store", "--json").document["predictions"]
    expected = next(row for row in stored if row["id"] == "r4")
    assert told["predictions"][0]["total"] == pytest.approx(expected["total"], abs=1e-4)
    seconds = told["seconds"]
    assert set(seconds) == {"starting", "model", "encoders", "reading", "scoring", "whole"}
    parts = [seconds[name] for name in ("starting", "model", "encoders", "scoring")] + [*seconds["reading"].values()]
    assert sum(parts) == pytest.approx(seconds["whole"], abs=0.1)
    assert re.search(r"It took \d+\.\d s: starting \d", limssr("predict", run / "run", run / "r3.mp4").out)


def test_folders_and_manifests_of_recordings_are_scored(limssr, run, tmp_path):
    for name in ("r0.mp4", "r1.mp4"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    (tmp_path / "notes.txt").write_text("nothing to score")
    both = limssr("predict", run / "run", tmp_path, "--json")
    assert both.code == 0
    assert [(row["id"], row["streams"]) for row in both.document["predictions"]] == [
        ("r0.mp4", "motion+sound"),
        ("r1.mp4", "motion"),
    ]
    (tmp_path / "broken.mp4").write_bytes(b"nothing" * 100)
    some = limssr("predict", run / "run", tmp_path, "--json", "--out", tmp_path / "scores.csv")
    assert some.code == 3
    assert list(some.document["failures"]) == ["broken.mp4"]
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 3
    (tmp_path / "new.csv").write_text("id,media:clip\na,r0.mp4\nb,r1.mp4\n")
    listed = limssr("predict", run / "run", tmp_path / "new.csv", "--json").document["predictions"]
    assert [row["total"] for row in listed] == [row["total"] for row in both.document["predictions"]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 99}, "with version 99"),
        ({"weights_sha256": "f" * 64}, "with weights ffffffffffff"),
        ({"encoder": "smell"}, "'smell', which this limssr does not have"),
    ],
)
def test_another_encoder_is_refused(limssr, run, tmp_path, change, words):
    shutil.copytree(run / "run", tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    document = json.loads(path.read_text())
    document["store"]["extraction"]["streams"]["motion"] |= change
    path.write_text(json.dumps(document))
    outcome = limssr("predict", tmp_path / "run", run / "r0.mp4")
    assert outcome.code == 2
    assert words in outcome.err


def test_a_run_on_other_features_says_so(limssr, run, tmp_path):
    shutil.copytree(run / "run", tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    document = json.loads(path.read_text())
    del document["store"]["extraction"]
    path.write_text(json.dumps(document))
    outcome = limssr("predict", tmp_path / "run", run / "r0.mp4")
    assert outcome.code == 2
    assert "came from elsewhere" in outcome.err


def test_hidden_streams_keep_the_record(limssr, run, tmp_path):
    assert limssr("data", "mask", run / "store", tmp_path / "half", "--rate", "0.5").code == 0
    kept = FeatureStore.open(tmp_path / "half").info.extraction
    assert kept == FeatureStore.open(run / "store").info.extraction
