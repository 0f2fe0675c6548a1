"""ASGTN: adaptive spatiotemporal graph transformer network (TCSVT 2025), GDLT behind two graph networks.

Before GDLT's trunk a stream is smoothed twice: over time, along a chain of segments, and over its features, laid out as
a picture in which the eight around one are its neighbours. The stream becomes 0.8 of itself plus both, with learned
weights that start at 0.1. As in the public code the neighbours' weights pass through a softmax over all nodes, so that
others are heard as well, only less; its biases, which it allocates and never uses, are left out (1,740 numbers for 68
segments of 1024 features; with them the count is that of the public code, 4,234,394). Adapted: weights belong to places
in time, so a stream is resampled to a fixed number of segments (`num_segments`); features of any number (a picture as
near to square as their number divides, else with an incomplete last row); a readout for each criterion; AdamW in place
of SGD. It reads one stream (`stream`) and has no score for samples without it.
"""

import math
from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from limssr.core.config import DropoutRate, ModelConfig
from limssr.core.types import Batch, Criterion, Modality
from limssr.nn.sequences import resampled
from limssr.systems.complete.gdlt import Gdlt, GdltOptions
from limssr.systems.parts.unimodal import StreamRows
from limssr.systems.system import System

KEPT_SHARE = 0.8
FIRST_GRAPH_SHARE = 0.1


class AsgtnOptions(GdltOptions):
    """Settings of ASGTN; the defaults are its paper's."""

    num_segments: int = Field(default=68, ge=1)
    """Every stream is resampled to this many segments."""
    graph_dropout: DropoutRate = 0.4
    """Inside the graph layers."""


class GraphLayer(nn.Module):
    """Nodes hear their neighbours, then their features are mixed; all weights through softmaxes.

    Args:
        neighbours_VV: 1 where two of the V nodes are neighbours, or the same, else 0.
        dim: Features of a node.
        out: Features of a node afterwards.
        dropout: Between the two.
    """

    def __init__(self, neighbours_VV: Tensor, dim: int, out: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("neighbours_VV", neighbours_VV, persistent=False)
        self.loudness_V = nn.Parameter(torch.ones(len(neighbours_VV)))
        self.mixing = nn.Parameter(torch.full((dim, out), 1.0 / dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_NVF: Tensor) -> Tensor:
        """[N, V, F] -> [N, V, out]."""
        # column v: how much node v takes from every node
        taken_VV = (self.get_buffer("neighbours_VV") * self.loudness_V).softmax(dim=0)
        return functional.elu(self.dropout(taken_VV.T @ x_NVF) @ self.mixing.softmax(dim=0))


class Asgtn(Gdlt):
    """Graphs over time and features before GDLT.

    Args:
        config: `hidden` (null: 256), `dropout`, `input_scaling` and `output` are used.
        modalities: M streams; one is read.
        criteria: C criteria.
        options: Of ASGTN.
    """

    def __init__(
        self, config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion], options: AsgtnOptions
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        length, dim, dropout = options.num_segments, self.dim, options.graph_dropout
        chain, picture, middle = chain_of(length), picture_of(dim), max(1, dim // 2)
        self.over_time = nn.Sequential(GraphLayer(chain, dim, middle, dropout), GraphLayer(chain, middle, dim, dropout))
        self.over_features = nn.Sequential(
            GraphLayer(picture, length, 2 * length, dropout), GraphLayer(picture, 2 * length, length, dropout)
        )
        self.graph_shares = nn.Parameter(torch.full((2,), FIRST_GRAPH_SHARE))

    def rows(self, batch: Batch) -> StreamRows:
        """The samples that have the stream, at its fixed length and with what both graphs make of it."""
        rows = super().rows(batch)
        if not len(rows):
            return rows
        x_NTD = resampled(rows.x_NTD, rows.real_NT, self.options.num_segments)
        along_NTD = self.over_time(x_NTD)
        across_NTD = self.over_features(x_NTD.transpose(1, 2)).transpose(1, 2)
        time_share, feature_share = self.graph_shares
        seen_NTD = KEPT_SHARE * x_NTD + time_share * along_NTD + feature_share * across_NTD
        all_real_NT = torch.ones(seen_NTD.shape[:2], dtype=torch.bool, device=seen_NTD.device)
        return StreamRows(seen_NTD, all_real_NT, rows.has_B, rows.unit_scores_NC)


def chain_of(length: int) -> Tensor:
    """[V, V]: 1 where two segments follow one another or are the same."""
    places_V = torch.arange(length)
    return ((places_V[:, None] - places_V).abs() <= 1).float()


def picture_of(num_features: int) -> Tensor:
    """[V, V]: 1 where two features are neighbours in the picture, corners included, or the same."""
    places_V = torch.arange(num_features)
    width = picture_width(num_features)
    rows_V, columns_V = places_V // width, places_V % width
    near_rows_VV = (rows_V[:, None] - rows_V).abs() <= 1
    near_columns_VV = (columns_V[:, None] - columns_V).abs() <= 1
    return (near_rows_VV & near_columns_VV).float()


def picture_width(num_features: int) -> int:
    """The larger side of the rectangle nearest to a square; where that is a ribbon, the side of the next square."""
    root = math.isqrt(num_features)
    height = next(side for side in range(root, 0, -1) if num_features % side == 0)
    width = num_features // height
    return width if width <= 2 * height else math.ceil(math.sqrt(num_features))


ASGTN = System(
    title="ASGTN",
    source="Liu et al., TCSVT 2025",
    summary="graphs over time and over features smooth a stream before GDLT reads it",
    family="complete",
    builder=Asgtn,
    options=AsgtnOptions,
    absent="no score without its stream",
    checked="parameter counts of the public code less its 1,740 unused biases (defaults, 1024 features)",
    changed="resampled to a fixed length; unused biases left out; AdamW for SGD",
    learning_rate=1e-3,
    small={"hidden": 64, "options": {"num_segments": 24}},
)
