"""Chooses an epoch (docs/decisions/selection.md)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from limssr.core.config import RunConfig, TrainConfig
from limssr.core.team import Team
from limssr.core.types import Sample, ScoreOutput
from limssr.nn.contract import Network
from limssr.training.batches import own_subset_batches


@dataclass(frozen=True)
class TestNumbers:
    """What `train.selection: test` chooses by.

    Attributes:
        spearman: Fisher-z mean over the criteria; None where nothing correlates, as with a constant prediction.
        mse: Arithmetic mean over the criteria, in the squared unit of the scores.
    """

    __test__ = False  # not a class of tests, whatever pytest takes it for

    spearman: float | None
    mse: float


class EpochValue(Protocol):
    """Judges a model in evaluation mode on the test split."""

    def __call__(self, model: Network) -> TestNumbers:
        """The numbers."""
        ...


@torch.no_grad()
def own_subset_loss(
    model: Network, samples: Sequence[Sample], *, config: RunConfig, device: torch.device, team: Team | None = None
) -> float:
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
        team: The processes that divide the batches among them; each is told the loss of all samples.
    """
    team = team or Team.alone()
    model.eval()
    total = torch.zeros((), dtype=torch.float64, device=device)
    num_samples = torch.zeros((), dtype=torch.float64, device=device)
    part = slice(team.number, None, team.size)
    for batch, counts in own_subset_batches(samples, model.modalities, model.criteria, config, model.unseen, part=part):
        batch = batch.to(device)
        assert batch.unit_scores_BC is not None
        errors_B, judged_B = _row_errors(model(batch), batch.unit_scores_BC)
        shares_B = judged_B / torch.tensor(counts, dtype=torch.float64, device=device)
        total += (errors_B * shares_B).sum()
        num_samples += shares_B.sum()
    total, num_samples = team.add_up(torch.stack([total, num_samples]).cpu())
    return (total / num_samples).item()


def _row_errors(output: ScoreOutput, targets_BC: Tensor) -> tuple[Tensor, Tensor]:
    known_BC = ~torch.isnan(targets_BC)
    if output.scored_B is not None:
        known_BC = known_BC & output.scored_B[:, None]
    errors_BC = output.unit_scores_BC.double() - targets_BC.double()
    if output.loss_scale_C is not None:
        errors_BC = errors_BC / output.loss_scale_C.double()
    squared_BC = errors_BC.square().masked_fill(~known_BC, 0.0)
    num_known_B = known_BC.sum(dim=1)
    return squared_BC.sum(dim=1) / num_known_B.clamp(min=1), (num_known_B > 0).double()


def chosen_epoch(history: Sequence[dict[str, Any]], train: TrainConfig) -> int:
    """The epoch whose weights are kept in the end."""
    *_, epoch = _in_order_of_choice(history, train)
    return epoch


def candidate_epochs(history: Sequence[dict[str, Any]], train: TrainConfig) -> frozenset[int]:
    """The epochs of which one is chosen, now or after further epochs; one that has left the set never comes back."""
    return frozenset(_in_order_of_choice(history, train))


def _in_order_of_choice(history: Sequence[dict[str, Any]], train: TrainConfig) -> list[int]:
    """Candidates, the chosen one last; of equal epochs the first counts."""
    choosable = [record for record in history if record.get("can_be_chosen", True)]
    if not choosable:
        return [_end_of_stage(history)]
    if train.selection == "last":
        return [choosable[-1]["epoch"]]
    if train.selection == "val":
        return [min(choosable, key=lambda record: record["val_loss"])["epoch"]]
    # NOTE(paper): the published protocol keeps the epoch of the best Spearman and that of the best MSE on the test
    # split and reports the better balanced one. Balance is read here as: which of the two gives away the smaller share
    # of what the other reaches.
    by_rank = max(
        choosable, key=lambda record: -math.inf if record["test_spearman"] is None else record["test_spearman"]
    )
    by_error = min(choosable, key=lambda record: record["test_mse"])
    mse_given_away = _share(by_rank["test_mse"] - by_error["test_mse"], of=by_error["test_mse"])
    rank_given_away = _rank_given_away(by_rank["test_spearman"], by_error["test_spearman"])
    winner, other = (by_rank, by_error) if mse_given_away <= rank_given_away else (by_error, by_rank)
    return [other["epoch"], winner["epoch"]]


def _rank_given_away(best: float | None, found: float | None) -> float:
    if best is None:
        return 0.0  # no epoch has a rank correlation, so none is given away
    return math.inf if found is None else _share(best - found, of=best)


def _share(loss: float, *, of: float) -> float:
    if loss == 0:
        return 0.0
    return loss / abs(of) if of else math.inf


def _end_of_stage(history: Sequence[dict[str, Any]]) -> int:
    """Of an early stage: the epoch that the next one would go on with."""
    judged = [one for one in history if one.get("stage") == history[-1].get("stage") and one["val_loss"] is not None]
    return min(judged, key=lambda record: record["val_loss"])["epoch"] if judged else history[-1]["epoch"]


def out_of_patience(history: Sequence[dict[str, Any]], train: TrainConfig) -> bool:
    """True when `train.patience` epochs have passed since the lowest validation loss."""
    history = [record for record in history if record.get("can_be_chosen", True)]
    if train.patience is None or not history or history[-1]["val_loss"] is None:
        return False
    best = min(history, key=lambda record: record["val_loss"])
    return history[-1]["epoch"] - best["epoch"] >= train.patience
