"""What has been trained is opened for scoring, wherever it stands."""

import shutil

import numpy as np
import pytest

import limssr
from limssr.core.errors import ArtifactError, InputError
from limssr.core.recipes import parse_config
from limssr.data.simulate import simulate_store
from limssr.data.store.reader import FeatureStore
from limssr.report import write_report
from limssr.runs.evaluate import evaluate_run, scored_store
from limssr.runs.folder import read_run
from limssr.runs.load import load_scorer
from limssr.runs.prediction.predict import predict
from limssr.runs.train import train_run

MEMBERS = ("ridge", "extra-trees-imputed", "gradient-boosting", "statistics")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with one reference of each kind beside it, and its store."""
    folder = tmp_path_factory.mktemp("trained")
    simulate_store(folder / "store", 60, ["video", "audio"], seed=2, num_segments=(3, 6))
    tree = {
        "data": {"store": str(folder / "store"), "num_segments": 4},
        "missing": {"availability": {"rate": 0.3}},
        "model": {"system": "attention", "hidden": 8, "input_scaling": "standard", "output": "standardized"},
        "train": {"epochs": 1, "warmup_epochs": 0},
        "evaluation": {"bootstrap": 10, "references": list(MEMBERS)},
    }
    train_run(parse_config(tree, where="test"), folder / "run")
    return folder


@pytest.mark.parametrize("member", [None, *MEMBERS])
def test_it_scores_as_it_was_scored_when_it_was_trained(member, trained):
    import pyarrow.parquet as pq

    run = trained / "run"
    name = member or "attention"
    rows = pq.read_table(run / "predictions.parquet", filters=[("system", "=", name)]).to_pylist()
    before = {(row["id"], row["criterion"]): row["prediction"] for row in rows if row["streams"] == "video+audio"}
    loaded = limssr.load(run, member)
    samples = FeatureStore.open(trained / "store").samples("test")
    scores_NC = loaded.score(samples)
    assert len(before) == scores_NC.size > 0
    for sample, scores_C in zip(samples, scores_NC, strict=True):
        for criterion, score in zip(loaded.criteria, scores_C, strict=True):
            assert score == pytest.approx(before[sample.id, criterion.name], rel=1e-6)
    np.testing.assert_array_equal(loaded.predict([dict(sample.streams) for sample in samples]), scores_NC)
    assert [one.name for one in loaded.modalities] == ["video", "audio"]


@pytest.mark.parametrize("member", MEMBERS)
def test_a_folder_of_references_is_opened_like_a_member_also_alone(member, trained, tmp_path):
    alone = tmp_path / member
    shutil.copytree(trained / "run" / "references" / member, alone)
    tables = [
        predict(trained / "run", trained / "store", split="test", member=member),
        predict(trained / "run" / "references" / member, trained / "store", split="test"),
        predict(alone, trained / "store", split="test"),
    ]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


def test_an_unknown_member_names_the_nearest_and_an_old_one_says_what_to_do(trained, tmp_path):
    with pytest.raises(InputError, match=r"Unknown member.*did you mean 'ridge'"):
        limssr.load(trained / "run", "rigde")
    shutil.copytree(trained / "run", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "references" / "ridge" / "model")  # as it was written before
    with pytest.raises(ArtifactError, match="train the run again"):
        limssr.load(tmp_path / "run", "ridge")
    with pytest.raises(InputError, match="language model for int8"):
        predict(trained / "run", trained / "store", member="ridge", weights="int8")


def test_samples_without_a_known_stream_keep_their_row(trained, tmp_path):
    simulate_store(tmp_path / "wide", 24, ["video", "audio", "motion"], seed=2, num_segments=(3, 6))
    wide = FeatureStore.open(tmp_path / "wide")
    with limssr.StoreWriter(
        tmp_path / "new", name="new", modalities=wide.modalities, criteria=wide.criteria, provenance={}
    ) as writer:
        for n, sample in enumerate(wide.samples()):
            writer.add(sample.restricted_to(("motion",)) if n % 6 == 0 else sample)
    told = []
    rows = predict(trained / "run", tmp_path / "new", say=told.append).to_pylist()
    assert len(rows) == 24
    assert [row["streams"] == "" for row in rows] == [row["execution"] is None for row in rows]
    assert sum(row["streams"] == "" for row in rows) == 4
    assert any("motion is not read" in text for text in told)
    assert any(text.startswith("4 of 24 samples") for text in told)


@pytest.mark.parametrize("change", ["splits", "scores", "features"])
def test_a_store_that_changed_under_a_run_is_refused_unless_it_is_named(change, trained, tmp_path):
    run, store = tmp_path / "run", tmp_path / "store"
    shutil.copytree(trained / "run", run)
    for name in ("run.json", "config.yaml"):
        text = (run / name).read_text(encoding="utf-8")
        (run / name).write_text(text.replace(str(trained / "store"), str(store)), encoding="utf-8")
    shutil.copytree(trained / "store", store)
    before = evaluate_run(run).to_dict()["full"]["mse"]
    _rewrite(trained / "store", store, change)
    with pytest.raises(InputError, match=r"fingerprint.*another content.*--store"):
        evaluate_run(run)
    assert evaluate_run(run, store=store).to_dict()["full"]["mse"] != pytest.approx(before, rel=1e-9)
    assert scored_store(run, store)["is_the_runs"] is False
    assert scored_store(run, trained / "store")["is_the_runs"] is True
    assert scored_store(run, None)["fingerprint"] != read_run(run).document["store"]["fingerprint"]


def _rewrite(source, target, change):
    opened = FeatureStore.open(source)
    shutil.rmtree(target)
    swapped = {"train": "test", "test": "train", "val": "val"}
    with limssr.StoreWriter(
        target, name=opened.info.name, modalities=opened.modalities, criteria=opened.criteria, provenance={}
    ) as writer:
        for sample in opened.samples():
            split = swapped[sample.split] if change == "splits" else sample.split
            scores = sample.scores * 0.5 if change == "scores" else sample.scores
            streams = {k: v * 1.5 for k, v in sample.streams.items()} if change == "features" else sample.streams
            writer.add(limssr.Sample(sample.id, streams, scores, sample.group, split))


@pytest.mark.parametrize("what", ["a folder", "a file", "nothing"])
def test_what_is_no_run_is_refused_with_what_to_give(tmp_path, what):
    """Each verb in the same words: what is expected, and what to give instead."""
    given = {"a folder": tmp_path, "a file": tmp_path / "report.html", "nothing": tmp_path / "nowhere"}[what]
    (tmp_path / "report.html").write_text("a page")
    for work in (evaluate_run, write_report, read_run):
        with pytest.raises(ArtifactError, match=r"found no run\.json there: give the folder"):
            work(given)
    with pytest.raises(ArtifactError, match=r"found no config\.json there: give a run folder"):
        load_scorer(given)
