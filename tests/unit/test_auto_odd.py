"""`limssr auto` on data of odd shape: it ends with a run that is scored, calibrated and usable, whatever the shape."""

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest

from helpers.odd_stores import odd_samples, with_streams, write_store
from limssr.core.errors import InputError
from limssr.report.runfolder import read_run_folder
from limssr.runs.auto.auto import OUT_OF_FOLD, plan_auto, train_auto
from limssr.runs.auto.held_out import LEVEL
from limssr.runs.auto.settings import auto_config
from limssr.runs.evaluate import evaluate_run
from limssr.runs.folder import read_run
from limssr.runs.prediction.predict import predict

QUICK = {"evaluation": {"bootstrap": 50}}


def searched(store, out, candidates=("constant", "ridge")):
    return train_auto(auto_config(store, minutes=5, candidates=candidates, tree=QUICK), out, device="cpu")


def only_training(number, sample, rng):
    return dataclasses.replace(sample, split="train")


def one_never_moves(number, sample, rng):
    return with_streams(sample, s1=np.full((sample.num_segments, 5), 3.0, np.float32))


def one_is_static(number, sample, rng):
    found = np.full((sample.num_segments, 5), np.nan, np.float32)
    found[0] = rng.normal(size=5)
    return with_streams(sample, s1=found)


def nobody_owns_one(number, sample, rng):
    streams = {name: stream for name, stream in sample.streams.items() if name != "s2"}
    return dataclasses.replace(sample, streams=streams or {"s0": np.zeros((4, 4), np.float32)})


def one_rarely_judged(number, sample, rng):
    scores = sample.scores.copy()
    scores[1] = np.nan if number % 6 else scores[1]
    return dataclasses.replace(sample, scores=scores)


def huge(number, sample, rng):
    return with_streams(sample, **{name: stream * np.float32(1e12) for name, stream in sample.streams.items()})


def two_groups(number, sample, rng):
    return dataclasses.replace(sample, group=f"g{number % 2}", split="train")


SHAPES = {
    "one stream": ({"num": 45, "widths": [4], "missing": 0.0}, {}),
    "seven streams": ({"num": 60, "widths": [2] * 7, "missing": 0.3}, {}),
    "one segment each": ({"num": 50, "widths": [6, 3], "lengths": (1, 1)}, {}),
    "wide beside narrow": ({"num": 40, "widths": [1, 900]}, {}),
    "twenty samples without groups": ({"num": 20, "widths": [4, 4, 4], "group_size": 0}, {}),
    "no test split": ({"num": 40, "widths": [4, 5], "group_size": 0, "hook": only_training}, {}),
    "two groups": ({"num": 40, "widths": [4, 5], "hook": two_groups}, {}),
    "a stream that never moves": ({"num": 45, "widths": [4, 5], "hook": one_never_moves}, {}),
    "a stream of one segment": ({"num": 45, "widths": [4, 5], "hook": one_is_static}, {}),
    "a stream nobody owns": ({"num": 45, "widths": [4, 4, 4], "hook": nobody_owns_one}, {}),
    "a criterion rarely judged": ({"num": 60, "widths": [4, 4], "num_criteria": 2, "hook": one_rarely_judged}, {}),
    "large numbers": ({"num": 45, "widths": [4, 4], "hook": huge}, {}),
    "names of all kinds": ({"num": 40, "widths": [4, 4], "num_criteria": 2}, {"names": ["Stil & Übung", "技术/x"]}),
}  # fmt: skip


SOME = {
    "one segment each": ("constant", "ridge", "convolutions"),
    "a stream of one segment": ("constant", "ridge", "relations", "convolutions"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_ends_with_a_run_like_any_other(shape, tmp_path):
    making, naming = SHAPES[shape]
    samples = odd_samples(**making)
    store = write_store(tmp_path / "store", samples, making["widths"], **naming)
    run = searched(store, tmp_path / "run", SOME.get(shape, ("constant", "ridge")))
    folder, document = read_run_folder(run), read_run(run).document["auto"]
    assert read_run(run).document["status"] == "done"
    assert "evaluation.json" not in folder.missing
    assert (run / "report.html").exists()
    has_test = any(one.split == "test" for one in samples)
    assert folder.evaluation["split"] == ("test" if has_test else OUT_OF_FOLD)
    assert 0.6 < document["coverage"]["covered"] <= 1.0
    for member in (None, *document["members"]):
        table = predict(run, store, device="cpu", member=member, interval=LEVEL)
        assert table.num_rows == len(samples)
        criterion = table.column_names[2]
        low, high = (np.array(table[f"{end}:{criterion}"].to_pylist(), float) for end in ("low", "high"))
        scored = np.array([bool(streams) for streams in table["streams"].to_pylist()])
        assert (low <= high)[scored].all()


@pytest.fixture(scope="module")
def untested(tmp_path_factory):
    folder = tmp_path_factory.mktemp("untested")
    store = write_store(folder / "store", odd_samples(60, [4, 5], hook=only_training), [4, 5])
    return searched(store, folder / "run")


class TestWithoutTestSplit:
    def test_the_evaluation_is_that_of_the_folds(self, untested):
        rows = pq.read_table(untested / "out_of_fold.parquet").to_pylist()
        known = {(r["id"], r["streams"]): r["prediction"] - r["training_mean"] for r in rows if r["member"] == "auto"}
        shown = pq.read_table(untested / "predictions.parquet").to_pylist()
        own = [row for row in shown if row["system"] == "auto"]
        assert own
        mean = np.mean(list({row["id"]: row["score"] for row in own}.values()))
        assert all(row["prediction"] == pytest.approx(known[row["id"], row["streams"]] + mean) for row in own)
        assert read_run_folder(untested).evaluation["full"]["spearman"] > 0.6

    def test_asking_for_the_test_split_says_that_there_is_none(self, untested):
        with pytest.raises(InputError, match="split 'test'"):
            evaluate_run(untested, device="cpu")


def test_one_group_is_refused_with_what_to_do(tmp_path):
    samples = [dataclasses.replace(one, group="g", split="train") for one in odd_samples(20, [3])]
    store = write_store(tmp_path / "store", samples, [3])
    with pytest.raises(InputError, match="at least two groups"):
        searched(store, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_intervals_cover_new_groups(tmp_path):
    samples = odd_samples(400, [4, 5], seed=3)
    store = write_store(tmp_path / "store", samples, [4, 5])
    run = searched(store, tmp_path / "run", ["ridge"])
    test = {one.id: one for one in samples if one.split == "test"}
    rows = [row for row in predict(run, store, device="cpu", interval=0.8).to_pylist() if row["id"] in test]
    inside = [row["low:c0"] <= test[row["id"]].scores[0] <= row["high:c0"] for row in rows]
    assert 0.7 < np.mean(inside) < 0.9
    wide = np.mean([row["high:c0"] - row["low:c0"] for row in rows])
    assert wide < 4.0
    assert read_run_folder(run).evaluation["coverage"]["subsets"]


class TestVerbs:
    """What people do with a run, done with a searched one."""

    def test_compare_sets_searched_runs_side_by_side(self, tmp_path):
        from limssr.studies.compare.run import CompareOptions, compare_runs

        store = write_store(tmp_path / "store", odd_samples(70, [4, 5]), [4, 5])
        runs = [searched(store, tmp_path / name, [name]) for name in ("ridge", "kernel-ridge")]
        found = compare_runs(CompareOptions(runs=tuple(map(str, runs))))
        assert len(found.rows) == 2

    def test_a_dry_run_says_what_it_would_do_and_does_nothing(self, tmp_path):
        store = write_store(tmp_path / "store", odd_samples(30, [4, 5]), [4, 5])
        lines = plan_auto(auto_config(store, candidates=["ridge"]), tmp_path / "run")
        assert [line.split()[0] for line in lines] == ["samples", "streams", "lengths", "patterns", "scores", "plan"]
        assert not (tmp_path / "run").exists()
