"""From a configuration to a model, and to the optimizer's parameter groups."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from limssr.core.config import ModelConfig
from limssr.core.errors import unknown_name
from limssr.core.types import Criterion, Modality, Sample
from limssr.model.backbone.load import load_backbone
from limssr.model.limssr import LimssrModel


def build_model(
    config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion], *, seed: int
) -> nn.Module:
    """Build LIMSSR or a comparison system.

    Args:
        config: What to build.
        modalities: Streams, in order.
        criteria: Scores to predict.
        seed: Of every initial weight; the caller's random state is left as it was.

    Raises:
        InputError: An unknown system, or a backbone that cannot be had.
    """
    # Imported here: the systems are made of parts of limssr.model.
    from limssr.systems import SYSTEMS

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if config.system == "limssr":
            model: Any = LimssrModel(config, modalities, criteria, load_backbone(config.backbone, seed=seed))
        elif config.system in SYSTEMS:
            model = SYSTEMS[config.system].build(config, modalities, criteria)
        else:
            raise unknown_name("system", config.system, ["limssr", *SYSTEMS])
    model.seed = seed
    model.unseen = ()
    return model


def calibrate(model: nn.Module, train_samples: Sequence[Sample]) -> None:
    """Measure a model's input and output scales on the training samples; call once, before training.

    Streams that none of them owns are noted in `model.unseen`: scoring leaves them out, as nothing was learned of them.
    """
    names = tuple(modality.name for modality in model.modalities)  # type: ignore[union-attr]
    unseen = [name for name in names if not any(name in sample.streams for sample in train_samples)]
    model.unseen = tuple(unseen)  # type: ignore[assignment]
    model.calibrate(train_samples)  # type: ignore[operator]
