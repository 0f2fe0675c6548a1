"""IMDer: the walk from noise, its loss, norms that see real places alone, noise that belongs to a sample."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from limssr.core.config import ModelConfig
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.nn.cross_modal import CrossStack
from limssr.systems.build import build_model
from limssr.systems.incomplete.imder.score import MaskedGroupNorm, ScoreNetwork, denoising_loss, deviation, sampled

REAL = torch.tensor([[True, True, True], [True, True, False]])


class KnowsTheAnswer(nn.Module):
    """The exact score where every sequence is its condition."""

    sigma = 25.0

    def forward(self, x: Tensor, time: Tensor, condition: Tensor, real: Tensor) -> Tensor:
        return (condition - x) / deviation(time, self.sigma)[:, None, None].square()


def test_noise_grows_from_nothing_as_the_process_says() -> None:
    std = deviation(torch.tensor([0.0, 1.0], dtype=torch.float64), 25.0)
    assert std[0] == 0.0
    assert std[1].item() == pytest.approx((624 / (2 * np.log(25))) ** 0.5)


@pytest.mark.parametrize("steps", [1, 3, 25])
def test_with_the_exact_score_the_walk_ends_at_the_truth(steps: int) -> None:
    truth = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(steps, 2, 3, 4, generator=torch.Generator().manual_seed(1))
    found = sampled(KnowsTheAnswer(), truth, REAL, noise)  # type: ignore[arg-type]
    torch.testing.assert_close(found, truth.masked_fill(~REAL[..., None], 0.0), rtol=0, atol=1e-5)


def test_the_loss_is_zero_for_the_exact_score_and_not_for_another() -> None:
    truth = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    assert denoising_loss(KnowsTheAnswer(), truth, truth, REAL).item() < 1e-6  # type: ignore[arg-type]
    assert denoising_loss(KnowsTheAnswer(), truth, truth + 1.0, REAL).item() > 1e-3  # type: ignore[arg-type]


def test_a_score_network_learns_the_score_of_pure_noise() -> None:
    """That is -z, nearly the noised sequence itself: a road past all norms must lead there (0.2 without it)."""
    torch.manual_seed(0)
    network = ScoreNetwork(8, num_layers=1, num_halvings=1, heads=2, sigma=25.0)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    real_NT, time_N = torch.ones(64, 8, dtype=torch.bool), torch.ones(64)
    std, losses = deviation(time_N, 25.0)[:, None, None], []
    for _ in range(200):
        condition, noise = torch.randn(64, 8, 8), torch.randn(64, 8, 8)
        loss = (std * network(condition + std * noise, time_N, condition, real_NT) + noise).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.12


def test_the_norm_is_that_of_torch_over_real_places() -> None:
    norm, x_BCT = MaskedGroupNorm(16), torch.randn(2, 16, 3)
    found = norm(x_BCT.masked_fill(~REAL[:, None], torch.nan), REAL)
    torch.testing.assert_close(found[:1], nn.GroupNorm(2, 16)(x_BCT[:1]))
    torch.testing.assert_close(found[1:, :, :2], nn.GroupNorm(2, 16)(x_BCT[1:, :, :2]))
    assert not found[1, :, 2].any()


def test_attention_looks_at_real_places_alone() -> None:
    stack, x_BTE, source = CrossStack(6, 2, heads=4, dropout=0.0).eval(), torch.randn(2, 2, 6), torch.randn(2, 3, 6)
    other = source.clone()
    other[1, 2] = 50.0
    torch.testing.assert_close(stack(x_BTE, source, REAL), stack(x_BTE, other, REAL))
    other[1, 1] = 50.0
    assert not torch.allclose(stack(x_BTE, source, REAL), stack(x_BTE, other, REAL))


def test_an_id_says_nothing_of_what_is_sampled() -> None:
    modalities = (Modality("one", 3), Modality("two", 2))
    options = {"levels": 1, "score_layers": 1, "score_halvings": 1, "refiner_blocks": 1, "sampler_steps": 2}
    config = ModelConfig.model_validate({"system": "imder", "hidden": 8, "options": options})
    model = build_model(config, modalities, (Criterion("score"),), seed=0).eval()
    rng = np.random.default_rng(0)
    streams = {m.name: rng.normal(size=(5, m.dim)).astype(np.float32) for m in modalities}
    whole = [Sample(name, streams) for name in ("a", "b")]
    part = [sample.restricted_to(("one",)) for sample in whole]
    first, second = (model(collate(samples, modalities, ())).unit_scores_BC for samples in (whole, part))
    assert torch.equal(first[0], first[1])
    torch.testing.assert_close(second[0], second[1])
    assert not torch.equal(first[0], second[0])
    more = build_model(
        config.model_copy(update={"options": {**options, "num_samples": 3}}), modalities, (Criterion("score"),), seed=0
    )
    averaged = more.eval()(collate(part, modalities, ())).unit_scores_BC
    assert not torch.equal(averaged, second)
