"""Soft dynamic time warping (Cuturi and Blondel, ICML 2017): how far two sequences are apart when time may stretch."""

import torch
from torch import Tensor
from torch.nn import functional


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
