"""The shapes and types in signatures are checked while tests run; without that, the signatures would be decoration."""

import pytest
import torch
from jaxtyping import TypeCheckError

from limssr.core.types import Batch
from limssr.model.heads.paper import CalibratedReasoning
from limssr.model.layout import Layout
from limssr.nn.layers import masked_mean
from limssr.nn.losses import slot_triplet, task_loss


def test_a_wrong_type_in_a_batch_is_noticed():
    lengths_B = torch.tensor([3])
    good = {"video": torch.zeros(1, 3, 2)}
    present_BM, valid_BMT = torch.ones(1, 1, dtype=torch.bool), torch.ones(1, 1, 3, dtype=torch.bool)
    assert len(Batch(ids=("a",), features=good, present_BM=present_BM, valid_BMT=valid_BMT, lengths_B=lengths_B)) == 1
    with pytest.raises(TypeCheckError):
        Batch(ids=("a",), features=good, present_BM=present_BM.float(), valid_BMT=valid_BMT, lengths_B=lengths_B)
    with pytest.raises(TypeCheckError):
        Batch(
            ids=("a",),
            features=good,
            present_BM=present_BM,
            valid_BMT=torch.ones(2, 1, 3, dtype=torch.bool),
            lengths_B=lengths_B,
        )


def test_wrong_shapes_are_noticed_in_networks_too():
    scores_BC, real_BN = torch.zeros(2, 3), torch.ones(2, 4, dtype=torch.bool)
    for call in (
        lambda: task_loss(scores_BC, torch.zeros(2, 4)),
        lambda: task_loss(scores_BC, scores_BC, torch.ones(2)),
        lambda: slot_triplet(torch.zeros(2, 3)),
        lambda: masked_mean(torch.zeros(2, 5, 3), real_BN),
        lambda: masked_mean(torch.zeros(2, 4, 3), real_BN.float()),
        lambda: CalibratedReasoning(8, 2, 3, dropout=0.0, gate_layers=1)(torch.zeros(2, 3, 8), real_BN.float()),
        lambda: Layout(torch.zeros(2, 4).long(), torch.zeros(2, 1, 5), torch.zeros(2, 1).long(), torch.zeros(2).long()),
    ):
        with pytest.raises(TypeCheckError):
            call()
    assert task_loss(scores_BC, scores_BC) == 0
