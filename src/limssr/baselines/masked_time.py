"""Convolution and pooling over time of sequences [B, T, H] that leave out the places where nothing real stands."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from limssr.model.tokens import RowBatchNorm


class RealRows(nn.Module):
    """Applies layers for rows [n, H] to the real places of a sequence; zeros elsewhere.

    Args:
        out: Width of what the layers give.
        layers: Maps, norms and activations of single rows.
    """

    def __init__(self, out: int, *layers: nn.Module) -> None:
        super().__init__()
        self.out = out
        self.layers = nn.Sequential(*layers)

    def forward(self, x_BTH: Tensor, real_BT: Tensor) -> Tensor:
        """[B, T, H] -> [B, T, out]."""
        if real_BT.all():  # nothing to leave out, and so nothing to gather and to put back
            return self.layers(x_BTH.flatten(0, 1)).unflatten(0, real_BT.shape)
        out_BTH = x_BTH.new_zeros((*real_BT.shape, self.out))
        if not real_BT.any():
            return out_BTH
        rows = self.layers(x_BTH[real_BT])
        return out_BTH.to(rows.dtype).masked_scatter(real_BT[..., None], rows)


class TimeConv(nn.Module):
    """Convolution over three neighbours, BatchNorm over real places, activation.

    Written as one map of three places side by side, which takes only the real ones and costs less on small sequences.

    Args:
        width: Of what comes in.
        hidden: H, of what goes out.
        activation: Makes one, such as `nn.GELU`.
    """

    def __init__(self, width: int, hidden: int, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.rows = RealRows(hidden, nn.Linear(3 * width, hidden), RowBatchNorm(hidden), activation())

    def forward(self, x_BTN: Tensor, real_BT: Tensor) -> Tensor:
        """[B, T, width], zeros where nothing is real -> [B, T, H], zeros there again."""
        return self.rows(beside(x_BTN), real_BT)


def beside(x_BTH: Tensor) -> Tensor:
    """[B, T, H] -> [B, T, 3 H]: before each place the one before it, after it the one behind it; zeros at the ends."""
    padded = functional.pad(x_BTH, (0, 0, 1, 1))
    return torch.cat([padded[:, :-2], x_BTH, padded[:, 2:]], dim=2)


def pool_pairs(x_BTH: Tensor, real_BT: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of every two neighbours over those that are real, and which pairs have one; T must be even."""
    return _pooled(x_BTH.unflatten(1, (-1, 2)), real_BT.unflatten(1, (-1, 2)))


def pool_all(x_BTH: Tensor, real_BT: Tensor) -> tuple[Tensor, Tensor]:
    """The mean over all real places as a sequence of length 1, and whether there was one."""
    return _pooled(x_BTH[:, None], real_BT[:, None])


def _pooled(x_BTSH: Tensor, real_BTS: Tensor) -> tuple[Tensor, Tensor]:
    total_BTH = x_BTSH.masked_fill(~real_BTS[..., None], 0.0).sum(dim=2)
    count_BT1 = real_BTS.sum(dim=2, keepdim=True)
    return total_BTH / count_BT1.clamp(min=1), real_BTS.any(dim=2)


def padded_to(x: Tensor, multiple: int, dim: int = 1) -> Tensor:
    """Zeros (False) behind a tensor until the length of `dim` is a multiple."""
    behind = -x.shape[dim] % multiple
    if not behind:
        return x
    shape = list(x.shape)
    shape[dim] = behind
    return torch.cat([x, x.new_zeros(shape)], dim=dim)
