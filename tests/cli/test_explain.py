"""`limssr explain` on runs of several systems, and on what it has to refuse."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from limssr.core.recipes import parse_config
from limssr.data.store.reader import FeatureStore
from limssr.runs.load import load_scorer
from limssr.runs.train import train_run

SECTIONS = ("attention", "inferred", "hallucination", "contributions", "coverage")


@pytest.fixture(scope="module")
def run(store_path, tmp_path_factory):
    config = parse_config(
        {
            "data": {"store": str(store_path)},
            "model": {"backbone": {"name": "tiny"}, "input_scaling": "standard", "output": "standardized"},
            "train": {"epochs": 1, "warmup_epochs": 0},
            "evaluation": {"bootstrap": 0, "references": ["ridge"]},
        },
        where="test",
    )
    return train_run(config, tmp_path_factory.mktemp("explained") / "run")


@pytest.fixture(scope="module")
def explained(run):
    from limssr.cli import main

    assert main(["explain", str(run)]) == 0
    return run / "explain"


def test_the_document_has_its_sections_and_the_folder_all_points(explained, store_path):
    document = json.loads((explained / "explain.json").read_text())
    assert [name for name in document if name in SECTIONS] == list(SECTIONS)
    assert document["num_samples"] == len(FeatureStore.open(store_path).ids("test"))
    assert set(document["not_applicable"]) == {name for name in SECTIONS if document[name] is None}
    for one in document["figures"]:
        assert (explained / f"{one['name']}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (explained / f"{one['name']}.svg").read_bytes()
        assert one["words"].endswith(".")
    for name in ("contributions", "windows", "attention", "inferred"):
        assert len(pq.read_table(explained / f"{name}.parquet"))


def test_what_is_missing_is_looked_into(explained):
    document = json.loads((explained / "explain.json").read_text())
    pairs = {(one["stream"], tuple(one["subset"])) for one in document["inferred"]["pairs"]}
    assert len(pairs) == 9
    assert len(document["inferred"]["clusters"]) == 8
    section = document["hallucination"]
    assert {(one["stream"], tuple(one["subset"])) for one in section["recovery"]} == pairs
    kinds = {one["kind"] for one in section["sensitivity"]}
    assert kinds == {"blanked", "exchanged", "noise", "swapped"}
    assert all(one["reliability"] is not None for one in section["usefulness"].values())


def test_attention_is_that_of_ordinary_reading_and_adds_up(explained):
    document = json.loads((explained / "explain.json").read_text())["attention"]
    assert document["checked"]["states_of_slots"] < 1e-4
    assert document["checked"]["attended_values"] < 1e-4
    for row in document["subsets"]:
        assert sum(one["value"] for one in row["shares"].values()) == pytest.approx(1.0, abs=1e-5)
        assert sum(row["even_shares"].values()) == pytest.approx(1.0, abs=1e-5)
    weights = pq.read_table(explained / "attention.parquet").group_by(["streams", "id", "slot"])
    totals = weights.aggregate([("weight", "sum")])["weight_sum"].to_numpy()
    np.testing.assert_allclose(totals, 1.0, atol=1e-5)
    assert {row["without"] for row in document["changes"]} == {"video", "audio", "flow"}


def test_one_sample_is_explained_down_to_its_score(limssr, run, store_path):
    store = FeatureStore.open(store_path)
    name = next(one for one in store.ids("test") if len(store.sample(one).streams) == 3)
    outcome = limssr("explain", run, "--samples", name, "--subsets", "video", "video+audio", "--json")
    assert outcome.code == 0, outcome.err
    [one] = outcome.document["contributions"]["samples"]
    score = load_scorer(run).score([store.sample(name)])[0]
    for column, criterion in enumerate(store.criteria):
        found = one["criteria"][criterion.name]
        assert found["score"] == pytest.approx(score[column])
        assert sum(found["shapley"].values()) + found["baseline"] == pytest.approx(score[column])
        assert found["completeness"] < 1e-9
        slopes = found["gradients"]
        total = slopes["baseline"] + sum(slopes["streams"].values())
        assert total == pytest.approx(score[column], abs=1e-3 * (criterion.high - criterion.low))
        low, high = one["subsets"][-1]["intervals"][criterion.name]
        assert low <= found["score"] <= high
    assert [row["streams"] for row in outcome.document["attention"]["subsets"]] == [["video"], ["video", "audio"]]


def test_a_regression_is_explained_as_far_as_it_can_be(limssr, run):
    outcome = limssr("explain", run, "--member", "ridge", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.document["attention"] is None
    assert outcome.document["inferred"] is None
    assert {one["kind"] for one in outcome.document["hallucination"]["sensitivity"]} == {"swapped"}
    assert "ridge" in outcome.document["not_applicable"]["attention"]
    assert outcome.document["contributions"]["completeness"] < 1e-9
    assert (run / "references" / "ridge" / "explain" / "explain.json").is_file()


def test_performances_from_elsewhere(limssr, run, store_path, tmp_path):
    store = FeatureStore.open(store_path)
    name = store.ids("train")[0]
    outcome = limssr("explain", run, "--source", store_path, "--samples", name, "--subsets", "video", "--json")
    assert outcome.code == 0, outcome.err
    assert [one["id"] for one in outcome.document["contributions"]["samples"]] == [name]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--samples", "performance-x"], "--split names another split"),
        (["--subsets", "video+smell"], "Expected streams of video, audio, flow"),
        (["--member", "ridg"], "ridge"),
    ],
)
def test_what_is_not_there_is_refused(limssr, run, words, part):
    outcome = limssr("explain", run, *words)
    assert outcome.code == 2
    assert part in outcome.err


def test_an_unfinished_folder_is_refused(limssr, tmp_path):
    outcome = limssr("explain", tmp_path)
    assert outcome.code == 2
    assert "run.json" in outcome.err
