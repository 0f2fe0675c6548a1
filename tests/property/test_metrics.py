import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from limssr.evaluation.metrics import Metric, fisher_mean, mse, spearman
from limssr.evaluation.resampling import Resamples, spearman_draws

values = st.integers(-50, 50).map(float)  # whole numbers: monotone maps cannot create or destroy ties by rounding


@st.composite
def pairs(draw, min_size=3):
    size = draw(st.integers(min_size, 30))
    return draw(hnp.arrays(float, size, elements=values)), draw(hnp.arrays(float, size, elements=values))


@given(pairs())
def test_spearman_is_in_range_symmetric_and_rank_only(pair):
    truth, prediction = pair
    metric = spearman(truth, prediction)
    if not metric.is_defined:
        assert metric.reason in ("constant truth", "constant prediction")
        return
    assert -1 - 1e-12 <= metric.value <= 1 + 1e-12
    assert spearman(prediction, truth).value == pytest.approx(metric.value)
    assert spearman(truth, prediction**3 + 5).value == pytest.approx(metric.value)
    assert spearman(truth, -prediction).value == pytest.approx(-metric.value)


@given(pairs(), st.randoms(use_true_random=False))
def test_order_of_samples_does_not_matter(pair, random):
    truth, prediction = pair
    order = list(range(len(truth)))
    random.shuffle(order)
    assert spearman(truth[order], prediction[order]).value == pytest.approx(
        spearman(truth, prediction).value, nan_ok=True
    )
    assert mse(truth[order], prediction[order]).value == pytest.approx(mse(truth, prediction).value)


@given(pairs(min_size=5), st.integers(0, 1000))
def test_resampled_ranks_equal_ranks_of_copies(pair, seed):
    truth, prediction = pair
    resamples = Resamples(len(truth), 5, seed)
    fast_R = spearman_draws(truth[:, None], prediction[:, None], resamples)
    if not spearman(truth, prediction).is_defined:
        assert np.isnan(fast_R).all()
        return
    for counts_N, fast in zip(np.concatenate(list(resamples.counts())), fast_R, strict=True):
        copies = np.repeat(np.arange(len(truth)), counts_N.astype(int))
        slow = fisher_mean({"only": spearman(truth[copies], prediction[copies])})
        assert fast == pytest.approx(slow.value, abs=1e-9, nan_ok=True)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8))
def test_fisher_mean_lies_between_the_extremes(correlations):
    mean = fisher_mean({str(i): Metric(rho) for i, rho in enumerate(correlations)}).value
    assert min(correlations) - 2e-7 <= mean <= max(correlations) + 2e-7
