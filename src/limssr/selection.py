"""The number by which an epoch is chosen."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from limssr.config import RunConfig, TrainConfig
from limssr.feed import own_subset_batches
from limssr.types import Sample, ScoreOutput


class EpochValue(Protocol):
    """A number for a model in evaluation mode; lower is better."""

    def __call__(self, model: nn.Module) -> float:
        """The number."""
        ...


@torch.no_grad()
def own_subset_loss(model: nn.Module, samples: Sequence[Sample], *, config: RunConfig, device: torch.device) -> float:
    """The task term of the loss, over every non-empty subset of the streams that each sample owns.

    The mean is over the judged criteria of a sample, then over its subsets, then over samples, so a sample counts once
    however many streams it owns. A person with incomplete data has no complete validation split; this one number asks
    for all patterns that the data can show, and uses each sample as often as it can. Errors are divided by the model's
    `loss_scale_C`, as in the loss: with a standardised output every criterion weighs the same.

    Args:
        model: Has `modalities` and `criteria`; put into evaluation mode and left there.
        samples: Validation samples with at least one judged criterion among them.
        config: Crop, padding and batch size.
        device: Where the model is.
    """
    model.eval()
    total = torch.zeros((), dtype=torch.float64, device=device)
    num_samples = torch.zeros((), dtype=torch.float64, device=device)
    for batch, counts in own_subset_batches(samples, model.modalities, model.criteria, config):  # type: ignore[arg-type]
        batch = batch.to(device)
        assert batch.unit_scores_BC is not None
        errors_B, judged_B = _row_errors(model(batch), batch.unit_scores_BC)
        shares_B = judged_B / torch.tensor(counts, dtype=torch.float64, device=device)
        total += (errors_B * shares_B).sum()
        num_samples += shares_B.sum()
    return (total / num_samples).item()


def _row_errors(output: ScoreOutput, targets_BC: Tensor) -> tuple[Tensor, Tensor]:
    known_BC = ~torch.isnan(targets_BC)
    errors_BC = output.unit_scores_BC.double() - targets_BC.double()
    if output.loss_scale_C is not None:
        errors_BC = errors_BC / output.loss_scale_C.double()
    squared_BC = errors_BC.square().masked_fill(~known_BC, 0.0)
    num_known_B = known_BC.sum(dim=1)
    return squared_BC.sum(dim=1) / num_known_B.clamp(min=1), (num_known_B > 0).double()


def chosen_epoch(history: Sequence[dict[str, Any]], train: TrainConfig) -> int:
    """The epoch whose weights are kept; of equal ones the first."""
    if train.selection == "last":
        return history[-1]["epoch"]
    key = "val_loss" if train.selection == "val" else "test_value"
    return min(history, key=lambda record: record[key])["epoch"]


def out_of_patience(history: Sequence[dict[str, Any]], train: TrainConfig) -> bool:
    """True when `train.patience` epochs have passed since the lowest validation loss."""
    if train.patience is None or not history or history[-1]["val_loss"] is None:
        return False
    best = min(history, key=lambda record: record["val_loss"])
    return history[-1]["epoch"] - best["epoch"] >= train.patience
