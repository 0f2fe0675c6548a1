"""Graphs over time as matrices: every segment is joined to those within a window, so that its matrix is a band.

A message passing layer is then a product with that matrix; no list of edges and no graph library is needed. Matrices
are [B, T, T], row i holds the neighbours that segment i hears.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

EVERYTHING = -1
"""As a window: without a limit."""


def joined_BTT(real_BT: Tensor, *, past: int, future: int) -> Tensor:
    """[B, T] -> [B, T, T] bool: j is heard by i when both are real and i - past <= j <= i + future (i itself is)."""
    steps_T = torch.arange(real_BT.shape[1], device=real_BT.device)
    ahead_TT = steps_T[None, :] - steps_T[:, None]
    near_TT = torch.ones_like(ahead_TT, dtype=torch.bool)
    if past != EVERYTHING:
        near_TT &= ahead_TT >= -past
    if future != EVERYTHING:
        near_TT &= ahead_TT <= future
    return near_TT & real_BT[:, :, None] & real_BT[:, None, :]


def by_order(joined: Tensor) -> Tensor:
    """[B, T, T] -> [B, 3, T, T]: the same edges as three relations: the past, the segment itself, the future."""
    return torch.stack([joined.tril(-1), joined & joined.tril().triu(), joined.triu(1)], dim=1)


def row_means(joined: Tensor, dtype: torch.dtype) -> Tensor:
    """[..., T, T] bool -> rows that sum to one; zeros where a segment hears nothing."""
    return joined.to(dtype) / joined.sum(dim=-1, keepdim=True).clamp(min=1)


class RelationalConv(nn.Module):
    """Relational graph convolution: a map of the segment itself plus, for each relation, a map of its neighbours' mean.

    Args:
        width: I of the input.
        hidden: O of the output.
        num_relations: R.
    """

    def __init__(self, width: int, hidden: int, num_relations: int) -> None:
        super().__init__()
        self.itself = nn.Linear(width, hidden)
        self.relations_RIO = nn.Parameter(torch.empty(num_relations, width, hidden))
        nn.init.xavier_uniform_(self.relations_RIO)

    def forward(self, x_BTI: Tensor, joined_BRTT: Tensor) -> Tensor:
        """[B, T, I] and [B, R, T, T] bool -> [B, T, O]."""
        mapped_BRTO = x_BTI[:, None] @ self.relations_RIO
        heard_BRTO = row_means(joined_BRTT, x_BTI.dtype) @ mapped_BRTO
        return self.itself(x_BTI) + heard_BRTO.sum(dim=1)


class SumConv(nn.Module):
    """Graph convolution: a map of the segment itself plus a map of its neighbours' sum.

    Args:
        width: Of the input.
        hidden: Of the output.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.itself = nn.Linear(width, hidden, bias=False)
        self.neighbours = nn.Linear(width, hidden)

    def forward(self, x_BTI: Tensor, joined_BTT: Tensor) -> Tensor:
        """[B, T, I] and [B, T, T] bool -> [B, T, O]."""
        return self.itself(x_BTI) + self.neighbours(joined_BTT.to(x_BTI.dtype) @ x_BTI)


class HypergraphConv(nn.Module):
    """Hypergraph convolution without a map: means of hyperedges, then means over a segment's, then a leaky ReLU.

    A window is a hyperedge.

    Args:
        width: Of input and output.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x_BTI: Tensor, joined_BTT: Tensor) -> Tensor:
        """[B, T, I] and [B, T, T] bool (row: segment, column: hyperedge that it is in) -> [B, T, I]."""
        edges_BTI = row_means(joined_BTT.transpose(1, 2), x_BTI.dtype) @ x_BTI
        return functional.leaky_relu(row_means(joined_BTT, x_BTI.dtype) @ edges_BTI + self.bias)


class HighFrequencyConv(nn.Module):
    """Sum over the neighbours with signed weights: degrees as usual, times tanh of a map of both ends.

    A negative weight keeps how a segment differs from its neighbour, which a mean would smooth away.

    Args:
        width: Of input and output.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hearer = nn.Linear(width, 1)
        self.heard = nn.Linear(width, 1, bias=False)

    def forward(self, x_BTI: Tensor, joined_BTT: Tensor) -> Tensor:
        """[B, T, I] and [B, T, T] bool -> [B, T, I]."""
        gate_BTT = torch.tanh(self.hearer(x_BTI) + self.heard(x_BTI).transpose(1, 2))
        share_BT = joined_BTT.sum(dim=2).clamp(min=1).to(x_BTI.dtype).rsqrt()
        weights_BTT = (gate_BTT * share_BT[:, :, None] * share_BT[:, None, :]).masked_fill(~joined_BTT, 0.0)
        return weights_BTT @ x_BTI
