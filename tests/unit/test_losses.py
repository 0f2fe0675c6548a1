"""Each term of the loss, against a direct computation."""

import itertools

import pytest
import torch

from limssr.core.config import LossConfig
from limssr.core.types import ScoreOutput
from limssr.nn.losses import consistency_loss, eq17, slot_triplet, task_loss, total_loss


def slots(num_samples: int = 3, num_slots: int = 4) -> torch.Tensor:
    return torch.randn(num_samples, num_slots, 6, generator=torch.Generator().manual_seed(1))


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return torch.nn.functional.cosine_similarity(a, b, dim=0).item()


def test_slot_triplet_by_hand() -> None:
    slots_BKH = slots()
    anchors = list(itertools.product(range(3), range(4)))
    terms = []
    for b, k in anchors:
        same = [1 - cosine(slots_BKH[b, k], slots_BKH[i, j]) for i, j in anchors if j == k and i != b]
        other = [1 - cosine(slots_BKH[b, k], slots_BKH[i, j]) for i, j in anchors if j != k]
        terms.append(max(0.0, max(same) - min(other) + 1.0))
    assert slot_triplet(slots_BKH).item() == pytest.approx(sum(terms) / len(terms), abs=1e-5)


def test_eq17_by_hand() -> None:
    slots_BKH = slots()
    total = 0.0
    for sample in slots_BKH:
        for k in range(4):
            similarities = [cosine(sample[k], sample[j]) for j in range(4) if j != k]
            total += max(0.0, max(similarities) - min(similarities) + 1.0)
    assert eq17(slots_BKH).item() == pytest.approx(total / 3, abs=1e-5)


def test_eq17_cannot_tell_collapsed_slots_from_orthogonal_ones() -> None:
    collapsed = torch.ones(1, 3, 6)
    orthogonal = torch.eye(6)[None, :3]
    assert eq17(collapsed).item() == pytest.approx(eq17(orthogonal).item(), abs=1e-6)
    assert slot_triplet(collapsed.expand(2, -1, -1)) > slot_triplet(orthogonal.expand(2, -1, -1))


@pytest.mark.parametrize("regularizer", [slot_triplet, eq17])
def test_regularizers_with_one_slot_or_one_sample_are_finite(regularizer) -> None:
    for shape in ((3, 1), (1, 4), (1, 1)):
        slots_BKH = slots(*shape).requires_grad_()
        regularizer(slots_BKH).backward()
        assert slots_BKH.grad.isfinite().all()


def test_scores_that_were_not_judged_are_left_out() -> None:
    scores = torch.tensor([[0.2, 0.4], [0.6, 0.8]], requires_grad=True)
    targets = torch.tensor([[0.0, torch.nan], [torch.nan, 1.0]])
    loss = task_loss(scores, targets)
    assert loss.item() == pytest.approx((0.04 + 0.04) / 2)
    loss.backward()
    assert scores.grad.tolist()[0][1] == 0.0
    assert task_loss(scores, torch.full_like(targets, torch.nan)).item() == 0.0


def test_the_terms_are_weighted() -> None:
    main, aux = torch.rand(2, 1), torch.rand(2, 1)
    output = ScoreOutput(unit_scores_BC=main, main_BC=main, aux_BC=aux, slots_BKH=slots(2))
    config = LossConfig(task=10, consistency=2, slots=0.5)
    terms = total_loss(output, torch.rand(2, 1), config)
    assert terms.total.item() == pytest.approx((10 * terms.task + 2 * terms.consistency + 0.5 * terms.slots).item())
    assert terms.consistency.item() == pytest.approx(consistency_loss(main, aux).item())
    assert total_loss(output, torch.rand(2, 1), LossConfig(slots=0)).slots.item() == 0.0


def test_errors_are_counted_in_the_output_s_own_deviations() -> None:
    scores, targets = torch.tensor([[0.5]]), torch.tensor([[0.3]])
    assert task_loss(scores, targets, torch.tensor([0.1])).item() == pytest.approx(4.0)
