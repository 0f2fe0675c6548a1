import numpy as np
import torch

from limssr.core.config import ModelConfig
from limssr.systems.build import build_model
from limssr.systems.saving import load_saved_state, state_to_save
from limssr.training.optimizer import WeightAverage


def test_average_has_no_bias_towards_the_start(world):
    model = build_model(ModelConfig(system="attention"), world.modalities, world.criteria, seed=0)
    average, decay, seen = WeightAverage(0.9), 0.9, []
    name = "modality_embedding_MH"
    for step in range(4):
        with torch.no_grad():
            model.get_parameter(name).fill_(float(step))
        average.update(model)
        seen.append(float(step))
    weights = np.array([decay ** (3 - step) for step in range(4)])
    expected = np.dot(weights, seen) / weights.sum()
    torch.testing.assert_close(average.values[name], torch.full_like(average.values[name], expected))


def test_average_stands_in_and_steps_back(world):
    model = build_model(ModelConfig(system="attention"), world.modalities, world.criteria, seed=0)
    average = WeightAverage(0.5)
    average.update(model)
    own = {key: value.clone() * 2 for key, value in state_to_save(model).items()}
    load_saved_state(model, own)
    with average.in_place_of_weights(model):
        assert not torch.equal(state_to_save(model)["norm.weight"], own["norm.weight"])
    assert all(torch.equal(value, own[key]) for key, value in state_to_save(model).items())
