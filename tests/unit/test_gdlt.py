"""The parts of the GDLT family against arithmetic by hand."""

import pytest
import torch

from limssr.core.config import ModelConfig
from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality
from limssr.nn.scaling import OutputScale
from limssr.nn.transformers import TimeEncoder, sinusoidal_positions
from limssr.systems.build import build_model
from limssr.systems.parts.gdlt_trunk import GdltHead, GdltProjector, place_from_unit, unit_from_place


def test_each_slot_is_asked_by_its_own_map_and_weighs_its_own_anchor() -> None:
    head = GdltHead(hidden=3, num_queries=2, num_criteria=2, anchors=(-1.0, 4.0))
    slots_BQH = torch.tensor([[[1.0, 0.0, 2.0], [0.0, -1.0, 1.0]]])
    weight_CQH = head.regressor.weight.detach().view(2, 2, 3)
    bias_CQ = head.regressor.bias.detach().view(2, 2)
    for criterion in range(2):
        low, high = (
            torch.sigmoid(weight_CQH[criterion, q] @ slots_BQH[0, q] + bias_CQ[criterion, q]) for q in range(2)
        )
        expected = (-1.0 * low + 4.0 * high) / (low + high)
        torch.testing.assert_close(head(slots_BQH)[0, criterion], expected)


def test_places_span_three_training_deviations_on_each_side() -> None:
    scale = OutputScale(1, "standardized")
    scale.get_buffer("mean_C").fill_(0.6)
    scale.get_buffer("deviation_C").fill_(0.1)
    place_BC = torch.tensor([[0.0], [0.5], [1.0]])
    unit_BC = unit_from_place(scale, place_BC)
    torch.testing.assert_close(unit_BC, torch.tensor([[0.3], [0.6], [0.9]]))
    torch.testing.assert_close(place_from_unit(scale, unit_BC), place_BC)
    assert torch.equal(unit_from_place(OutputScale(1, "sigmoid"), place_BC), place_BC)


@pytest.mark.parametrize(("dim", "hidden", "middle"), [(1024, 256, 512), (768, 256, 384), (5, 16, 16), (1024, 16, 32)])
def test_the_projectors_middle_stays_between_the_trunk_and_twice_it(dim: int, hidden: int, middle: int) -> None:
    assert GdltProjector(dim, hidden).layers[0].weight.shape == (middle, dim)


def test_layers_that_are_stacked_do_not_begin_as_copies() -> None:
    first, second = TimeEncoder(8, num_heads=1, num_layers=2, dropout=0.0).layers.layers
    assert not torch.equal(first.linear1.weight, second.linear1.weight)


def test_positions_tell_places_apart_at_odd_widths_too() -> None:
    assert torch.cdist(sinusoidal_positions(6, 7), sinusoidal_positions(6, 7)).fill_diagonal_(1.0).min() > 0.05


@pytest.mark.parametrize(
    ("options", "named"), [({"stream": "vidoe"}, "video"), ({"num_heads": 3}, "3 attention heads divide")]
)
def test_what_cannot_be_is_refused(options: dict[str, object], named: str) -> None:
    config = ModelConfig.model_validate({"system": "gdlt", "hidden": 16, "options": options})
    with pytest.raises(InputError, match=named):
        build_model(config, (Modality("video", 4), Modality("audio", 3)), (Criterion("score"),), seed=0)
