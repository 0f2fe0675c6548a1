"""From a configuration to a network."""

from collections.abc import Sequence

from limssr.core.config import ModelConfig
from limssr.core.errors import InputError, unknown_name
from limssr.core.types import Criterion, Modality
from limssr.nn.contract import Network
from limssr.systems.solved.table import SOLVED
from limssr.systems.table import SYSTEMS


def build_model(
    config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion], *, seed: int
) -> Network:
    """Build the network that `config.system` names.

    Args:
        config: What to build.
        modalities: Streams, in order.
        criteria: Scores to predict.
        seed: Of every initial weight; the caller's random state is left as it was.

    Raises:
        InputError: An unknown system, or a backbone that is not there.
    """
    if config.system in SOLVED:
        solved = SOLVED[config.system](config, modalities, criteria)
        solved.remember_seed(seed)
        return solved
    if config.system not in SYSTEMS:
        told = str(unknown_name("system", config.system, list(SYSTEMS)))
        raise InputError(f"{told} One of your own has to be installed, or registered first (docs/own-system.md).")
    return SYSTEMS[config.system].build(config, modalities, criteria, seed=seed)
