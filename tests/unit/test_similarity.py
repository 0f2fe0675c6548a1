"""Similarity and recovery on arrays whose answer is known."""

import numpy as np
import pytest

from limssr.core.errors import InputError
from limssr.explain.similarity import linear_cka, mean_cosine, recovery, shuffled

GENERATOR = np.random.default_rng(0)
NUM = 120
TRUE = GENERATOR.normal(size=(NUM, 6))
GROUPS = np.arange(NUM) // 6


def test_cka_knows_rotation_and_scale_and_sees_noise():
    rotation, _ = np.linalg.qr(GENERATOR.normal(size=(6, 6)))
    assert linear_cka(TRUE, 3.0 * TRUE @ rotation + 7.0) == pytest.approx(1.0)
    assert linear_cka(TRUE, GENERATOR.normal(size=(NUM, 9))) < 0.15
    assert np.isnan(linear_cka(TRUE, np.ones((NUM, 2))))


def test_cosine_of_paired_rows():
    assert mean_cosine(TRUE, 2 * TRUE) == pytest.approx(1.0)
    assert mean_cosine(TRUE, -TRUE) == pytest.approx(-1.0)
    assert abs(mean_cosine(TRUE, shuffled(TRUE, 1))) < 0.15
    assert np.isnan(mean_cosine(np.zeros((2, 3)), np.ones((2, 3))))


@pytest.mark.parametrize("num", [2, 3, 50])
def test_shuffling_moves_every_row_and_keeps_them_all(num):
    order = shuffled(np.arange(num)[:, None], seed=num)[:, 0]
    assert sorted(order) == list(range(num))
    assert (order != np.arange(num)).all()


def test_a_copy_is_recovered_and_noise_is_not():
    copy = np.hstack([TRUE @ GENERATOR.normal(size=(6, 8)), GENERATOR.normal(size=(NUM, 3))])
    assert recovery(copy, TRUE, GROUPS).r2 > 0.99
    nothing = recovery(GENERATOR.normal(size=(NUM, 11)), TRUE, GROUPS)
    assert nothing.r2 < 0.05
    assert len(nothing.r2_F) == 5
    half = recovery(TRUE[:, :3], TRUE, GROUPS).r2
    assert 0.4 < half < 0.55


def test_what_only_a_group_shares_is_not_recovered_from_its_own_members():
    badge = np.eye(20)[GROUPS] + 1e-3 * GENERATOR.normal(size=(NUM, 20))  # says which group, and nothing else
    target = GENERATOR.normal(size=(20, 1))[GROUPS]
    assert recovery(badge, target, GROUPS).r2 < 0.1
    assert recovery(badge, target, np.arange(NUM)).r2 > 0.9  # groups torn apart would have flattered it


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(InputError, match="at least 2 groups"):
        recovery(TRUE, TRUE, np.zeros(NUM))
    with pytest.raises(InputError, match="only constants"):
        recovery(TRUE, np.ones((NUM, 2)), GROUPS)
    with pytest.raises(InputError, match="the same samples"):
        linear_cka(TRUE, TRUE[:-1])
    with pytest.raises(InputError, match="one shape"):
        mean_cosine(TRUE, TRUE[:, :-1])
    with pytest.raises(InputError, match="at least 2 samples"):
        shuffled(TRUE[:1], 0)
