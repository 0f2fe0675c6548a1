"""A head that adds what the language model read to an ensemble on moments of the streams (docs/heads.md)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limssr.core.config import StatisticsConfig
from limssr.core.types import Modality
from limssr.model.heads.paper import CalibratedReasoning, HeadInput, HeadOutput, score_head
from limssr.nn.moments import PooledStatistics, build_members
from limssr.nn.scaling import OutputScale


class StatisticsHead(nn.Module):
    """Path 1 as published; as path 2 an ensemble that reads the streams' moments over time (docs/heads.md).

    NOTE(paper): an option of ours. The paper's path 2 averages hidden states over time, which loses how much and on
    which scale a performance varies; regression trees on such statistics beat it on small data.

    Args:
        hidden: H.
        modalities: Streams, in the model's order.
        num_slots: K.
        num_criteria: C.
        dropout: Rate in path 1.
        gate_layers: See `CalibratedReasoning`.
        output: How a head's value becomes a unit score.
        config: Of the ensemble.
    """

    reads_inputs = True

    def __init__(
        self,
        hidden: int,
        modalities: Sequence[Modality],
        *,
        num_slots: int,
        num_criteria: int,
        dropout: float,
        gate_layers: int,
        output: OutputScale,
        config: StatisticsConfig,
    ) -> None:
        super().__init__()
        num_modalities = len(modalities)
        self.path1 = CalibratedReasoning(hidden, num_modalities, num_slots, dropout=dropout, gate_layers=gate_layers)
        self.blocks = nn.ModuleList([BlockMoments(hidden, dropout) for _ in modalities])
        self.main = score_head(hidden + num_modalities * BlockMoments.width, num_criteria, dropout)
        self.statistics = PooledStatistics(modalities, config.widest)
        self.members = build_members(self.statistics.num_outputs, num_criteria, config)
        self.mix = config.mix
        self.output = output

    def _block_moments(self, read: HeadInput) -> list[Tensor]:
        assert read.inputs_BLH is not None  # asked for by `reads_inputs`
        return [
            block(read.inputs_BLH, read.hidden_BLH, read.pool_BML[:, m]) * read.present_BM[:, m, None]
            for m, block in enumerate(self.blocks)
        ]

    @torch.no_grad()
    def learned(self, names: Sequence[str]) -> dict[str, Any]:
        """Role weights, and the mix, which is fixed in this head."""
        del names
        return {"mix": self.mix, "mix_is_fixed": True, "role_weights": self.path1.role.softmax(0).tolist()}

    def forward(self, read: HeadInput) -> HeadOutput:
        """Steps: (1) path 1, (2) the ensemble on moments, (3) their mix."""
        fused_BH = self.path1(read.slots_BKH, read.present_BM)
        moments = self._block_moments(read)
        main_BC = self.output(self.main(torch.cat([fused_BH, *moments], dim=1)))
        aux_EBC = self.read_moments(read.features, read.valid_BMT, read.present_BM, read.lengths_B)
        aux_BC = aux_EBC.mean(dim=0)
        mixed_BC = self.mix * main_BC + (1.0 - self.mix) * aux_BC
        # path 1 is repeated so that both paths weigh the same in the task loss
        members_EBC = torch.cat([main_BC.expand_as(aux_EBC), aux_EBC])
        return HeadOutput(unit_scores_BC=mixed_BC, main_BC=main_BC, aux_BC=aux_BC, members_EBC=members_EBC)

    def read_moments(
        self, features: dict[str, Tensor], valid_BMT: Tensor, present_BM: Tensor, lengths_B: Tensor
    ) -> Tensor:
        """Unit scores [E, B, C] of the ensemble's members, which read the features and nothing of the backbone."""
        return self.output(self.members(self.statistics(features, valid_BMT, present_BM, lengths_B)))


class BlockMoments(nn.Module):
    """Mean and deviation over a block of what went into the backbone and of what came out, brought to a small width.

    Args:
        hidden: H.
        dropout: Rate before the map.
    """

    width = 64

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.read = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * hidden, self.width), nn.GELU())

    def forward(self, inputs_BLH: Tensor, hidden_BLH: Tensor, pool_BL: Tensor) -> Tensor:
        """[B, L, H] twice, weights of the block's positions [B, L] -> [B, 64]."""
        parts = []
        for x_BLH in (inputs_BLH, hidden_BLH):
            mean_BH = torch.einsum("bl,blh->bh", pool_BL, x_BLH)
            square_BH = torch.einsum("bl,blh->bh", pool_BL, x_BLH.square())
            parts += [mean_BH, (square_BH - mean_BH.square()).clamp(min=0.0).add(1e-5).sqrt()]
        return self.read(torch.cat(parts, dim=1))
