"""Linear maps for a few tokens at a time: weights that are laid out once, and several maps of one input as one product.

Weights are copied: later changes of the model are not seen.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from limssr.model.backbone.lora import Adapted
from limssr.model.int8 import Int8Linear, rounded_product

TOKENS = 16
"""So many rows are expected in a product; oneDNN chooses the order of weights by it."""
Map = Callable[[Tensor], Tensor]
"""[N, I] -> [N, O]."""


def laid_out(weight_OI: Tensor, bias: Tensor | None) -> Map:
    """A linear map whose weight lies as oneDNN reads it, where torch has it."""
    reorder = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None)
    if reorder is None or not torch.backends.mkldnn.is_available():
        return lambda x: linear(x, weight_OI, bias)
    packed = reorder(weight_OI.contiguous(), TOKENS)
    product = torch.ops.mkldnn._linear_pointwise
    return lambda x: product(x, packed, bias, "none", [], "")


def side_by_side(*maps: nn.Module) -> Map:
    """Several maps of one input as one; their answers stand side by side.

    In float32, adapters are added to the weights. Beside int8 weights they stay a product of their own in float32.
    """
    bases = [one.base_layer if isinstance(one, Adapted) else one for one in maps]
    if all(type(one) is nn.Linear for one in bases):
        weights = [_with_adapter(one, base) for one, base in zip(maps, bases, strict=True)]  # type: ignore[arg-type]
        return laid_out(torch.cat(weights), _biases([base.bias for base in bases], weights))  # type: ignore[misc]
    if all(isinstance(one, Int8Linear) for one in bases):
        return _rounded(maps, bases)  # type: ignore[arg-type]
    return maps[0] if len(maps) == 1 else lambda x: torch.cat([one(x) for one in maps], dim=1)


@dataclass(frozen=True)
class _Rounded:
    """Int8 maps side by side, and their adapters.

    Attributes:
        steps: Prepacked weights, scale and zero of each output, bias.
        down_RI, up_RO: Of all adapters; None: there are none.
    """

    steps: tuple[Any, Tensor, Tensor, Tensor | None]
    down_RI: Tensor | None
    up_RO: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        answer_NO = rounded_product(x, *self.steps)
        if self.down_RI is None or self.up_RO is None:
            return answer_NO
        return answer_NO.addmm_(linear(x, self.down_RI), self.up_RO)


def _rounded(maps: Sequence[nn.Module], bases: Sequence[Int8Linear]) -> _Rounded:
    packed = torch.ops.onednn.qlinear_prepack(torch.cat([base.steps() for base in bases]), None)
    scale_O = torch.cat([base.scale_O for base in bases])
    bias = _biases([base.bias for base in bases], [base.scale_O for base in bases])
    steps = (packed, scale_O, torch.zeros(len(scale_O), dtype=torch.int64), bias)
    if not any(isinstance(one, Adapted) for one in maps):
        return _Rounded(steps, None, None)
    downs, ups = [], []
    for one, base in zip(maps, bases, strict=True):
        down, up = _adapter(one) if isinstance(one, Adapted) else (torch.zeros(0, base.in_features), None)
        downs.append(down)
        ups.append(torch.zeros(0, base.out_features) if up is None else up.t())
    return _Rounded(steps, torch.cat(downs).contiguous(), torch.block_diag(*ups).contiguous())


def _adapter(module: Adapted) -> tuple[Tensor, Tensor]:
    """Down [R, I], and up [O, R] with the scale in it."""
    down: Any = module.lora_A["default"]
    up: Any = module.lora_B["default"]
    return down.weight.detach(), module.scale * up.weight.detach()


def _with_adapter(module: nn.Module, base: nn.Linear) -> Tensor:
    """The weight of a linear map with what its adapter adds to it."""
    if not isinstance(module, Adapted):
        return base.weight.detach()
    down, up = _adapter(module)
    return (base.weight.detach().double() + up.double() @ down.double()).float()


def _biases(biases: Sequence[Tensor | None], like: Sequence[Tensor]) -> Tensor | None:
    """Side by side, zeros where a map has none; None where no map has one."""
    if all(bias is None for bias in biases):
        return None
    return torch.cat([
        one.new_zeros(len(one)) if bias is None else bias.detach() for bias, one in zip(biases, like, strict=True)
    ])  # fmt: skip


class LaidOutLinear(nn.Module):
    """A linear map that only answers.

    Args:
        weight_OI: Of the map.
        bias: Of the map.
    """

    def __init__(self, weight_OI: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self._map = laid_out(weight_OI, bias)

    def forward(self, x: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        return self._map(x)


def laid_out_copy(module: nn.Module) -> nn.Module:
    """A copy of a module in evaluation mode whose linear maps are laid out; attention of torch keeps its own."""
    found = copy.deepcopy(module).eval()
    for parent in list(found.modules()):
        if isinstance(parent, nn.MultiheadAttention):
            continue  # it reads the weights of its maps by itself
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                bias = None if child.bias is None else child.bias.detach()
                setattr(parent, name, LaidOutLinear(child.weight.detach(), bias))
    return found
