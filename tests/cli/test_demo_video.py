"""`limssr demo --video` at a small size: from films to the score of a new one."""

import csv

import numpy as np
import pytest

from limssr.cli.demo_video import VideoDemoOptions, run_video_demo
from limssr.core.errors import InputError
from limssr.data.store.reader import FeatureStore
from limssr.media.clock import make_segments
from limssr.media.encoders.table import ENCODERS
from limssr.media.routine import SOUND_HZ, film, make_routine, play
from limssr.media.work import Job, encode_file


@pytest.mark.slow
def test_the_whole_road(tmp_path):
    options = VideoDemoOptions(
        num_recordings=24,
        length_s=2.7,
        encoders=("motion", "sound"),
        backbone="tiny",
        epochs=6,
        processes=1,
        overrides=("evaluation.references=[]", "evaluation.bootstrap=10"),
    )
    result = run_video_demo(tmp_path / "demo", options)
    complete = FeatureStore.open(tmp_path / "demo" / "store-complete")
    assert [modality.name for modality in complete.modalities] == ["motion", "sound"]
    assert len(complete) == 24
    assert complete.index.column("valid:sound").null_count == 3
    assert 0 <= result.judged <= 40
    assert np.isfinite(result.predicted)
    page = result.page.read_text()
    assert page.count("<img") == 4 * (1 + len(complete.ids("test")))
    assert "new-routine" in page
    rows = list(csv.DictReader((tmp_path / "demo" / "recordings" / "recordings.csv").read_text().splitlines()))
    assert {row["split"] for row in rows} == {"train", "val", "test"}
    with pytest.raises((InputError, FileExistsError)):
        run_video_demo(tmp_path / "demo", options)


def test_the_judge_counts_what_happens(tmp_path):
    routine = make_routine(3, length_s=4, seed=1)
    assert routine == make_routine(3, length_s=4, seed=1)
    perfect = type(routine)(**{**vars(routine), "reach": 1.0, "stumbles_s": (), "unsteady": 0.0, "wrong": ()})
    assert perfect.score == 40
    assert type(routine)(**{**vars(perfect), "wrong": (1, 2, 3)}).score == 35
    sound_N = play(perfect)
    assert len(sound_N) == 4 * SOUND_HZ
    assert 0.05 < np.abs(sound_N).max() <= 1


def test_reach_and_tempo_can_be_seen_and_heard(tmp_path):
    base = make_routine(5, length_s=6, seed=1)
    found = {}
    for name, changes in {"small": {"reach": 0.3}, "large": {"reach": 1.0}}.items():
        routine = type(base)(**{**vars(base), "stumbles_s": (), "unsteady": 0.0, "wrong": (), **changes})
        job = Job(path=film(routine, tmp_path / f"{name}.mp4"), encoders=("pose", "sound"), segments=make_segments(2))
        values = encode_file(job).values
        found[name] = {
            encoder: dict(zip(ENCODERS[encoder].card.columns, values[encoder][:3].T, strict=True)) for encoder in values
        }
    small, large = found["small"]["pose"], found["large"]["pose"]
    assert small["seen_share"].min() > 0.8
    assert large["hands_apart.mean"].mean() > small["hands_apart.mean"].mean() + 0.25
    assert large["left_wrist_speed.mean"].mean() > 1.5 * small["left_wrist_speed.mean"].mean()
    tempo = found["large"]["sound"]["tempo_bpm"][1]
    assert min(abs(tempo / base.beats_per_min - ratio) for ratio in (0.5, 1, 2)) < 0.05
