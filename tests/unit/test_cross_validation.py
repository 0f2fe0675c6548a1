"""`limssr train --folds`: every group tested once by a run that has not seen it, and one evaluation of them all."""

import numpy as np
import pyarrow.parquet as pq
import pytest

import limssr
from limssr.cli import main
from limssr.core.config import RunConfig
from limssr.core.config_data import HeldOutConfig
from limssr.core.errors import ArtifactError, InputError
from limssr.core.recipes import parse_config
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.store.writer import StoreWriter
from limssr.runs.data import load_run_data, load_split
from limssr.runs.folder import read_run
from limssr.runs.load import load
from limssr.studies.cross_validation import parse_folds, plan_folds, train_folds

MODALITIES = (Modality("video", 3), Modality("audio", 2))
NUM_GROUPS, SIZE = 6, 6


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Six groups of six with means far apart, in all three splits; what differs within a group is in the video."""
    folder = tmp_path_factory.mktemp("folds") / "store"
    rng = np.random.default_rng(3)
    with StoreWriter(
        folder, name="toy", modalities=MODALITIES, criteria=(Criterion("score", 0.0, 10.0),), provenance={}
    ) as writer:
        for number in range(NUM_GROUPS * SIZE):
            group = number // SIZE
            inside = rng.uniform(-1, 1)
            streams = {
                "video": (inside + 0.1 * rng.normal(size=(4, 3))).astype(np.float32),
                "audio": rng.normal(size=(4, 2)).astype(np.float32),
            }
            if number % 3 == 2:
                del streams["audio"]
            split = ("train", "train", "train", "val", "test", "test")[group]
            writer.add(Sample(f"s{number}", streams, np.array([1.5 + 1.4 * group + inside]), f"g{group}", split))
    return folder


def config_of(store, **more) -> RunConfig:
    return parse_config(
        {
            "name": "toy",
            "data": {"store": str(store)},
            "model": {"system": "attention"},
            "train": {"epochs": 1, "selection": "last"},
            "evaluation": {"references": ["ridge"], "bootstrap": 20},
            **more,
        },
        where="test",
    )


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    return train_folds(config_of(store), tmp_path_factory.mktemp("runs") / "cv", "groups")


def test_every_sample_is_tested_once_by_a_run_that_did_not_see_its_group(store, run):
    tested = []
    for number in range(NUM_GROUPS):
        config = read_run(run / f"fold-{number}").config
        splits = load_run_data(config).splits
        assert not {one.group for one in splits["test"]} & {one.group for one in [*splits["train"], *splits["val"]]}
        tested += [one.id for one in splits["test"]]
        _, again = load_split(load(run / f"fold-{number}"), config, "test", store=store, incomplete=True)
        assert {one.id for one in again} == {one.id for one in splits["test"]}
    assert sorted(tested) == sorted(f"s{number}" for number in range(NUM_GROUPS * SIZE))


def test_predictions_count_from_the_mean_that_their_fold_learned_from(run):
    table = read_parquet_rows(run)
    fold = read_run(run / "fold-0").config
    data = load_run_data(fold)
    raw = {
        (row["id"], row["streams"]): row["prediction"]
        for row in read_parquet_rows(run / "fold-0")
        if row["system"] == "attention"
    }
    every = [one.scores[0] for samples in data.splits.values() for one in samples]
    shift = np.mean(every) - np.mean([one.scores[0] for one in data.splits["train"]])
    assert abs(shift) > 0.3
    for row in table:
        if row["system"] == "attention" and (row["id"], row["streams"]) in raw:
            assert row["prediction"] == pytest.approx(raw[row["id"], row["streams"]] + shift, abs=1e-6)


def test_the_folder_is_a_run_that_reports_and_refuses_to_predict(run, capsys):
    document = read_run(run).document
    assert document["folds"]["num_folds"] == NUM_GROUPS
    assert [one["num_samples"] for one in document["folds"]["runs"]] == [SIZE] * NUM_GROUPS
    assert document["num_samples"] == {"test": NUM_GROUPS * SIZE}
    assert document["owned_streams"] == {"train": {"video": 12, "video+audio": 24}}
    page = (run / "report.html").read_text()
    assert "was trained 6 times on the 36 performances" in page
    assert "24 of 36 training performances own all streams" in page
    assert "no model: the run of each fold gives its own intervals" in page
    with pytest.raises(ArtifactError, match=r"take the run of a fold, such as .*fold-0"):
        load(run)
    assert main(["compare", str(run), str(run / "fold-0"), "--out", str(run.parent / "page")]) == 2
    assert "out of fold" in capsys.readouterr().err


def test_it_goes_on_where_it_was_stopped(run, store):
    before = [(run / f"fold-{number}" / "run.json").read_bytes() for number in range(NUM_GROUPS)]
    train_folds(config_of(store), run, "groups")
    assert before == [(run / f"fold-{number}" / "run.json").read_bytes() for number in range(NUM_GROUPS)]


@pytest.mark.parametrize(("folder", "folds"), [("", 3), ("fold-0", 3), ("fold-0", "groups")])
def test_another_run_is_never_written_over(run, store, folder, folds):
    before = (run / folder / "run.json").read_bytes()
    with pytest.raises(InputError, match="give another --out"):
        train_folds(config_of(store), run / folder, folds)
    with pytest.raises(InputError, match="give another --out"):
        train_folds(config_of(store, seed=7), run, "groups")
    assert (run / folder / "run.json").read_bytes() == before


def test_from_python_it_is_the_same(store, tmp_path):
    settings = {"train.epochs": 1, "evaluation.references": [], "evaluation.bootstrap": 0}
    found = limssr.train(
        "own", store=store, out=tmp_path / "cv", system="attention", settings=settings, folds=2, show="nothing"
    )
    assert read_run(found.folder).document["folds"]["num_folds"] == 2


def test_validation_comes_out_of_what_is_left(store):
    config = config_of(store, data={"store": str(store), "test": {"folds": 3, "fold": 1}}, train={"epochs": 1})
    splits = load_run_data(config).splits
    groups = {split: {one.group for one in samples} for split, samples in splits.items()}
    assert [len(groups[split]) for split in ("train", "val", "test")] == [3, 1, 2]


def test_a_share_of_validation_replaces_the_stores_own_split(store):
    notes = []
    config = config_of(store, data={"store": str(store), "validation": {"share": 0.5, "seed": 1}}, train={"epochs": 1})
    splits = load_run_data(config, notes.append).splits
    assert {one.group for one in [*splits["train"], *splits["val"]]} == {"g0", "g1", "g2", "g3"}
    assert len({one.group for one in splits["val"]}) == 2


@pytest.mark.parametrize(
    ("more", "folds", "message"),
    [
        ({}, 7, "at least 7 groups, found 6"),
        ({"model": {"system": "auto"}}, 3, "judges by folds already"),
        ({"data": {"store": "x", "test": {"folds": 2}}}, 3, "without data.test"),
    ],
)
def test_what_cannot_be_divided_is_refused_before_anything_is_written(store, tmp_path, more, folds, message):
    with pytest.raises(InputError, match=message):
        train_folds(config_of(store, **more), tmp_path / "out", folds)
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


@pytest.mark.parametrize("text", ["1", "0", "-3", "half", "2.5", "", "99999999"])
def test_folds_are_a_number_or_the_word_groups(text):
    with pytest.raises(InputError, match="or the word groups"):
        parse_folds(text)


def test_one_plan_of_as_many_folds_as_asked(store):
    runs = plan_folds(config_of(store), 3)
    assert [one.config.data.test for one in runs] == [HeldOutConfig(folds=3, fold=fold) for fold in range(3)]


def read_parquet_rows(folder):
    return pq.read_table(folder / "predictions.parquet").to_pylist()
