"""Run folders that were written before the files of the package moved go on working."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from limssr.cli import main
from limssr.core.config import BackboneConfig
from limssr.core.errors import InputError
from limssr.model.backbone.load import load_backbone
from limssr.report import write_report
from limssr.runs.evaluate import evaluate_run
from limssr.runs.folder import read_run
from limssr.runs.prediction.predict import predict

FIXTURE = Path(__file__).parents[1] / "fixtures" / "before_rooms"
RUNS = ("attention-run", "limssr-run")


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The fixture, copied, with the place of the store put right as a person who moved it would."""
    folder = tmp_path_factory.mktemp("old") / "before"
    shutil.copytree(FIXTURE, folder)
    for name in RUNS:
        for file in ("run.json", "config.yaml"):
            path = folder / name / file
            path.write_text(path.read_text(encoding="utf-8").replace("/data/store", str(folder / "store")))
    return folder


@pytest.fixture(params=RUNS)
def run(request, old):
    path = old / request.param
    saved = json.loads((path / "model" / "config.json").read_text())["backbone_sha256"]
    if saved and load_backbone(BackboneConfig(name="tiny", num_layers=1), seed=5).fingerprint != saved:
        pytest.skip("this kind of processor draws other random weights for the backbone tiny")
    return path


def test_it_evaluates_to_the_numbers_it_had(run):
    before = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))["full"]
    now = evaluate_run(run).to_dict()["full"]
    assert now["mse"] == pytest.approx(before["mse"], rel=1e-5)
    assert now["spearman"] == pytest.approx(before["spearman"])


def test_it_predicts_what_it_predicted(run, old):
    table = pq.read_table(run / "predictions.parquet")
    system = read_run(run).document["system"]
    kept = table.filter((pc.field("system") == system) & (pc.field("streams") == "video+audio"))
    before = {(row["id"], row["criterion"]): row["prediction"] for row in kept.to_pylist()}
    now = predict(run, old / "store", split="test").to_pylist()
    assert len(before) == 2 * len(now) > 0
    for row in now:
        for criterion in ("execution", "difficulty"):
            assert row[criterion] == pytest.approx(before[row["id"], criterion], rel=1e-5)


def test_it_reports(run):
    page = write_report(run).read_text(encoding="utf-8")
    assert "before the rooms" in page


def test_two_of_them_are_compared(old, tmp_path):
    assert main(["compare", *(str(old / name) for name in RUNS), "--out", str(tmp_path / "compared")]) == 0
    document = json.loads((tmp_path / "compared" / "compare.json").read_text(encoding="utf-8"))
    assert len(document["rows"]) == 3  # two runs, and ridge beside one of them


def test_a_store_that_moved_is_given_by_hand(old, tmp_path):
    shutil.copytree(FIXTURE / "attention-run", tmp_path / "run")
    with pytest.raises(InputError, match="/data/store"):
        evaluate_run(tmp_path / "run")
    assert np.isfinite(evaluate_run(tmp_path / "run", store=old / "store").to_dict()["full"]["mse"])
