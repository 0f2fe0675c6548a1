"""What is particular to PAMFN: branches that rest, attention turned around, a policy that closes mixtures, pooling."""

import numpy as np
import pytest
import torch

from limssr.core.config import ModelConfig
from limssr.core.errors import InputError
from limssr.core.types import Batch, Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.nn.sequences import TimeConv, beside, pool_all, pool_pairs
from limssr.systems.build import build_model
from limssr.systems.counting import num_parameters
from limssr.systems.incomplete.pamfn.fusion import CLOSED, PlaceAttention, closing_bias
from limssr.systems.incomplete.pamfn.pamfn import Branch

MODALITIES = (Modality("video", 3), Modality("audio", 2))
CRITERIA = (Criterion("points"),)


def pamfn(**options: int | str | None) -> torch.nn.Module:
    config = ModelConfig(system="pamfn", hidden=8, dropout=0.0, options={"num_mixtures": 2, **options})
    return build_model(config, MODALITIES, CRITERIA, seed=0)


def batch_of(*owned: tuple[str, ...]) -> Batch:
    samples = []
    for number, names in enumerate(owned):
        rng = np.random.default_rng(number)
        streams = {m.name: rng.normal(size=(9, m.dim)).astype(np.float32) for m in MODALITIES}
        samples.append(Sample(f"s{number}", streams, np.array([rng.uniform()])).restricted_to(names))
    return collate(samples, MODALITIES, CRITERIA)


BATCH = batch_of(("video", "audio"), ("video",), ("audio",), ("video", "audio"))


def moved(model: torch.nn.Module, loss: torch.Tensor) -> set[str]:
    loss.backward()
    names = (name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0)
    return {".".join(name.split(".")[:2]) for name in names}


@pytest.mark.parametrize(("dim", "count"), [(768, 1_711_105), (1024, 1_842_177)])
def test_a_branch_has_the_size_of_the_reference(dim: int, count: int) -> None:
    assert num_parameters(Branch(dim, 256, 1, 0.3)) == count


def test_branches_learn_alone_first_and_rest_then() -> None:
    model = pamfn()
    model.enter(model.stages[0])
    output = model.train()(BATCH)
    assert not output.scored_B.any()
    assert moved(model, output.auxiliary["streams alone"]) == {"branches.0", "branches.1"}
    model.zero_grad()
    model.enter(model.stages[1])
    assert not any(branch.training for branch in model.train().branches)
    found = moved(model, model(BATCH).unit_scores_BC.square().sum())
    assert "blocks.0" in found
    assert not any(name.startswith("branches") for name in found)


def test_one_branch_can_go_on_learning() -> None:
    model = pamfn(moving_branch="audio")
    assert model.stages[1].moves("branches.1.embed.layers.0.weight")
    assert not model.stages[1].moves("branches.0.embed.layers.0.weight")
    found = moved(model, model.train()(BATCH).unit_scores_BC.square().sum())
    assert "branches.1" in found
    assert "branches.0" not in found
    with pytest.raises(InputError, match="'audoi'"):
        pamfn(moving_branch="audoi")


def test_attention_turned_around_reads_the_key_that_is_unlike_the_query() -> None:
    query_BTH = torch.tensor([[[3.0, 0.0]]])
    keys_BTNH = torch.tensor([[[[3.0, 0.0], [-3.0, 0.0]]]])
    for prefers, read in (("similar", 3.0), ("dissimilar", -3.0)):
        attention = PlaceAttention(2, 1, 0.0, prefers)
        for layer in (attention.query, attention.key, attention.value):
            torch.nn.init.eye_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
        assert attention(query_BTH, keys_BTNH)[0, 0, 0].item() == pytest.approx(read, abs=0.01)


def test_the_policy_closes_the_mixtures_behind_the_chosen_one_and_learns() -> None:
    choice_BTK = torch.eye(3)[None].requires_grad_()
    bias_BTK = closing_bias(choice_BTK)
    assert bias_BTK[0].tolist() == [[0.0, CLOSED, CLOSED], [0.0, 0.0, CLOSED], [0.0, 0.0, 0.0]]
    bias_BTK.sum().backward()
    assert choice_BTK.grad is not None
    assert torch.equal(choice_BTK.grad, torch.ones(1, 3, 3))


def test_pooling_leaves_out_what_is_not_real() -> None:
    x_BTH = torch.tensor([[[1.0], [3.0], [5.0], [float("nan")], [float("nan")], [float("nan")]]])
    real_BT = torch.tensor([[True, True, True, False, False, False]])
    pairs_BTH, real_pairs_BT = pool_pairs(x_BTH, real_BT)
    assert pairs_BTH.flatten().tolist() == [2.0, 5.0, 0.0]
    assert real_pairs_BT.tolist() == [[True, True, False]]
    whole_BTH, real_whole_BT = pool_all(x_BTH, real_BT)
    assert whole_BTH.flatten().tolist() == [3.0]
    assert real_whole_BT.tolist() == [[True]]


def test_the_map_of_three_neighbours_is_a_convolution() -> None:
    x_BTH = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    layer = TimeConv(3, 4, torch.nn.ReLU).rows.layers[0]
    kernel = layer.weight.unflatten(1, (3, 3)).transpose(1, 2)  # out, in, place
    expected = torch.nn.functional.conv1d(x_BTH.transpose(1, 2), kernel, layer.bias, padding=1).transpose(1, 2)
    torch.testing.assert_close(layer(beside(x_BTH)), expected)


@pytest.mark.parametrize("stage", [0, 1])
def test_a_batch_in_which_nobody_owns_a_stream_can_be_learned_from(stage: int) -> None:
    model = pamfn()
    model.enter(model.stages[stage])
    output = model.train()(batch_of(("video",), ("video",)))
    terms = [output.unit_scores_BC.sum(), *(output.auxiliary or {}).values()]
    torch.stack(terms).sum().backward()
    assert torch.stack(terms).isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
