from collections import Counter, defaultdict

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV

from limssr.core.errors import InputError
from limssr.core.types import SPLITS
from limssr.data.missing import subsets
from limssr.data.simulate import oracle_scores, simulate, simulate_store, simulate_world, split_of
from limssr.data.validate import check_collection, check_sample


@pytest.fixture(scope="module")
def large():
    return simulate_world(1500, seed=3)


def truth(world):
    return np.stack([sample.scores for sample in world.samples])


def squared_error(world, subset):
    return ((oracle_scores(world, subset) - truth(world)) ** 2).mean(axis=0)


def test_the_same_seed_gives_the_same_world():
    one, two, other = simulate_world(40, seed=1), simulate_world(40, seed=1), simulate_world(40, seed=2)
    for first, second in zip(one.samples, two.samples, strict=True):
        assert (first.id, first.group, first.split) == (second.id, second.group, second.split)
        np.testing.assert_array_equal(first.scores, second.scores)
        for name in first.streams:
            np.testing.assert_array_equal(first.streams[name], second.streams[name])
    assert not np.allclose(truth(one), truth(other))


def test_samples_pass_validation_and_fill_the_scales(large):
    for sample in large.samples[:50]:
        check_sample(sample, large.modalities, large.criteria)
    check_collection(large.samples, large.criteria)
    for column, criterion in enumerate(large.criteria):
        scores = truth(large)[:, column]
        assert criterion.low < scores.min() < criterion.low + 0.1 * (criterion.high - criterion.low)
        assert criterion.high > scores.max() > criterion.low + 0.9 * (criterion.high - criterion.low)


def test_lengths_span_the_range(large):
    assert {sample.num_segments for sample in large.samples} == set(range(12, 31))


def test_groups_stand_on_one_side_and_follow_the_rule(large):
    splits = defaultdict(set)
    for sample in large.samples:
        splits[sample.group].add(sample.split)
        assert sample.split == split_of(sample.group)
    assert all(len(found) == 1 for found in splits.values())
    shares = Counter(sample.split for sample in large.samples)
    assert shares["test"] / 1500 == pytest.approx(0.2, abs=0.08)
    assert shares["val"] / 1500 == pytest.approx(0.1, abs=0.06)


@pytest.mark.parametrize("seed", range(12))
def test_no_split_is_empty_however_small_the_world(seed):
    samples = simulate_world(13, seed=seed).samples
    assert {sample.split for sample in samples} == set(SPLITS)
    assert all(sample.split == split_of(sample.group) for sample in samples)


def test_the_split_rule():
    # Remainders of sha256("split:a") and so on, computed with sha256sum and bc:
    # a: 0, b: 41, c: 23, d: 17, e: 30.
    assert [split_of(group) for group in "abcde"] == ["test", "train", "val", "test", "train"]


def test_more_streams_tell_more(large):
    names = large.options.names
    for smaller in [(), *subsets(names)]:
        for name in names:
            if name not in smaller:
                assert (squared_error(large, smaller) > squared_error(large, (*smaller, name))).all()


def test_the_oracle_knows_its_own_error(large):
    """An expectation is unbiased wherever it is large or small: regressing the truth on it gives slope 1."""
    for subset in subsets(large.options.names):
        for column in range(2):
            slope, intercept = np.polyfit(oracle_scores(large, subset)[:, column], truth(large)[:, column], 1)
            scale = large.criteria[column].high
            assert slope == pytest.approx(1, abs=0.08)
            assert intercept == pytest.approx(0, abs=0.05 * scale)


def pooled(world, subset, *, with_deviation):
    parts = [[sample.streams[name].mean(axis=0) for sample in world.samples] for name in subset]
    if with_deviation:
        parts += [[sample.streams[name].std(axis=0) for sample in world.samples] for name in subset]
    features = np.concatenate([np.stack(part) for part in parts], axis=1)
    return (features - features.mean(axis=0)) / features.std(axis=0)


def ridge_correlations(world, subset, *, with_deviation):
    train = np.array([sample.split == "train" for sample in world.samples])
    features, scores = pooled(world, subset, with_deviation=with_deviation), truth(world)
    predicted = RidgeCV(np.logspace(-2, 4, 13)).fit(features[train], scores[train]).predict(features[~train])
    return np.array([spearmanr(predicted[:, c], scores[~train, c]).statistic for c in range(2)])


def test_a_simple_method_approaches_the_oracle_but_never_passes_it(large):
    names = large.options.names
    held_out = np.array([sample.split != "train" for sample in large.samples])
    for subset in [(names[0],), (names[-1],), names]:
        oracle, scores = oracle_scores(large, subset)[held_out], truth(large)[held_out]
        best = np.array([spearmanr(oracle[:, c], scores[:, c]).statistic for c in range(2)])
        reached = ridge_correlations(large, subset, with_deviation=True)
        assert (reached < best + 0.02).all()
        assert (reached > best - 0.12).all()


def test_a_part_of_the_score_shows_in_the_variation_over_time_only(large):
    names = large.options.names
    gain = ridge_correlations(large, names, with_deviation=True) - ridge_correlations(
        large, names, with_deviation=False
    )
    assert gain[0] > 0.05


def test_a_part_of_the_score_shows_in_the_last_stream_only(large):
    video, audio, flow = large.options.names
    without, alone = squared_error(large, (video, audio)), squared_error(large, (flow,))
    assert alone[1] < 0.6 * without[1]


@pytest.mark.parametrize(("modalities", "names"), [(1, ("video",)), (4, ("video", "audio", "flow", "stream-4"))])
def test_any_number_of_streams(modalities, names):
    found, _, samples = simulate(20, modalities)
    assert tuple(modality.name for modality in found) == names
    assert all(tuple(sample.streams) == names for sample in samples)


def test_streams_have_the_names_asked_for():
    assert [modality.name for modality in simulate(20, ("hands", "sound"))[0]] == ["hands", "sound"]


def test_gaps_appear_at_the_rate_asked_for():
    _, _, samples = simulate(100, seed=1, invalid_rate=0.3)
    gaps = np.concatenate([np.isnan(stream[:, 0]) for sample in samples for stream in sample.streams.values()])
    assert gaps.mean() == pytest.approx(0.3, abs=0.03)
    assert not any(np.isnan(stream).all() for sample in samples for stream in sample.streams.values())


def test_a_simulated_store_holds_the_world(tmp_path, world):
    store = simulate_store(tmp_path / "store", 60, seed=7, num_segments=(4, 9), invalid_rate=0.1)
    again = simulate_store(tmp_path / "again", 60, seed=7, num_segments=(4, 9), invalid_rate=0.1)
    assert store.fingerprint == again.fingerprint
    assert store.info.provenance["options"]["seed"] == 7
    for sample in world.samples:
        found = store.sample(sample.id)
        for name, stream_TD in sample.streams.items():
            np.testing.assert_array_equal(found.streams[name], stream_TD)


@pytest.mark.parametrize(
    "options",
    [
        {"num_samples": 12},
        {"modalities": 0},
        {"num_segments": (1, 5)},
        {"num_segments": (9, 5)},
        {"invalid_rate": 1.0},
        {"samples_per_group": 0},
    ],
)
def test_impossible_worlds_are_refused(options):
    with pytest.raises(InputError, match=r"Expected .* for a simulated world"):
        simulate_world(**({"num_samples": 40} | options))


def test_the_oracle_refuses_unknown_streams(world):
    with pytest.raises(InputError, match="did you mean 'audio'"):
        oracle_scores(world, ("adio",))
