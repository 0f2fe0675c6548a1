"""What counts in a mean, and how many judged samples stand behind each number."""

import json
import math

import numpy as np
import pytest

from limssr.cli.text import evaluation_lines
from limssr.core.config import EvalConfig
from limssr.core.errors import InputError
from limssr.core.reading.records import EvaluationDocument
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.missing import chosen_subsets, subsets
from limssr.evaluation.evaluate import evaluate
from limssr.evaluation.metrics import Metric, fisher_mean, spearman_limit
from limssr.report.text import cut_words, scales_words
from limssr.systems.regressions import PooledRegressor

NAMES = ("video", "audio", "table")
CRITERIA = (Criterion("A", 0, 10), Criterion("B", 0, 10))


class Noisy:
    """The truth and noise, and perfect where only few samples are."""

    def score(self, samples):
        truth_NC = np.nan_to_num(np.stack([sample.scores for sample in samples]))
        noise = 0.0 if len(samples) < 10 else 3.0
        return truth_NC + noise * np.random.default_rng(len(samples)).normal(size=truth_NC.shape)


def recordings(num=40, *, with_table=7, judged_b=lambda n: True):
    rng = np.random.default_rng(0)
    found = []
    for n in range(num):
        names = NAMES if n < with_table else NAMES[:2]
        scores = rng.uniform(0, 10, 2)
        scores[1] = scores[1] if judged_b(n) else np.nan
        found.append(Sample(f"s{n}", {name: np.ones((2, 1), np.float32) for name in names}, scores, split="test"))
    return found


def measured(samples, **config):
    return evaluate(Noisy(), samples, NAMES, CRITERIA, config=EvalConfig(**config))


def test_a_stream_of_few_samples_does_not_decide_the_headline():
    """Seven test recordings own the table, four of them are judged on B, and all of them are in order."""
    found = measured(recordings(judged_b=lambda n: n >= 3))
    by_streams = {result.streams: result for result in found.subsets}
    few = by_streams[("table",)]
    assert few.num_judged == {"A": 7, "B": 4}
    assert few.per_criterion["A"]["spearman"].value == pytest.approx(1.0)
    assert math.isnan(few.metrics["spearman"].value)
    assert few.metrics["spearman"].reason == "7 judged samples, fewer than the 10 that a mean asks for; 4 judged " + (
        "samples, fewer than the 10 that a mean asks for"
    )
    average = found.average_incomplete["spearman"]
    counted = [by_streams[names].metrics["spearman"] for names in (("video",), ("audio",), ("video", "audio"))]
    assert average.value == pytest.approx(fisher_mean({str(n): one for n, one in enumerate(counted)}).value)
    document = found.to_dict()
    assert document["average_incomplete"]["num_subsets"]["spearman"] == 3
    assert [one["streams"] for one in document["average_incomplete"]["passed_over"]] == [
        ["table"], ["video", "table"], ["audio", "table"],
    ]  # fmt: skip
    assert document["subsets"][2]["per_criterion"]["B"]["num_judged"] == 4
    assert document["full"]["spearman"] is None
    assert document["full"]["num_samples"] == 7
    rows = {(row["streams"], row["criterion"]): row["num_judged"] for row in found.to_table().to_pylist()}
    assert rows["table", "B"] == 4
    assert rows["video", "B"] == 37


def test_a_criterion_of_few_samples_is_named_and_left_out_of_the_mean():
    found = measured(recordings(with_table=40, judged_b=lambda n: n < 5))
    full = found.full["spearman"]
    assert full.value == pytest.approx(found.subsets[-1].per_criterion["A"]["spearman"].value)
    assert full.reason == "left out: B: 5 judged samples, fewer than the 10 that a mean asks for"
    assert found.full["mse"].value == found.subsets[-1].per_criterion["A"]["mse"].value
    assert measured(recordings(with_table=40, judged_b=lambda n: n < 5), min_samples=5).full["spearman"].reason is None


def test_a_small_split_is_measured_with_what_it_has():
    found = measured(recordings(8, with_table=8))
    assert found.min_samples == 8
    assert found.full["spearman"].is_defined
    assert found.to_dict()["min_samples"] == 8


def test_a_perfect_order_of_few_samples_counts_half_a_swap_less():
    mean = fisher_mean({"few": Metric(1.0, num_samples=12), "many": Metric(0.7, num_samples=200)})
    assert mean.value < 0.97  # 0.9998 where |rho| is cut only short of 1
    assert fisher_mean({"a": Metric(0.995, num_samples=200), "b": Metric(0.2, num_samples=200)}).value == pytest.approx(
        math.tanh((math.atanh(0.995) + math.atanh(0.2)) / 2)
    )
    best_of_12 = 1 - 6 * 2 / (12**3 - 12)  # of all orders but the perfect one
    assert best_of_12 < spearman_limit(12) < 1


def test_a_plain_mean_stands_beside_fishers():
    found = measured(recordings(with_table=40))
    for result in found.subsets:
        values = [metrics["spearman"].value for metrics in result.per_criterion.values()]
        assert result.plain_spearman.value == pytest.approx(np.mean(values))
    assert found.average.plain_spearman.value == pytest.approx(
        np.mean([result.plain_spearman.value for result in found.subsets[:-1]])
    )
    assert found.to_dict()["average_incomplete"]["spearman_plain"] == found.average.plain_spearman.value


@pytest.mark.parametrize("num_streams", range(1, 7))
def test_up_to_six_streams_have_all_subsets(num_streams):
    names = tuple("abcdef"[:num_streams])
    assert chosen_subsets(names) == subsets(names)


@pytest.mark.parametrize("num_streams", [7, 12, 15, 40])
def test_beyond_six_streams_subsets_are_chosen_by_a_rule(num_streams):
    names = tuple(f"s{n}" for n in range(num_streams))
    chosen = chosen_subsets(names)
    assert len(chosen) <= 4 * num_streams
    assert chosen[-1] == names
    assert {one for one in chosen if len(one) == 1} == {(name,) for name in names}
    assert len([one for one in chosen if len(one) == num_streams - 1]) == num_streams
    assert {len(one) for one in chosen} == set(range(1, num_streams + 1))
    assert list(chosen) == sorted(set(chosen), key=lambda one: (len(one), [names.index(name) for name in one]))
    assert chosen_subsets(names, 3 * num_streams)[-1] == names
    assert len(chosen_subsets(names, 3 * num_streams)) == 3 * num_streams


def test_a_number_of_subsets_has_room_for_the_plain_ones():
    names = tuple("abcdefgh")
    with pytest.raises(InputError, match="at least 17"):
        chosen_subsets(names, 16)
    assert chosen_subsets(names, 300) == chosen_subsets(names, "all") == subsets(names)
    assert len(chosen_subsets(names, 254)) == 254


def test_many_streams_are_scored_on_the_chosen_subsets_and_said_so():
    names = tuple(f"s{n}" for n in range(12))
    streams = {name: np.ones((2, 1), np.float32) for name in names}
    rng = np.random.default_rng(0)
    samples = [Sample(f"x{n}", streams, rng.uniform(0, 10, 2), split="test") for n in range(12)]
    told = []
    found = evaluate(Noisy(), samples, names, CRITERIA, note=told.append)
    assert [result.streams for result in found.subsets] == list(chosen_subsets(names))
    assert told == ["12 streams have 4,095 subsets; 43 chosen ones are scored (evaluation.subsets)"]
    average = found.to_dict()["average_incomplete"]
    assert (average["num_subsets"]["spearman"], average["num_all"]) == (42, 4094)


class Slow(Noisy):
    """Counts what it is asked for; the clock of the test moves by ten seconds a sample."""

    def __init__(self):
        self.seconds, self.calls = 0.0, []

    def score(self, samples):
        self.seconds += 10.0 * len(samples)
        self.calls.append(len(samples))
        return super().score(samples)


@pytest.mark.parametrize(
    ("num", "said"),
    [(40, ["scoring 7 subsets of the streams will take up to 25 min"]), (10, [])],  # too few are not tried first
)
def test_what_takes_more_than_a_minute_says_so_before_it_begins(monkeypatch, num, said):
    scorer, told, done = Slow(), [], []
    monkeypatch.setattr("limssr.evaluation.evaluate.time.monotonic", lambda: scorer.seconds)
    evaluate(
        scorer, recordings(num, with_table=1 if num == 10 else 7), NAMES, CRITERIA,
        note=lambda text: told.append((sum(scorer.calls), text)), progress=lambda *counts: done.append(counts),
    )  # fmt: skip
    assert [text for _, text in told] == said
    assert all(before <= 4 for before, _ in told)  # samples that were scored when it was said


def test_what_is_quick_says_nothing(monkeypatch):
    monkeypatch.setattr("limssr.evaluation.evaluate.time.monotonic", lambda: 0.0)
    told = []
    evaluate(Noisy(), recordings(), NAMES, CRITERIA, note=told.append)
    assert told == []


class CutOff:
    """Every third score lies at an end of the scale."""

    def score(self, samples):
        scores_NC = np.stack([sample.scores for sample in samples])
        scores_NC[::3, 0] = 10.0
        scores_NC[1::3, 1] = 0.0
        return scores_NC


def test_scores_at_an_end_of_the_scale_are_counted_and_said():
    samples = recordings(30, with_table=30)
    found = evaluate(CutOff(), samples, NAMES, CRITERIA)
    assert found.subsets[-1].num_cut == {"A": 10, "B": 10}
    document = found.to_dict()
    assert document["subsets"][-1]["per_criterion"]["A"]["num_cut"] == 10
    words = "where scores are cut off: 70 of A, 70 of B (of 210 for each criterion)."
    assert words in cut_words(document["subsets"])
    lines = evaluation_lines(document)
    assert any(isinstance(line, str) and words in line for line in lines)
    assert cut_words(measured(samples).to_dict()["subsets"]) == ""  # noise leads beyond the ends, and nothing is cut
    for subset in document["subsets"]:
        for metrics in subset["per_criterion"].values():
            del metrics["num_cut"]
    assert cut_words(document["subsets"]) == ""  # a file from before


def test_regressions_stay_inside_a_scale_too():
    """A score that rises with a feature far beyond what training had ends where the scale does."""
    rng = np.random.default_rng(1)
    train = []
    for number, score in enumerate(rng.uniform(0, 10, 30)):
        streams = {"video": np.full((3, 1), score, np.float32)}
        train.append(Sample(f"t{number}", streams, np.array([score, 10 - score]), split="train"))
    new = [Sample(f"n{value}", {"video": np.full((3, 1), value, np.float32)}) for value in (-50.0, 5.0, 60.0)]
    for strategy in ("per_subset", "impute"):
        regressor = PooledRegressor("ridge", strategy, modalities=[Modality("video", 1)], criteria=CRITERIA)
        scores = regressor.fit(train).score(new)
        np.testing.assert_array_equal(scores[[0, 2]], [[0.0, 10.0], [10.0, 0.0]])
        assert 4 < scores[1, 0] < 6


@pytest.mark.parametrize(
    ("scales", "said"),
    [
        ({"A": (0, 10), "B": (0, 10)}, ""),
        ({"A": (0, 10), "B": (1, 16)}, ""),
        ({"A": (0, 10), "B": (0, 100)}, "(A 0 to 10, B 0 to 100): the widest decides"),
        ({"A": (-1, 1), "B": (0, 40)}, "(A -1 to 1, B 0 to 40): the widest decides"),
    ],
)
def test_mean_errors_over_different_scales_are_said(scales, said):
    criteria = tuple(Criterion(name, low, high) for name, (low, high) in scales.items())
    document = evaluate(Noisy(), recordings(), NAMES, criteria).to_dict()
    assert document["scales"] == {name: [float(low), float(high)] for name, (low, high) in scales.items()}
    assert said in scales_words(document)
    assert bool(said) == bool(scales_words(document))
    assert bool(said) == any(
        isinstance(line, str) and "the widest decides" in line for line in evaluation_lines(document)
    )
    assert scales_words({"criteria": ["A"]}) == ""  # a file from before


def test_what_is_written_of_scales_is_read_back():
    document = {**evaluate(Noisy(), recordings(), NAMES, CRITERIA).to_dict(), "format_version": 1}
    found = EvaluationDocument.model_validate(json.loads(json.dumps(document)))
    assert found.scales == {"A": [0.0, 10.0], "B": [0.0, 10.0]}
    for wrong in ({"A": [0.0]}, {"A": [0.0, 1.0, 2.0]}, {"A": "0 to 10"}):
        with pytest.raises(ValueError, match="scales"):
            EvaluationDocument.model_validate({**document, "scales": wrong})
