"""What a language model has to be so that a score depends on the recording alone: causal, with positions of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from limssr.core.errors import InputError

LENGTH, KEPT = 9, 6
"""Of the sequence that is tried, and of its beginning, whose states must not depend on the rest."""
SAME = 1e-5
"""Relative difference of states that ought to be the same bits."""
CLOSE = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.02}
"""The same for sequences of different lengths, which kernels may add up in another order."""
LENGTH_DEPENDENT = ("dynamic", "longrope")
"""Kinds of rotary positions that change with the longest sequence of a batch, beyond the length of their training."""


@dataclass(frozen=True)
class PositionLimit:
    """The longest sequence whose positions mean what they mean in a shorter one.

    Attributes:
        length: Of it.
        reason: What is different beyond.
    """

    length: int
    reason: str

    def check(self, longest: int) -> None:
        """Refuse a longer sequence.

        Raises:
            InputError: What makes it shorter.
        """
        if longest > self.length:
            raise InputError(
                f"Expected sequences of at most {self.length} positions (beyond, {self.reason}), found one of "
                f"{longest}: crop performances with data.num_segments, lower model.words.limit, take "
                "model.num_missing_tokens=1, or another backbone."
            )


def position_limit(model: nn.Module) -> PositionLimit | None:
    """How long a sequence the language model can read as it reads short ones; None: any.

    Args:
        model: Headless, without its embedding layer.
    """
    settings: Any = model.config
    longest = vars(settings).get("max_position_embeddings") or vars(settings).get("n_positions")
    if longest is None:
        return None
    for kind, original in _rotary(settings):
        if kind in LENGTH_DEPENDENT:
            length = int(original or longest)
            return PositionLimit(length, f"its rotary positions ({kind}) change with the longest sequence of a batch")
    # Some families leave a few rows of their table free in front.
    if any(longest <= len(table) <= longest + 2 for table in _tables(model)):
        return PositionLimit(int(longest), "its table of positions ends")
    return None


@torch.no_grad()
def check_causal(model: nn.Module, name: str) -> None:
    """Refuse a language model in which a state depends on what stands behind it.

    Args:
        model: Headless, on the CPU.
        name: As the recipe has it.

    Raises:
        InputError: It is not causal, or does not read sequences of embeddings at all.
    """
    weight = next(model.parameters())
    if weight.is_meta:
        return
    settings: Any = model.config
    if settings.is_encoder_decoder:
        raise _refused(name, settings, "it is an encoder and a decoder, and reads two sequences")
    generator = torch.Generator().manual_seed(0)
    width = model.get_input_embeddings().weight.shape[1]  # type: ignore[operator]
    whole, other = (torch.randn(1, LENGTH, width, generator=generator).to(weight.dtype) for _ in range(2))
    other[:, :KEPT] = whole[:, :KEPT]
    try:
        states, changed, shorter = (_states(model, x)[:, :KEPT] for x in (whole, other, whole[:, :KEPT]))
    except Exception as error:
        raise _refused(name, settings, f"it does not read embeddings ({type(error).__name__}: {error})") from error
    size = states.abs().max()
    apart, apart_shorter = ((x - states).abs().max() / size for x in (changed, shorter))
    if not (apart <= SAME and apart_shorter <= CLOSE[weight.dtype]):
        raise _refused(
            name,
            settings,
            f"a token sees what stands behind it (its state changes by {max(apart, apart_shorter):.1%}), so that "
            "padding and the other samples of a batch would move the scores",
        )


def _refused(name: str, settings: Any, reason: str) -> InputError:
    return InputError(
        f"Expected a causal language model in {name}, found one of the family {settings.model_type!r}: {reason}. Take "
        "a decoder, such as smollm2-135m or qwen3-0.6b."
    )


def _states(model: nn.Module, inputs_BLH: Tensor) -> Tensor:
    was_training = model.training
    try:
        return model.eval()(inputs_embeds=inputs_BLH, use_cache=False).last_hidden_state
    finally:
        model.train(was_training)


def _rotary(settings: Any) -> Iterator[tuple[str, int | None]]:
    """Kind of every set of rotary positions, and the length that it was trained on, where it says so."""
    found = vars(settings).get("rope_parameters") or vars(settings).get("rope_scaling") or {}
    sets = (
        [found] if "rope_type" in found or "type" in found else [one for one in found.values() if isinstance(one, dict)]
    )
    original = vars(settings).get("original_max_position_embeddings")
    for one in sets:
        yield one.get("rope_type") or one.get("type") or "", one.get("original_max_position_embeddings") or original


def _tables(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            yield module.weight
        # a causal mask of the same length is as wide as it is long
        yield from (x for x in module.buffers(recurse=False) if x.ndim == 2 and x.shape[0] != x.shape[1])
