"""Recurrent layers in both directions that end where each sample ends, so that padding does not exist for them."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

CELLS: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


class BothDirections(nn.Module):
    """Recurrent layers, forward and backward in time.

    Args:
        width: Of the input.
        hidden: H of each direction.
        cell: LSTM or GRU.
        num_layers: One on the other.
        dropout: Between the layers.
    """

    def __init__(
        self, width: int, hidden: int, *, cell: Literal["lstm", "gru"], num_layers: int, dropout: float
    ) -> None:
        super().__init__()
        between = dropout if num_layers > 1 else 0.0
        self.layers = CELLS[cell](
            width, hidden, num_layers=num_layers, bidirectional=True, dropout=between, batch_first=True
        )

    def forward(self, x_BTW: Tensor, lengths_B: Tensor) -> Tensor:
        """[B, T, W] and lengths on the CPU, each at least 1 -> [B, T, 2 H], zeros behind the end of a sample."""
        if len(lengths_B) and int(lengths_B.min()) == x_BTW.shape[1]:
            return self.layers(x_BTW)[0]  # the same without packing, which takes longer than the layers
        packed = pack_padded_sequence(x_BTW, lengths_B, batch_first=True, enforce_sorted=False)
        found, _ = self.layers(packed)
        return pad_packed_sequence(found, batch_first=True, total_length=x_BTW.shape[1])[0]


def real_steps(lengths_B: Tensor, num_segments: int) -> Tensor:
    """[B, T]: True before the end of a sample, whatever is valid there."""
    return torch.arange(num_segments, device=lengths_B.device)[None] < lengths_B[:, None]
