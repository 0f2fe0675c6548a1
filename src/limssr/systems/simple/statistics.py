"""Moments of the streams over time, read by an ensemble of small networks: LIMSSR's head `statistics` by itself.

It has no language model, so it tells what the language model adds to that head.
"""

from collections.abc import Sequence

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, Sample, ScoreOutput
from limssr.nn.contract import ParameterGroup
from limssr.nn.moments import PooledStatistics, build_members
from limssr.systems.system import ComparisonSystem, System, SystemOptions


class StatisticsEnsemble(ComparisonSystem):
    """Pooled statistics + ensemble of small networks.

    Args:
        config: `statistics` and `output` are used, the rest is of LIMSSR.
        modalities: The M streams, in order.
        criteria: The C criteria.
        options: None of its own.
    """

    def __init__(
        self, config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion], options: SystemOptions
    ) -> None:
        # it scales its moments and not their inputs
        super().__init__(config.model_copy(update={"input_scaling": "none"}), modalities, criteria, options)
        self.config = config
        self.statistics = PooledStatistics(self.modalities, config.statistics.widest)
        self.members = build_members(self.statistics.num_outputs, len(self.criteria), config.statistics)

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch: moments, members, their mean."""
        statistics_BS = self.statistics(batch.features, batch.valid_BMT, batch.present_BM, batch.lengths_B)
        members_EBC = self.output_scale(self.members(statistics_BS))
        return ScoreOutput(
            unit_scores_BC=members_EBC.mean(dim=0), members_EBC=members_EBC, loss_scale_C=self.output_scale.loss_scale_C
        )

    def group_of(self, parameter: str) -> ParameterGroup:
        """All that it trains is the ensemble."""
        del parameter
        return "statistics"

    def measure(self, samples: Sequence[Sample]) -> None:
        """Measure quantiles and output scale on the training samples, once, before training."""
        self.statistics.fit(samples)
        super().measure(samples)


STATISTICS = System(
    title="statistics",
    source="LIMSSR's head `statistics` by itself, an option of ours",
    summary="an ensemble of small networks on moments of the streams, without any language model",
    family="reference",
    builder=StatisticsEnsemble,
    absent="its training median (zero deviates), and a flag",
    checked="nothing: it is ours",
    learning_rate=2e-3,
)
