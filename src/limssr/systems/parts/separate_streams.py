"""A training stage in which every stream is trained by itself, with its own score and loss."""

from collections.abc import Sequence

import torch
from torch import Tensor

from limssr.core.types import Batch, ScoreOutput
from limssr.systems.system import ComparisonSystem


def separate_losses(
    system: ComparisonSystem, logits: Sequence[Tensor], owned_BM: Tensor, batch: Batch, *, name: str
) -> ScoreOutput:
    """Each stream's own scores as the losses of a stage; the task loss of the whole is left out.

    Args:
        system: Brings the scales.
        logits: For every stream [B, C] of its own head.
        owned_BM: A stream learns from the samples that own it.
        batch: Brings the targets.
        name: Of the loss: the sum over the streams.
    """
    alone = [system.output_scale(logits_BC) for logits_BC in logits]
    losses = [system.score_loss(unit_BC, batch, owned_BM[:, index]) for index, unit_BC in enumerate(alone)]
    # in this stage there is no score of the whole: the mean only stands for one, and no task loss is taken of it
    mean_BC = torch.stack(alone).mean(dim=0).detach()
    return ScoreOutput(
        unit_scores_BC=mean_BC,
        loss_scale_C=system.output_scale.loss_scale_C,
        scored_B=torch.zeros(len(mean_BC), dtype=torch.bool, device=mean_BC.device),
        auxiliary={name: torch.stack(losses).sum()},
    )
