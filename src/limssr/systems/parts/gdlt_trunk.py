"""The readout of the GDLT family: how strongly each query answers says how much its fixed anchor counts."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from limssr.nn.layers import RowBatchNorm
from limssr.nn.scaling import OutputScale

SPAN_DEVIATIONS = 3.0
"""With `output: standardized` the places 0 and 1 stand this many training deviations below and above the mean."""


class GdltHead(nn.Module):
    """Q slots -> a number per criterion between the lowest and the highest anchor (GDLT, section 3.4).

    Each criterion has a map of its own for every slot; its sigmoids, made to sum to one over the slots, weigh the
    anchors.

    Args:
        hidden: H.
        num_queries: Q.
        num_criteria: C.
        anchors: Q fixed numbers; None: evenly from 0 to 1.
    """

    def __init__(
        self, hidden: int, num_queries: int, num_criteria: int, anchors: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.shape = (num_criteria, num_queries)
        self.regressor = nn.Linear(hidden, num_queries * num_criteria)
        anchors_Q = torch.linspace(0.0, 1.0, num_queries) if anchors is None else torch.tensor(tuple(anchors))
        self.register_buffer("anchors_Q", anchors_Q, persistent=False)

    def forward(self, slots_BQH: Tensor) -> Tensor:
        """[B, Q, H] -> [B, C]."""
        answers_BQCQ = self.regressor(slots_BQH).unflatten(-1, self.shape)
        # slot q is asked by map q alone: the diagonal over the two places of Q
        grades_BCQ = torch.sigmoid(answers_BQCQ.diagonal(dim1=1, dim2=3))
        weights_BCQ = grades_BCQ / grades_BCQ.sum(dim=-1, keepdim=True).clamp(min=1e-8)
        return (weights_BCQ * self.get_buffer("anchors_Q")).sum(dim=-1)


def unit_from_place(scale: OutputScale, place_BC: Tensor) -> Tensor:
    """Places in [0, 1] -> unit scores: the same numbers, or mean -+ 3 training deviations where those are measured."""
    return scale(SPAN_DEVIATIONS * (2.0 * place_BC - 1.0)) if scale.mode == "standardized" else place_BC


def place_from_unit(scale: OutputScale, unit_BC: Tensor) -> Tensor:
    """Unit scores -> places, the inverse of `unit_from_place`; NaN stays NaN."""
    if scale.mode != "standardized":
        return unit_BC
    standard_BC = (unit_BC - scale.get_buffer("mean_C")) / scale.get_buffer("deviation_C")
    return (standard_BC / SPAN_DEVIATIONS + 1.0) / 2.0


class GdltProjector(nn.Module):
    """One stream's segments to the trunk's width (convolutions of kernel 1, so each segment by itself).

    The middle has half of the stream's width, as in the public code, but is kept between once and twice the trunk's
    width: a stream of five features is not squeezed through two, and a small trunk stays small.

    Args:
        dim: D of the stream.
        hidden: H of the trunk.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        middle = min(max(dim // 2, hidden), 2 * hidden)
        self.layers = nn.Sequential(
            nn.Linear(dim, middle),
            RowBatchNorm(middle),
            nn.ReLU(),
            nn.Linear(middle, hidden),
            RowBatchNorm(hidden),
        )

    def forward(self, x_BTD: Tensor, real_BT: Tensor) -> Tensor:
        """[B, T, D] and which segments are real -> [B, T, H], zeros where nothing is."""
        out_BTH = x_BTD.new_zeros((*real_BT.shape, self.hidden))
        if not real_BT.any():
            return out_BTH
        rows = self.layers(x_BTD[real_BT])
        return out_BTH.to(rows.dtype).masked_scatter(real_BT[..., None], rows)
