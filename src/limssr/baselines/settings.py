"""A recipe of LIMSSR, changed into that of a system beside it: the same data, another model, its own learning rate."""

from typing import Literal

from limssr.baselines.table import SYSTEMS
from limssr.config import RunConfig
from limssr.data.validate import unknown_name

Sizes = Literal["paper", "small"]


def config_beside(name: str, config: RunConfig, *, sizes: Sizes = "paper") -> RunConfig:
    """The run of a comparison system on the same data with the same protocol.

    Data, missingness, dropout rate, scaling, output, loss weights, batches, epochs, selection and seed stay; width and
    options become the system's (or its small ones), the learning rate the one that it declares. A recipe of the same
    system is left as it is.

    Raises:
        InputError: An unknown system.
    """
    if name not in SYSTEMS:
        raise unknown_name("system", name, list(SYSTEMS))
    if config.model.system == name:
        return config
    declared = SYSTEMS[name]
    size = dict(declared.small) if sizes == "small" else {}
    model = config.model.model_copy(update={"system": name, "hidden": None, "options": {}, **size})
    rate = {"learning_rate": declared.learning_rate, "backbone_learning_rate": None}
    return config.model_copy(update={"model": model, "train": config.train.model_copy(update=rate)})
