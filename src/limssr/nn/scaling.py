"""Scaling of inputs and outputs by statistics of the training samples, which are saved with the model."""

from collections.abc import Iterator, Sequence
from typing import Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from limssr.core.types import Batch, Criterion, Modality, Sample
from limssr.data.store.mapped import give_back

CLIP_DEVIATIONS = 5.0
"""Standardised features are cut here: one wild sensor reading must not outvote the rest of a performance."""

ROUNDING = float(np.finfo(np.float32).eps)
"""Of a float32, relative to its size: a deviation below is no movement."""
NEVER_MOVES = torch.finfo(torch.float32).max
"""Deviation of a feature that is constant in training: whatever it is later, it is scaled to zero."""
Numbers = TypeVar("Numbers", np.ndarray, Tensor)


def is_constant(deviation: Numbers, largest: Numbers) -> Numbers:
    """Where features did not move in training, in whatever unit they are given.

    Args:
        deviation: Of each feature.
        largest: The largest absolute value of each.
    """
    return deviation <= ROUNDING * largest


PIECE_ROWS = 1024
"""Rows that are looked at at once: a store is mapped, and must not be loaded to be measured."""


class InputScaler(nn.Module):
    """Features -> features in training deviations, zeros where nothing valid stands.

    Args:
        modalities: The streams, in the model's order.
        mode: "none" only zeroes what is not valid; "standard" also subtracts the training mean, divides by the training
            deviation (over valid segments of samples that own the stream) and clips at +-5, so that the unit of a
            feature is ignored.
    """

    def __init__(self, modalities: Sequence[Modality], mode: Literal["none", "standard"]) -> None:
        super().__init__()
        self.names = tuple(modality.name for modality in modalities)
        self.mode = mode
        if mode == "standard":
            for index, modality in enumerate(modalities):
                self.register_buffer(f"mean_{index}", torch.zeros(modality.dim))
                self.register_buffer(f"deviation_{index}", torch.ones(modality.dim))

    @torch.no_grad()
    def fit(self, samples: Sequence[Sample]) -> None:
        """Measure mean and deviation on training samples; a stream that no sample owns keeps 0 and 1."""
        if self.mode == "none":
            return
        for index, name in enumerate(self.names):
            measured = _moments([sample.streams[name] for sample in samples if name in sample.streams])
            if measured is None:
                continue
            mean, deviation, largest = measured
            # a feature that never moves stays at zero instead of exploding
            deviation[is_constant(deviation, largest)] = NEVER_MOVES
            self.get_buffer(f"mean_{index}").copy_(torch.from_numpy(mean))
            self.get_buffer(f"deviation_{index}").copy_(torch.from_numpy(deviation))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Batch -> modality name -> [B, T, D]."""
        scaled = {}
        for index, name in enumerate(self.names):
            x_BTD = batch.features[name]
            if self.mode == "standard":
                x_BTD = (x_BTD - self.get_buffer(f"mean_{index}")) / self.get_buffer(f"deviation_{index}")
                x_BTD = x_BTD.clamp(-CLIP_DEVIATIONS, CLIP_DEVIATIONS)
            # masked_fill and not a product: whatever stands behind an absent stream, NaN included, is never read
            scaled[name] = x_BTD.masked_fill(~batch.valid_BMT[:, index, :, None], 0.0)
        return scaled


def _moments(blocks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Mean, deviation and largest size [D] over the valid segments of all blocks [T, D]; None where there is none."""
    count, total, largest = 0, np.float64(0), np.float64(0)
    for values in _pieces(blocks):
        count += len(values)
        total = total + values.sum(axis=0)
        largest = np.maximum(largest, np.abs(values).max(axis=0))
    if not count:
        return None
    mean = np.asarray(total / count)
    squares = sum(np.square(values - mean).sum(axis=0) for values in _pieces(blocks))
    return mean, np.sqrt(squares / count), np.asarray(largest)


def _pieces(blocks: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """The valid rows of all blocks in float64, some at a time; pages of a mapped file are given back behind them."""
    for block in blocks:
        for start in range(0, len(block), PIECE_ROWS):
            piece = block[start : start + PIECE_ROWS]
            values = piece[~np.isnan(piece).any(axis=1)].astype(np.float64)
            if len(values):
                yield values
        give_back(block)


class OutputScale(nn.Module):
    """What a head says -> unit scores.

    Args:
        num_criteria: C.
        mode: "sigmoid" (published), "linear" (the paper's text), "standardized": mean + deviation * head, with mean and
            deviation of the training scores, so that every criterion weighs the same and nothing saturates.
    """

    def __init__(self, num_criteria: int, mode: Literal["sigmoid", "linear", "standardized"]) -> None:
        super().__init__()
        self.mode = mode
        self.register_buffer("mean_C", torch.full((num_criteria,), 0.5))
        self.register_buffer("deviation_C", torch.ones(num_criteria))

    @torch.no_grad()
    def fit(self, samples: Sequence[Sample], criteria: Sequence[Criterion]) -> None:
        """Measure mean and deviation of the unit scores of training samples (used by mode "standardized" alone)."""
        scores = np.stack([sample.scores for sample in samples])
        for column, criterion in enumerate(criteria):
            unit = criterion.to_unit(scores[:, column])
            unit = unit[~np.isnan(unit)]
            self.get_buffer("mean_C")[column] = float(unit.mean())
            self.get_buffer("deviation_C")[column] = max(float(unit.std()), 1e-6)

    def forward(self, logits_BC: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
        """[B, C] of a head -> [B, C] unit scores."""
        if self.mode == "sigmoid":
            return torch.sigmoid(logits_BC)
        if self.mode == "linear":
            return logits_BC
        return self.get_buffer("mean_C") + self.get_buffer("deviation_C") * logits_BC

    @property
    def loss_scale_C(self) -> Float[Tensor, " C"]:
        """[C]: errors are divided by this before they are squared; ones unless the output is standardised."""
        deviation_C = self.get_buffer("deviation_C")
        return deviation_C if self.mode == "standardized" else torch.ones_like(deviation_C)
