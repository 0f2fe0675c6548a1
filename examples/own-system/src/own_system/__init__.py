"""A small system of one's own: every stream votes, and learns how much its vote is worth."""

from collections.abc import Sequence

import torch
from torch import nn

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, ScoreOutput
from limssr.nn.layers import masked_mean
from limssr.systems.system import ComparisonSystem, System, SystemOptions


class GatedMeanOptions(SystemOptions):
    """Settings of the system: `model.options` in a recipe."""

    depth: int = 1
    """Hidden layers of each stream's network."""


class GatedMean(ComparisonSystem):
    """One network a stream; their answers are averaged with learned weights over the streams that exist."""

    def __init__(
        self,
        config: ModelConfig,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        options: GatedMeanOptions,
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        hidden = config.hidden or 64
        self.votes = nn.ModuleList(
            _network(modality.dim, hidden, len(self.criteria), options.depth) for modality in self.modalities
        )
        self.worth_M = nn.Parameter(torch.zeros(len(self.modalities)))

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch: scaled features, a mean over valid segments, a vote a stream, a weighted mean of the votes."""
        scaled = self.input_scaler(batch)  # zeros wherever nothing valid stands
        votes_BMC = torch.stack(
            [
                network(masked_mean(scaled[modality.name], batch.valid_BMT[:, index]))
                for index, (modality, network) in enumerate(zip(self.modalities, self.votes, strict=True))
            ],
            dim=1,
        )
        owned_BM = batch.present_BM & batch.valid_BMT.any(dim=2)
        weights_BM = self.worth_M.expand_as(owned_BM).masked_fill(~owned_BM, -torch.inf).softmax(dim=1)
        return self.scored((weights_BM[..., None] * votes_BMC).sum(dim=1))


def _network(width: int, hidden: int, num_criteria: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, hidden), nn.GELU()]
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, num_criteria))


GATED_MEAN = System(
    title="gated mean",
    source="an example",
    summary="one network a stream, averaged with learned weights",
    family="own",
    builder=lambda config, modalities, criteria, options: GatedMean(config, modalities, criteria, options),
    options=GatedMeanOptions,
    absent="left out of the mean",
    checked="by its tests",
)
