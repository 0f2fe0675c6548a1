"""The optimizer, its parameter groups, and the moving average of the weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from limssr.core.config import TrainConfig
from limssr.nn.contract import Network, ParameterGroup
from limssr.systems.saving import load_saved_state, state_to_save


def parameter_groups(model: Network, train: TrainConfig) -> list[dict[str, Any]]:
    """AdamW groups: weights, and scales and offsets (no weight decay), each for the groups that the network names.

    Each of these groups has its own learning rate in `train`; see `Network.group_of`.
    """
    rates: dict[ParameterGroup, tuple[float, float]] = {
        "around": (train.learning_rate, train.weight_decay),
        "backbone": (train.backbone_learning_rate or train.learning_rate, train.weight_decay),
        "statistics": (
            train.statistics_learning_rate or train.learning_rate,
            train.weight_decay if train.statistics_weight_decay is None else train.statistics_weight_decay,
        ),
    }
    groups: dict[tuple[ParameterGroup, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((model.group_of(name), _is_weight(name, parameter)), []).append(parameter)
    return [
        {"params": parameters, "lr": rates[group][0], "weight_decay": rates[group][1] if decays else 0.0}
        for (group, decays), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]


def make_optimizer(model: Network, train: TrainConfig) -> torch.optim.AdamW:
    """AdamW over `parameter_groups`; all tensors in one kernel where the model's device has such a one."""
    groups = parameter_groups(model, train)
    devices = {parameter.device.type for group in groups for parameter in group["params"]}
    return torch.optim.AdamW(groups, lr=train.learning_rate, fused=devices <= {"cpu", "cuda"})


def _is_weight(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim >= 2 and not name.endswith("_offset")


class WeightAverage:
    """Exponential moving average of trained tensors and buffers, without the bias towards the start.

    After n steps the share of step i is proportional to decay^(n - i), and the shares sum to 1: the first value equals
    the weights after the first step, and a short run is not dragged back to where it began.

    Args:
        decay: Of a step, in (0, 1).
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.num_updates = 0
        self.values: dict[str, Tensor] = {}

    def restore(self, values: Mapping[str, Tensor], num_updates: int, device: torch.device) -> None:
        """Go on from a checkpoint."""
        self.values = {name: value.to(device) for name, value in values.items()}
        self.num_updates = num_updates

    @torch.no_grad()
    def update(self, model: Network) -> None:
        """Take in the weights after a step."""
        self.num_updates += 1
        share = (1 - self.decay) / (1 - self.decay**self.num_updates)
        for name, value in state_to_save(model).items():
            if name in self.values and value.is_floating_point():
                self.values[name].lerp_(value, share)
            else:
                self.values[name] = value.detach().clone()

    @contextmanager
    def in_place_of_weights(self, model: Network) -> Iterator[None]:
        """Inside the block the model has the averaged weights."""
        own = {name: value.detach().clone() for name, value in state_to_save(model).items()}
        load_saved_state(model, self.values)
        try:
            yield
        finally:
            load_saved_state(model, own)
