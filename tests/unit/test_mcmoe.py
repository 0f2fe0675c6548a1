"""What is particular to MCMoE: generated streams, its two losses on hidden streams, the mixture."""

import dataclasses

import numpy as np
import pytest
import torch

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.systems.build import build_model
from limssr.systems.incomplete.mcmoe.experts import ExpertMixture, mixture_divergence, over_streams, with_neighbours
from limssr.systems.incomplete.mcmoe.generator import StreamGenerator

MODALITIES = (Modality("video", 4), Modality("audio", 3))
CRITERIA = (Criterion("score"),)
SMALL = {"encoder_layers": 1, "decoder_layers": 1}


def samples(num: int = 6) -> list[Sample]:
    rng = np.random.default_rng(0)
    streams = [{m.name: rng.normal(size=(5, m.dim)).astype(np.float32) for m in MODALITIES} for _ in range(num)]
    return [Sample(f"s{n}", streams[n], rng.uniform(size=1)) for n in range(num)]


def model_and_batch(**weights: float) -> tuple[torch.nn.Module, Batch]:
    """A batch that shows video alone, of samples that own both streams."""
    config = ModelConfig(system="mcmoe", hidden=8, dropout=0.0, options={**SMALL, **weights})
    model = build_model(config, MODALITIES, CRITERIA, seed=0)
    every = samples()
    model.calibrate(every)
    shown = collate([sample.restricted_to(("video",)) for sample in every], MODALITIES, CRITERIA)
    return model, dataclasses.replace(shown, owned=collate(every, MODALITIES, CRITERIA))


@pytest.mark.parametrize("queries", ["zeros", "positions"])
def test_zero_queries_make_a_constant_sequence_and_positions_do_not(queries: str) -> None:
    torch.manual_seed(0)
    generator = StreamGenerator(8, num_heads=4, num_layers=2, queries=queries)  # type: ignore[arg-type]
    real_NT = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    made_NTH = generator(torch.randn(2, 7, 8), torch.ones(2, 7, dtype=torch.bool), real_NT)
    assert made_NTH[1, 3:].abs().max() == 0
    changes = (made_NTH[0, 1:] - made_NTH[0, :-1]).abs().max().item()
    assert changes == 0 if queries == "zeros" else changes > 1e-4


def test_the_gate_is_between_nothing_and_all() -> None:
    generator = StreamGenerator(8, num_heads=2, num_layers=1, queries="zeros")
    arguments = torch.randn(1, 4, 8), torch.ones(1, 4, dtype=torch.bool), torch.ones(1, 3, dtype=torch.bool)
    with torch.no_grad():
        generator.gate.weight.zero_()
        generator.gate.bias.fill_(-100.0)
        assert generator(*arguments).abs().max() < 1e-6
        generator.gate.bias.fill_(100.0)
        assert generator(*arguments).abs().max() > 1e-3


def test_generation_is_an_error_against_the_hidden_stream_alone() -> None:
    model, batch = model_and_batch()
    hidden = model.train()(batch).auxiliary
    assert hidden["generation"] > 1e-3
    nothing_hidden = dataclasses.replace(batch.owned, owned=batch.owned)
    assert model(nothing_hidden).auxiliary["generation"] == 0
    without_truth = dataclasses.replace(batch, owned=None)
    assert model(without_truth).auxiliary["generation"] == 0
    assert model.eval()(batch).auxiliary is None


def test_hidden_streams_never_reach_a_score() -> None:
    model, batch = model_and_batch()
    altered = dataclasses.replace(batch, owned=None)
    assert torch.equal(model.eval()(batch).unit_scores_BC, model(altered).unit_scores_BC)


def test_losses_have_the_weights_of_the_options() -> None:
    once, batch = model_and_batch()
    twice, _ = model_and_batch(generation=0.2, own_expert=0.2, slots=0.2)
    first, second = (model.train()(batch).auxiliary for model in (once, twice))
    for name in ("generation", "own_expert", "slots"):
        torch.testing.assert_close(second[name], 2 * first[name])


def test_divergence_is_zero_where_the_mixture_is_the_own_expert_and_known_by_hand_elsewhere() -> None:
    own_BMTH = torch.tensor([[[[0.0, 0.0], [5.0, -5.0]]]])
    real_BMT = torch.tensor([[[True, False]]])
    assert mixture_divergence(own_BMTH, own_BMTH, real_BMT) == 0
    mixture_BMTH = torch.tensor([[[[np.log(3.0), 0.0], [0.0, 0.0]]]], dtype=torch.float32)
    # own (1/2, 1/2) against mixture (3/4, 1/4); the second segment is not real; mean over two features
    expected = (0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25)) / 2
    torch.testing.assert_close(mixture_divergence(mixture_BMTH, own_BMTH, real_BMT).item(), expected)


def test_losses_add_up_over_streams_and_are_means_over_samples() -> None:
    values_BMT = torch.tensor([[[2.0, 4.0], [10.0, 99.0]], [[99.0, 99.0], [1.0, 1.0]]])
    real_BMT = torch.tensor([[[True, True], [True, False]], [[False, False], [True, True]]])
    assert over_streams(values_BMT, real_BMT).item() == ((3.0 + 10.0) + 1.0) / 2


def test_the_router_decides_which_expert_is_heard() -> None:
    torch.manual_seed(0)
    mixture = ExpertMixture(8, num_experts=2).eval()
    x_BMTH, real_BMT = torch.randn(1, 2, 3, 8), torch.ones(1, 2, 3, dtype=torch.bool)
    with torch.no_grad():
        mixture.router[2].weight.zero_()
        mixture.router[2].bias.copy_(torch.tensor([100.0, 0.0]))
    said_BTH = mixture.experts[0](with_neighbours(x_BMTH)[:, 1].flatten(0, 1)).unflatten(0, (1, 3))
    torch.testing.assert_close(mixture(x_BMTH, real_BMT)[:, 1], said_BTH)
    own_BMTH = mixture.own(x_BMTH, real_BMT)
    torch.testing.assert_close(own_BMTH[:, 0], mixture(x_BMTH, real_BMT)[:, 0])
    assert not torch.allclose(own_BMTH[:, 1], said_BTH)


def test_a_segment_is_heard_between_its_neighbours_and_zeros() -> None:
    x_NTH = torch.tensor([[[1.0], [2.0], [3.0]]])
    assert with_neighbours(x_NTH).tolist() == [[[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 0.0]]]
