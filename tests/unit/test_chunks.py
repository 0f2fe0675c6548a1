"""A batch read in chunks gives the numbers of the batch read at once, dropout included, and keeps less in memory."""

import copy

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from limssr.core.config import BackboneConfig, LoraConfig, LossConfig, ModelConfig, TrainConfig
from limssr.core.errors import InputError
from limssr.core.types import Batch, Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.model.reading import reader as reading
from limssr.model.reading.chunks import SavedBytes, chunked
from limssr.nn.losses import total_loss
from limssr.systems.build import build_model
from limssr.training.optimizer import make_optimizer

MODALITIES = (Modality("video", 5), Modality("audio", 3), Modality("flow", 4))
CRITERIA = (Criterion("execution"),)
OWNED = ((0,), (0, 1, 2), (1, 2), (0, 1, 2), (2,), (0, 1), (0, 1, 2))


def batch() -> Batch:
    rng = np.random.default_rng(0)
    samples = []
    for n, owned in enumerate(OWNED):
        streams = {
            MODALITIES[m].name: rng.standard_normal((6 + 3 * n, MODALITIES[m].dim), dtype=np.float32) for m in owned
        }
        samples.append(Sample(f"s{n}", streams, np.array([float(n)])))
    return collate(samples, MODALITIES, CRITERIA)


def model_of(**backbone) -> nn.Module:
    settings = BackboneConfig(name="tiny", **backbone)
    config = ModelConfig(backbone=settings, lora=LoraConfig(rank=4, dropout=0.3), dropout=0.2)
    model = build_model(config, MODALITIES, CRITERIA, seed=1)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.train()


def step(model: nn.Module) -> tuple[dict[str, Tensor], SavedBytes]:
    """Scores, gradients and weights after one step, and what was kept for the gradient."""
    optimizer, shown = make_optimizer(model, TrainConfig(learning_rate=1e-2)), batch()
    torch.manual_seed(7)
    with SavedBytes(list(model.parameters())) as saved:
        output = model(shown)
    total_loss(output, shown.unit_scores_BC, LossConfig()).total.backward()
    found = {"scores": output.unit_scores_BC.detach(), "next draw": torch.rand(3)}
    found |= {f"gradient of {name}": one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    optimizer.step()
    return found | {name: one.detach() for name, one in model.state_dict().items()}, saved


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (found[name] - tensor).abs().max().item() <= 1e-4 * max(tensor.abs().max().item(), 1e-3), name


def numbers(found: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in found.items() if tensor.is_floating_point()}


@pytest.mark.parametrize("gigabytes", [1.0, 6e-3, 3e-3])
def test_scores_gradients_and_a_step_are_those_of_the_whole_batch(gigabytes, monkeypatch) -> None:
    expected, at_once = step(model_of())
    made = []

    def spy(*args, **named):
        made.append(chunked(*args, **named))
        return made[-1]

    monkeypatch.setattr(reading, "chunked", spy)
    found, kept = step(model_of(memory_gb=gigabytes))
    assert sorted(b for chunk in made[0] for b in chunk) == list(range(len(OWNED)))
    assert (len(made[0]) > 1) == (gigabytes < 1.0)
    assert_same(numbers(found), numbers(expected))
    if gigabytes < 1.0:
        assert kept.total < 0.5 * at_once.total


def test_dropout_is_really_on() -> None:
    one, other = model_of(), model_of()
    torch.manual_seed(1)
    first = one(batch()).unit_scores_BC
    torch.manual_seed(2)
    assert (first - other(batch()).unit_scores_BC).abs().max() > 1e-3


def test_gradient_checkpointing_meets_the_same_masks() -> None:
    expected, at_once = step(model_of())
    found, kept = step(model_of(gradient_checkpointing=True))
    assert_same(numbers(found), numbers(expected))
    assert kept.total < 0.6 * at_once.total


def test_two_readings_before_their_gradients_keep_their_own_masks() -> None:
    """Layers that are run again have to find the masks of their own reading, not of the last."""
    gradients = []
    for checkpointing in (False, True):
        model = model_of(gradient_checkpointing=checkpointing)
        torch.manual_seed(3)
        losses = [model(batch()).unit_scores_BC.sum() for _ in range(2)]
        sum(losses).backward()
        gradients.append({name: one.grad for name, one in model.named_parameters() if one.grad is not None})
    assert_same(gradients[1], gradients[0])


def test_a_copy_of_a_model_draws_for_itself() -> None:
    model = model_of()
    twin = copy.deepcopy(model)
    scores = []
    for one in (model, twin):
        torch.manual_seed(3)
        scores.append(one(batch()).unit_scores_BC)
    assert torch.equal(*scores)


def test_a_sample_that_does_not_fit_is_refused_with_its_size() -> None:
    with pytest.raises(InputError, match=r"memory_gb 1e-05, found one of \d+ tokens that takes 0\.\d+ GB"):
        step(model_of(memory_gb=1e-5))


def test_chunks_are_few_and_count_a_prompt_once() -> None:
    prompt = (1, 2, 3, 4)
    assert chunked([10, 10, 10, 6], [prompt] * 4, token_bytes=1e9, budget_gb=16.0) == [[0, 2], [1, 3]]
    assert chunked([10, 10], [prompt, (5, 6, 7, 8)], token_bytes=1e9, budget_gb=19.0) == [[0], [1]]


def test_two_ways_to_save_memory_are_refused() -> None:
    for other in ({"gradient_checkpointing": True}, {"reading": "padded"}):
        with pytest.raises(ValidationError, match="memory_gb"):
            BackboneConfig(name="tiny", memory_gb=1.0, **other)
