import math

import numpy as np
import pytest
import torch

from limssr.core.config import ModelConfig
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.systems.build import build_model
from limssr.systems.related.corrkd import UNKNOWN, category_loss, divergence, response_loss, sample_contrast
from limssr.systems.related.pcd import mean_log_density, proportion_loss, squared_distances, squared_wasserstein


def vectors(num: int, width: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(num, width, generator=torch.Generator().manual_seed(seed))


def test_samples_are_drawn_to_their_own_teacher_and_pushed_from_others():
    right = torch.eye(4)
    assert sample_contrast(right, right, margin=1.2) == pytest.approx(0.0, abs=1e-6)  # orthogonal: sqrt(2) apart
    assert sample_contrast(right.roll(1, dims=0), right, margin=1.2) > 2.0
    assert sample_contrast(right[:1], right[:1], margin=1.2) == pytest.approx(0.0, abs=1e-6)


def test_distance_to_oneself_has_a_finite_gradient():
    x = vectors(3).requires_grad_()
    sample_contrast(x, x.detach(), margin=1.2).backward()
    assert x.grad.isfinite().all()


def test_lessons_are_zero_for_a_student_that_answers_as_its_teacher():
    x, bins = vectors(5), torch.tensor([0, 1, 2, 1, UNKNOWN])
    assert category_loss(x, x, bins, num_bins=3, temperature=0.5) == pytest.approx(0.0, abs=1e-6)
    assert response_loss(x[:, :3], x[:, :3], bins) == pytest.approx(0.0, abs=1e-6)
    assert category_loss(vectors(5, seed=1), x, bins, num_bins=3, temperature=0.5) > 0.01
    assert response_loss(vectors(5, 3, seed=1), x[:, :3], bins) > 0.01


def test_nobody_judged_is_no_lesson():
    x, bins = vectors(3).requires_grad_(), torch.full((3,), UNKNOWN)
    assert category_loss(x, x.detach(), bins, num_bins=3, temperature=0.5) == 0.0
    assert response_loss(x, x.detach(), bins) == 0.0


def test_divergence_by_hand():
    found = divergence(torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([[0.0, 0.0]]))
    assert found.item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))


def test_bins_hold_equal_counts_and_leave_out_what_was_not_judged():
    criteria = (Criterion("x", 0.0, 50.0), Criterion("y", -5.0, 5.0))
    streams = {"a": np.zeros((2, 3), dtype=np.float32)}
    scores = [[float(n), n / 10 - 2] for n in range(40)] + [[np.nan, np.nan]]
    samples = [Sample(f"s{n}", streams, np.array(one)) for n, one in enumerate(scores)]
    config = ModelConfig(system="corrkd", hidden=8, options={"num_bins": 4})
    model = build_model(config, (Modality("a", 3),), criteria, seed=0)
    model.calibrate(samples)
    bins = model._bins(collate(samples, (Modality("a", 3),), criteria)).tolist()
    assert [bins.count(n) for n in (0, 1, 2, 3, UNKNOWN)] == [10, 10, 10, 10, 1]
    assert bins[:40] == sorted(bins[:40])


def test_log_density_is_that_of_independent_normals():
    mean, log_variance, at = vectors(2), vectors(2, seed=1), vectors(3, seed=2)
    normal = torch.distributions.Normal(mean[:, None], (0.5 * log_variance).exp()[:, None])
    torch.testing.assert_close(mean_log_density(mean, log_variance, at), normal.log_prob(at[None]).mean(dim=2))


def test_geometry_does_not_ask_for_the_scale():
    x = vectors(5)
    sharp = torch.full_like(x, -2.0)
    assert proportion_loss(squared_wasserstein(3.0 * x, sharp), squared_distances(x)) == pytest.approx(0.0, abs=1e-6)
    assert proportion_loss(squared_wasserstein(vectors(5, seed=1), sharp), squared_distances(x)) > 0.01
    assert proportion_loss(squared_distances(x[:1]), squared_distances(x[:1])) == 0.0
