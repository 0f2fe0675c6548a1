"""`limssr compare` from a terminal."""

import pytest


def test_runs_are_compared_and_files_written(limssr, scored_run, tmp_path):
    run = scored_run("first", references={"ridge": 30.0})
    other = scored_run("second", system="statistics", noise=5.0)
    out = tmp_path / "out"
    done = limssr(
        "compare", run, f"small={other}", "--against", "small", "--order", "score", "--resamples", 200, "--out", out
    )
    assert done.code == 0, done.err
    assert "Paired differences to small" in done.out
    assert (out / "compare.html").exists()
    page = (out / "compare.html").read_text(encoding="utf-8")
    assert f"--against small --order score --resamples 200 --out {out}" in page


def test_json_is_one_document(limssr, scored_run, tmp_path):
    run = scored_run("first", references={"ridge": 30.0})
    done = limssr("compare", run, "--resamples", 200, "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    assert [row["label"] for row in done.document["rows"]] == ["attention", "ridge"]
    assert done.document["rows"][0]["cost"]["macs"] > 0
    assert len(done.document["files"]) == 7


def test_what_is_wrong_is_said_and_nothing_is_written(limssr, scored_run, tmp_path):
    run = scored_run("first")
    for words in ([run, "--no-references"], [run, tmp_path / "nowhere"], [], [run, run]):
        done = limssr("compare", *words, "--out", tmp_path / "out")
        assert done.code == 2
        assert "xpected" in done.err or "required" in done.err
        assert not (tmp_path / "out").exists()


def test_scoring_is_timed_in_turns(limssr, scored_run, tmp_path, store_path):
    from limssr.data.store.reader import FeatureStore
    from limssr.runs.folder import read_config
    from limssr.systems.build import build_model
    from limssr.systems.saving import save_pretrained

    store = FeatureStore.open(store_path)
    run = scored_run("first")
    other = scored_run("second", system="statistics")
    for folder in (run, other):
        config = read_config(folder).model
        save_pretrained(build_model(config, store.modalities, store.criteria, seed=0), folder / "model")
    words = ["--timing", "--rounds", 2, "--resamples", 100, "--device", "cpu", "--out", tmp_path / "out", "--json"]
    done = limssr("compare", run, other, *words)
    assert done.code == 0, done.err
    assert done.document["timing"]["num_rounds"] == 2
    first, second = (row["scoring"] for row in done.document["rows"])
    assert first["ratio"]["median"] == 1.0
    assert second["milliseconds"]["lower"] > 0
    assert "median and quartiles" in (tmp_path / "out" / "compare.txt").read_text(encoding="utf-8")


@pytest.fixture
def unscored(monkeypatch):
    """Scoring takes minutes: what is wrong must be said before."""

    def score_rows(*_, **__):
        raise AssertionError("scored")

    monkeypatch.setattr("limssr.studies.compare.run.score_rows", score_rows)


def test_what_cannot_be_timed_is_not_made_up(limssr, scored_run, tmp_path):
    runs = [scored_run("first", references={"ridge": 3.0}), scored_run("second", system="statistics")]
    words = ["--timing", "--rounds", 1, "--resamples", 100, "--device", "cpu", "--out", tmp_path / "out", "--json"]
    done = limssr("compare", *runs, *words)
    assert done.code == 0, done.err
    times = {row["label"]: row["scoring"] for row in done.document["rows"]}
    assert times["ridge"]["milliseconds"]["median"] > 0
    for label in ("attention", "statistics"):
        assert times[label]["milliseconds"] is None
        assert times[label]["reason"]


@pytest.mark.usefixtures("unscored")
def test_timing_of_nothing_is_refused(limssr, scored_run, tmp_path):
    runs = [scored_run("first"), scored_run("second", system="statistics")]
    done = limssr("compare", *runs, "--timing", "--device", "cpu", "--out", tmp_path / "out", "--json")
    assert done.code == 2
    assert "one system that can be timed" in done.document["error"]["message"]
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("unscored")
def test_a_store_that_is_named_must_be_that_of_the_runs(limssr, scored_run, store_path, tmp_path):
    import shutil

    from limssr.data.simulate import simulate_store

    runs = [scored_run("first"), scored_run("second", system="statistics")]
    simulate_store(tmp_path / "other", 20, seed=8, num_segments=(4, 9))
    broken = shutil.copytree(store_path, tmp_path / "broken")
    (broken / "store.json").write_text("{}")
    bare = shutil.copytree(store_path, tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors"))
    assert (bare / "store.json").is_file()
    found_in = {"nowhere": "no store at", "other": "another fingerprint", "broken": "altered", "bare": "safetensors"}
    for store, found in found_in.items():
        done = limssr("compare", *runs, "--store", tmp_path / store, "--out", tmp_path / "out", "--json")
        assert done.code == 2, done.err
        assert "Expected at --store" in done.document["error"]["message"]
        assert found in done.document["error"]["message"]
        assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("unscored")
def test_a_file_for_a_folder_is_refused_first(limssr, scored_run, tmp_path):
    (tmp_path / "file").write_text("mine")
    runs = [scored_run("first"), scored_run("second", system="statistics")]
    done = limssr("compare", *runs, "--out", tmp_path / "file", "--json")
    assert done.code == 2
    assert "Expected to write into the folder" in done.document["error"]["message"]
    assert (tmp_path / "file").read_text() == "mine"
