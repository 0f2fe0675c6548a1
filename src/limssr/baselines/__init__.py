"""Systems to compare with: one file a system, one contract (`forward(Batch) -> ScoreOutput`), one table of names.

References that are not networks (regression on pooled statistics) are in `limssr.baselines.pooled`.
"""

from collections.abc import Callable

from torch import nn

from limssr.baselines.attention import build_attention
from limssr.config import ModelConfig
from limssr.types import Criterion, Modality

Builder = Callable[[ModelConfig, tuple[Modality, ...], tuple[Criterion, ...]], nn.Module]

SYSTEMS: dict[str, Builder] = {"attention": build_attention}
"""Name (`model.system` of a recipe) -> builder. `limssr.model.build_model` seeds and calls it."""
