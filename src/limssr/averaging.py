"""A moving average of the weights, scored with instead of the weights themselves (`train.average`)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from limssr.model import load_saved_state, state_to_save


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
    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step."""
        self.num_updates += 1
        share = (1 - self.decay) / (1 - self.decay**self.num_updates)
        for name, value in state_to_save(model).items():
            if name in self.values and value.is_floating_point():
                self.values[name].lerp_(value, share)
            else:
                self.values[name] = value.detach().clone()

    @contextmanager
    def in_place_of_weights(self, model: nn.Module) -> Iterator[None]:
        """Inside the block the model has the averaged weights."""
        own = {name: value.detach().clone() for name, value in state_to_save(model).items()}
        load_saved_state(model, self.values)
        try:
            yield
        finally:
            load_saved_state(model, own)
