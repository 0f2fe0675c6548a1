"""Counts by formula against what torch finds in a forward pass, and the published figures beside them."""

import pytest

from limssr.core.config import BackboneConfig, ModelConfig, RunConfig
from limssr.core.config_data import DataConfig
from limssr.core.types import Criterion, Modality
from limssr.model.limssr import LimssrModel
from limssr.studies.paper.describe import Description, describe, published_figures
from limssr.systems.build import build_model
from limssr.systems.counting import measure
from limssr.systems.table import SYSTEMS

MODALITIES = (Modality("video", 6), Modality("audio", 5), Modality("flow", 7))
CRITERIA = (Criterion("execution"), Criterion("difficulty"))
SEGMENTS, HIDDEN, SLOTS = 9, 64, 4


def described(**model: object) -> tuple[RunConfig, Description]:
    settings = ModelConfig.model_validate({"backbone": BackboneConfig(name="tiny"), **model})
    config = RunConfig(data=DataConfig(num_segments=SEGMENTS), model=settings)
    return config, describe(config, MODALITIES, CRITERIA)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"absent": "omitted"},
        {"absent": "zeros", "boundary_tokens": "none"},
        {"num_missing_tokens": 2, "gate_layers": 2},
        {"lora": None, "prompt": {"variant": "none"}},
        {"head": "statistics"},
        {"block_order": "interleaved", "num_fusion_tokens": 4},
    ],
    ids=str,
)
def test_counts_are_those_of_a_forward_pass(changes: dict) -> None:
    """The only difference is what the rules leave out: weighted means, each L x H a stream."""
    config, sizes = described(**changes)
    model = build_model(config.model, MODALITIES, CRITERIA, seed=0)
    assert isinstance(model, LimssrModel)
    model.reader.how = "padded"  # packed reading would do less
    means_a_stream = 4 if config.model.head == "statistics" else 1
    of_vectors = SLOTS if config.model.head == "statistics" else SLOTS + len(MODALITIES)
    active: dict[str, int] = {}
    for subset, macs in sizes.macs_by_subset.items():
        found = measure(model, MODALITIES, SEGMENTS, present=subset.split("+"))
        means = len(MODALITIES) * means_a_stream * sizes.sequence_length[subset] * HIDDEN + of_vectors * HIDDEN
        assert found.macs - macs == means, subset
        active |= found.active
    assert sizes.active == sum(active.values())
    assert sizes.total == sum(parameter.numel() for parameter in model.parameters())
    assert sizes.macs_total == sizes.macs_by_subset["video+audio+flow"]


def test_rows_that_nothing_reads_are_not_active() -> None:
    used, every = described()[1], described(train_embeddings="all")[1]
    assert every.active == used.active == used.total
    assert every.total - used.total == (256 - (used.parts["prompt and special tokens"] // HIDDEN - 13)) * HIDDEN
    assert every.macs_lm_head == (256 + 13) * HIDDEN * every.sequence_length["video+audio+flow"]
    assert every.macs_total == every.macs_backbone + every.macs_attention + every.macs_around_backbone


def test_the_prompt_has_its_share() -> None:
    whole, none = described()[1], described(prompt={"variant": "none"})[1]
    full = "video+audio+flow"
    assert whole.prompt_share == pytest.approx(whole.prompt_tokens[full] / whole.sequence_length[full])
    assert whole.macs_backbone * (1 - whole.prompt_share) == pytest.approx(none.macs_backbone)
    assert none.prompt_share == 0


def test_attention_baseline_by_hand() -> None:
    sizes = described(system="attention", hidden=16)[1]
    projections = SEGMENTS * sum(item.dim * 16 + 16 * 16 for item in MODALITIES)
    attention = 3 * 4 * 16 * 16 + 2 * 3 * 3 * 16
    head = 16 * 16 + 16 * len(CRITERIA)
    assert sizes.macs_total == projections + attention + head
    assert sizes.total == sizes.active == sizes.trainable


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_comparison_system_is_described(system: str) -> None:
    small = dict(SYSTEMS[system].small)
    if system in ("sgn", "vatp-net"):
        small["options"] = {"text": "audio"}  # they read a stream of text
    sizes = described(system=system, **small)[1]
    assert 0 < sizes.active <= sizes.total
    assert sizes.macs_total > 0
    assert sizes.macs_by_subset.keys() == described()[1].macs_by_subset.keys()


def test_published_figures_stand_beside_ours() -> None:
    ours = published_figures("limssr")
    assert ours is not None
    assert (ours["params_millions"], ours["flops_giga"]) == ((600.38, 17.35), (232.966, 0.57))
    assert ours["trained_millions"] == (159.91, 177.26)
    assert published_figures("mlp-mixer") == published_figures("mlp_mixer")
    assert published_figures("mcmoe") == {
        "table": 10,
        "system": "MCMoE",
        "params_millions": (4.9,),
        "flops_giga": (1.34,),
    }
    assert published_figures("attention") is None
