"""The statistics of comparing systems, against hand-computed examples and published tables."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limssr.evaluation.metrics import mse, spearman_limit
from limssr.evaluation.resampling import Resamples, draw, fisher_mean_rows, spearman_draws
from limssr.evaluation.significance import (
    bootstrap_p_value,
    critical_difference,
    holm,
    indistinct_groups,
    nemenyi_quantile,
    rank_test,
)


@pytest.mark.parametrize(
    ("num_systems", "alpha", "published"),
    # Demšar (2006), Table 5(a).
    [(2, 0.05, 1.960), (3, 0.05, 2.343), (4, 0.05, 2.569), (9, 0.05, 3.102), (10, 0.05, 3.164), (3, 0.10, 2.052)],
)
def test_nemenyi_quantiles_are_the_published_ones(num_systems, alpha, published):
    assert nemenyi_quantile(num_systems, alpha=alpha) == pytest.approx(published, abs=1e-3)


def test_the_critical_difference_of_the_published_example():
    """Four classifiers on 14 data sets, Demšar (2006), section 3.2.2."""
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, alpha=0.10) == pytest.approx(1.12, abs=0.005)
    assert math.isnan(critical_difference(1, 14))


def test_holm_steps_down_and_never_reorders():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([]) == ()


def test_holm_does_not_count_what_has_no_p_value():
    adjusted = holm([0.02, math.nan, 0.5])
    assert adjusted[0] == pytest.approx(0.04)
    assert math.isnan(adjusted[1])
    assert adjusted[2] == 0.5


def test_the_p_value_of_a_bootstrap_distribution():
    assert bootstrap_p_value(np.full(99, 0.1)) == pytest.approx(0.02)
    assert bootstrap_p_value(np.array([-1.0, 1.0, 2.0, 3.0])) == pytest.approx(2 * 2 / 5)
    assert bootstrap_p_value(np.zeros(9)) == 1.0
    assert bootstrap_p_value(np.array([np.nan, 1.0, 1.0, 1.0])) == pytest.approx(0.5)
    assert math.isnan(bootstrap_p_value(np.array([np.nan])))


def test_ranks_and_friedman_by_hand():
    """The same order in all four blocks: ranks 1, 2, 3, and chi-square B (K - 1) = 8 at 2 degrees of freedom."""
    found = rank_test(np.tile([0.9, 0.5, 0.1], (4, 1)))
    assert found.average_ranks == (1.0, 2.0, 3.0)
    assert found.statistic == pytest.approx(8.0)
    assert found.p_value == pytest.approx(math.exp(-4.0))
    assert found.critical_difference == pytest.approx(2.3437 * math.sqrt(12 / 24), abs=1e-3)


def test_ties_share_their_rank_and_two_systems_have_no_friedman_test():
    found = rank_test(np.array([[0.5, 0.5], [0.6, 0.2]]))
    assert found.average_ranks == (1.25, 1.75)
    assert math.isnan(found.p_value)
    assert math.isnan(rank_test(np.ones((3, 3))).p_value)


@pytest.mark.parametrize("scores", [np.empty((0, 3)), np.array([[1.0, np.nan]])])
def test_nothing_is_ranked_without_numbers(scores):
    with pytest.raises(ValueError, match="score of every system"):
        rank_test(scores)


@pytest.mark.parametrize(
    ("ranks", "difference", "groups"),
    [
        ([1.0, 1.5, 3.0], 1.0, [(0, 1)]),
        ([3.0, 1.0, 1.5, 2.4], 1.0, [(1, 2), (2, 3), (3, 0)]),
        ([1.0, 1.2, 1.4], 1.0, [(0, 1, 2)]),
        ([1.0, 2.0], 1.0, []),
    ],
)
def test_groups_are_the_largest_that_are_not_told_apart(ranks, difference, groups):
    assert indistinct_groups(ranks, difference) == tuple(groups)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 20), st.booleans(), st.floats(0.0, 0.4))
def test_shared_draws_give_the_numbers_of_the_metrics(seed, num_samples, has_members, unjudged):
    """Ties and none, unjudged samples and subsets included: the same as one system at a time."""
    rng = np.random.default_rng(seed)
    truth_N = rng.integers(0, 6, num_samples).astype(float)
    truth_N[rng.random(num_samples) < unjudged] = np.nan
    predicted_EN = rng.integers(0, 8, (3, num_samples)).astype(float)
    predicted_EN[2] = rng.permutation(num_samples)
    members_N = np.sort(rng.permutation(num_samples + 5)[:num_samples]) if has_members else None
    resamples = Resamples(num_samples + 5 if has_members else num_samples, 150, seed)
    found = draw(truth_N, predicted_EN, resamples, members_N=members_N)
    counts_RN = np.concatenate(list(resamples.counts()))
    if members_N is not None:
        counts_RN = counts_RN[:, members_N]
    for e, predicted_N in enumerate(predicted_EN):
        expected_R = spearman_draws(truth_N[:, None], predicted_N[:, None], resamples, members_N=members_N)
        if not np.isnan(expected_R).all():  # a constant has no mean there, and no correlation here either
            cut_R = fisher_mean_rows(found.spearman_ER[e][:, None], spearman_limit(found.number_R)[:, None])
            np.testing.assert_allclose(cut_R, expected_R, atol=1e-6)
        repeated = [np.repeat(np.arange(num_samples), counts_N.astype(int)) for counts_N in counts_RN[:5]]
        errors = [mse(truth_N[rows], predicted_N[rows]).value for rows in repeated]
        np.testing.assert_allclose(found.mse_ER[e, :5], errors)


def test_a_system_without_all_predictions_has_no_drawn_numbers():
    truth_N = np.arange(6.0)
    predicted_EN = np.stack([truth_N, np.where(truth_N == 2, np.nan, truth_N)])
    found = draw(truth_N, predicted_EN, Resamples(6, 20, 0))
    assert np.isnan(found.spearman_ER[1]).all()
    assert np.isnan(found.mse_ER[1]).all()
    assert np.allclose(found.spearman_ER[0], 1.0)
    assert (found.mse_ER[0] == 0).all()
