"""Parts of `limssr explain` on scorers and arrays whose answer is known."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from limssr.core.config import EvalConfig
from limssr.core.types import Criterion, Sample
from limssr.evaluation.conformal import errors_of
from limssr.explain.attention import between_samples, between_slots, distance
from limssr.explain.contributions import stream_contributions
from limssr.explain.groups import COSINE, SHARE, SIZE, mean_over_groups, over_groups
from limssr.explain.places import BLOCK_BINS, PROMPT, PROMPT_BINS, binned
from limssr.explain.scored import score_subsets
from limssr.explain.shares import shapley_of, shares_document
from limssr.explain.trust import coverage_document, return_document, returns
from limssr.model.reading.attention import Watch

NAMES = ("video", "audio")
CRITERIA = (Criterion("total", 0.0, 10.0),)


class Sum:
    """5 + video + audio, as far as they are shown."""

    def score(self, samples):
        return np.array([[5.0 + sum(float(x[0, 0]) for x in one.streams.values())] for one in samples])


def made(num=40, *, noise=0.0, seed=0, alone=()):
    generator = np.random.default_rng(seed)
    samples = []
    for n in range(num):
        parts = {name: generator.normal(size=(1, 1)).astype(np.float32) for name in NAMES}
        truth = 5.0 + sum(float(x[0, 0]) for x in parts.values()) + noise * generator.normal()
        shown = {name: x for name, x in parts.items() if n not in alone or name == "video"}
        samples.append(Sample(f"s{n}", shown, np.array([truth]), group=f"g{n // 4}", split="test"))
    return samples


def scored(samples):
    return score_subsets(Sum(), samples, NAMES, CRITERIA, EvalConfig())


def part_of(whole, begin, num):
    """Neighbouring samples of what was scored once."""
    table, size = whole.evaluation.predictions, len(whole.samples)
    rows = np.concatenate([np.arange(begin, begin + num) + size * n for n in range(len(whole.by_subset))])
    return replace(
        whole,
        samples=whole.samples[begin : begin + num],
        truth_NC=whole.truth_NC[begin : begin + num],
        by_subset={subset: scores[begin : begin + num] for subset, scores in whole.by_subset.items()},
        evaluation=replace(whole.evaluation, predictions=table.take(rows)),
    )


def test_shapley_of_a_split_is_that_of_each_sample():
    samples = made(12, alone=(3, 7))
    found = shapley_of(scored(samples), np.array([5.0]))
    for n, sample in enumerate(samples):
        one = stream_contributions(Sum(), sample, np.array([5.0]))
        np.testing.assert_allclose(found[n, : len(sample.streams)], one.shapley_MC)
        assert np.isnan(found[n, len(sample.streams) :]).all()
    document = shares_document(scored(samples), found, np.array([5.0]), np.arange(12))
    assert document["completeness"] < 1e-9
    assert document["streams"]["audio"]["num_samples"] == 10
    sizes = [abs(float(one.streams["video"][0, 0])) / 10 for one in samples]
    assert document["streams"]["video"]["size"]["value"] == pytest.approx(np.mean(sizes), rel=1e-5)


def test_a_returning_stream_that_says_the_truth_always_moves_the_right_way():
    samples = made()
    truth = scored(samples)
    rows = {(one.stream, one.subset): one for one in returns(truth, lambda subset: np.array([2.0]))}
    one = rows["audio", ("video",)]
    audio = np.array([float(sample.streams["audio"][0, 0]) for sample in samples])
    np.testing.assert_allclose(one.moved_NC[:, 0], audio / 2.0, atol=1e-6)
    document = return_document(one, np.arange(len(samples)) // 4)
    assert document["right"]["value"] == 1.0
    assert 0.3 < document["right_by_chance"] < 0.7
    assert document["nearer"]["value"] == pytest.approx(np.abs(audio).mean() / 2.0, rel=1e-5)


def test_a_returning_stream_that_is_noise_moves_as_chance_does():
    samples = made(200, seed=3)
    blind = [Sample(s.id, s.streams, np.random.default_rng([9, n]).normal(5.0, 1.0, size=1), s.group, "test")
             for n, s in enumerate(samples)]  # fmt: skip
    rows = {(one.stream, one.subset): one for one in returns(scored(blind), lambda subset: np.array([2.0]))}
    document = return_document(rows["audio", ("video",)], np.arange(200) // 4)
    low, high = document["right"]["interval"]
    # A step towards nothing is right more seldom than half of the time only by luck.
    assert low < document["right_by_chance"] + 0.06
    assert high > document["right_by_chance"] - 0.06
    assert document["nearer"]["value"] < 0.0


def test_a_calibrated_toy_is_covered_within_binomial_bounds_over_many_repeats():
    whole, hits, total = scored(made(200 * 60, noise=1.0)), 0, 0
    for repeat in range(200):
        calibration, test = part_of(whole, 60 * repeat, 40), part_of(whole, 60 * repeat + 40, 20)
        errors = errors_of(calibration.evaluation.predictions, NAMES, ("total",))
        document = coverage_document(test, errors, np.arange(20), level=0.9)
        full = document["by_subset"][-1]
        assert full["streams"] == ["video", "audio"]
        hits, total = hits + round(20 * full["covered"]["value"]), total + 20
    # 37 of 41 places: just above 0.9; the repeats are independent, the 20 samples of one are not.
    assert hits / total == pytest.approx(37 / 41, abs=4 * np.sqrt(0.09 / 200 * (1 / 20 + 1 / 41)))


def test_an_interval_over_groups_is_wider_where_groups_share_their_value():
    group_N = np.arange(60) // 6
    shared = np.random.default_rng(0).normal(size=10)[group_N]
    over, alone = mean_over_groups(shared, group_N), mean_over_groups(shared, np.arange(60))
    assert over.value == pytest.approx(shared.mean())
    assert over.high - over.low > 1.8 * (alone.high - alone.low)
    assert (over.num_groups, alone.num_groups) == (10, 60)
    one = over_groups(lambda rows: float(len(rows)), np.zeros(5, dtype=int))
    assert one.to_dict() == {"value": 5.0, "interval": [None, None], "num_groups": 1}
    with_gap = mean_over_groups(np.array([1.0, np.nan, 3.0]), np.arange(3))
    assert (with_gap.value, with_gap.num_groups) == (2.0, 2)


def test_attention_that_is_placed_by_hand_is_found():
    # One head; the slot at position 4 looks for the direction of position 2, that at 5 for nothing in particular.
    key = torch.zeros(1, 1, 6, 2)
    key[0, 0, 2] = torch.tensor([1.0, 0.0])
    query = torch.zeros(1, 1, 6, 2)
    query[0, 0, 4] = torch.tensor([100.0, 0.0])
    watch = Watch(torch.tensor([[4, 5]]), frozenset([0]))
    watch.look(0, query, key, scaling=1.0)
    found = watch.found[0][0, 0]
    np.testing.assert_allclose(found[0], [0, 0, 1, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found[1], np.full(6, 1 / 6), rtol=1e-6)
    windowed = Watch(torch.tensor([[4, 5]]), frozenset([0]))
    windowed.look(0, query, key, scaling=1.0, window=2)
    np.testing.assert_allclose(windowed.found[0][0, 0, 1], [0, 0, 0, 0, 0.5, 0.5], rtol=1e-6)
    watch.look(1, query, key, scaling=1.0)
    assert set(watch.found) == {0}


def test_bins_keep_what_lies_in_each_part():
    place_L = np.array([PROMPT, PROMPT, PROMPT, 0, 0, 1, 1, 1, 1, 2, 2, -2])
    weights_KL = np.random.default_rng(0).dirichlet(np.ones(12), size=2)
    found = binned(weights_KL, place_L, 2)
    assert found.shape == (2, PROMPT_BINS + 2 * BLOCK_BINS + 2)
    edges = [0, PROMPT_BINS, PROMPT_BINS + BLOCK_BINS, PROMPT_BINS + 2 * BLOCK_BINS, found.shape[1]]
    for part, (begin, end) in zip((PROMPT, 0, 1, 2), itertools.pairwise(edges), strict=True):
        np.testing.assert_allclose(found[:, begin:end].sum(axis=1), weights_KL[:, place_L == part].sum(axis=1))
    half = found[:, PROMPT_BINS : PROMPT_BINS + BLOCK_BINS // 2].sum(axis=1)
    np.testing.assert_allclose(half, weights_KL[:, 3])  # the first of two positions fills the first half


def test_distances_of_patterns():
    same, apart = np.array([[[0.5, 0.5, 0.0]] * 2]), np.array([[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    assert between_slots(same)[0] == 0.0
    assert between_slots(apart)[0] == 1.0
    assert np.isnan(between_slots(same[:, :1])).all()
    assert between_samples(np.concatenate([same, same])).tolist() == [0.0, 0.0]
    assert distance(same[0, 0], apart[0, 0]) == 0.5


@pytest.mark.parametrize(("within", "values"), [(SHARE, [1, 1, 0.5]), (SIZE, [9, 9, 0.1]), (COSINE, [-1, 1, -0.9])])
def test_an_interval_of_few_groups_stays_among_the_values_that_a_number_can_have(within, values):
    values_N, group_N = np.array(values, float), np.array([0, 0, 1])
    free, found = mean_over_groups(values_N, group_N), mean_over_groups(values_N, group_N, within)
    assert free.low < within[0]
    assert within[0] <= found.low <= found.value <= found.high <= within[1]
