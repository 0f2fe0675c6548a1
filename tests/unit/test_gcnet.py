"""GCNet and SDR-GNN: what their reconstruction counts, and recurrent layers that end with the sample."""

import dataclasses

import pytest
import torch

from limssr.core.types import Batch
from limssr.nn.sequences import BothDirections
from limssr.systems.incomplete.gcnet import missing_error


def batch_of(present: list[list[bool]]) -> Batch:
    present_BM = torch.tensor(present)
    return Batch(
        ids=tuple("ab"),
        features={"one": torch.zeros(2, 3, 2), "two": torch.zeros(2, 3, 1)},
        present_BM=present_BM,
        valid_BMT=present_BM[..., None].expand(-1, -1, 3),
        lengths_B=torch.tensor([3, 3]),
    )


def test_only_streams_that_are_hidden_though_owned_count() -> None:
    owned = batch_of([[True, True], [True, False]])
    batch = dataclasses.replace(batch_of([[True, False], [True, False]]), owned=owned)
    targets = {"one": torch.full((2, 3, 2), 7.0), "two": torch.full((2, 3, 1), 2.0)}
    found = torch.zeros(2, 3, 3)
    # sample a hides stream two: three segments of error 4, over six segments; sample b does not own it
    assert missing_error(found, targets, batch).item() == 2.0
    found[0, :, 2] = 2.0
    assert missing_error(found, targets, batch).item() == 0.0
    assert missing_error(found, targets, dataclasses.replace(batch, owned=None)).item() == 0.0


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_recurrent_layer_sees_no_padding(cell: str) -> None:
    torch.manual_seed(0)
    layer = BothDirections(3, 4, cell=cell, num_layers=2, dropout=0.0)
    x_BTW = torch.randn(2, 6, 3)
    padded = x_BTW.clone()
    padded[1, 4:] = torch.nan
    found = layer(padded, torch.tensor([6, 4]))
    torch.testing.assert_close(found[1, :4], layer(x_BTW[1:, :4], torch.tensor([4]))[0])
    torch.testing.assert_close(found[:1], layer(x_BTW[:1], torch.tensor([6])))
    assert not found[1, 4:].any()
