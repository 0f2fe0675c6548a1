"""Int8 weights for scoring on a CPU: the language model's frozen linear maps, one scale an output row.

What enters such a map is rounded to int8 as well, with one scale a token, so that a score does not depend on what else
is in the batch. Adapters, learned rows, projections and head stay as they were trained.
"""

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from limssr.core.errors import InputError
from limssr.core.runtime import cpu_flags
from limssr.model.limssr import LimssrModel

LARGEST, ZERO = 127, 128
"""Largest int8 weight; activations are unsigned, with as many steps to either side of their zero."""
NATIVE = frozenset({"avx512_vnni", "avx_vnni"})
"""Instructions that add up int8 products without a loss; older ones would need narrower numbers, and are no faster."""


@dataclass(frozen=True)
class RoundedTokens:
    """What entered some maps, rounded.

    Attributes:
        of: What was rounded; maps that read the same input find it by this.
        steps_NI: uint8, steps from `ZERO`.
        size_N1: Each token's largest number.
    """

    of: "weakref.ref[Tensor]"
    steps_NI: Tensor
    size_N1: Tensor

    @classmethod
    def round(cls, x: Tensor) -> "RoundedTokens":
        """[..., I], rounded token by token."""
        rows_NI = x.reshape(-1, x.shape[-1])
        low_N1, high_N1 = rows_NI.amin(dim=1, keepdim=True), rows_NI.amax(dim=1, keepdim=True)
        size_N1 = torch.maximum(high_N1, low_N1.neg_()).clamp_(min=torch.finfo(torch.float32).tiny)
        signed_NI = (rows_NI * (LARGEST / size_N1)).round_().to(torch.int8)  # to unsigned ones it would go slowly
        return cls(weakref.ref(x), signed_NI.view(torch.uint8).bitwise_xor_(ZERO), size_N1)


class LastRounded:
    """The last input that was rounded: queries, keys and values read the same one, as gate and up do."""

    def __init__(self) -> None:
        self._last: RoundedTokens | None = None

    def of(self, x: Tensor) -> RoundedTokens:
        """Rounded now, or just before."""
        if self._last is None or self._last.of() is not x:
            self._last = RoundedTokens.round(x)
        return self._last


class Int8Linear(nn.Module):
    """A frozen linear map in int8; it answers in float32 and has no gradient.

    Args:
        linear: In float32, on the CPU.
        inputs: Shared by the maps of a model.
    """

    scale_O: Tensor
    zero_O: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear, inputs: LastRounded) -> None:
        super().__init__()
        weight_OI = linear.weight.detach()
        self.in_features, self.out_features, self._inputs = linear.in_features, linear.out_features, inputs
        scale_O = (weight_OI.abs().amax(dim=1) / LARGEST).clamp(min=torch.finfo(torch.float32).tiny)
        steps_OI = (weight_OI / scale_O[:, None]).round().to(torch.int8)
        self._packed = torch.ops.onednn.qlinear_prepack(steps_OI, None)  # without storage, so no buffer
        bias = None if linear.bias is None else linear.bias.detach().clone()
        for name, tensor in {"scale_O": scale_O, "bias": bias}.items():
            self.register_buffer(name, tensor, persistent=False)
        self.register_buffer("zero_O", torch.zeros(self.out_features, dtype=torch.int64), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., I] -> [..., O].

        Raises:
            InputError: A gradient is wanted.
        """
        if torch.is_grad_enabled() and x.requires_grad:
            raise InputError("A language model with int8 weights only scores: load the model anew to train it.")
        tokens = self._inputs.of(x)
        answer_NO = _product(tokens.steps_NI, self._packed, self.scale_O, self.zero_O)
        answer_NO = answer_NO.mul_(tokens.size_N1)
        answer_NO = answer_NO if self.bias is None else answer_NO.add_(self.bias)
        return answer_NO.view(*x.shape[:-1], self.out_features)

    def steps(self) -> Tensor:
        """The rounded weights, int8 [O, I]: what the map makes of one step of each input."""
        one_II = torch.eye(self.in_features).mul_(LARGEST).to(torch.int8).view(torch.uint8).bitwise_xor_(ZERO)
        found_IO = _product(one_II, self._packed, torch.ones_like(self.scale_O), self.zero_O)
        return found_IO.t().round().to(torch.int8).contiguous()


def rounded_product(x: Tensor, packed: Any, scale_O: Tensor, zero_O: Tensor, bias: Tensor | None) -> Tensor:
    """An input [N, I], rounded token by token, times prepacked int8 weights [N, O]."""
    size_N1 = torch.linalg.vector_norm(x, torch.inf, dim=1, keepdim=True)
    size_N1.clamp_(min=torch.finfo(torch.float32).tiny)
    steps_NI = (x * (LARGEST / size_N1)).round_().to(torch.int8).view(torch.uint8).bitwise_xor_(ZERO)
    answer_NO = _product(steps_NI, packed, scale_O, zero_O).mul_(size_N1)
    return answer_NO if bias is None else answer_NO.add_(bias)


def _product(steps_NI: Tensor, packed: Any, scale_O: Tensor, zero_O: Tensor) -> Tensor:
    return torch.ops.onednn.qlinear_pointwise(
        steps_NI, 1.0 / LARGEST, ZERO, packed, scale_O, zero_O, None, 1.0, 0, torch.float32, "none", [], ""
    )


def check_int8(model: nn.Module, device: torch.device) -> None:
    """Refuse int8 weights where they are not supported, or would be emulated.

    Raises:
        InputError: Another system, another device, a language model that is not in float32, or a CPU without VNNI.
    """
    if not isinstance(model, LimssrModel):
        raise InputError("Int8 weights are the language model's, and this system has none: leave --int8 out.")
    if device.type != "cpu":
        raise InputError(
            f"Int8 weights are for scoring on a CPU, found device {device}: use --device cpu, or leave --int8 out."
        )
    if model.config.backbone.dtype != "float32":
        raise InputError(
            f"Int8 weights are made from float32 ones, found model.backbone.dtype {model.config.backbone.dtype}: "
            "leave --int8 out."
        )
    if not (hasattr(torch.ops.onednn, "qlinear_pointwise") and cpu_flags() & NATIVE):
        raise InputError(
            "Expected a CPU with AVX512_VNNI or AVX_VNNI and a torch that multiplies int8 with it, found none: "
            "float32 is faster here; leave --int8 out."
        )


def use_int8(model: nn.Module) -> int:
    """Round the frozen linear maps of a model's language model to int8, in place; from then on it only scores.

    Args:
        model: LIMSSR, on the CPU.

    Returns:
        How many maps were rounded.

    Raises:
        InputError: See `check_int8`.
    """
    check_int8(model, next(model.parameters()).device)
    assert isinstance(model, LimssrModel)  # `check_int8` refuses others
    inputs, rounded = LastRounded(), 0
    for parent in list(model.backbone.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and not child.weight.requires_grad:
                setattr(parent, name, Int8Linear(child, inputs))
                rounded += 1
    model.reader.forget()
    return rounded


def is_int8(model: nn.Module) -> bool:
    """Whether `use_int8` has changed a model."""
    return any(isinstance(module, Int8Linear) for module in model.modules())
