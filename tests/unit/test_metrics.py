import math
import time

import numpy as np
import pytest
from scipy import stats

from limssr.evaluation.metrics import (
    RHO_LIMIT,
    Metric,
    arithmetic_mean,
    fisher_mean,
    mae,
    mean_spearman,
    mse,
    pearson,
    relative_l2,
    spearman,
)
from limssr.evaluation.resampling import Resamples, fisher_mean_rows, spearman_draws
from limssr.evaluation.uncertainty import percentile_interval

NAN = math.nan


def noisy_pair(num_samples=60, num_criteria=3, *, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    truth_NC = np.round(rng.normal(size=(num_samples, num_criteria)), 1)  # rounded: ties must occur
    return truth_NC, truth_NC + noise * rng.normal(size=truth_NC.shape)


def test_correlations_are_those_of_scipy_on_what_was_judged():
    truth_NC, prediction_NC = noisy_pair()
    truth, prediction = truth_NC[:, 0].copy(), prediction_NC[:, 0]
    truth[::7] = NAN
    judged = ~np.isnan(truth)
    assert spearman(truth, prediction).value == pytest.approx(stats.spearmanr(truth[judged], prediction[judged])[0])
    assert pearson(truth, prediction).value == pytest.approx(stats.pearsonr(truth[judged], prediction[judged])[0])


def test_errors_by_hand():
    truth, prediction = np.array([1.0, NAN, 5.0]), np.array([2.0, 100.0, 2.0])
    assert mse(truth, prediction) == Metric(5.0)
    assert mae(truth, prediction) == Metric(2.0)
    # span 4: ((1/4)^2 + (3/4)^2) / 2 * 100
    assert relative_l2(truth, prediction).value == pytest.approx(31.25)
    assert relative_l2(truth, prediction, span=10.0).value == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("truth", "prediction", "reason"),
    [
        ([1.0, 2.0], [1.0, 2.0], "fewer than 3 samples"),
        ([1.0, NAN, 2.0], [1.0, 2.0, 3.0], "fewer than 3 samples"),
        ([1.0, 2.0, 3.0], [4.0, 4.0, 4.0], "constant prediction"),
        ([1.0, 2.0, 3.0], [0.1, 0.1 + 1e-16, 0.1], "constant prediction"),
        ([2.0, 2.0, 2.0], [1.0, 2.0, 3.0], "constant truth"),
        ([1.0, 2.0, 3.0], [1.0, NAN, 3.0], "no prediction"),
        ([1.0, 2.0, 3.0], [1.0, math.inf, 3.0], "no prediction"),
        ([NAN, NAN, NAN], [1.0, 2.0, 3.0], "no judged samples"),
        ([], [], "no judged samples"),
    ],
)
@pytest.mark.parametrize("correlation", [spearman, pearson])
def test_nan_has_a_reason(correlation, truth, prediction, reason):
    metric = correlation(np.array(truth), np.array(prediction))
    assert math.isnan(metric.value)
    assert metric.reason == reason
    assert not metric.is_defined


@pytest.mark.parametrize("error", [mse, mae, relative_l2])
def test_errors_name_missing_predictions(error):
    assert error(np.array([1.0, 2.0]), np.array([1.0, NAN])).reason == "no prediction"
    assert error(np.array([NAN]), np.array([1.0])).reason == "no judged samples"


def test_relative_l2_needs_a_range():
    assert relative_l2(np.ones(4), np.zeros(4)).reason == "constant truth"


def test_fisher_mean_by_hand():
    mean = fisher_mean({"a": Metric(0.2), "b": Metric(0.9)})
    assert mean.value == pytest.approx(math.tanh((math.atanh(0.2) + math.atanh(0.9)) / 2))
    assert mean.reason is None


def test_fisher_mean_cuts_one_and_leaves_nan_out_by_name():
    assert fisher_mean({"a": Metric(1.0)}).value == pytest.approx(RHO_LIMIT, abs=1e-9)
    mean = fisher_mean({"a": Metric(0.5), "jump": Metric(NAN, "constant truth")})
    assert mean.value == pytest.approx(0.5)
    assert mean.reason == "left out: jump: constant truth"


def test_means_of_nothing_keep_the_reason():
    parts = {"a": Metric(NAN, "constant truth"), "b": Metric(NAN, "constant truth")}
    for mean in (fisher_mean(parts), arithmetic_mean(parts)):
        assert math.isnan(mean.value)
        assert mean.reason == "constant truth"


def test_fisher_mean_rows_agrees_with_fisher_mean():
    rho = np.array([[0.1, 0.7, NAN], [NAN, NAN, NAN]])
    rows = fisher_mean_rows(rho)
    assert rows[0] == pytest.approx(fisher_mean({"a": Metric(0.1), "b": Metric(0.7)}).value)
    assert math.isnan(rows[1])


def test_bootstrap_equals_scipy_on_copied_samples():
    truth_NC, prediction_NC = noisy_pair()
    truth_NC[:5, 1] = NAN
    resamples = Resamples(60, 4, seed=3)
    fast_R = spearman_draws(truth_NC, prediction_NC, resamples)
    for counts_N, fast in zip(np.concatenate(list(resamples.counts())), fast_R, strict=True):
        copies = np.repeat(np.arange(60), counts_N.astype(int))
        assert counts_N.sum() == 60
        assert fast == pytest.approx(mean_spearman(truth_NC[copies], prediction_NC[copies]).value, abs=1e-12)


def test_bootstrap_of_members_uses_the_draws_of_the_split():
    truth_NC, prediction_NC = noisy_pair()
    members = np.arange(10, 50)
    resamples = Resamples(60, 3, seed=1)
    of_members_R = spearman_draws(truth_NC[members], prediction_NC[members], resamples, members_N=members)
    for counts_N, value in zip(np.concatenate(list(resamples.counts())), of_members_R, strict=True):
        copies = np.repeat(members, counts_N[members].astype(int))
        assert value == pytest.approx(mean_spearman(truth_NC[copies], prediction_NC[copies]).value, abs=1e-12)


def test_bootstrap_is_seeded_and_chunks_do_not_show(monkeypatch):
    truth_NC, prediction_NC = noisy_pair()
    whole = spearman_draws(truth_NC, prediction_NC, Resamples(60, 20, seed=5))
    monkeypatch.setattr("limssr.evaluation.resampling._CHUNK_VALUES", 60 * 7)
    np.testing.assert_array_equal(whole, spearman_draws(truth_NC, prediction_NC, Resamples(60, 20, seed=5)))
    assert not np.array_equal(whole, spearman_draws(truth_NC, prediction_NC, Resamples(60, 20, seed=6)))


def test_draws_follow_the_mean_and_have_no_number_where_it_has_none():
    truth_NC, prediction_NC = noisy_pair(num_criteria=2)
    alone = spearman_draws(truth_NC[:, :1], prediction_NC[:, :1], Resamples(60, 10, seed=0))
    truth_NC[:, 1] = 4.0  # nobody can predict the order of what is all the same: the truth leaves it out
    np.testing.assert_array_equal(alone, spearman_draws(truth_NC, prediction_NC, Resamples(60, 10, seed=0)))
    prediction_NC[:, 0] = 4.0  # a system that could have had a number and has none
    assert np.isnan(spearman_draws(truth_NC, prediction_NC, Resamples(60, 10, seed=0))).all()


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rho, hits, num_trials = 0.6, 0, 120
    spearman_of_normal = 6 / math.pi * math.asin(rho / 2)
    for trial in range(num_trials):
        rng = np.random.default_rng(trial)
        truth = rng.normal(size=(80, 1))
        prediction = rho * truth + math.sqrt(1 - rho**2) * rng.normal(size=(80, 1))
        low, high = percentile_interval(spearman_draws(truth, prediction, Resamples(80, 200, trial)), 0.9)
        hits += low <= spearman_of_normal <= high
    assert 0.80 <= hits / num_trials <= 0.97


def test_interval_without_values():
    assert all(math.isnan(bound) for bound in percentile_interval(np.full(5, NAN), 0.95))
    assert percentile_interval(np.array([NAN, 1.0, 2.0, 3.0]), 0.5) == (1.5, 2.5)


@pytest.mark.slow
def test_bootstrap_of_a_whole_table_is_fast():
    truth_NC, prediction_NC = noisy_pair(200, 19)
    start = time.process_time()
    for _ in range(7):
        spearman_draws(truth_NC, prediction_NC, Resamples(200, 1000, seed=0))
    assert time.process_time() - start < 15
