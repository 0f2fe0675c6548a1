"""GAIN: what is observed stays, extremes come from training samples, each loss moves its own network."""

import numpy as np
import torch

from limssr.core.config import LossConfig, ModelConfig
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.nn.losses import total_loss
from limssr.systems.build import build_model

MODALITIES = (Modality("one", 2), Modality("two", 1))
CRITERIA = (Criterion("score"),)


def samples() -> list[Sample]:
    one = np.array([[1.0, 10.0], [3.0, 30.0]], dtype=np.float32)
    return [
        Sample("a", {"one": one}, np.array([0.2])),
        Sample("b", {"one": one + 4.0, "two": np.ones((2, 1), dtype=np.float32)}, np.array([0.8])),
    ]


def built() -> torch.nn.Module:
    model = build_model(ModelConfig(system="gain", hidden=8, dropout=0.0), MODALITIES, CRITERIA, seed=0)
    model.calibrate(samples())
    return model


def test_the_extremes_are_those_of_the_means_of_streams_that_exist() -> None:
    model = built()
    assert model.get_buffer("low_D").tolist() == [2.0, 20.0, 1.0]
    assert model.get_buffer("high_D").tolist() == [6.0, 24.0, 1.0]


def test_the_regression_reads_observed_means_as_they_are() -> None:
    model = built().eval()
    read: list[torch.Tensor] = []
    model.get_submodule("regression").register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    model(collate(samples(), MODALITIES, CRITERIA))
    torch.testing.assert_close(read[0][0, :2], torch.tensor([2.0, 20.0]))
    torch.testing.assert_close(read[0][1], torch.tensor([6.0, 24.0, 1.0]))
    assert 1.0 < read[0][0, 2] < 2.0  # the generator's proposal, of [0, 1], in the range of the stream


def test_each_loss_moves_its_own_network() -> None:
    moved = {}
    for wanted in ("task", "observed", "discriminator", "adversarial"):
        model = built().train()
        batch = collate(samples(), MODALITIES, CRITERIA)
        output = model(batch)
        assert batch.unit_scores_BC is not None
        terms = total_loss(output, batch.unit_scores_BC, LossConfig(task=1.0))
        (terms.task if wanted == "task" else output.auxiliary[wanted]).backward()
        moved[wanted] = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert moved == {
        "task": {"regression"},
        "observed": {"generator"},
        "discriminator": {"discriminator"},
        "adversarial": {"generator"},
    }
