"""Dropout that draws cheaply on a CPU: sixteen random bits a number, four numbers a draw.

A language model with adapters draws a mask for every adapted map, which takes a sixth of a training step where each
number costs a draw of its own. Here the rate is rounded to a multiple of 1/65536, and what stays is scaled by what
that leaves, so the mean is exact. The mask is kept as bytes. Elsewhere than on a CPU it is torch's own dropout.
"""

from typing import Any

import torch
from torch import Tensor, nn

STEPS = 2**16


class CheapDropout(nn.Dropout):
    """As `nn.Dropout`; draws from torch's global generator, other numbers than torch would."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same."""
        if not self.training or self.p == 0.0 or input.device.type != "cpu":
            return super().forward(input)
        return _Dropped.apply(input, round(self.p * STEPS))


class _Dropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: int) -> Tensor:
        stays = drawn_mask(x.shape, steps)
        ctx.save_for_backward(stays)
        ctx.scale = STEPS / (STEPS - steps)
        return _masked(x, stays, ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (stays,) = ctx.saved_tensors
        return _masked(gradients[0], stays, ctx.scale), None


def drawn_mask(shape: torch.Size, steps: int) -> Tensor:
    """int8: 0 with probability `steps` / 65536, else 1; from torch's global generator on the CPU."""
    number = shape.numel()
    drawn = torch.empty(-(-number // 4), dtype=torch.int64).random_(-(2**63), None)
    return (drawn.view(torch.int16)[:number] >= steps - STEPS // 2).view(torch.int8).view(shape)


def _masked(x: Tensor, stays: Tensor, scale: float) -> Tensor:
    return stays.to(x.dtype).mul_(x).mul_(scale)


def draw_cheaply(model: nn.Module) -> None:
    """Replace the dropout of a model's adapters in place."""
    for parent in [module for name, module in model.named_modules() if name.endswith("lora_dropout")]:
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                setattr(parent, name, CheapDropout(child.p))
