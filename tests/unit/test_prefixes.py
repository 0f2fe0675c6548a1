"""Scores of beginnings: measured on the test split, calibrated on validation, and used by live scoring."""

import json

import numpy as np
import pytest

from limssr.core.errors import ArtifactError, InputError
from limssr.core.recipes import parse_config
from limssr.core.types import Sample
from limssr.data.store import FeatureStore
from limssr.runs.live.prefixes import (
    PREFIXES,
    PREFIXES_REPORT,
    SHARES,
    cut,
    errors_for,
    measure_prefixes,
    read_prefixes,
)
from limssr.runs.live.scorer import LiveScorer
from limssr.runs.train import train_run


@pytest.fixture(scope="module")
def run(store_path, tmp_path_factory):
    config = parse_config(
        {
            "data": {"store": str(store_path)},
            "model": {"system": "attention", "hidden": 8},
            "train": {"epochs": 1, "warmup_epochs": 0},
            "evaluation": {"bootstrap": 0, "references": ["ridge"]},
        },
        where="test",
    )
    return train_run(config, tmp_path_factory.mktemp("prefixes") / "run")


@pytest.fixture(scope="module")
def document(run):
    return measure_prefixes(run, level=0.8)


def test_a_beginning_owns_the_streams_that_have_something_in_it():
    gap = np.full((2, 3), np.nan, np.float32)
    late = np.concatenate([gap, np.ones((2, 3), np.float32)])
    sample = Sample("a", {"video": np.ones((4, 2), np.float32), "audio": late})
    assert list(cut(sample, 2).streams) == ["video"]
    assert list(cut(sample, 3).streams) == ["video", "audio"]
    assert cut(sample, 3).num_segments == 3
    assert cut(Sample("a", {"audio": late}), 2) is None


def test_each_share_has_its_accuracy_and_coverage(run, document):
    assert [row["share"] for row in document["shares"]] == list(SHARES)
    for row in document["shares"]:
        for one in row["criteria"].values():
            assert 0 <= one["prefix"]["covered"] <= 1
            assert one["prefix"]["width"] > 0
    whole = document["shares"][-1]["criteria"]["execution"]
    assert whole["whole"] == whole["prefix"]
    assert json.loads((run / PREFIXES_REPORT).read_text()) == document


def test_live_intervals_are_those_of_as_much_as_was_seen(run, document, store_path):
    live = LiveScorer.open(run, device="cpu")
    assert live.reads_again is not None
    store = FeatureStore.open(store_path)
    sample = max((store.sample(name) for name in store.ids("test")), key=lambda one: one.num_segments)
    session = live.session()
    told = []
    for t in range(sample.num_segments):
        told.append(live.add(session, {name: array[t : t + 1] for name, array in sample.streams.items()}))
    assert [one.interval_of for one in told[:5]] == [1, 2, 2, 4, 4]
    last = live.finish(session)
    assert last.interval_of is None
    assert last.score_C.tolist() == told[-1].score_C.tolist()
    for one in (*told, last):
        assert (one.low_C <= one.high_C).all()
    assert live.finish(live.session()) is None


def test_the_errors_of_less_are_taken_between_two(run, document):
    names = ("video", "audio", "flow"), ("execution", "difficulty")
    errors = read_prefixes(run, *names)
    assert sorted(errors) == [1, 2, 4, 8][: len(errors)]
    assert errors_for(errors, 3)[0] == 2
    assert errors_for(errors, 10_000)[0] == max(errors)
    assert errors_for({}, 3) is None
    with pytest.raises(ArtifactError):
        read_prefixes(run, ("other",), names[1])
    assert (run / PREFIXES).exists()


def test_regressions_and_other_folders_are_refused(run):
    with pytest.raises(InputError):
        measure_prefixes(run / "references" / "ridge")
