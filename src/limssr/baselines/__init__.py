"""Systems to compare with: one file a system, one contract (`forward(Batch) -> ScoreOutput`), one table of names.

References that are not networks (regression on pooled statistics) are in `limssr.baselines.pooled`.
"""

from collections.abc import Callable

from torch import nn

from limssr.config import ModelConfig
from limssr.types import Criterion, Modality

Builder = Callable[[ModelConfig, tuple[Modality, ...], tuple[Criterion, ...]], nn.Module]


def _attention(config: ModelConfig, modalities: tuple[Modality, ...], criteria: tuple[Criterion, ...]) -> nn.Module:
    # Imported here, as a system uses parts of limssr.model, and limssr.model reads this table.
    from limssr.baselines.attention import AttentionBaseline

    return AttentionBaseline(config, modalities, criteria)


def _statistics(config: ModelConfig, modalities: tuple[Modality, ...], criteria: tuple[Criterion, ...]) -> nn.Module:
    from limssr.baselines.statistics import StatisticsEnsemble

    return StatisticsEnsemble(config, modalities, criteria)


SYSTEMS: dict[str, Builder] = {"attention": _attention, "statistics": _statistics}
"""Name (`model.system` of a recipe) -> builder. `limssr.model.build_model` seeds and calls it."""
