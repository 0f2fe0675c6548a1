"""Convolution and pooling over time of sequences [B, T, H], limited to valid segments."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from limssr.nn.layers import RowBatchNorm


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


def resampled(x_NTD: Tensor, real_NT: Tensor, length: int) -> Tensor:
    """[N, T, D], each row with a real segment -> [N, length, D].

    A row's real segments, gaps closed, are read at `length` even places, linearly between neighbours. As many real
    segments as places are returned as they are.
    """
    count_N1 = real_NT.sum(dim=1, keepdim=True)
    # real segments first, in their order
    order_NT = torch.argsort((~real_NT).to(torch.uint8), dim=1, stable=True)
    places_L = torch.arange(length, device=x_NTD.device)
    wanted_NL = ((places_L + 0.5) * count_N1 / length - 0.5).clamp(min=0.0)
    wanted_NL = torch.minimum(wanted_NL, (count_N1 - 1).to(wanted_NL.dtype))
    before_NL = wanted_NL.floor().long()
    after_NL = torch.minimum(before_NL + 1, count_N1 - 1)
    share_NL1 = (wanted_NL - before_NL)[..., None].to(x_NTD.dtype)

    def read(places_NL: Tensor) -> Tensor:
        segments_NL1 = order_NT.gather(1, places_NL)[..., None]
        return x_NTD.gather(1, segments_NL1.expand(-1, -1, x_NTD.shape[2]))

    return torch.lerp(read(before_NL), read(after_NL), share_NL1)


def soft_dtw(first_NSH: Tensor, second_NRH: Tensor, *, gamma: float) -> Tensor:
    """[N]: the soft minimum, over all ways to walk through both, of the summed squared distances.

    Cells of one diagonal do not depend on one another, so S + R - 1 steps are enough. It can be negative, as a soft
    minimum is below the smallest of its values.

    Args:
        first_NSH: S steps.
        second_NRH: R steps.
        gamma: Softness; towards 0 it is dynamic time warping.
    """
    num_rows, num_columns = first_NSH.shape[1], second_NRH.shape[1]
    cost_NSR = (first_NSH[:, :, None] - second_NRH[:, None]).square().sum(dim=-1)
    rows_S = torch.arange(num_rows, device=cost_NSR.device)
    # a diagonal is held by row, with the row before the first in front; nothing has been walked yet but the origin
    last = cost_NSR.new_full((len(cost_NSR), num_rows + 1), torch.inf)
    before_last = functional.pad(last[:, 1:], (1, 0), value=0.0)
    for diagonal in range(num_rows + num_columns - 1):
        top, bottom = max(0, diagonal - num_columns + 1), min(diagonal, num_rows - 1)
        reached = torch.stack(
            [last[:, top : bottom + 1], last[:, top + 1 : bottom + 2], before_last[:, top : bottom + 1]]
        )
        cells_S = rows_S[top : bottom + 1]
        walked = cost_NSR[:, cells_S, diagonal - cells_S] - gamma * torch.logsumexp(-reached / gamma, dim=0)
        before_last, last = last, functional.pad(walked, (top + 1, num_rows - 1 - bottom), value=torch.inf)
    return last[:, -1]
