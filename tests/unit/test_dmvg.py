"""DMVG: tokens of a stream, the way back from noise, noise that belongs to a sample."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from limssr.core.config import ModelConfig
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.systems.build import build_model
from limssr.systems.related.dmvg.diffusion import Denoiser, Diffusion, normed
from limssr.systems.related.dmvg.dmvg import token_weights

MODALITIES = (Modality("one", 1), Modality("two", 2))


def test_a_token_is_the_mean_over_a_part_of_its_sample() -> None:
    long = np.array([[1.0], [3.0], [np.nan], [np.nan]], dtype=np.float32)
    short = np.array([[2.0]], dtype=np.float32)
    batch = collate([Sample("a", {"one": long}), Sample("b", {"one": short})], MODALITIES, ())
    weights_BMKT = token_weights(batch, 2)
    tokens_BK = (weights_BMKT[:, 0] @ batch.features["one"])[..., 0]
    # the second half of sample a has no valid segment, so that its token is the mean over all
    assert tokens_BK.tolist() == [[2.0, 2.0], [2.0, 2.0]]
    assert weights_BMKT[0, 0].tolist() == [[0.5, 0.5, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]]
    assert not weights_BMKT[:, 1].any()
    three = collate([Sample("a", {"one": np.ones((3, 1), dtype=np.float32)})], MODALITIES, ())
    assert token_weights(three, 2)[0, 0].tolist() == [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]


class KnowsTheAnswer(nn.Module):
    """The exact noise where all clean tokens are the condition."""

    def __init__(self, diffusion: Diffusion) -> None:
        super().__init__()
        self.left_S = diffusion.get_buffer("left_S")

    def forward(self, x: Tensor, step: Tensor, condition: Tensor) -> Tensor:
        left = self.left_S[step][:, None, None]
        return (x - left.sqrt() * condition) / (1 - left).sqrt()


def test_noise_grows_from_almost_none_to_almost_all() -> None:
    left_S = Diffusion(1000, first=1e-6, last=2e-2).get_buffer("left_S")
    assert left_S[0].item() == pytest.approx(1 - 1e-6, abs=1e-7)
    assert left_S[-1].item() < 1e-4
    assert (left_S.diff() < 0).all()


@pytest.mark.parametrize("steps", [1, 4, 50])
def test_with_the_exact_noise_the_way_back_ends_at_the_truth(steps: int) -> None:
    diffusion = Diffusion(1000, first=1e-6, last=2e-2)
    generator = torch.Generator().manual_seed(0)
    truth = normed(torch.randn(2, 4, 3, generator=generator))
    noise = torch.randn(2, 4, 3, generator=generator)
    found = diffusion.sampled(KnowsTheAnswer(diffusion), noise, truth, steps)
    torch.testing.assert_close(found, truth, rtol=0, atol=2e-3)


def test_the_loss_is_zero_for_the_exact_noise_and_not_for_another() -> None:
    # the first step adds enough here that single precision can tell it from one
    diffusion = Diffusion(10, first=1e-2, last=2e-1)
    truth = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    assert diffusion.loss(KnowsTheAnswer(diffusion), truth, truth).item() < 1e-6
    assert diffusion.loss(KnowsTheAnswer(diffusion), truth, truth + 1.0).item() > 1e-2


def test_a_trained_denoiser_samples_what_its_condition_says() -> None:
    """Better than zeros (an error of 1) and than a token of the right length by chance (2), and of that length."""
    torch.manual_seed(0)
    answer_WW = torch.randn(4, 4)
    denoiser, diffusion = Denoiser(4, 4, 16), Diffusion(1000, first=1e-6, last=2e-2)
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=5e-3)
    for _ in range(250):
        condition = torch.randn(64, 4, 4)
        kept_N11 = torch.rand(64, 1, 1) > 0.1
        optimizer.zero_grad()
        diffusion.loss(denoiser, normed(condition @ answer_WW), condition * kept_N11).backward()
        optimizer.step()
    condition = torch.randn(256, 4, 4)
    for guidance, most in ((0.0, 0.95), (1.0, 0.65)):
        found = diffusion.sampled(denoiser, torch.randn(256, 4, 4), condition, 10, guidance=guidance)
        assert (found - normed(condition @ answer_WW)).square().mean() < most
        assert found.std().item() == pytest.approx(1.0, abs=0.02)


def test_an_id_says_nothing_of_what_is_sampled() -> None:
    config = ModelConfig.model_validate({"system": "dmvg", "hidden": 8, "options": {"latent": 4, "sampler_steps": 2}})
    model = build_model(config, MODALITIES, (Criterion("score"),), seed=0).eval()
    rng = np.random.default_rng(0)
    streams = {m.name: rng.normal(size=(5, m.dim)).astype(np.float32) for m in MODALITIES}
    whole = [Sample(name, streams) for name in ("a", "b")]
    part = [sample.restricted_to(("one",)) for sample in whole]
    first, second = (model(collate(samples, MODALITIES, ())).unit_scores_BC for samples in (whole, part))
    assert torch.equal(first[0], first[1])
    torch.testing.assert_close(second[0], second[1])
    assert not torch.equal(first[0], second[0])
