"""What is particular to CoFInAl: digits, directions, and the score put together from both."""

import numpy as np
import pytest
import torch

from limssr.core.config import LossConfig, ModelConfig
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.nn.losses import total_loss
from limssr.systems.build import build_model
from limssr.systems.complete.cofinal import FineReadout, fine_digits, simplex_directions


@pytest.mark.parametrize(
    ("place", "digits"), [(0.0, 0), (0.1234, 34), (0.5, 0), (0.57, 0), (0.9999, 99), (1.0, 99), (-0.2, 0)]
)
def test_digits_are_the_third_and_fourth(place: float, digits: int) -> None:
    assert fine_digits(torch.tensor([[place]])).item() == digits


def test_directions_have_length_one_and_equal_angles() -> None:
    torch.manual_seed(0)
    directions = simplex_directions(100)
    cosines = directions.T @ directions
    expected = torch.full((100, 100), -1 / 99).fill_diagonal_(1.0)
    torch.testing.assert_close(cosines, expected, atol=1e-5, rtol=0.0)


def test_a_direction_is_nearest_to_itself_for_every_sample_of_a_batch() -> None:
    readout = FineReadout(8, 4, 2, num_heads=2, dropout=0.0)
    digits_NC = torch.tensor([[3, 97], [0, 51], [99, 3]])
    assert torch.equal(readout.nearest(readout.direction(digits_NC)), digits_NC)


@pytest.mark.parametrize("output", ["standardized", "linear"])
def test_readouts_that_say_the_coarse_part_have_no_task_loss(output: str) -> None:
    modalities, criteria = (Modality("video", 4),), (Criterion("score"),)
    rng = np.random.default_rng(0)
    samples = [
        Sample(f"s{n}", {"video": rng.normal(size=(5, 4)).astype(np.float32)}, rng.uniform(0.2, 0.8, 1))
        for n in range(6)
    ]
    config = ModelConfig.model_validate({"system": "cofinal", "hidden": 8, "dropout": 0.0, "output": output})
    model = build_model(config, modalities, criteria, seed=0)
    model.calibrate(samples)
    batch = collate(samples, modalities, criteria)
    untrained = total_loss(model.train()(batch), batch.unit_scores_BC, LossConfig(task=1.0))
    places_NC = torch.stack(tuple(batch.unit_scores_BC))
    if output == "standardized":
        scale = model.output_scale
        places_NC = ((places_NC - scale.mean_C) / scale.deviation_C / 3 + 1) / 2
    coarse_NC = torch.floor(places_NC * 100) / 100

    class Says(torch.nn.Module):
        def __init__(self, value_NC: torch.Tensor) -> None:
            super().__init__()
            self.value_NC = value_NC

        def forward(self, _: torch.Tensor) -> torch.Tensor:
            return self.value_NC

    model.coarse, model.reversed = Says(coarse_NC), Says(1 - coarse_NC)
    said = total_loss(model(batch), batch.unit_scores_BC, LossConfig(task=1.0))
    assert said.task < 1e-4 < untrained.task
    # when scoring, the fine readout adds what it finds: less than a hundredth of a place off
    width = 6 * model.output_scale.deviation_C if output == "standardized" else 1.0
    assert ((model.eval()(batch).unit_scores_BC - batch.unit_scores_BC).abs() <= 0.0101 * width).all()
