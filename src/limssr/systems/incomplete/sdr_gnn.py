"""SDR-GNN: hypergraphs and high frequencies against missing streams (Fu et al., Knowledge-Based Systems 2025).

As GCNet, with gated recurrent units, and in each graph branch a relational convolution (past, now and future in one
branch, one relation in the other, as a performance has one speaker), a hypergraph convolution, and one whose signed
weights keep what changes from segment to segment. The reconstruction ends in attention. An absent stream is zeros, as
in the paper; its error counts where a stream is hidden in this step though the sample owns it.

Adapted: the two branches are summed, where the public code computes both and reads one; the reconstruction's attention
runs over time, where the public code lets the samples of a batch look at one another. Checked: with the layers that
the public code builds and never uses, ours has its counts as far as these are known (36.2 million at width 100 and 56.5
million at 200, rounded).
"""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, ScoreOutput
from limssr.nn.graphs import HighFrequencyConv, HypergraphConv, RelationalConv, by_order, joined_BTT
from limssr.nn.layers import masked_mean
from limssr.nn.sequences import BothDirections, real_steps
from limssr.systems.incomplete.gcnet import missing_error
from limssr.systems.system import ComparisonSystem, System, SystemOptions

DEFAULT_HIDDEN = 200


class SDRGNNOptions(SystemOptions):
    """Settings of SDR-GNN."""

    past: int = Field(default=3, ge=-1)
    """Segments before one that share its hyperedge; -1: all."""
    future: int = Field(default=3, ge=-1)
    """Segments after one that share its hyperedge; -1: all."""
    recurrent_layers: int = Field(default=2, ge=1)
    """Layers of each of the three recurrent parts."""
    reconstruction: float = Field(default=1.0, ge=0.0)
    """Weight of the reconstruction; the paper has 0.5 to 1."""
    reconstruction_width: int | None = Field(default=None, ge=1)
    """Width of the reconstruction's attention; null: all streams together, as published (2560 on FS1000)."""
    reconstruction_heads: int = Field(default=256, ge=1)
    """Heads of that attention; where they do not divide the width, the next smaller number that does."""


class HypergraphBranch(nn.Module):
    """Relational, hypergraph and high-frequency convolution beside their input; a recurrent layer.

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
        self.hypergraph = HypergraphConv(graph_width)
        self.high_frequency = HighFrequencyConv(graph_width)
        self.recurrent = BothDirections(joined, joined, cell="gru", num_layers=num_layers, dropout=dropout)
        self.end = nn.Sequential(nn.Linear(2 * joined, joined), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, x_BTW: Tensor, joined_BRTT: Tensor, lengths_B: Tensor) -> Tensor:
        """[B, T, W], edges by relation, lengths on the CPU -> [B, T, W + G]."""
        edges_BTT = joined_BRTT.any(dim=1)
        smooth = self.hypergraph(self.relational(x_BTW, joined_BRTT), edges_BTT)
        convolved = self.high_frequency(smooth, edges_BTT)
        return self.end(self.recurrent(torch.cat([x_BTW, convolved], dim=2), lengths_B))


class Reconstruction(nn.Module):
    """A map to all streams side by side, and attention over time.

    Args:
        width: Of the states.
        total: D of all streams together.
        options: Width and heads of the attention.
    """

    def __init__(self, width: int, total: int, options: SDRGNNOptions) -> None:
        super().__init__()
        inner = options.reconstruction_width or total
        heads = max(n for n in range(1, min(inner, options.reconstruction_heads) + 1) if inner % n == 0)
        self.begin = nn.Linear(width, inner)
        self.attention = nn.MultiheadAttention(inner, heads, batch_first=True)
        self.end = nn.Linear(inner, total) if options.reconstruction_width else nn.Identity()

    def forward(self, states_BTW: Tensor, real_BT: Tensor) -> Tensor:
        """[B, T, W] -> [B, T, sum of D]."""
        x = self.begin(states_BTW)
        return self.end(self.attention(x, x, x, key_padding_mask=~real_BT, need_weights=False)[0])


class SDRGNN(ComparisonSystem):
    """Encoder, two hypergraph branches, reconstruction.

    Args:
        config: `hidden`: H of the encoder, all other widths follow it (2 H, H / 2, 2.5 H).
        modalities: The M streams, in order.
        criteria: The C criteria.
        options: Windows, weight and the reconstruction's attention.
    """

    looks_at_hidden = True

    def __init__(
        self,
        config: ModelConfig,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        options: SDRGNNOptions,
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        hidden, dropout, num_layers = config.hidden or DEFAULT_HIDDEN, config.dropout, options.recurrent_layers
        total, width, half = sum(modality.dim for modality in self.modalities), 2 * hidden, max(1, hidden // 2)
        self.encoder = BothDirections(total, hidden, cell="gru", num_layers=num_layers, dropout=dropout)
        self.temporal = HypergraphBranch(width, half, num_relations=3, num_layers=num_layers, dropout=dropout)
        self.speaker = HypergraphBranch(width, half, num_relations=1, num_layers=num_layers, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width + half, len(self.criteria))
        self.reconstruction = Reconstruction(width + half, total, options)

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch: encoder, the sum of both branches, the mean over the segments; in training reconstruct."""
        features = self.input_scaler(batch)
        real_BT = real_steps(batch.lengths_B, batch.valid_BMT.shape[2])
        lengths_B = batch.masks_on_host()[2]
        x_BTW = self.dropout(self.encoder(torch.cat(list(features.values()), dim=2), lengths_B))
        edges_BTT = joined_BTT(real_BT, past=self.options.past, future=self.options.future)
        temporal_BTW = self.temporal(x_BTW, by_order(edges_BTT), lengths_B)
        states_BTW = temporal_BTW + self.speaker(x_BTW, edges_BTT[:, None], lengths_B)
        auxiliary = None
        if self.training:
            targets = self.input_scaler(batch.owned) if batch.owned is not None else {}
            found = missing_error(self.reconstruction(states_BTW, real_BT), targets, batch)
            auxiliary = {"reconstruction": self.options.reconstruction * found}
        return self.scored(self.head(masked_mean(states_BTW, real_BT)), auxiliary=auxiliary)


SDR_GNN = System(
    title="SDR-GNN",
    source="SDR-GNN, Knowledge-Based Systems 2025",
    summary="hypergraph and high-frequency convolutions over time that also reconstruct hidden streams",
    family="incomplete",
    builder=SDRGNN,
    options=SDRGNNOptions,
    needs_complete_training="pairs",
    hidden_values=("reconstruction",),
    absent="zeros, as its paper",
    checked="parameter counts of the public code (widths 100 and 200, rounded), without layers that it never uses",
    changed="both branches are read; the reconstruction attends over time and not over the batch",
    learning_rate=1e-3,
    small={"hidden": 16, "options": {"recurrent_layers": 1, "reconstruction_width": 32, "reconstruction_heads": 4}},
)
