"""Intervals cover the truth as often as they say: the jackknife's, on simulated performances and groups of them."""

import math

import numpy as np
import pytest
from scipy import stats

from limssr.evaluation.resampling import LeftOut, Resamples, spearman_draws
from limssr.evaluation.uncertainty import Uncertainty

NUM_TRIALS = 300
HEADLINE = {"confidence": 0.95, "scale": "fisher"}


def of_normal(rho):
    """Spearman of two normal variables whose linear correlation is `rho`."""
    return 6 / math.pi * math.asin(rho / 2)


def performances(rng, groups_N, rho, alike):
    """Truth and prediction of one criterion; a share `alike` of the variance of both belongs to the group."""

    def drawn():
        of_group = rng.normal(size=groups_N.max() + 1)[groups_N]
        return math.sqrt(1 - alike) * rng.normal(size=len(groups_N)) + math.sqrt(alike) * of_group

    truth_N = drawn()
    return truth_N, rho * truth_N + math.sqrt(1 - rho**2) * drawn()


def misses(kind, groups_N, rho, alike, num_trials=NUM_TRIALS):
    """How often the interval lies above the truth, and how often below it."""
    rng = np.random.default_rng(1)
    groups = None if len(set(groups_N)) == len(groups_N) else tuple(int(g) for g in groups_N)
    how = Uncertainty(len(groups_N), kind, groups, num_resamples=200)
    above = below = 0
    for _ in range(num_trials):
        truth_N, found_N = performances(rng, groups_N, rho, alike)
        draws_R = spearman_draws(truth_N[:, None], found_N[:, None], how.plan)
        value = float(stats.spearmanr(truth_N, found_N)[0])
        low, high = how.interval(value, draws_R, num_units=how.num_units(np.arange(len(groups_N))), **HEADLINE)
        above += low > of_normal(rho)
        below += high < of_normal(rho)
    return above, below


@pytest.mark.parametrize(
    ("groups_N", "rho", "alike"),
    [
        (np.arange(24), 0.8, 0.0),
        (np.arange(60), 0.95, 0.0),
        (np.repeat(np.arange(8), 6), 0.8, 0.4),
    ],
    ids=["24 performances", "60 performances, nearly in order", "8 groups of 6"],
)
def test_the_interval_misses_as_rarely_as_it_says_on_both_sides(groups_N, rho, alike):
    above, below = misses("jackknife", groups_N, rho, alike)
    # Of 300 trials, 5 % and 2.5 %: bounds that a right interval leaves once in a thousand times.
    assert above + below <= stats.binom.ppf(0.999, NUM_TRIALS, 0.05)
    assert max(above, below) <= stats.binom.ppf(0.9995, NUM_TRIALS, 0.025)


def test_percentiles_over_few_groups_miss_too_often():
    """What the default is better than; were this to fail, there would be no reason for it."""
    groups_N, bound = np.repeat(np.arange(5), 20), stats.binom.ppf(0.999, NUM_TRIALS, 0.05)
    assert sum(misses("percentile", groups_N, 0.5, 0.8)) > bound
    assert sum(misses("jackknife", groups_N, 0.5, 0.8)) <= bound


def test_the_jackknife_of_a_mean_is_students_interval():
    rng = np.random.default_rng(0)
    values_N = rng.normal(size=20)
    how = Uncertainty(20)
    counts_RN = np.concatenate(list(how.plan.counts()))
    draws_R = counts_RN @ values_N / counts_RN.sum(axis=1)
    found = how.interval(values_N.mean(), draws_R, num_units=20)
    expected = stats.t.interval(0.95, 19, loc=values_N.mean(), scale=stats.sem(values_N))
    assert found == pytest.approx(expected)
    p_value = how.p_value(values_N.mean(), draws_R, num_units=20)
    assert p_value == pytest.approx(stats.ttest_1samp(values_N, 0.0).pvalue)


def test_each_unit_is_left_out_once_and_many_in_blocks():
    counts_RN = next(LeftOut(5, (0, 0, 1, 2, 2)).counts())
    assert counts_RN.tolist() == [[0, 0, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 1, 0, 0]]
    many = LeftOut(1000, max_blocks=40)
    counts_RN = next(many.counts())
    assert counts_RN.shape == (40, 1000)
    assert (counts_RN.sum(axis=0) == 39).all()
    assert (counts_RN.sum(axis=1) == 975).all()
    assert many.num_blocks() == 40


def test_units_that_hold_nothing_of_a_question_do_not_count():
    """Two of six groups are judged: one degree of freedom, and the same interval as without the others."""
    rng = np.random.default_rng(0)
    groups = (0, 0, 0, 0, 1, 1, 1, 1, 2, 3, 4, 5)
    truth_NC, found_NC = rng.normal(size=(2, 12, 1))
    members = np.arange(8)
    whole, part = Uncertainty(12, groups=groups), Uncertainty(8, groups=groups[:8])
    assert whole.num_units(members) == part.num_units(members) == 2
    drawn = [spearman_draws(truth_NC[:8], found_NC[:8], how.plan, members_N=members) for how in (whole, part)]
    value = float(stats.spearmanr(truth_NC[:8, 0], found_NC[:8, 0])[0])
    intervals = [
        how.interval(value, draws_R, num_units=2, scale="fisher")
        for how, draws_R in zip((whole, part), drawn, strict=True)
    ]
    assert intervals[0] == pytest.approx(intervals[1])


def test_no_interval_where_there_is_nothing_to_draw():
    how = Uncertainty(6, num_resamples=0)
    assert isinstance(how.plan, Resamples)
    assert all(map(math.isnan, how.interval(0.5, np.empty(0), num_units=6)))
    assert all(map(math.isnan, Uncertainty(6).interval(0.5, np.full(6, np.nan), num_units=6)))
    assert all(map(math.isnan, Uncertainty(6).interval(0.5, np.full(6, 0.4), num_units=1)))
    assert math.isnan(Uncertainty(6).p_value(math.nan, np.full(6, np.nan), num_units=6))
    assert Uncertainty(6).p_value(0.0, np.zeros(6), num_units=6) == 1.0
