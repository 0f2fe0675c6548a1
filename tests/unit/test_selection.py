"""Which epoch is chosen, and which must be kept until the end is known."""

import pytest

from limssr.core.config import TrainConfig
from limssr.training.selection import candidate_epochs, chosen_epoch

TEST = TrainConfig(selection="test")


def history_of(*numbers):
    return [{"epoch": n, "test_spearman": rho, "test_mse": mse} for n, (rho, mse) in enumerate(numbers)]


@pytest.mark.parametrize(
    ("numbers", "candidates", "chosen"),
    [
        ([(0.5, 9.0)], {0}, 0),
        # best in both
        ([(0.5, 9.0), (0.8, 4.0), (0.7, 5.0)], {1}, 1),
        # epoch 0 gives away 25 % of the MSE, epoch 1 an eighth of rho
        ([(0.8, 5.0), (0.7, 4.0)], {0, 1}, 1),
        # epoch 0 gives away 2.5 % of the MSE, epoch 1 an eighth of rho
        ([(0.8, 4.1), (0.7, 4.0)], {0, 1}, 0),
        # a quarter each: the Spearman decides
        ([(0.6, 4.0), (0.8, 5.0)], {0, 1}, 1),
        ([(0.8, 5.0), (0.6, 4.0)], {0, 1}, 0),
        # shares of a negative rank correlation are of its size
        ([(-0.2, 4.0), (-0.1, 6.0)], {0, 1}, 1),
        # of equal ones the first
        ([(0.8, 4.0), (0.8, 4.0)], {0}, 0),
        # a prediction that is constant correlates with nothing, and gives all of it away
        ([(None, 4.0), (0.1, 40.0)], {0, 1}, 1),
        ([(None, 5.0), (None, 4.0)], {0, 1}, 1),
        # nothing can be a share of zero
        ([(0.9, 1.0), (0.8, 0.0)], {0, 1}, 1),
        ([(0.0, 4.0), (-0.3, 3.0)], {0, 1}, 0),
    ],
)
def test_the_better_balanced_of_two_candidates(numbers, candidates, chosen):
    assert candidate_epochs(history_of(*numbers), TEST) == candidates
    assert chosen_epoch(history_of(*numbers), TEST) == chosen


def test_what_is_no_candidate_any_more_never_comes_back():
    numbers = [(0.3, 9.0), (0.5, 8.0), (0.4, 6.0), (0.6, 7.0), (0.6, 5.0), (0.2, 5.0)]
    before = frozenset()
    for epoch in range(len(numbers)):
        now = candidate_epochs(history_of(*numbers[: epoch + 1]), TEST)
        assert now <= before | {epoch}
        before = now
    assert before == {3, 4}


@pytest.mark.parametrize(("selection", "chosen"), [("val", 1), ("last", 3)])
def test_one_number_has_one_candidate(selection, chosen):
    history = [{"epoch": n, "val_loss": loss} for n, loss in enumerate([0.9, 0.3, 0.5, 0.3])]
    train = TrainConfig(selection=selection)
    assert (candidate_epochs(history, train), chosen_epoch(history, train)) == ({chosen}, chosen)
