"""Cheap dropout has the distribution and the gradient of dropout, and nothing else."""

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaModel

from limssr.core.config import LoraConfig
from limssr.model.backbone.lora import STEPS, CheapDropout, add_lora, drawn_mask


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.85])
def test_shares_means_and_independence(rate: float) -> None:
    torch.manual_seed(0)
    masks = torch.stack([drawn_mask(torch.Size((501, 403)), round(rate * STEPS)) for _ in range(4)]).double()
    deviation = (rate * (1 - rate)) ** 0.5
    assert abs(masks.mean().item() - (1 - rate)) < 5 * deviation / masks.numel() ** 0.5
    # neighbours share a draw of 64 bits, and must know nothing of each other
    centred = (masks.flatten() - (1 - rate)) / deviation
    for distance in (1, 2, 3, 4, 403):
        together = (centred[:-distance] * centred[distance:]).mean().item()
        assert abs(together) < 5 / masks.numel() ** 0.5


def test_extreme_rates() -> None:
    assert drawn_mask(torch.Size((1000,)), 0).all()
    assert drawn_mask(torch.Size((100_000,)), 1).double().mean() > 0.999
    assert drawn_mask(torch.Size((100_000,)), STEPS - 1).double().mean() < 0.001


def test_gradient_flows_where_values_do_with_the_same_scale() -> None:
    torch.manual_seed(1)
    x = torch.randn(33, 7, requires_grad=True)
    y = CheapDropout(0.25)(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    stays = y != 0
    assert 0.6 < stays.float().mean() < 0.9
    assert torch.allclose(gradient, stays / 0.75)
    assert torch.allclose(y, x * gradient)


def test_draws_belong_to_the_global_generator() -> None:
    dropout, x = CheapDropout(0.5), torch.ones(64)
    torch.manual_seed(3)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(3)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)


def test_nothing_is_dropped_in_evaluation_or_at_rate_zero() -> None:
    x = torch.randn(5)
    assert torch.equal(CheapDropout(0.5).eval()(x), x)
    assert torch.equal(CheapDropout(0.0)(x), x)


def test_adapters_use_it() -> None:
    model = LlamaModel(
        LlamaConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=4)
    )
    add_lora(model, LoraConfig(rank=2, dropout=0.3))
    kinds = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    assert [type(kind) for kind in kinds] == [CheapDropout] * 4
    assert {kind.p for kind in kinds} == {0.3}
