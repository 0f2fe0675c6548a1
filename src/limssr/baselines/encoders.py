"""A stream or a sequence read in both directions by a small transformer: shared by several systems."""

import torch
from torch import Tensor, nn

from limssr.errors import InputError

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
