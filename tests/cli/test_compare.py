"""`limssr compare` from a terminal."""


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
    from limssr.data.store import FeatureStore
    from limssr.model import build_model, save_pretrained
    from limssr.runfiles import read_config

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


def test_what_cannot_be_timed_is_not_made_up(limssr, scored_run, tmp_path):
    runs = [scored_run("first"), scored_run("second", system="statistics")]
    words = ["--timing", "--resamples", 100, "--device", "cpu", "--out", tmp_path / "out", "--json"]
    done = limssr("compare", *runs, *words)
    assert done.code == 0, done.err
    assert all(row["scoring"]["milliseconds"] is None and row["scoring"]["reason"] for row in done.document["rows"])
