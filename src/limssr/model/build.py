"""From a configuration to a model, and to the optimizer's parameter groups."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from limssr.config import ModelConfig, TrainConfig
from limssr.data.validate import unknown_name
from limssr.model.backbone import load_backbone
from limssr.model.limssr import LimssrModel
from limssr.types import Criterion, Modality, Sample


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
    from limssr.baselines import SYSTEMS

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


def parameter_groups(model: nn.Module, train: TrainConfig) -> list[dict[str, Any]]:
    """AdamW groups: weights, and scales and offsets (no weight decay), each for three sides of a model.

    The backbone's side is LoRA and the learned rows, the statistics' side the ensemble that reads moments; the rest is
    around them. Each side has its own learning rate in `train`.
    """
    rates = {
        "around": (train.learning_rate, train.weight_decay),
        "backbone": (train.backbone_learning_rate or train.learning_rate, train.weight_decay),
        "statistics": (
            train.statistics_learning_rate or train.learning_rate,
            train.weight_decay if train.statistics_weight_decay is None else train.statistics_weight_decay,
        ),
    }
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((_side(name), _is_weight(name, parameter)), []).append(parameter)
    return [
        {"params": parameters, "lr": rates[side][0], "weight_decay": rates[side][1] if decays else 0.0}
        for (side, decays), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]


def make_optimizer(model: nn.Module, train: TrainConfig) -> torch.optim.AdamW:
    """AdamW over `parameter_groups`; all tensors in one kernel where the model's device has such a one."""
    groups = parameter_groups(model, train)
    devices = {parameter.device.type for group in groups for parameter in group["params"]}
    return torch.optim.AdamW(groups, lr=train.learning_rate, fused=devices <= {"cpu", "cuda"})


def _side(name: str) -> str:
    if name.startswith(("backbone.", "tokens.")):
        return "backbone"
    return "statistics" if "members." in name else "around"


def _is_weight(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim >= 2 and not name.endswith("_offset")
