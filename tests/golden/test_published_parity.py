"""Published checkpoints, imported, against reference numbers: every pattern, and one training step.

The numbers were made by the published model on random weights; they go through the run folder, as a person's would.
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from limssr.core.config import LossConfig
from limssr.core.types import Batch, Criterion, ScoreOutput
from limssr.model.limssr import LimssrModel
from limssr.nn.losses import LossTerms, total_loss
from limssr.runs.published.import_checkpoint import import_checkpoint
from limssr.runs.published.keys import KeyMap
from limssr.systems.saving import load_pretrained

NAMES = ("video", "audio", "flow")
LETTERS = ("v", "a", "f")
PATTERNS = ("v", "a", "f", "v+a", "v+f", "a+f", "v+a+f")
SCORES_TOLERANCE, FEATURES_TOLERANCE = 5e-6, 3e-5
KINDS = [(ending, rows) for ending in ("pt", "safetensors") for rows in ("used", "all")]


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "fixtures" / "published_parity"


@pytest.fixture(scope="module")
def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def run(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of the fixture as a run folder."""
    ending, rows = request.param
    out = tmp_path_factory.mktemp("imported") / "run"
    return import_checkpoint(
        folder / f"checkpoint.{ending}",
        out,
        backbone=str(folder / "backbone"),
        criteria=[Criterion("score")],
        num_segments=7,
        embeddings=rows,
    ).run


def load(run: Path) -> LimssrModel:
    model = load_pretrained(run / "model")
    assert isinstance(model, LimssrModel)
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


def test_scores_slots_and_fused_vector_agree(run: Path, folder: Path) -> None:
    model = load(run)
    expected = load_file(folder / "outputs.safetensors")
    for pattern in PATTERNS:
        with torch.no_grad():
            assert_close(model(make_batch(folder, pattern)), expected, pattern)


def assert_close(output: ScoreOutput, expected: dict[str, torch.Tensor], pattern: str) -> None:
    assert output.main_BC is not None
    assert output.aux_BC is not None
    pairs = {
        "output": (output.unit_scores_BC[:, 0], SCORES_TOLERANCE),
        "output_main": (output.main_BC[:, 0], SCORES_TOLERANCE),
        "output_aux": (output.aux_BC[:, 0], SCORES_TOLERANCE),
        "embed": (output.slots_BKH, FEATURES_TOLERANCE),
        "fused_modal_feat": (output.fused_BH, FEATURES_TOLERANCE),
    }
    for name, (ours, tolerance) in pairs.items():
        assert ours is not None
        difference = (ours.detach() - expected[f"{pattern}/{name}"]).abs().max().item()
        assert difference <= tolerance, (pattern, name)


def test_prompt_ids_agree(run: Path, manifest: dict) -> None:
    tokens = load(run).tokens
    rows = tokens.rows
    table = load_file(run / "model" / "model.safetensors")
    for pattern in PATTERNS:
        owned = tuple(letter in pattern.split("+") for letter in LETTERS)
        ids = manifest["per_mask"][pattern]["prompt_token_ids"]
        if "tokens.table" in table:
            assert list(rows.prompts[owned]) == ids
        else:
            assert len(rows.prompts[owned]) == len(ids)
    assert rows.count == len(tokens())


def test_the_whole_table_is_in_the_published_order(run: Path, manifest: dict) -> None:
    rows = load(run).tokens.rows
    first = rows.count - len(manifest["special_tokens_in_order_added"])
    ids = {name: number - 320 + first for name, number in manifest["special_tokens_in_order_added"].items()}
    assert list(rows.starts) == [ids[f"<|{name}_start|>"] for name in NAMES]
    assert list(rows.ends) == [ids[f"<|{name}_end|>"] for name in NAMES]
    assert list(rows.missing) == [ids[f"<|missing_{name}|>"] for name in NAMES]
    assert list(rows.fusion) == [ids[f"<|feat_dim_{k}|>"] for k in (1, 2, 3, 4)]


@pytest.mark.parametrize("pattern", ["v+f", "v+a+f"])
def test_training_step_agrees(run: Path, folder: Path, manifest: dict, pattern: str) -> None:
    model = without_dropout(load(run)).train()
    batch = make_batch(folder, pattern)
    output = model(batch)
    expected = load_file(folder / "training_step.safetensors")
    assert_close(output, expected, pattern)
    assert batch.unit_scores_BC is not None
    loss = total_loss(output, batch.unit_scores_BC, LossConfig())
    record = manifest["training_step"]["masks"][pattern]
    check_terms(loss, record)
    loss.total.backward()
    assert len(record["grad_norms"]) >= 25
    for key, norm in record["grad_norms"].items():
        found = gradient_norm(model, key)
        assert found == (None if norm is None else pytest.approx(norm, rel=1e-4)), key
    check_batch_statistics(model, expected, pattern)


def without_dropout(model: LimssrModel) -> LimssrModel:
    """As the reference: every rate is set to zero by hand."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    return model


def gradient_norm(model: LimssrModel, key: str) -> float | None:
    """Of a published tensor; the rows of a token table that is kept in two parts count together."""
    name = KeyMap().ours(key)
    assert name is not None
    parts = [
        p for n, p in model.named_parameters() if n == name or (name == "tokens.table" and n.startswith("tokens."))
    ]
    assert parts, key
    gradients = [p.grad for p in parts if p.grad is not None]
    return torch.stack([gradient.norm() for gradient in gradients]).norm().item() if gradients else None


def check_terms(loss: LossTerms, record: dict) -> None:
    pairs = ((loss.task, "mse"), (loss.slots, "triplet"), (loss.consistency, "consistency"), (loss.total, "total"))
    for ours, name in pairs:
        assert ours.item() == pytest.approx(record[name], abs=1e-5), name


def check_batch_statistics(model: LimssrModel, expected: dict[str, torch.Tensor], pattern: str) -> None:
    buffers = dict(model.named_buffers())
    prefix = f"{pattern}/after/"
    moved = {key.removeprefix(prefix): tensor for key, tensor in expected.items() if key.startswith(prefix)}
    assert moved
    for key, tensor in moved.items():
        name = KeyMap().ours(key)
        assert name is not None
        torch.testing.assert_close(buffers[name].float(), tensor.float(), atol=1e-5, rtol=1e-4, msg=key)
