"""Transformer layers in which one sequence looks at another, and a network of them over all pairs of streams (MulT)."""

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

MIN_MEMORY_LAYERS = 3


def heads_of(width: int, wanted: int) -> int:
    """The largest number of heads up to `wanted` that divides a width."""
    return max(n for n in range(1, min(width, wanted) + 1) if width % n == 0)


@functools.lru_cache(maxsize=64)
def positions_TE(num_steps: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Sines and cosines of the place in time, [T, E]; a column of zeros completes an odd width."""
    with torch.inference_mode(mode=False), torch.no_grad():  # what is remembered must serve training too
        half = width // 2
        rates = torch.exp(torch.arange(half, device=device) * (-math.log(10_000.0) / max(1, half - 1)))
        angles = torch.arange(num_steps, device=device)[:, None] * rates[None]
        return functional.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, width - 2 * half)).to(dtype)


class CrossLayer(nn.Module):
    """Attention from a sequence to another, or to itself, and an MLP; norms before, residual.

    Args:
        width: E.
        heads: At most this many.
        dropout: After each part and inside the MLP.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.heads, self.width = heads_of(width, heads), width
        self.inputs = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.inputs.weight)
        nn.init.zeros_(self.inputs.bias)
        nn.init.zeros_(self.output.bias)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTE: Tensor, source_BSE: Tensor | None, real_BS: Tensor) -> Tensor:
        """[B, T, E] looks at real places of [B, S, E], None: of itself -> [B, T, E]."""
        normed = self.norm(x_BTE)
        source = normed if source_BSE is None else self.norm(source_BSE)
        x_BTE = x_BTE + self.dropout(self.output(self._heard(normed, source, real_BS)))
        return x_BTE + self.dropout(self.mlp(self.mlp_norm(x_BTE)))

    def _heard(self, x_BTE: Tensor, source_BSE: Tensor, real_BS: Tensor) -> Tensor:
        width, weight, bias = self.width, self.inputs.weight, self.inputs.bias
        query = functional.linear(x_BTE, weight[:width], bias[:width])
        key, value = functional.linear(source_BSE, weight[width:], bias[width:]).chunk(2, dim=2)
        query, key, value = (y.unflatten(2, (self.heads, -1)).transpose(1, 2) for y in (query, key, value))
        rate = self.dropout.p if self.training else 0.0
        heard = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=real_BS[:, None, None], dropout_p=rate
        )
        return heard.transpose(1, 2).flatten(2)


class CrossStack(nn.Module):
    """Layers one on the other, with positions in time at the beginning and a norm at the end.

    Args:
        width: E.
        num_layers: Of them.
        heads: At most this many.
        dropout: As in the layers, and of the input.
    """

    def __init__(self, width: int, num_layers: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CrossLayer(width, heads, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTE: Tensor, source_BSE: Tensor | None, real_BS: Tensor) -> Tensor:
        """[B, T, E] looks at the real places of [B, S, E], None: of itself -> [B, T, E]."""
        x_BTE = self._placed(x_BTE)
        source_BSE = None if source_BSE is None else self._placed(source_BSE)
        for layer in self.layers:
            x_BTE = layer(x_BTE, source_BSE, real_BS)
        return self.norm(x_BTE)

    def _placed(self, x_BTE: Tensor) -> Tensor:
        num_steps, width = x_BTE.shape[1:]
        places_TE = positions_TE(num_steps, width, x_BTE.device, x_BTE.dtype)
        return self.dropout(math.sqrt(width) * x_BTE + places_TE)


class CrossModalFusion(nn.Module):
    """Every stream looks at every other, then at itself; its last segment stands for it.

    Args:
        num_modalities: M. One stream alone only looks at itself.
        width: E of every stream.
        num_layers: Of each pair; the stacks that follow have at least three.
        heads: At most this many.
        dropout: Everywhere.
    """

    def __init__(self, num_modalities: int, width: int, num_layers: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        others = max(1, num_modalities - 1)
        self.num_outputs = num_modalities * others * width
        options = {"heads": heads, "dropout": dropout}
        self.pairs = nn.ModuleList(
            nn.ModuleList(CrossStack(width, num_layers, **options) for _ in range(num_modalities - 1))
            for _ in range(num_modalities)
        )
        depth = max(num_layers, MIN_MEMORY_LAYERS)
        self.memories = nn.ModuleList(CrossStack(others * width, depth, **options) for _ in range(num_modalities))
        self.mlp = nn.Sequential(
            nn.Linear(self.num_outputs, self.num_outputs),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(self.num_outputs, self.num_outputs),
        )

    def forward(self, streams: Sequence[Tensor], real_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """M streams [B, T, E], real places, lengths -> [B, M (M - 1) E]."""
        rows_B, last = torch.arange(len(real_BT), device=real_BT.device), []
        for index, (pairs, memory) in enumerate(zip(self.pairs, self.memories, strict=True)):
            others = [stream for other, stream in enumerate(streams) if other != index]
            heard = [pair(streams[index], other, real_BT) for pair, other in zip(pairs, others, strict=True)]  # type: ignore[arg-type]
            joined = torch.cat(heard, dim=2) if heard else streams[index]
            last.append(memory(joined, None, real_BT)[rows_B, lengths_B - 1])
        fused_BF = torch.cat(last, dim=1)
        return fused_BF + self.mlp(fused_BF)
