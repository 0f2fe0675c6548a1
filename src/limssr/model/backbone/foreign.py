"""What a backbone folder from anyone describes, held against the weights that are in it."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from limssr.core.quoting import quoted, shortened
from limssr.core.reading.model_folder import CONFIG, outside_of
from limssr.core.reading.tensors import read_header

MAX_LAYERS = 1_000
SLACK = 10_000_000
"""Values that a model may have beyond its weight files."""


def check_described(settings: Any, folder: Path) -> None:
    """Refuse a config.json that describes a much larger model than the weights are, before that is built.

    Raises:
        InputError: It does.
    """
    from transformers import AutoModel

    headers = [read_header(outside_of(file)) for file in sorted(folder.glob("*.safetensors"))]
    held = sum(math.prod(entry["shape"]) for header in headers for entry in header.values())
    with torch.device("meta"):
        model = AutoModel.from_config(settings, trust_remote_code=False)
    described = sum(parameter.numel() for parameter in model.parameters())
    if described > held + max(held // 2, SLACK):
        raise outside_of(folder / CONFIG, "the description of the weights beside it").refused(
            f"one of {described:,} values where the weights hold {held:,}"
        )


def check_finite(model: nn.Module, folder: Path) -> None:
    """Refuse weights that are no numbers, which would make every score one.

    Raises:
        InputError: NaN or infinity in a tensor, named.
    """
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise outside_of(folder).refused(f"NaN or infinity in {quoted(name)}")


def check_settings(settings: Any, folder: Path) -> Any:
    """The settings of the language model, whose number of layers is one that a model has.

    Raises:
        InputError: It is not.
    """
    layers = getattr(settings, "num_hidden_layers", None)
    if type(layers) is not int or not 1 <= layers <= MAX_LAYERS:
        kind = str(getattr(settings, "model_type", "unknown"))
        raise outside_of(folder, f"a language model of 1 to {MAX_LAYERS:,} layers").refused(
            f"{shortened(kind)} with {quoted(layers)} layers"
        )
    return settings
