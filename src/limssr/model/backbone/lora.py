"""Low-rank adapters for the backbone, and a dropout whose draws are cheap on a CPU."""

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from limssr.core.config import LoraConfig
from limssr.core.errors import InputError


def add_lora(model: nn.Module, config: LoraConfig, *, dropout: Literal["cheap", "torch"] = "cheap") -> None:
    """Freeze the backbone and add trainable adapters in place, with our cheap dropout or with that of torch.

    Weights, their names and their first values are those that the package peft gives (a test compares them). It is not
    used, as importing it takes a second, which every scoring would pay.

    Raises:
        InputError: A target that no linear map of the backbone is called by, or that is none.
    """
    model.requires_grad_(False)
    found = [(name, child) for name, child in model.named_modules() if name.rpartition(".")[2] in config.targets]
    other = [name for name, child in found if not (isinstance(child, nn.Linear) or _is_transposed(child))]
    missing = set(config.targets) - {name.rpartition(".")[2] for name, _ in found}
    if other or not found:
        wrong = f"{other[0]} is no linear map" if other else f"it has no {', '.join(sorted(missing))}"
        raise InputError(f"LoRA targets {list(config.targets)} do not fit this backbone: {wrong}.")
    for name, child in found:
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, Adapted(child, config))
    if dropout == "cheap":
        draw_cheaply(model)


class Adapted(nn.Module):
    """A frozen linear map and a trainable map of low rank beside it, which begins at zero.

    Args:
        base_layer: The frozen map.
        config: Rank, scale and dropout.
    """

    def __init__(self, base_layer: nn.Module, config: LoraConfig) -> None:
        super().__init__()
        weight: Tensor = base_layer.weight  # type: ignore[assignment]
        shape = weight.shape if _is_transposed(base_layer) else weight.shape[::-1]
        self.base_layer = base_layer
        self.scale = config.alpha / config.rank
        self.lora_dropout = _named(nn.Dropout(config.dropout) if config.dropout else nn.Identity())
        self.lora_A = _named(nn.Linear(shape[0], config.rank, bias=False))
        self.lora_B = _named(nn.Linear(config.rank, shape[1], bias=False))
        nn.init.kaiming_uniform_(self.lora_A["default"].weight, a=math.sqrt(5))  # pyright: ignore[reportArgumentType]
        nn.init.zeros_(self.lora_B["default"].weight)  # pyright: ignore[reportArgumentType]
        for adapter in (self.lora_A, self.lora_B):
            adapter.to(weight.device, weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        result = self.base_layer(x)
        down, up, dropout = self.lora_A["default"], self.lora_B["default"], self.lora_dropout["default"]
        weight: Tensor = down.weight  # type: ignore[assignment]
        added = up(down(dropout(x.to(weight.dtype)))) * self.scale
        return (result + added).to(result.dtype)


def _named(module: nn.Module) -> nn.ModuleDict:
    return nn.ModuleDict({"default": module})


def _is_transposed(module: nn.Module) -> bool:
    """Whether a module is the linear map of GPT-2, whose weight is [in, out]."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")


STEPS = 2**16


NUMBERS_A_DRAW = 4


@dataclass(frozen=True)
class RowDraws:
    """The masks of one row of tokens.

    Attributes:
        seed: Of everything that is drawn for a batch.
        parts: Number of each sequence in the batch, and its tokens, in the order of the row.
        rows: The tokens that are there, of the whole row; None: all.
    """

    seed: int
    parts: tuple[tuple[int, int], ...]
    rows: Tensor | None = None

    def selected(self, rows: Tensor) -> "RowDraws":
        """The masks of some tokens."""
        return replace(self, rows=rows)

    def draw(self, place: int, width: int, device: torch.device) -> Tensor:
        """Sixteen random bits for each number of the row [N, width], int16; `place` tells a model's masks apart."""
        columns = -(-width // NUMBERS_A_DRAW)
        drawn = torch.empty(sum(count for _, count in self.parts), columns, dtype=torch.int64, device=device)
        generator, first = torch.Generator(device), 0
        for number, count in self.parts:
            generator.manual_seed(_mixed(self.seed, place, number))
            drawn[first : first + count].random_(-(2**63), None, generator=generator)
            first += count
        drawn = drawn if self.rows is None else drawn.index_select(0, self.rows)
        return drawn.view(torch.int16)[:, :width]


@dataclass
class CurrentDraws:
    """Of the row that a model is reading now, shared by its dropouts; None: from torch's global generator."""

    now: RowDraws | None = None


@dataclass(frozen=True)
class _Place:
    """Which of a model's dropouts one is."""

    number: int = 0
    current: CurrentDraws = field(default_factory=CurrentDraws)


class CheapDropout(nn.Dropout):
    """As `nn.Dropout`, with other random numbers than torch would draw."""

    def __init__(self, p: float, place: _Place | None = None) -> None:
        super().__init__(p)
        self.place = place or _Place()

    def forward(self, input: Tensor) -> Tensor:
        """[..., width] -> the same."""
        draws = self.place.current.now
        if not self.training or self.p == 0.0 or (draws is None and input.device.type != "cpu"):
            return super().forward(input)
        steps = round(self.p * STEPS)
        if draws is None:
            return _Dropped.apply(input, drawn_mask(input.shape, steps), steps)
        drawn = draws.draw(self.place.number, input.shape[-1], input.device)
        return _Dropped.apply(input, _stays(drawn, steps).view(input.shape), steps)


class _Dropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stays: Tensor, steps: int) -> Tensor:
        ctx.save_for_backward(stays)
        ctx.scale = STEPS / (STEPS - steps)
        return _masked(x, stays, ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (stays,) = ctx.saved_tensors
        return _masked(gradients[0], stays, ctx.scale), None, None


def drawn_mask(shape: torch.Size, steps: int) -> Tensor:
    """int8: 0 with probability `steps` / 65536, else 1; from torch's global generator on the CPU."""
    number = shape.numel()
    drawn = torch.empty(-(-number // NUMBERS_A_DRAW), dtype=torch.int64).random_(-(2**63), None)
    return _stays(drawn.view(torch.int16)[:number], steps).view(shape)


def draw_cheaply(model: nn.Module) -> None:
    """Replace the dropout of a model's adapters in place."""
    parents = [module for name, module in model.named_modules() if name.endswith("lora_dropout")]
    found = [(parent, name, child) for parent in parents for name, child in parent.named_children()]
    current = CurrentDraws()
    for number, (parent, name, child) in enumerate(found):
        if type(child) is nn.Dropout:
            setattr(parent, name, CheapDropout(child.p, _Place(number, current)))


def current_draws(model: nn.Module) -> CurrentDraws | None:
    """What the dropouts of a model share; None where it has none of ours."""
    modules = model.modules()
    return next((module.place.current for module in modules if isinstance(module, CheapDropout)), None)


def _stays(drawn: Tensor, steps: int) -> Tensor:
    return (drawn >= steps - STEPS // 2).view(torch.int8)


def _masked(x: Tensor, stays: Tensor, scale: float) -> Tensor:
    return stays.to(x.dtype).mul_(x).mul_(scale)


def _mixed(seed: int, place: int, number: int) -> int:
    """One seed of 63 bits out of three numbers; neighbours end far apart."""
    mixed = seed
    for part in (place, number):
        mixed = ((mixed ^ (part + 2**32)) * 0x9E3779B97F4A7C15) % 2**64
        mixed ^= mixed >> 29
    return mixed >> 1
