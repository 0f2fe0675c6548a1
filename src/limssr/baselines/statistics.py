"""Moments of the streams over time, read by an ensemble of small networks: LIMSSR's head `statistics` by itself.

It has no language model, so it tells what the language model adds to that head.
"""

from collections.abc import Sequence

from torch import nn

from limssr.config import ModelConfig
from limssr.model.heads import build_members
from limssr.model.scaling import OutputScale
from limssr.model.statistics import PooledStatistics
from limssr.types import Batch, Criterion, Modality, Sample, ScoreOutput


class StatisticsEnsemble(nn.Module):
    """Pooled statistics + ensemble of small networks.

    Args:
        config: `statistics` and `output` are used, the rest is of LIMSSR.
        modalities: The M streams, in order.
        criteria: The C criteria.
    """

    def __init__(self, config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion]) -> None:
        super().__init__()
        self.config = config
        self.modalities = tuple(modalities)
        self.criteria = tuple(criteria)
        self.statistics = PooledStatistics(self.modalities)
        self.members = build_members(self.statistics.num_outputs, len(self.criteria), config.statistics)
        self.output_scale = OutputScale(len(self.criteria), config.output)

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch: moments, members, their mean."""
        statistics_BS = self.statistics(batch.features, batch.valid_BMT, batch.present_BM, batch.lengths_B)
        members_EBC = self.output_scale(self.members(statistics_BS))
        return ScoreOutput(
            members_EBC.mean(dim=0), members_EBC=members_EBC, loss_scale_C=self.output_scale.loss_scale_C
        )

    def calibrate(self, samples: Sequence[Sample]) -> None:
        """Measure quantiles and output scale on the training samples, once, before training."""
        self.statistics.fit(samples)
        self.output_scale.fit(samples, self.criteria)
