"""Multiply-accumulates of both sides, and with them the largest ratio that skipping work alone can give.

Rules, the same as in `limssr describe`: a linear map costs its weights once a position. A training step adds for every
frozen map its input's gradient (once more), for a trained one also its own gradient (twice more). The published
vocabulary logits are computed forwards only, since no gradient comes back through them. Attention products are counted
over every pair of a query and a key of its sequence. Norms, activations, softmax and the optimizer are not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import nn

from limssr.model.limssr import LimssrModel, num_special_tokens

Prompt = Literal["per_sample", "shared", "cached"]
"""Whether a prompt is read once a sample, once a batch and pattern, or not at all."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What the counts depend on.

    Attributes:
        frozen: Weights of the backbone's linear maps without adapters.
        adapters: Weights of its adapters.
        attention: Multiply-accumulates of the attention products for one query and one key, all layers together.
        logits: Weights of the published output matrix: rows of the table times H.
        segment: Linear weights that one segment of one stream passes, mean over streams.
        head: Linear weights behind the backbone.
        modalities: M.
        special: Positions of boundaries and fusion tokens.
        prompt: Tokens of the prompt with all streams.
    """

    frozen: int
    adapters: int
    attention: int
    logits: int
    segment: int
    head: int
    modalities: int
    special: int
    prompt: int

    def body(self, num_segments: int) -> int:
        """Positions behind the prompt of a sample with all streams and T segments (`limssr.model.layout`)."""
        return self.modalities * num_segments + self.special


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates of a piece of work.

    Attributes:
        maps: Of the language model's linear maps, vocabulary logits included where they are computed.
        attention: Of its attention products.
        around: Of projections and head.
    """

    maps: float
    attention: float
    around: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.maps + self.attention + self.around

    def __add__(self, other: "Macs") -> "Macs":
        return Macs(self.maps + other.maps, self.attention + other.attention, self.around + other.around)


NOTHING = Macs(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Limit:
    """The largest ratio that doing less arithmetic can give.

    Attributes:
        maps: By the language model's linear maps alone, as the targets are worked out.
        everything: With attention products, projections and head.
    """

    maps: float
    everything: float


def measure_sizes(model: LimssrModel, *, vocabulary: int, prompt_tokens: int) -> Sizes:
    """Read the sizes off a model (a meta device is enough).

    Args:
        model: Ours.
        vocabulary: Entries of the tokenizer.
        prompt_tokens: Tokens of the prompt with all streams.
    """
    settings: Any = model.backbone.config
    linear = {name: layer.weight.numel() for name, layer in _linear_layers(model.backbone)}
    adapters = sum(count for name, count in linear.items() if "lora_" in name)
    num_modalities = len(model.modalities)
    num_special, full = num_special_tokens(model.config, num_modalities), (True,) * num_modalities
    head_dim = getattr(settings, "head_dim", None) or settings.hidden_size // settings.num_attention_heads
    return Sizes(
        frozen=sum(linear.values()) - adapters,
        adapters=adapters,
        attention=2 * settings.num_hidden_layers * settings.num_attention_heads * head_dim,
        logits=(vocabulary + num_special) * settings.hidden_size,
        segment=sum(layer.weight.numel() for _, layer in _linear_layers(model.projections)) // num_modalities,
        head=sum(layer.weight.numel() for _, layer in _linear_layers(model.head)),
        modalities=num_modalities,
        special=model.sequence_length(full, 1) - len(model.tokens.rows.prompts[full]) - num_modalities,
        prompt=prompt_tokens,
    )


def forward_macs(
    sizes: Sizes,
    lengths: Sequence[int],
    *,
    prompt: Prompt,
    num_prompts: int = 1,
    logits: Literal["computed", "left_out"] = "left_out",
) -> Macs:
    """Scoring samples of T = `lengths` segments, all streams laid out (absent ones as T placeholders).

    Args:
        sizes: Of the model.
        lengths: T of each sample.
        prompt: Whether the prompt is read once a sample, `num_prompts` times in all ("shared"), or never ("cached").
        num_prompts: Different prompts that are read, under "shared".
        logits: Whether vocabulary logits are computed.
    """
    bodies = [sizes.body(length) for length in lengths]
    reads = {"per_sample": len(bodies), "shared": num_prompts, "cached": 0}[prompt]
    positions = sum(bodies) + reads * sizes.prompt
    # every position of a body may look at the prompt and at its whole sequence
    pairs = sum(body * (body + sizes.prompt) for body in bodies) + reads * sizes.prompt**2
    if prompt == "per_sample":
        pairs = sum((body + sizes.prompt) ** 2 for body in bodies)
    weights = sizes.frozen + sizes.adapters + (sizes.logits if logits == "computed" else 0)
    around = sizes.segment * sizes.modalities * sum(lengths) + sizes.head * len(lengths)
    return Macs(float(positions * weights), float(pairs * sizes.attention), float(around))


def training_macs(
    sizes: Sizes,
    lengths: Sequence[int],
    *,
    prompt: Prompt,
    num_prompts: int = 1,
    logits: Literal["computed", "left_out"] = "left_out",
) -> Macs:
    """One step forwards and backwards; arguments as in `forward_macs`."""
    forward = forward_macs(sizes, lengths, prompt=prompt, num_prompts=num_prompts, logits=logits)
    headless = forward_macs(sizes, lengths, prompt=prompt, num_prompts=num_prompts)
    # gradients of inputs through frozen maps and adapters, gradients of the adapters themselves
    doubled = replace(sizes, adapters=2 * sizes.adapters)
    backward = forward_macs(doubled, lengths, prompt=prompt, num_prompts=num_prompts)
    return Macs(forward.maps + backward.maps, 3 * headless.attention, 3 * headless.around)


def limit(literal: Macs, ours: Macs) -> Limit:
    """Literal over ours."""
    return Limit(literal.maps / ours.maps, literal.total / ours.total)


def _linear_layers(module: nn.Module) -> list[tuple[str, nn.Linear]]:
    return [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Linear)]
