"""The trunk of the GDLT family: a transformer encoder over time, and learned queries that read it into slots."""

import math

import torch
from torch import Tensor, nn

from limssr.errors import InputError

FEED_FORWARD_RATIO = 3


def sinusoidal_positions(length: int, width: int) -> Tensor:
    """[length, width]: sines in the even columns, cosines in the odd ones, wavelengths from 2 pi to 20000 pi."""
    position_L1 = torch.arange(length, dtype=torch.float32)[:, None]
    wavelength_W = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    table = torch.zeros(length, width)
    table[:, 0::2] = torch.sin(position_L1 * wavelength_W)
    table[:, 1::2] = torch.cos(position_L1 * wavelength_W)[:, : width // 2]
    return table


class TimeEncoder(nn.Module):
    """A transformer over the segments of one stream, norm after each part and once at the end.

    It knows no positions, as in the public code: it reads a bag of segments.

    Args:
        hidden: H.
        num_heads: Of the attention.
        num_layers: How many.
        dropout: Inside.
    """

    def __init__(self, hidden: int, *, num_heads: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        _check_heads(hidden, num_heads)
        layer = nn.TransformerEncoderLayer(hidden, num_heads, FEED_FORWARD_RATIO * hidden, dropout, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, num_layers, nn.LayerNorm(hidden), enable_nested_tensor=False)
        _draw_anew(self)

    def forward(self, x_NTH: Tensor, real_NT: Tensor) -> Tensor:
        """[N, T, H], each row with a real segment -> [N, T, H], zeros where nothing is real."""
        return self.layers(x_NTH, src_key_padding_mask=~real_NT).masked_fill(~real_NT[..., None], 0.0)


class QueryDecoder(nn.Module):
    """Q learned queries read a sequence, over several layers -> Q slots.

    Args:
        hidden: H.
        num_queries: Q.
        num_heads: Of the attention.
        num_layers: How many.
        dropout: Inside.
        positions: Whether sinusoidal positions are added to the queries.
    """

    def __init__(
        self,
        hidden: int,
        *,
        num_queries: int,
        num_heads: int,
        num_layers: int,
        dropout: float,
        positions: bool = False,
    ) -> None:
        super().__init__()
        _check_heads(hidden, num_heads)
        layer = nn.TransformerDecoderLayer(hidden, num_heads, FEED_FORWARD_RATIO * hidden, dropout, batch_first=True)
        self.layers = nn.TransformerDecoder(layer, num_layers, nn.LayerNorm(hidden))
        _draw_anew(self)
        self.prototypes_QH = nn.Parameter(torch.randn(num_queries, hidden))
        added_QH = sinusoidal_positions(num_queries, hidden) if positions else torch.zeros(num_queries, hidden)
        self.register_buffer("positions_QH", added_QH, persistent=False)

    def forward(self, memory_NTH: Tensor, real_NT: Tensor) -> Tensor:
        """[N, T, H], each row with a real segment -> slots [N, Q, H]."""
        queries_QH = self.prototypes_QH + self.get_buffer("positions_QH")
        queries_NQH = queries_QH.expand(len(memory_NTH), -1, -1)
        return self.layers(queries_NQH, memory_NTH, memory_key_padding_mask=~real_NT)


def _check_heads(hidden: int, num_heads: int) -> None:
    if hidden % num_heads:
        raise InputError(
            f"Expected a width that {num_heads} attention heads divide, found model.hidden = {hidden}: "
            "change model.hidden or the heads in model.options."
        )


def _draw_anew(module: nn.Module) -> None:
    """Stacked layers are copies of one: give each weights of its own."""
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)
