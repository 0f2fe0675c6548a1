"""A stream or a sequence read in both directions by a small transformer: shared by several systems."""

import math

import torch
from torch import Tensor, nn

from limssr.core.errors import InputError

FEEDFORWARD_RATIO = 4


def num_heads_of(hidden: int, wanted: int = 4) -> int:
    """The largest number of attention heads up to `wanted` that divides a width."""
    return max(heads for heads in range(1, wanted + 1) if hidden % heads == 0)


def sine_positions(length: int, width: int, like: Tensor) -> Tensor:
    """[length, width]: sines and cosines of geometrically spaced frequencies, on the device and dtype of `like`."""
    places_T1 = torch.arange(length, device=like.device, dtype=torch.float32)[:, None]
    half = (width + 1) // 2
    frequencies_F = 10_000.0 ** (-torch.arange(half, device=like.device, dtype=torch.float32) / max(half, 1))
    angles_TF = places_T1 * frequencies_F
    return torch.stack([angles_TF.sin(), angles_TF.cos()], dim=2).flatten(1)[:, :width].to(like.dtype)


class BidirectionalEncoder(nn.Module):
    """Transformer layers (norm first) and a last norm, over the places that are real.

    Args:
        hidden: H.
        num_layers: Of self-attention and MLP.
        num_heads: Of the attention; must divide H.
        dropout: Everywhere in a layer.
    """

    def __init__(self, hidden: int, num_layers: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        if hidden % num_heads:
            raise InputError(f"Expected a width that {num_heads} attention heads divide, found {hidden}: change one.")
        layer = nn.TransformerEncoderLayer(
            hidden,
            num_heads,
            dim_feedforward=FEEDFORWARD_RATIO * hidden,
            dropout=dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(layer, num_layers, nn.LayerNorm(hidden), enable_nested_tensor=False)
        for parameter in self.layers.parameters():  # copies of one layer start alike: draw each anew
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, x_BLH: Tensor, real_BL: Tensor) -> Tensor:
        """[B, L, H] -> [B, L, H], positions added; zeros where nothing is real."""
        # a row without any real place would make softmax 0 / 0: it attends to its zeros, and is zero again below
        ignored_BL = ~real_BL & real_BL.any(dim=1, keepdim=True)
        clean_BLH = x_BLH.masked_fill(~real_BL[..., None], 0.0)
        placed_BLH = clean_BLH + sine_positions(x_BLH.shape[1], x_BLH.shape[2], clean_BLH)
        return self.layers(placed_BLH, src_key_padding_mask=ignored_BL).masked_fill(~real_BL[..., None], 0.0)


class StreamEncoder(nn.Module):
    """One stream's features to a sequence of width H: a linear map, positions, a bidirectional transformer.

    Args:
        dim: D of the stream.
        hidden: H.
        num_layers: Of the transformer.
        dropout: After the map and in the layers.
    """

    def __init__(self, dim: int, hidden: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(dim, hidden), nn.LayerNorm(hidden), nn.Dropout(dropout))
        self.encode = BidirectionalEncoder(hidden, num_layers, num_heads_of(hidden), dropout)

    def forward(self, x_BTD: Tensor, valid_BT: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, H], zeros where nothing is valid."""
        return self.encode(self.project(x_BTD), valid_BT)


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
