"""The readout of the GDLT family: how strongly each query answers says how much its fixed anchor counts."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from limssr.model.scaling import OutputScale

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
