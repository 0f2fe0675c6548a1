"""The configuration that arguments of `LimssrRegressor` stand for."""

from typing import Any

from limssr.core.config import BackboneConfig, EvalConfig, ModelConfig, RunConfig, TrainConfig
from limssr.core.config_data import MissingConfig
from limssr.core.errors import InputError
from limssr.core.quoting import listed
from limssr.core.recipes import parse_config
from limssr.data.arrays import ARGUMENTS, integer_seed
from limssr.systems.catalogue import unknown_system
from limssr.systems.table import SYSTEMS

LIMSSR = "limssr"
OF_LIMSSR = {"backbone": "tiny", "num_layers": None, "head": "paper"}
"""Arguments that only LIMSSR reads, with their defaults."""


def config_of_arguments(given: Any) -> RunConfig:
    """A run's configuration, from the attributes of an estimator that are named like its arguments.

    Whatever scale features and scores have, the model sees deviations.

    Args:
        given: Has `system`, `backbone`, `num_layers`, `head`, `dropout`, `modality_dropout`, `epochs`, `batch_size`,
            `learning_rate` and `random_state`.

    Raises:
        InputError: An unknown system, or an argument that is out of range.
    """
    if given.system not in SYSTEMS:
        raise unknown_system(str(given.system), tuple(SYSTEMS))
    ignored = [name for name, plain in OF_LIMSSR.items() if getattr(given, name) != plain]
    if ignored and not SYSTEMS[given.system].reads_backbone:
        raise InputError(
            f"Expected arguments that {given.system} reads, found {listed(ignored)}, which are for system='limssr': "
            "leave them out."
        )
    model = {
        "system": given.system,
        "backbone": BackboneConfig().model_dump() | {"name": given.backbone, "num_layers": given.num_layers},
        "dropout": given.dropout,
        "input_scaling": "standard",
        "output": "standardized",
    }
    if given.system == LIMSSR:
        model["head"] = given.head
    train = {"epochs": given.epochs, "batch_size": given.batch_size, "learning_rate": given.learning_rate}
    tree = {
        "seed": integer_seed(given.random_state),
        "missing": MissingConfig().model_dump() | {"dropout": given.modality_dropout},
        "model": ModelConfig().model_dump() | model,
        "train": TrainConfig().model_dump() | train,
        "evaluation": EvalConfig().model_dump(),
    }
    return parse_config(tree, where="LimssrRegressor", arguments=ARGUMENTS)
