"""Layers of Llama and its relatives for a few tokens at a time, with weights laid out once for that.

What a new segment costs is not arithmetic but reading every weight once, and starting every operation. So queries, keys
and values are one product, as gate and up are; adapters are added to the weights they change; weights lie in the order
in which oneDNN reads them; keys and values are written to where they stay. Weights are copied: later changes of the
model are not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu

from limssr.model.reading.growing import Growth, KeptKeys
from limssr.model.reading.laid_out import Map, side_by_side

FAMILIES = frozenset({"llama", "mistral", "qwen2", "qwen3"})
"""Their layers: norm, attention with rotary positions, norm, gated feed-forward."""


def why_not_llama(backbone: nn.Module) -> str | None:
    """Why a backbone's layers are not these; None where they are."""
    model: Any = backbone
    config = model.config
    weight = next(backbone.parameters())
    if config.model_type not in FAMILIES or getattr(config, "hidden_act", None) != "silu":
        return f"layers of the family {config.model_type}"
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return "not in float32 on a CPU"
    if getattr(config, "sliding_window", None):
        return "attention that looks back only so far"
    return None


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """One layer.

    Attributes:
        queries_keys_values: Side by side.
        norms: Weights of the norm of each head of queries and keys [heads, d], and its eps; None: there is none.
        output: Of attention.
        gate_up: Side by side.
        down: Of the feed-forward.
        before, between: Weights of the norms before attention and before the feed-forward, and their eps.
        scaling: Of attention.
    """

    queries_keys_values: Map
    norms: tuple[Tensor, float] | None
    output: Map
    gate_up: Map
    down: Map
    before: tuple[Tensor, float]
    between: tuple[Tensor, float]
    scaling: float


class LlamaLayers:
    """Reads new tokens of several sequences in one pass.

    Args:
        backbone: One of which `why_not_llama` says nothing, in evaluation mode.
    """

    def __init__(self, backbone: nn.Module) -> None:
        model: Any = backbone
        config = model.config
        self._rotary = model.rotary_emb
        self._heads, self._key_heads = config.num_attention_heads, config.num_key_value_heads
        self._width = getattr(config, "head_dim", None) or config.hidden_size // self._heads
        self._layers = [_layer(one, self._heads, self._key_heads) for one in model.layers]
        self._last = _norm(model.norm)

    @torch.inference_mode()
    def read(self, row_NH: Tensor, position_N: Tensor, growths: Sequence[Growth]) -> Tensor:
        """Hidden states after the last norm [N, H].

        Args:
            row_NH: New tokens and tail of each sequence, one sequence after the other.
            position_N: Where each stands in its sequence.
            growths: The sequences. Keys and values of what is read now stand behind those that are kept.
        """
        for one in growths:
            end = one.kept.length + one.num_read
            for layer in range(len(self._layers)):
                one.kept.make_room(layer, end, self._key_heads, self._width)
        cosine, sine = (x[0, :, None] for x in self._rotary(row_NH[None], position_N[None]))
        half = self._width // 2
        turn = (cosine, torch.cat([-sine[..., :half], sine[..., half:]], dim=-1))
        spans = _spans(growths)
        x = row_NH
        for number, layer in enumerate(self._layers):
            x = x + layer.output(self._attended(layer, number, _normed(x, layer.before), turn, spans))
            gate, up = layer.gate_up(_normed(x, layer.between)).chunk(2, dim=1)
            x = x + layer.down(silu(gate) * up)
        return _normed(x, self._last)

    def _attended(
        self, layer: _Layer, number: int, x: Tensor, turn: tuple[Tensor, Tensor], spans: Sequence["_Span"]
    ) -> Tensor:
        """[N, H] -> [N, heads * d]: every sequence attends to what it has kept and, causally, to what is new."""
        all_NWd = layer.queries_keys_values(x).view(len(x), -1, self._width)
        turning = self._heads + self._key_heads
        to_turn, value = all_NWd[:, :turning], all_NWd[:, turning:]
        if layer.norms is not None:
            weight, eps = layer.norms
            to_turn = rms_norm(to_turn, (self._width,), None, eps) * weight
        turned = torch.addcmul(to_turn * turn[0], to_turn.roll(self._width // 2, dims=-1), turn[1])
        query, key = turned[:, : self._heads].transpose(0, 1), turned[:, self._heads :].transpose(0, 1)
        value = value.transpose(0, 1)
        found = []
        for span in spans:
            keys, values = span.kept.layers[number]
            keys[0, :, span.kept.length : span.end] = key[:, span.rows]
            values[0, :, span.kept.length : span.end] = value[:, span.rows]
            answer = scaled_dot_product_attention(
                query[None, :, span.rows], keys[:, :, : span.end], values[:, :, : span.end],
                attn_mask=span.seen, scale=layer.scaling, enable_gqa=self._heads != self._key_heads,
            )  # fmt: skip
            found.append(answer[0].transpose(0, 1).flatten(1))
        return found[0] if len(found) == 1 else torch.cat(found)


@dataclass(frozen=True)
class _Span:
    """Where one sequence stands in the row, how many keys it sees, and which of them each query sees."""

    kept: KeptKeys
    rows: slice
    end: int
    seen: Tensor


def _spans(growths: Sequence[Growth]) -> list[_Span]:
    found, first = [], 0
    for one in growths:
        end = one.kept.length + one.num_read
        later = torch.ones(one.num_read, end, dtype=torch.bool).triu_(one.kept.length + 1)
        seen = torch.zeros(one.num_read, end).masked_fill_(later, -torch.inf)
        found.append(_Span(one.kept, slice(first, first + one.num_read), end, seen))
        first += one.num_read
    return found


def _layer(layer: Any, heads: int, key_heads: int) -> _Layer:
    attention, forward = layer.self_attn, layer.mlp
    norms = None
    if getattr(attention, "q_norm", None) is not None:
        (query, eps), (key, _) = _norm(attention.q_norm), _norm(attention.k_norm)
        norms = (torch.cat([query.expand(heads, -1), key.expand(key_heads, -1)]), eps)
    return _Layer(
        queries_keys_values=side_by_side(attention.q_proj, attention.k_proj, attention.v_proj),
        norms=norms,
        output=side_by_side(attention.o_proj),
        gate_up=side_by_side(forward.gate_proj, forward.up_proj),
        down=side_by_side(forward.down_proj),
        before=_norm(layer.input_layernorm),
        between=_norm(layer.post_attention_layernorm),
        scaling=attention.scaling,
    )


def _norm(module: Any) -> tuple[Tensor, float]:
    return module.weight.detach(), module.variance_epsilon


def _normed(x: Tensor, norm: tuple[Tensor, float]) -> Tensor:
    return rms_norm(x, norm[0].shape, norm[0], norm[1])
