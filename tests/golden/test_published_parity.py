"""The model against reference numbers of the published one: random weights, every pattern, and one training step."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from limssr.config import BackboneConfig, LoraConfig, LossConfig, ModelConfig, PromptConfig
from limssr.losses import LossTerms, total_loss
from limssr.model import LimssrModel, build_model
from limssr.types import Batch, Criterion, Modality, ScoreOutput

NAMES = ("video", "audio", "flow")
LETTERS = ("v", "a", "f")
PATTERNS = ("v", "a", "f", "v+a", "v+f", "a+f", "v+a+f")
SCORES_TOLERANCE, FEATURES_TOLERANCE = 5e-6, 3e-5


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "fixtures" / "published_parity"


@pytest.fixture(scope="module")
def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def our_name(key: str) -> str:
    """Key of a published state dict -> our key."""
    inside = "language_model.base_model.model.model."
    if key.startswith(inside + "embed_tokens"):
        return "tokens.table"
    if key.startswith(inside):
        return "backbone." + key.removeprefix(inside)
    head, _, rest = key.partition(".")
    if head == "feature_to_llm":
        letter, place = rest.split(".", 1)
        return f"projections.{LETTERS.index(letter)}.layers.{place}"
    if head == "modal_norms":
        letter, place = rest.split(".", 1)
        return f"head.path2.norms.{LETTERS.index(letter)}.{place}"
    modules = {
        "token_role_weight": "head.path1.role",
        "missing_confidence": "head.path2.reliability",
        "w1": "head.mix",
        "LN": "head.path1.norm",
        "cond_head": "head.path1.residual",
        "cond_gate": "head.path1.gate",
        "regressor": "head.main",
        "auxiliary_regressor": "head.aux",
        "cross_modal_attn": "head.path2.attention",
        "modal_gate": "head.path2.gate",
    }
    return f"{modules[head]}.{rest}".rstrip(".")


def load_published(folder: Path, *, dropout: float = 0.15) -> LimssrModel:
    config = ModelConfig(
        backbone=BackboneConfig(name=str(folder / "backbone")),
        lora=LoraConfig(rank=4, dropout=0.0 if dropout == 0.0 else 0.1),
        train_embeddings="all",
        prompt=PromptConfig(variant="published"),
        dropout=dropout,
    )
    widths = (32, 768, 1024)
    modalities = [Modality(name, width) for name, width in zip(NAMES, widths, strict=True)]
    model = build_model(config, modalities, [Criterion("score")], seed=0)
    assert isinstance(model, LimssrModel)
    state = {}
    for key, tensor in load_file(folder / "checkpoint.safetensors").items():
        if "lm_head" not in key:
            name = our_name(key)
            shape = tensor.squeeze(-1).shape if name.startswith("projections") and tensor.ndim == 3 else tensor.shape
            state[name] = tensor.view(shape)
    absent, surplus = model.load_state_dict(state, strict=False)
    assert surplus == []
    assert all(name.startswith("head.output.") for name in absent)
    return model


def make_batch(folder: Path, pattern: str) -> Batch:
    tensors = load_file(folder / "inputs.safetensors")
    features = {name: tensors[name] for name in NAMES}
    num_samples, num_segments = features["video"].shape[:2]
    present = torch.tensor([letter in pattern.split("+") for letter in LETTERS])
    return Batch(
        ids=tuple(str(index) for index in range(num_samples)),
        features=features,
        present_BM=present.expand(num_samples, -1),
        valid_BMT=present[None, :, None].expand(num_samples, -1, num_segments),
        lengths_B=torch.full((num_samples,), num_segments),
        unit_scores_BC=tensors["targets"][:, None],
    )


@pytest.mark.parametrize("pattern", PATTERNS)
def test_scores_slots_and_fused_vector_agree(folder: Path, pattern: str) -> None:
    model = load_published(folder).eval()
    with torch.no_grad():
        output = model(make_batch(folder, pattern))
    expected = load_file(folder / "outputs.safetensors")
    assert_close(output, expected, pattern)


def assert_close(output: ScoreOutput, expected: dict[str, torch.Tensor], pattern: str) -> None:
    pairs = {
        "output": (output.unit_scores_BC[:, 0], SCORES_TOLERANCE),
        "output_main": (output.main_BC[:, 0], SCORES_TOLERANCE),
        "output_aux": (output.aux_BC[:, 0], SCORES_TOLERANCE),
        "embed": (output.slots_BKH, FEATURES_TOLERANCE),
        "fused_modal_feat": (output.fused_BH, FEATURES_TOLERANCE),
    }
    for name, (ours, tolerance) in pairs.items():
        torch.testing.assert_close(ours.detach(), expected[f"{pattern}/{name}"], atol=tolerance, rtol=0, msg=name)


def test_prompt_ids_agree(folder: Path, manifest: dict) -> None:
    rows = load_published(folder).tokens.rows.prompts
    for pattern in PATTERNS:
        owned = tuple(letter in pattern.split("+") for letter in LETTERS)
        assert list(rows[owned]) == manifest["per_mask"][pattern]["prompt_token_ids"]


@pytest.mark.parametrize("pattern", ["v+f", "v+a+f"])
def test_training_step_agrees(folder: Path, manifest: dict, pattern: str) -> None:
    model = load_published(folder, dropout=0.0).train()
    batch = make_batch(folder, pattern)
    output = model(batch)
    expected = load_file(folder / "training_step.safetensors")
    assert_close(output, expected, pattern)
    assert batch.unit_scores_BC is not None
    loss = total_loss(output, batch.unit_scores_BC, LossConfig())
    record = manifest["training_step"]["masks"][pattern]
    check_terms(loss, record)
    loss.total.backward()
    norms = {our_name(key): value for key, value in record["grad_norms"].items()}
    assert len(norms) >= 25
    parameters = dict(model.named_parameters())
    for name, norm in norms.items():
        gradient = parameters[name].grad
        if norm is None:
            assert gradient is None, name
        else:
            assert gradient is not None, name
            assert gradient.norm().item() == pytest.approx(norm, rel=1e-4), name


def check_terms(loss: LossTerms, record: dict) -> None:
    pairs = ((loss.task, "mse"), (loss.slots, "triplet"), (loss.consistency, "consistency"), (loss.total, "total"))
    for ours, name in pairs:
        assert ours.item() == pytest.approx(record[name], abs=1e-5), name
