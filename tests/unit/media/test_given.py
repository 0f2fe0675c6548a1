"""`LimssrRegressor` on recordings: what it learns from, what it remembers, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest

from limssr.core.config import ModelConfig, RunConfig, TrainConfig
from limssr.core.errors import InputError
from limssr.estimator import LimssrRegressor
from limssr.media import given
from limssr.media.clock import make_segments
from limssr.media.encoders import table
from limssr.media.work import Job, encode_file
from limssr.media.write import write_media
from limssr.runs.prediction.recordings import predict_recordings

FAST = RunConfig(
    model=ModelConfig(system="attention", hidden=8, input_scaling="standard", output="standardized"),
    train=TrainConfig(epochs=1, warmup_epochs=1, selection="last"),
)
SCORES = np.arange(4.0)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory, click):
    """Four recordings of two seconds; the last one has no sound."""
    folder, random = tmp_path_factory.mktemp("recordings"), np.random.default_rng(0)
    paths = []
    for number in range(4):
        pictures = [(n / 10, random.integers(0, 255, (48, 64, 3), np.uint8)) for n in range(20)]
        sound = None if number == 3 else click(0.5 + number / 4, 2.0)
        paths.append(write_media(folder / f"r{number}.mp4", pictures=pictures, sound_NC=sound))
    return paths


def estimator():
    return LimssrRegressor(
        config=FAST, validation_fraction=0, device="cpu", encoders=("motion", "sound"), segments="1", score_range=(0, 4)
    )


@pytest.fixture(scope="module")
def fitted(recordings):
    with pytest.warns(UserWarning, match="recordings are read by motion, sound, in segments of 1 s every 1 s"):
        return estimator().fit(recordings, SCORES)


@pytest.fixture(scope="module")
def arrays(recordings):
    """What the encoders make of the recordings."""
    job = {"encoders": ("motion", "sound"), "segments": make_segments(1)}
    return [
        {name: array[:2] for name, array in encode_file(Job(path=path, **job)).values.items()} for path in recordings
    ]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_paths_are_worth_the_features_that_are_made_of_them(fitted, recordings, arrays):
    assert [modality.name for modality in fitted.modalities_] == ["motion", "sound"]
    by_arrays = estimator().fit(arrays, SCORES)
    assert by_arrays.extraction_ is None
    np.testing.assert_array_equal(fitted.predict(recordings), by_arrays.predict(arrays))
    np.testing.assert_array_equal(fitted.predict(recordings), fitted.predict(arrays))
    assert len(set(fitted.predict(recordings))) > 1
    assert fitted.score(recordings, SCORES) == fitted.score(arrays, SCORES)
    with pytest.raises(InputError, match="fit with recordings"):
        by_arrays.predict(recordings)


def test_a_saved_one_remembers(fitted, recordings, tmp_path, monkeypatch):
    fitted.save_pretrained(tmp_path / "model")
    again = LimssrRegressor.from_pretrained(tmp_path / "model", device="cpu")
    assert again.extraction_ == fitted.extraction_
    np.testing.assert_array_equal(again.predict(recordings), fitted.predict(recordings))
    scored = predict_recordings(tmp_path / "model", recordings[0], device="cpu").table.to_pylist()
    assert scored[0]["score"] == pytest.approx(fitted.predict(recordings[:1])[0])
    changed = table.ENCODERS["motion"].load()
    changed.card = type(changed.card)(**{**vars(changed.card), "version": 99})
    load = table.load_encoder
    monkeypatch.setattr("limssr.media.record.load_encoder", lambda name: changed if name == "motion" else load(name))
    with pytest.raises(InputError, match="'motion' with version"):
        again.predict(recordings)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_arrays_beside_a_recording(recordings):
    random = np.random.default_rng(1)
    samples = [{"filmed": path, "pedal": random.normal(size=(2, 3))} for path in recordings]
    found = estimator().fit(samples, SCORES)
    assert {modality.name: modality.dim for modality in found.modalities_}.keys() == {"motion", "sound", "pedal"}
    alone = found.predict([{"pedal": samples[0]["pedal"]}])
    assert np.isfinite(alone).all()
    with pytest.raises(InputError, match="one stream 'motion'"):
        found.predict([{"filmed": recordings[0], "motion": np.zeros((2, 60))}])
    with pytest.raises(InputError, match="segments"):
        found.predict([{"filmed": recordings[0], "pedal": np.zeros((5, 3))}])


def test_what_is_refused(recordings, tmp_path):
    with pytest.raises(InputError, match=r"Sample 1: .*nothing"):
        estimator().fit([recordings[0], tmp_path / "none.mp4"], SCORES[:2])
    with pytest.raises(InputError, match="did you mean 'motion'"):
        estimator().set_params(encoders=("moton",)).fit(recordings, SCORES)
    assert given.as_given("words") == "words"
    assert given.as_given([Path("a.mp4"), {"x": 1}]) == [{"recording": Path("a.mp4")}, {"x": 1}]
