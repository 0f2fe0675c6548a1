"""Names of streams are data, and their order is only an order: relabelling them with their columns changes nothing."""

import pytest
import torch

from limssr.core.config import BackboneConfig, ModelConfig, PromptConfig
from limssr.core.types import Batch, Criterion, Modality
from limssr.systems.build import build_model

FIRST, SECOND = Modality("video", 5), Modality("audio", 3)
CRITERIA = (Criterion("score", 0.0, 10.0),)


def make_batch(names: tuple[str, str]) -> Batch:
    generator = torch.Generator().manual_seed(0)
    present = torch.tensor([[1, 1], [1, 0], [0, 1]], dtype=torch.bool)
    valid = present[:, :, None].expand(-1, -1, 4)
    features = {name: torch.randn(3, 4, m.dim, generator=generator) for name, m in zip(names, (FIRST, SECOND))}  # noqa: B905
    return Batch(
        ids=("a", "b", "c"), features=features, present_BM=present, valid_BMT=valid, lengths_B=torch.full((3,), 4)
    )


def scores(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(batch).unit_scores_BC


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(backbone=BackboneConfig(name="tiny"), prompt=PromptConfig(variant="none")),
        ModelConfig(backbone=BackboneConfig(name="tiny"), prompt=PromptConfig(variant="none"), head="statistics"),
        ModelConfig(system="attention"),
        ModelConfig(system="statistics"),
    ],
    ids=["limssr", "limssr-statistics", "attention", "statistics"],
)
def test_other_names_give_the_same_scores(config: ModelConfig) -> None:
    named = build_model(config, (FIRST, SECOND), CRITERIA, seed=0)
    renamed = build_model(config, (Modality("x", 5), Modality("y", 3)), CRITERIA, seed=0)
    assert torch.equal(scores(named, make_batch(("video", "audio"))), scores(renamed, make_batch(("x", "y"))))


def test_another_order_with_its_columns_gives_the_same_scores() -> None:
    """Where order allows: attention over streams has none, while a causal backbone reads one block after another."""
    model = build_model(ModelConfig(system="attention"), (FIRST, SECOND), CRITERIA, seed=0)
    turned = build_model(ModelConfig(system="attention"), (SECOND, FIRST), CRITERIA, seed=0)
    swap = {"projections.0.": "projections.1.", "projections.1.": "projections.0."}
    state = {}
    for name, tensor in model.state_dict().items():
        prefix = name[: len("projections.0.")]
        state[swap.get(prefix, prefix) + name[len(prefix) :]] = tensor
    state["modality_embedding_MH"] = model.state_dict()["modality_embedding_MH"].flip(0)
    turned.load_state_dict(state)
    batch = make_batch(("video", "audio"))
    flipped = Batch(
        ids=batch.ids,
        features=batch.features,
        present_BM=batch.present_BM.flip(1),
        valid_BMT=batch.valid_BMT.flip(1),
        lengths_B=batch.lengths_B,
    )
    torch.testing.assert_close(scores(turned, flipped), scores(model, batch), atol=1e-6, rtol=0)
