"""The calls that stand for verbs: what they return, and that they do as the verbs do."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import limssr
from limssr.cli import main
from limssr.core.errors import ArtifactError, InputError
from limssr.data.simulate import simulate

BEFORE = Path(__file__).resolve().parents[1] / "fixtures" / "before_rooms"


def arrays():
    _, criteria, samples = simulate(24, 3, seed=0)
    return {
        "samples": [dict(sample.streams) for sample in samples],
        "scores": np.stack([sample.scores for sample in samples]),
        "groups": [sample.group for sample in samples],
        "criteria": [criterion.name for criterion in criteria],
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("python") / "store"
    limssr.make_store(path, **arrays(), segment_s=1.0, name="simulated")
    return path


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "attention"
    settings = {"train.epochs": 2, "evaluation.references": [], "evaluation.bootstrap": 0}
    return limssr.train("own", store=store, out=out, system="attention", settings=settings, seed=3, show="nothing")


def test_a_run_shows_itself(run):
    assert run.config.seed == 3
    assert run.record["status"] == "done"
    assert f"{run.results['full']['spearman']:.3f}" in run._repr_html_()
    page = run.report()
    assert page.path == run.folder / "report.html"
    assert page._repr_html_().startswith("<iframe srcdoc=")
    assert "<script>alert" not in page._repr_html_()


def test_tables_are_data_frames(run):
    subsets, predictions = run.subsets(), run.predictions()
    assert {"streams", "spearman", "num_samples"} <= set(subsets.columns)
    assert {"id", "criterion", "score", "prediction"} <= set(predictions.columns)
    assert len(predictions)


def test_training_is_the_verb(run, store, tmp_path):
    words = [
        "train",
        "own",
        "--store",
        str(store),
        "--out",
        str(tmp_path / "run"),
        "--system",
        "attention",
        "--seed",
        "3",
    ]
    words += ["--set", "train.epochs=2", "--set", "evaluation.references=[]", "--set", "evaluation.bootstrap=0"]
    assert main(words) == 0
    weights = [folder / "model" / "model.safetensors" for folder in (run.folder, tmp_path / "run")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_evaluating_gives_the_run_s_numbers(run):
    again = limssr.evaluate(run, show="nothing")
    assert again.full["spearman"].value == pytest.approx(run.results["full"]["spearman"])
    assert limssr.evaluate(str(run.folder), split="val", show="nothing").split == "val"


def test_comparing_is_the_verb(run, store, tmp_path, capsys):
    settings = {"train.epochs": 2, "evaluation.references": [], "evaluation.bootstrap": 0}
    other = limssr.train(
        "own", store=store, out=tmp_path / "b", system="late-fusion", settings=settings, show="nothing"
    )
    found = limssr.compare(run, f"again={other.folder}", show="nothing")
    assert "again" in found.markdown()
    assert found.latex().count("tabular")
    assert repr(found) == found.text()
    scores = found.scores()
    assert set(scores["system"]) == {"attention", "again"}
    assert len(scores) == scores["part"].nunique() * 2
    assert scores["mse_value"].notna().all()
    capsys.readouterr()
    assert main(["compare", str(run.folder), f"again={other.folder}", "--out", str(tmp_path / "out"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {key: printed[key] for key in found.document()} == json.loads(json.dumps(found.document()))


@pytest.mark.parametrize("candidates", ["constant,ridge", "constant, ridge", ["constant", "ridge"]])
def test_names_may_stand_in_one_text(store, tmp_path, candidates, monkeypatch):
    asked = []
    monkeypatch.setattr("limssr.runs.auto.auto.train_auto", lambda config, out, **_: asked.append(config) or out)
    limssr.auto(store, out=tmp_path / "run", candidates=candidates, minutes=1)
    assert asked[0].model.options["candidates"] == "constant,ridge"


def test_explaining_is_the_verb(run):
    found = limssr.explain(run, show="nothing")
    assert Path(found["folder"]) == run.folder / "explain"
    assert {"attention", "inferred", "hallucination", "contributions", "coverage"} <= set(found)
    assert (run.folder / "explain" / "explain.json").is_file()
    assert limssr.explain.__doc__


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"run\.json"):
        limssr.open_run(tmp_path)


def test_a_run_of_before_opens(tmp_path):
    shutil.copytree(BEFORE / "attention-run", tmp_path / "run")
    opened = limssr.open_run(tmp_path / "run")
    assert opened.model().modalities[0].name == "video"
    assert len(opened.subsets()) > 0


def test_mistakes_are_refused_before_anything_is_written(store, tmp_path):
    with pytest.raises(InputError, match="epochz"):
        limssr.train("own", store=store, out=tmp_path / "run", settings={"train.epochz": 2}, show="nothing")
    settings = {"train.epochs": 1, "model.head": "statistics", "model.statistics.first": 0.5}
    with pytest.raises(InputError, match="at least 2 epochs"):
        limssr.train("own", store=store, out=tmp_path / "run", backbone="tiny", settings=settings, show="nothing")
    assert list(tmp_path.iterdir()) == []


def test_a_store_of_arrays_holds_them(store):
    opened = limssr.FeatureStore.open(store)
    given = arrays()
    assert [one.name for one in opened.criteria] == given["criteria"]
    assert opened.info.segment_s == 1.0
    found = {sample.id: sample for split in ("train", "val", "test") for sample in opened.samples(split)}
    assert len(found) == 24
    for number, streams in enumerate(given["samples"]):
        assert set(found[str(number)].streams) == set(streams)
        for name, array_TD in streams.items():
            np.testing.assert_array_equal(found[str(number)].streams[name], np.asarray(array_TD, dtype=np.float32))
    splits_of = {}
    for sample in found.values():
        splits_of.setdefault(sample.group, set()).add(sample.split)
    assert all(len(splits) == 1 for splits in splits_of.values())


def test_a_scale_comes_from_training_scores(tmp_path):
    samples = [{"a": np.full((2, 1), float(n))} for n in range(6)]
    splits = ["train"] * 4 + ["val", "test"]
    opened = limssr.make_store(tmp_path / "store", samples, [1, 2, 3, 4, 9, -9], splits=splits)
    assert (opened.criteria[0].low, opened.criteria[0].high) == (1.0, 4.0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"groups": ["a"]}, "groups, one a sample"),
        ({"ids": ["a"] * 5}, "ids, one a sample"),
        ({"ids": ["a"] * 24}, "'a'"),
        ({"splits": ["train"] * 23 + ["trian"]}, "trian"),
        ({"splits": "70/70"}, "70/70"),
        ({"scores": np.zeros(24), "criteria": None}, "two different scores"),
        ({"samples": {"video": np.zeros((2, 3))}}, "list of samples"),
    ],
)
def test_arrays_that_are_not_right_are_refused_and_leave_nothing(tmp_path, change, told):
    with pytest.raises(InputError, match=told):
        limssr.make_store(tmp_path / "store", **{**arrays(), **change})
    assert list(tmp_path.iterdir()) == []
