"""Intervals of a trained run: written by training, used by predict, counted by evaluate."""

import json
import shutil

import numpy as np
import pytest

from limssr.core.errors import ArtifactError, InputError
from limssr.core.recipes import parse_config
from limssr.data.store import FeatureStore
from limssr.runs.prediction.predict import predict
from limssr.runs.train import train_run


@pytest.fixture(scope="module")
def run(store_path, tmp_path_factory):
    config = parse_config(
        {
            "data": {"store": str(store_path)},
            "model": {"system": "attention", "hidden": 8},
            "train": {"epochs": 1, "warmup_epochs": 0},
            "evaluation": {"bootstrap": 0, "references": ["ridge"]},
        },
        where="test",
    )
    return train_run(config, tmp_path_factory.mktemp("calibrated") / "run")


@pytest.mark.parametrize("member", [None, "ridge"])
def test_predict_adds_intervals_within_the_scale(run, store_path, member):
    said = []
    scores = predict(run, store_path, split="test", interval=0.5, member=member, say=said.append)
    criteria = FeatureStore.open(store_path).criteria
    ends = [f"{word}:{one.name}" for one in criteria for word in ("low", "high")]
    assert scores.column_names == ["id", "streams", *(one.name for one in criteria), *ends, "unlike:training"]
    for one in criteria:
        low, score, high = (scores[name].to_numpy() for name in (f"low:{one.name}", one.name, f"high:{one.name}"))
        assert (one.low <= low).all()
        assert (low <= score).all()
        assert (score <= high).all()
        assert (high <= one.high).all()
        assert (low < high).all()
    assert predict(run, store_path, split="test", member=member).column_names == scores.column_names[:4]


def test_a_larger_share_needs_wider_intervals_and_too_large_a_one_says_so(run, store_path):
    widths = []
    for level in (0.3, 0.6, 0.999):
        said = []
        scores = predict(run, store_path, split="test", interval=level, say=said.append)
        widths.append(np.mean(scores["high:difficulty"].to_numpy() - scores["low:difficulty"].to_numpy()))
        assert any("they are the whole scale" in text for text in said) == (level == 0.999)
    assert widths[0] < widths[1] < widths[2]


def test_coverage_stands_in_the_evaluation(run):
    document = json.loads((run / "evaluation.json").read_text())
    for found in (document["coverage"], document["systems"]["ridge"]["coverage"]):
        assert found["level"] == 0.9
        full = [row for row in found["subsets"] if len(row["streams"]) == 3]
        assert {row["criterion"] for row in full} == set(document["criteria"])
        assert all(0.0 <= row["covered_ci"][0] <= row["covered"] <= row["covered_ci"][1] <= 1.0 for row in full)


@pytest.mark.parametrize("level", [0.0, 1.0, 90.0])
def test_a_level_that_is_no_share_is_refused_before_scoring(run, tmp_path, level):
    with pytest.raises(InputError, match="between 0 and 1"):
        predict(run, tmp_path / "nothing-here", interval=level)


def test_a_run_without_calibration_says_what_to_do(run, store_path, tmp_path):
    shutil.copytree(run, tmp_path / "older")
    (tmp_path / "older" / "calibration.parquet").unlink()
    with pytest.raises(InputError, match="train it again with a validation split"):
        predict(tmp_path / "older", store_path, interval=0.9)
    (tmp_path / "older" / "calibration.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(ArtifactError):
        predict(tmp_path / "older", store_path, interval=0.9)


def test_a_sample_unlike_the_training_data_says_why(run, store_path):
    said = []
    scores = predict(run, store_path, split="test", interval=0.5, say=said.append)
    reasons = scores["unlike:training"].to_pylist()
    assert len(reasons) == len(FeatureStore.open(store_path).ids("test"))
    assert all(reason is None or "in training" in reason or "than is usual" in reason for reason in reasons)
    assert any("unlike the training data" in text for text in said) == any(reasons)
