"""GCNet: graphs over time that complete what is missing (Lian et al., TPAMI 2023).

The streams are concatenated segment by segment, zeros where one is absent, as in the paper. A recurrent encoder reads
them; two graph networks over the segments follow, one that knows past, now and future, one that joins speakers. A
recording of one performer has one speaker, so that the second is a plain window over time. Their sum is scored and must
reconstruct the streams: the error counts only where a stream is missing, which here means hidden in this step though
the sample owns it.

Adapted: a node is a segment; the hidden states are averaged over the segments and scored, where the paper labels every
node; the mask is drawn per sample and step from what the sample owns. Checked: at width 100 the parameter count is that
of the public code without a recurrent layer that it builds and never uses (1,778,400 numbers); what its graph layers
compute is written from their definition.
"""

from collections.abc import Mapping, Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, ScoreOutput
from limssr.nn.graphs import RelationalConv, SumConv, by_order, joined_BTT
from limssr.nn.layers import hidden_BM, masked_mean
from limssr.nn.sequences import BothDirections, real_steps
from limssr.systems.system import ComparisonSystem, System, SystemOptions

DEFAULT_HIDDEN = 100


class GCNetOptions(SystemOptions):
    """Settings of GCNet."""

    past: int = Field(default=2, ge=-1)
    """Segments before one that it hears in a graph; -1: all."""
    future: int = Field(default=2, ge=-1)
    """Segments after one that it hears in a graph; -1: all."""
    recurrent_layers: int = Field(default=2, ge=1)
    """Layers of each of the three recurrent parts."""
    reconstruction: float = Field(default=1.0, ge=0.0)
    """Weight of the reconstruction."""


class TimeAttention(nn.Module):
    """Every segment looks at all: softmax over tanh of products, as the paper's authors have it.

    Args:
        width: Of input and output.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)

    def forward(self, x_BTW: Tensor, real_BT: Tensor) -> Tensor:
        """[B, T, W] -> [B, T, W]."""
        scores_BTT = torch.tanh(self.query(x_BTW) @ x_BTW.transpose(1, 2))
        return scores_BTT.masked_fill(~real_BT[:, None], -torch.inf).softmax(dim=2) @ x_BTW


class GraphBranch(nn.Module):
    """Two graph convolutions beside their input, a recurrent layer, attention over time.

    Args:
        width: 2 H of the encoder.
        graph_width: Of the convolutions.
        num_relations: Of the graph.
        num_layers: Of the recurrent part.
        dropout: In the recurrent layers and at the end.
    """

    def __init__(self, width: int, graph_width: int, *, num_relations: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        joined = width + graph_width
        self.relational = RelationalConv(width, graph_width, num_relations)
        self.plain = SumConv(graph_width, graph_width)
        self.recurrent = BothDirections(joined, joined, cell="lstm", num_layers=num_layers, dropout=dropout)
        self.attention = TimeAttention(2 * joined)
        self.end = nn.Sequential(nn.Linear(2 * joined, joined), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, x_BTW: Tensor, joined_BRTT: Tensor, real_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """[B, T, W], edges by relation, real segments, lengths on the CPU -> [B, T, W + G]."""
        convolved = self.plain(self.relational(x_BTW, joined_BRTT), joined_BRTT.any(dim=1))
        states = self.recurrent(torch.cat([x_BTW, convolved], dim=2), lengths_B)
        return self.end(self.attention(states, real_BT))


class GCNet(ComparisonSystem):
    """Encoder, two graph networks, reconstruction.

    Args:
        config: `hidden`: H of the encoder, all other widths follow it (2 H, H / 2, 2.5 H).
        modalities: The M streams, in order.
        criteria: The C criteria.
        options: Windows and weight.
    """

    looks_at_hidden = True

    def __init__(
        self,
        config: ModelConfig,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        options: GCNetOptions,
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        hidden, dropout, num_layers = config.hidden or DEFAULT_HIDDEN, config.dropout, options.recurrent_layers
        total, width, half = sum(modality.dim for modality in self.modalities), 2 * hidden, max(1, hidden // 2)
        self.encoder = BothDirections(total, hidden, cell="lstm", num_layers=num_layers, dropout=dropout)
        self.temporal = GraphBranch(width, half, num_relations=3, num_layers=num_layers, dropout=dropout)
        self.speaker = GraphBranch(width, half, num_relations=1, num_layers=num_layers, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width + half, len(self.criteria))
        self.reconstruction = nn.Linear(width + half, total)

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch.

        1. All streams side by side, zeros where nothing valid stands; the encoder reads them.
        2. The graph of what came before, now and after, and the plain one; their sum.
        3. The mean over the segments is scored; in training the hidden streams are reconstructed.
        """
        features = self.input_scaler(batch)
        real_BT = real_steps(batch.lengths_B, batch.valid_BMT.shape[2])
        lengths_B = batch.masks_on_host()[2]
        x_BTW = self.dropout(self.encoder(torch.cat(list(features.values()), dim=2), lengths_B))
        edges_BTT = joined_BTT(real_BT, past=self.options.past, future=self.options.future)
        temporal_BTW = self.temporal(x_BTW, by_order(edges_BTT), real_BT, lengths_B)
        states_BTW = temporal_BTW + self.speaker(x_BTW, edges_BTT[:, None], real_BT, lengths_B)
        auxiliary = None
        if self.training:
            found = missing_error(self.reconstruction(states_BTW), self._targets(batch), batch)
            auxiliary = {"reconstruction": self.options.reconstruction * found}
        return self.scored(self.head(masked_mean(states_BTW, real_BT)), auxiliary=auxiliary)

    def _targets(self, batch: Batch) -> Mapping[str, Tensor]:
        return self.input_scaler(batch.owned) if batch.owned is not None else {}


def missing_error(found_BTD: Tensor, targets: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """Squared error of a reconstruction where a stream is hidden though the sample owns it.

    Args:
        found_BTD: All streams side by side, [B, T, sum of D].
        targets: Stream name -> [B, T, D]; empty where there is nothing to compare with.
        batch: With `owned`.

    Returns:
        The mean over a stream's width, summed over hidden places, divided by the number of segments; zero without any.
    """
    if batch.owned is None:
        return found_BTD.sum() * 0.0
    hidden, total, start = hidden_BM(batch), found_BTD.new_zeros(()), 0
    for index, target_BTD in enumerate(targets.values()):
        places_BT = hidden[:, index, None] & batch.owned.valid_BMT[:, index]
        width = target_BTD.shape[2]
        error_BT = (found_BTD[..., start : start + width] - target_BTD).square().mean(dim=2)
        total = total + error_BT.masked_fill(~places_BT, 0.0).sum()
        start += width
    return total / batch.lengths_B.sum().clamp(min=1)


GCNET = System(
    title="GCNet",
    source="GCNet, TPAMI 2023",
    summary="two graph networks over time that also reconstruct hidden streams",
    family="incomplete",
    builder=GCNet,
    options=GCNetOptions,
    needs_complete_training="pairs",
    hidden_values=("reconstruction",),
    absent="zeros, as its paper",
    checked="parameter counts of the public code at width 100, without a layer that it never uses",
    changed="states are averaged over time and scored; targets are streams that are hidden though owned",
    learning_rate=1e-3,
    small={"hidden": 16, "options": {"recurrent_layers": 1}},
)
