"""The loss (paper section 3.7, Eq. 16): one function a term."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from limssr.core.config import LossConfig
from limssr.core.types import ScoreOutput


@dataclass(frozen=True)
class LossTerms:
    """The weighted sum, and its terms before weighting (scalars); `auxiliary` is the sum of a system's own terms."""

    total: Tensor
    task: Tensor
    consistency: Tensor
    slots: Tensor
    auxiliary: Tensor


def total_loss(output: ScoreOutput, unit_targets_BC: Float[Tensor, "B C"], config: LossConfig) -> LossTerms:
    """Task, consistency and slot terms with the weights of `config` (Eq. 16), and a system's own terms.

    A system's own terms share the task's weight, as they are given relative to it.

    Terms that a model has no outputs for (one path only, no slots) are zero. A term with weight zero is not computed.
    """
    zero = output.unit_scores_BC.new_zeros(())
    task = _task_term(output, unit_targets_BC)
    consistency, slots, auxiliary = zero, zero, zero
    if config.consistency > 0 and output.main_BC is not None and output.aux_BC is not None:
        consistency = consistency_loss(output.main_BC, output.aux_BC, output.loss_scale_C)
    if config.slots > 0 and output.slots_BKH is not None:
        regularizer = slot_triplet if config.regularizer == "slot_triplet" else eq17
        slots = regularizer(output.slots_BKH, margin=config.margin)
    for term in (output.auxiliary or {}).values():
        auxiliary = auxiliary + term
    total = config.task * (task + auxiliary) + config.consistency * consistency + config.slots * slots
    return LossTerms(total, task, consistency, slots, auxiliary)


def _task_term(output: ScoreOutput, unit_targets_BC: Tensor) -> Tensor:
    if output.scored_B is not None:
        unit_targets_BC = unit_targets_BC.masked_fill(~output.scored_B[:, None], torch.nan)
    if output.members_EBC is None:
        return task_loss(output.unit_scores_BC, unit_targets_BC, output.loss_scale_C)
    # every member learns on its own: the loss of the mean would let members hide behind one another
    members_EBC = output.members_EBC
    return task_loss(members_EBC, unit_targets_BC.expand_as(members_EBC), output.loss_scale_C)


def task_loss(
    unit_scores_BC: Float[Tensor, "*B C"],
    unit_targets_BC: Float[Tensor, "*B C"],
    scale_C: Float[Tensor, " C"] | None = None,
) -> Float[Tensor, ""]:
    """Mean squared error over the criteria that were judged; errors are divided by `scale_C` first.

    Returns zero, with a gradient of zero, where a batch has no judged criterion at all.
    """
    judged_BC = ~unit_targets_BC.isnan()
    error_BC = unit_scores_BC - unit_targets_BC.nan_to_num()
    if scale_C is not None:
        error_BC = error_BC / scale_C
    return (error_BC.square() * judged_BC).sum() / judged_BC.sum().clamp(min=1)


def consistency_loss(
    main_BC: Float[Tensor, "B C"], aux_BC: Float[Tensor, "B C"], scale_C: Float[Tensor, " C"] | None = None
) -> Float[Tensor, ""]:
    """Mean squared difference of the two paths' scores (paper section 3.7)."""
    difference_BC = main_BC - aux_BC
    return (difference_BC if scale_C is None else difference_BC / scale_C).square().mean()


def slot_triplet(slots_BKH: Float[Tensor, "B K H"], *, margin: float = 1.0) -> Float[Tensor, ""]:
    """Batch-hard triplet over slots on cosine distance, as the published code regularises them.

    All B*K slots are anchors, labelled by their place k. Mean over anchors of
    relu(hardest same-place distance - hardest other-place distance + margin); the anchor itself is no candidate. With
    one sample there is no other slot of the same place and its distance counts as 0; with K = 1 the term is 0.
    """
    num_samples, num_slots, _ = slots_BKH.shape
    if num_slots == 1:
        return slots_BKH.sum() * 0.0
    unit = functional.normalize(slots_BKH.flatten(0, 1), dim=1)
    distance = 1.0 - unit @ unit.T
    place = torch.arange(num_slots, device=slots_BKH.device).repeat(num_samples)
    same = place[:, None] == place[None, :]
    itself = torch.eye(len(place), dtype=torch.bool, device=slots_BKH.device)
    hardest_same = distance.masked_fill(~same | itself, 0.0).amax(dim=1)
    hardest_other = distance.masked_fill(same, torch.inf).amin(dim=1)
    return functional.relu(hardest_same - hardest_other + margin).mean()


def eq17(slots_BKH: Float[Tensor, "B K H"], *, margin: float = 1.0) -> Float[Tensor, ""]:
    """The paper's Eq. 17: sum over slots of relu(max - min cosine similarity to the others + margin), sample mean.

    It cannot prevent collapse: identical and orthogonal slots score the same, and with K = 2 its gradient is zero.
    """
    num_slots = slots_BKH.shape[1]
    if num_slots == 1:
        return slots_BKH.sum() * 0.0
    unit_BKH = functional.normalize(slots_BKH, dim=2)
    similarity_BKK = unit_BKH @ unit_BKH.transpose(1, 2)
    itself = torch.eye(num_slots, dtype=torch.bool, device=slots_BKH.device)
    closest = similarity_BKK.masked_fill(itself, -torch.inf).amax(dim=2)
    farthest = similarity_BKK.masked_fill(itself, torch.inf).amin(dim=2)
    return functional.relu(closest - farthest + margin).sum(dim=1).mean()
