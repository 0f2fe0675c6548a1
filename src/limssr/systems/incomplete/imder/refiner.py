"""IMDer's refiner: residual blocks that weigh their channels, between two maps."""

import torch
from torch import Tensor, nn

from limssr.nn.layers import masked_mean

REDUCTION = 16


class ChannelAttentionBlock(nn.Module):
    """Two convolutions over time, their channels weighed by what they are on the mean; residual.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, channels, 3, padding=1)
        self.second = nn.Conv1d(channels, channels, 3, padding=1)
        inner = max(1, channels // REDUCTION)
        self.weigh = nn.Sequential(nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels), nn.Sigmoid())

    def forward(self, x_BCT: Tensor, real_BT: Tensor) -> Tensor:
        """[B, C, T], zeros where nothing is real -> the same."""
        unreal_B1T = ~real_BT[:, None]
        found = self.second(torch.relu(self.first(x_BCT)).masked_fill(unreal_B1T, 0.0)).masked_fill(unreal_B1T, 0.0)
        weights_BC = self.weigh(masked_mean(found.transpose(1, 2), real_BT))
        return x_BCT + found * weights_BC[..., None]


class Refiner(nn.Module):
    """A sampled sequence -> a better one.

    Args:
        width: W of the sequence; inside it is twice as wide.
        num_blocks: Of them.
    """

    def __init__(self, width: int, num_blocks: int) -> None:
        super().__init__()
        self.begin = nn.Linear(width, 2 * width)
        self.blocks = nn.ModuleList(ChannelAttentionBlock(2 * width) for _ in range(num_blocks))
        self.join = nn.Conv1d(2 * width, 2 * width, 3, padding=1)
        self.end = nn.Linear(2 * width, width)

    def forward(self, x_BTW: Tensor, real_BT: Tensor) -> Tensor:
        """[B, T, W] -> [B, T, W], zeros where nothing is real."""
        unreal_BT1 = ~real_BT[..., None]
        begun_BCT = self.begin(x_BTW).masked_fill(unreal_BT1, 0.0).transpose(1, 2)
        inner_BCT = begun_BCT
        for block in self.blocks:
            inner_BCT = block(inner_BCT, real_BT)
        joined_BCT = begun_BCT + self.join(inner_BCT)
        return self.end(joined_BCT.transpose(1, 2)).masked_fill(unreal_BT1, 0.0)
