"""`limssr benchmark`: numbers, files, and what it refuses."""

import json

import pytest

TINY = ("--backbone", "tiny", "--segments", 5, "--batch-size", 2, "--device", "cpu")


def test_quick_look_as_json(limssr, tmp_path):
    outcome = limssr("benchmark", *TINY, "--quick", "--works", "step", "load", "--out", tmp_path, "--json")
    assert outcome.code == 0, outcome.err
    document = outcome.document
    assert [work["name"] for work in document["works"]] == ["step", "load"]
    assert document["works"][0]["ratio"]["median"] > 0
    assert document["savings"] == []
    assert json.loads((tmp_path / "benchmark.json").read_text())["works"] == document["works"]


def test_table_for_people(limssr, tmp_path):
    outcome = limssr("benchmark", *TINY, "--quick", "--works", "score", "--out", tmp_path)
    assert outcome.code == 0, outcome.err
    assert "Both sides agree" in outcome.out
    assert "scoring a batch, dense" in outcome.out
    assert "Random weights" in outcome.out


def test_int8_scores_and_does_not_train(limssr, tmp_path):
    outcome = limssr("benchmark", *TINY, "--quick", "--int8", "--works", "score-one", "--out", tmp_path, "--json")
    if outcome.code == 2 and "VNNI" in outcome.err:
        pytest.skip(outcome.err)
    assert outcome.code == 0, outcome.err
    assert any("int8" in note for note in outcome.document["notes"])
    refused = limssr("benchmark", *TINY, "--quick", "--int8", "--out", tmp_path)
    assert refused.code == 2
    assert "only score" in refused.err


def test_growth_of_one_axis(limssr, tmp_path):
    words = ("--growth", "--axes", "batch_size", "--grid", 1, 2, "--repeats", 1, "--no-memory")
    outcome = limssr("benchmark", *TINY, *words, "--out", tmp_path, "--json")
    assert outcome.code == 0, outcome.err
    assert [point["value"] for point in outcome.document["curves"][0]["points"]] == [1, 2]
    assert (tmp_path / "growth.svg").is_file()


def test_what_does_not_fit_is_refused(limssr, tmp_path):
    outcome = limssr("benchmark", *TINY, "--growth", "--grid", 1, 2, "--out", tmp_path)
    assert (outcome.code, outcome.out) == (2, "")
    assert "one axis" in outcome.err
    outcome = limssr("benchmark", *TINY, "--set", "model.num_missing_tokens=many", "--out", tmp_path)
    assert outcome.code == 2
    assert "num_missing_tokens" in outcome.err
