"""A validation split out of the training samples, and samples that nobody judged."""

import dataclasses
import json

import numpy as np
import pytest

from limssr.core.config import EvalConfig
from limssr.core.config_data import AvailabilityConfig
from limssr.core.errors import InputError
from limssr.core.progress import SilentReporter
from limssr.core.recipes import parse_config
from limssr.core.types import Criterion, Sample
from limssr.data.simulate import simulate_world
from limssr.data.splits import cross_validate, hold_out
from limssr.data.store.reader import StoreWriter
from limssr.evaluation.evaluate import evaluate
from limssr.report import write_report
from limssr.runs.data import load_run_data
from limssr.runs.evaluate import evaluate_run
from limssr.runs.folder import read_run
from limssr.runs.prediction.predict import predict
from limssr.runs.train import train_run

APPARATUS = ("Ball", "Clubs", "Hoop", "Ribbon")


def make_samples(groups):
    return [
        Sample(f"s{n}", {"a": np.zeros((1, 1), np.float32)}, np.array([1.0]), group, "train")
        for n, group in enumerate(groups)
    ]


def held(samples, share=0.3, seed=0):
    return {one.id for one in hold_out(samples, share=share, seed=seed) if one.split == "val"}


def test_whole_groups_move_and_order_does_not_matter():
    samples = make_samples(["g1", "g1", "g2", "g2", "g3", "g3", None, None, None, None])
    moved = held(samples)
    assert 3 <= len(moved) <= 4
    assert {one.group for one in samples if one.id in moved and one.group}.isdisjoint(
        one.group for one in samples if one.id not in moved
    )
    assert held(samples[::-1]) == moved
    assert len({frozenset(held(samples, seed=seed)) for seed in range(5)}) > 1
    assert [one.id for one in hold_out(samples, share=0.3, seed=0)] == [one.id for one in samples]


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("groups", [["g1", "g2"], [None, None, None], ["g1"] * 9 + ["g2"]])
def test_both_sides_get_a_group(share, groups):
    assert 0 < len(held(make_samples(groups), share)) < len(groups)


def test_one_group_cannot_be_divided():
    with pytest.raises(InputError, match="at least two, found 1"):
        hold_out(make_samples(["g", "g"]), share=0.5, seed=0)


def folds(samples, num_folds=3, seed=0):
    return [
        {one.id for one in cross_validate(samples, num_folds=num_folds, fold=fold, seed=seed) if one.split == "val"}
        for fold in range(num_folds)
    ]


def test_folds_are_whole_groups_of_nearly_one_size_and_every_sample_validates_once():
    samples = make_samples(["g1"] * 4 + ["g2"] * 3 + ["g3"] * 2 + [None] * 6)
    samples += [dataclasses.replace(one, id=f"v{one.id}", split="val") for one in make_samples(["g1", None])]
    found = folds(samples)
    assert sorted(name for fold in found for name in fold) == sorted(one.id for one in samples)
    assert {len(fold) for fold in found} <= {5, 6}
    for group in ("g1", "g2", "g3"):
        assert sum(any(one.group == group for one in samples if one.id in fold) for fold in found) == 1
    assert folds(samples[::-1]) == found
    assert any(folds(samples, seed=seed) != found for seed in range(1, 5))
    with pytest.raises(InputError, match="at least 3 groups"):
        folds(make_samples(["g", "g", None]))


def test_a_run_on_one_fold_leaves_test_alone_and_says_so(store_path, tmp_path):
    fold = {"folds": 3, "fold": 1}
    own, divided = (load_run_data(make_config(store_path, validation=one)) for one in (None, fold))
    assert [one.id for one in divided.splits["test"]] == [one.id for one in own.splits["test"]]
    both = {one.id for split in ("train", "val") for one in own.splits[split]}
    assert {one.id for split in ("train", "val") for one in divided.splits[split]} == both
    assert len(divided.splits["val"]) == pytest.approx(len(both) / 3, abs=1)
    out = train_run(make_config(store_path, validation=fold), tmp_path / "run")
    assert read_run(out).document["validation"].items() >= {"folds": 3, "fold": 1, "seed": 0}.items()
    assert "Fold 2 of 3 of a cross-validation" in write_report(out).read_text()
    for wrong in ({"folds": 3, "fold": 3}, {"fold": 1}):
        with pytest.raises(InputError, match=f"fold is {wrong['fold']} and folds is {wrong.get('folds')}"):
            make_config(store_path, validation=wrong)


@pytest.fixture(scope="module")
def gymnastics(tmp_path_factory):
    """A store as the importer of RG writes it: a criterion an apparatus, NaN for the routines of the others, no val."""
    world = simulate_world(160, seed=3, num_segments=(3, 6))
    criteria = tuple(Criterion(name, 0.0, 25.0) for name in APPARATUS)
    path = tmp_path_factory.mktemp("stores") / "rg"
    with StoreWriter(
        path,
        name="rg",
        modalities=world.modalities,
        criteria=criteria,
        provenance={},
        splits_required=["train", "test"],
    ) as writer:
        for n, sample in enumerate(world.samples):
            scores = np.full(4, np.nan)
            scores[n % 4] = 5 + sample.scores[0] / 10
            split = "test" if n % 16 < 6 else "train"
            writer.add(dataclasses.replace(sample, scores=scores, split=split, group=f"pair {n // 2}"))
    return path


def make_config(store, *, criteria=None, validation={"share": 0.2}, system="attention", references=(), **train):  # noqa: B006
    return parse_config(
        {
            "data": {"store": str(store), "criteria": criteria, "validation": validation},
            "missing": {"availability": AvailabilityConfig().model_dump()},
            "model": {"system": system, "hidden": 16, "backbone": {"name": "tiny", "num_layers": 1}},
            "train": {"epochs": 2, "warmup_epochs": 1, **train},
            "evaluation": EvalConfig(bootstrap=10, references=references).model_dump(),
        },
        where="test",
    )


class Notes(SilentReporter):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def test_one_apparatus_leaves_the_others_out(gymnastics, tmp_path):
    reporter = Notes()
    out = train_run(make_config(gymnastics, criteria=["Hoop"]), tmp_path / "run", reporter=reporter)
    document = read_run(out).document
    assert document["left_out"] == {"train": 70, "val": 0, "test": 50}
    assert sum(document["num_samples"].values()) == 40
    assert document["validation"] == {"share": 0.2, "seed": 0, "num_groups": 6, "num_samples": 6}
    assert any("Hoop" in text and "train 70, test 50" in text for text in reporter.notes)
    evaluation = evaluate_run(out)
    assert evaluation.full["mse"].reason is None
    assert {subset.num_samples for subset in evaluation.subsets} == {10}
    train, val = ({*evaluate_run(out, split=split).predictions["id"].to_pylist()} for split in ("train", "val"))
    assert (len(train), len(val), train & val) == (24, 6, set()), "asked again, the division is the same"
    page = (write_report(out)).read_text()
    assert "held out of the training split" in page
    assert "left out" in page


def test_validation_is_held_out_once_for_all_seeds_and_availability_applies_to_it(gymnastics):
    config = make_config(gymnastics)
    data = load_run_data(config)
    again = load_run_data(config.model_copy(update={"seed": 7}))
    assert [one.id for one in again.splits["val"]] == [one.id for one in data.splits["val"]]
    assert {one.group for one in data.splits["val"]}.isdisjoint(one.group for one in data.splits["train"])
    assert any(len(one.streams) < 3 for one in data.splits["val"])
    assert {one.split for one in data.splits["val"]} == {"val"}
    complete = data.complete_train or []
    assert [one.id for one in complete] == [one.id for one in data.splits["train"]]


@pytest.mark.parametrize("system", ["attention", "limssr"])
def test_all_apparatus_at_once(gymnastics, tmp_path, system, monkeypatch):
    """Every sample is judged on one criterion of four: losses, selection, references, tables and predictions hold."""
    config = make_config(gymnastics, system=system, references=["extra-trees-imputed"], selection="test")
    monkeypatch.setattr("limssr.systems.regressions.NUM_TREES", 5)
    out = train_run(config, tmp_path / "run")
    assert read_run(out).document["left_out"] == {"train": 0, "val": 0, "test": 0}
    for line in (out / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        assert all(np.isfinite(record[name]) for name in ("train_loss", "val_loss", "test_spearman", "test_mse"))
    document = json.loads((out / "evaluation.json").read_text())
    for name in (system, "extra-trees-imputed"):
        full = document["systems"][name]["subsets"][-1]
        assert set(full["per_criterion"]) == set(APPARATUS)
        assert full["mse"] == pytest.approx(np.mean([full["per_criterion"][one]["mse"] for one in APPARATUS]))
    table = predict(out, gymnastics)
    assert table.num_rows == 160
    assert all(np.isfinite(table[name].to_numpy()).all() for name in APPARATUS)


def test_the_mean_over_apparatus_is_over_their_own_routines(gymnastics):
    data = load_run_data(make_config(gymnastics))

    class Perfect:
        def score(self, samples):
            return np.stack([np.nan_to_num(sample.scores, nan=99.0) for sample in samples])

    found = evaluate(Perfect(), data.splits["test"], data.names, data.criteria, config=EvalConfig(bootstrap=0))
    assert found.full["mse"].value == 0.0, "what stands where nobody judged must not count"


def test_a_split_without_any_score_is_refused(gymnastics, tmp_path, store_path):
    world = simulate_world(40, seed=3, num_segments=(3, 6))
    path = tmp_path / "store"
    with StoreWriter(path, name="s", modalities=world.modalities, criteria=world.criteria, provenance={}) as writer:
        for sample in world.samples:
            scores = np.where([sample.split == "val", False], np.nan, sample.scores)
            writer.add(dataclasses.replace(sample, scores=scores))
    only = [world.criteria[0].name]
    with pytest.raises(InputError, match=r"split 'val'.*without"):
        load_run_data(make_config(path, criteria=only, validation=None))
    replaced = load_run_data(make_config(path, criteria=only)).splits
    assert replaced["val"]
    assert all(np.isfinite(one.scores).all() for one in replaced["val"]), "those without a score take no part"


def test_a_store_without_validation_holds_one_out_by_groups_and_says_so(gymnastics, tmp_path):
    auto = load_run_data(make_config(gymnastics, validation=None))
    asked = load_run_data(make_config(gymnastics, validation={"share": 0.15}))
    assert [one.id for one in auto.splits["val"]] == [one.id for one in asked.splits["val"]] != []
    assert {one.group for one in auto.splits["val"]}.isdisjoint(one.group for one in auto.splits["train"])
    assert load_run_data(make_config(gymnastics, validation=None, selection="last")).splits["val"] == []
    reporter = Notes()
    out = train_run(make_config(gymnastics, validation=None), tmp_path / "run", reporter=reporter)
    assert any("held out by whole groups, for the store has no validation split" in text for text in reporter.notes)
    assert read_run(out).document["validation"]["share"] == 0.15
    again = {*evaluate_run(out, split="val").predictions["id"].to_pylist()}
    assert again == {one.id for one in auto.splits["val"]}
