"""Parameter counts of the paper's FS1000 set-up, on the meta device (paper, Table 10)."""

from pathlib import Path

import pytest

from limssr.core.config import RunConfig
from limssr.core.recipes import load_recipe
from limssr.studies.paper.describe import describe

PUBLISHED = {"protocol": "published"}
RECIPE = Path(__file__).parents[2] / "recipes" / "paper" / "fs1000.yaml"


@pytest.fixture(scope="module")
def published() -> RunConfig:
    return load_recipe(RECIPE, (), PUBLISHED)


def test_counts_of_the_published_model(published: RunConfig) -> None:
    sizes = describe(published)
    assert sizes.backbone_total == 600_377_344
    assert sizes.backbone_trainable == 159_909_888
    assert sizes.lora == 4_587_520
    assert sizes.around_backbone == 17_349_645
    assert sizes.trainable == 177_259_533


def test_multiply_accumulates_of_the_published_model(published: RunConfig) -> None:
    sizes = describe(published)
    assert sizes.macs_around_backbone == pytest.approx(567.8e6, abs=0.1e6)
    assert sizes.sequence_length["video+audio+flow"] == 370
    assert sizes.macs_backbone == pytest.approx(164.65e9, abs=0.01e9)


@pytest.mark.parametrize(
    ("override", "around"),
    [("data.stream_dims.video=1024", 17_611_789), ("model.gate_layers=2", 18_399_245)],
)
def test_counts_of_its_variants(override: str, around: int) -> None:
    assert describe(load_recipe(RECIPE, [override], PUBLISHED)).around_backbone == around


def test_prompt_tokens_of_the_published_model(published: RunConfig) -> None:
    tokens = describe(published).prompt_tokens
    assert {subset.count("+") + 1: count for subset, count in tokens.items()} == {1: 75, 2: 73, 3: 75}


def test_new_rows_train_far_less(published: RunConfig) -> None:
    config = load_recipe(RECIPE, ["model.train_embeddings=new"], PUBLISHED)
    assert describe(config).backbone_trainable == 4_587_520 + 13 * 1024
