"""Counting parameters and multiply-accumulates; docs/cost.md states the rule of each figure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from limssr.core.types import Batch, Modality, ScoreOutput
from limssr.core.words import Words
from limssr.nn.moments import Members

COUNTED_WORDS = 100
"""Of a stream of words in the sample that is counted."""


@dataclass(frozen=True)
class Measured:
    """What one forward pass does.

    Attributes:
        macs: Multiply-accumulates of its matrix products.
        active: Name -> size of the parameters that its scores depend on.
    """

    macs: int
    active: dict[str, int]


def num_parameters(module: nn.Module) -> int:
    """All parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def num_trained(module: nn.Module) -> int:
    """Those that are trained."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def num_buffered(module: nn.Module) -> int:
    """Numbers in buffers."""
    return sum(buffer.numel() for buffer in module.buffers())


def linear_weights(module: nn.Module) -> int:
    """Weights of linear maps: their multiply-accumulates for one vector."""
    return sum(layer.weight.numel() for layer in module.modules() if isinstance(layer, nn.Linear))


def head_macs(head: nn.Module, num_modalities: int) -> int:
    """A head of LIMSSR, once a sample.

    Linear maps, the attention's maps once a modality vector and its two M x M products, the networks that read moments.
    """
    macs = linear_weights(head)
    for layer in head.modules():
        if isinstance(layer, nn.MultiheadAttention):
            maps = 4 * layer.embed_dim**2
            macs += num_modalities * maps - layer.out_proj.weight.numel() + 2 * num_modalities**2 * layer.embed_dim
        if isinstance(layer, Members):
            macs += layer.first.numel() + layer.second.numel()
    return macs


def attention_macs(settings: Any, length: int) -> int:
    """The two attention products of every layer of a language model, over the full L x L."""
    head_width = getattr(settings, "head_dim", None) or settings.hidden_size // settings.num_attention_heads
    return 2 * settings.num_hidden_layers * settings.num_attention_heads * head_width * length**2


def measure(
    model: nn.Module, modalities: Sequence[Modality], num_segments: int, *, present: Collection[str]
) -> Measured:
    """Let a system score one sample, and count.

    Args:
        model: Small enough to run here; in evaluation mode afterwards, and with gradients.
        modalities: Its streams.
        num_segments: T of the sample.
        present: Names of the streams that the sample has.
    """
    model.eval()
    generator = torch.Generator().manual_seed(0)
    present_BM = torch.tensor([[item.name in present for item in modalities]])
    batch = Batch(
        ids=("counted",),
        features={item.name: torch.randn(1, num_segments, item.dim, generator=generator) for item in modalities},
        present_BM=present_BM,
        valid_BMT=present_BM[..., None].expand(-1, -1, num_segments),
        lengths_B=torch.full((1,), num_segments),
        words={item.name: (Words.whole("word " * COUNTED_WORDS),) for item in modalities if item.words},
    )
    for parameter in model.parameters():
        parameter.grad = None
        parameter.requires_grad_(True)
    counter = FlopCounterMode(display=False)
    # Fused kernels would hide their products from the counter.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        output: ScoreOutput = model(batch)
    output.unit_scores_BC.sum().backward()
    active = {name: one.numel() for name, one in model.named_parameters() if one.grad is not None}
    return Measured(counter.get_total_flops() // 2, active)
