"""What a saved model holds: trained tensors, and for frozen random weights only where they came from."""

import json
import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from limssr.core.config import BackboneConfig, ModelConfig, PromptConfig, StatisticsConfig
from limssr.core.errors import ArtifactError
from limssr.core.types import Criterion, Modality
from limssr.model.backbone.load import meta_backbone
from limssr.model.limssr import LimssrModel
from limssr.nn.contract import FrozenWeights
from limssr.systems.build import build_model
from limssr.systems.saving import load_pretrained, save_pretrained, state_to_save

MODALITIES = (Modality("video", 5), Modality("audio", 3))
CRITERIA = (Criterion("execution"),)
CONFIG = ModelConfig(backbone=BackboneConfig(name="tiny"))


def test_random_weights_are_made_anew_from_the_seed(tmp_path: Path) -> None:
    model = build_model(CONFIG, MODALITIES, CRITERIA, seed=5)
    save_pretrained(model, tmp_path)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert len(frozen) > 10
    assert not frozen & set(load_file(tmp_path / "model.safetensors"))
    again = load_pretrained(tmp_path).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in model.state_dict().items())


def test_random_weights_that_come_out_differently_are_refused(tmp_path: Path) -> None:
    save_pretrained(build_model(CONFIG, MODALITIES, CRITERIA, seed=5), tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**settings, "random_seed": 6}))
    with pytest.raises(ArtifactError, match=r"drawn from the seed.*versions of torch"):
        load_pretrained(tmp_path)


def test_a_folder_that_carries_its_frozen_weights_is_read_and_written_so(tmp_path: Path) -> None:
    model = build_model(CONFIG, MODALITIES, CRITERIA, seed=5)
    save_pretrained(model, tmp_path / "old")
    settings = json.loads((tmp_path / "old" / "config.json").read_text())
    del settings["weights_sha256"]  # as such a folder was written
    (tmp_path / "old" / "config.json").write_text(json.dumps({**settings, "backbone_sha256": ""}))
    moved = {name: tensor * 2 for name, tensor in model.state_dict().items()}
    save_file(moved, tmp_path / "old" / "model.safetensors")
    old = load_pretrained(tmp_path / "old")
    assert set(state_to_save(old)) == set(moved)
    save_pretrained(old, tmp_path / "new")
    again = load_pretrained(tmp_path / "new").state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in moved.items())


def test_a_checkpoint_of_the_papers_set_up_is_small() -> None:
    config = ModelConfig(prompt=PromptConfig(variant="published"))
    backbone = meta_backbone(config.backbone)
    streams = (Modality("video", 768), Modality("audio", 768), Modality("flow", 1024))
    with torch.device("meta"):
        model = LimssrModel(config, streams, CRITERIA, backbone)
    model.frozen = FrozenWeights(sha256="of a file", origin="a file")
    saved = state_to_save(model)
    num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in saved.values())
    assert num_bytes == 88_055_916
    num_rows = sum(len(saved[f"tokens.{part}"]) for part in ("words", "special"))
    assert num_rows == 50 + 13  # different words of the seven prompts, special tokens


def _saved(folder: Path) -> Path:
    config = ModelConfig(system="attention", hidden=8)
    save_pretrained(build_model(config, MODALITIES, CRITERIA, seed=5), folder)
    return folder / "model.safetensors"


@pytest.mark.parametrize("place", [-1, -400, 0.5], ids=["last byte", "near the end", "middle"])
def test_one_flipped_bit_is_found(place: float, tmp_path: Path) -> None:
    path = _saved(tmp_path)
    content = bytearray(path.read_bytes())
    content[int(len(content) * place) if place == 0.5 else int(place)] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model.safetensors.* SHA-256 [0-9a-f]{16}…, found [0-9a-f]{16}…"):
        load_pretrained(tmp_path)


def test_whole_weights_of_another_training_are_found(tmp_path: Path) -> None:
    path = _saved(tmp_path / "one")
    other = {name: tensor + 1 for name, tensor in load_file(path).items()}
    save_file(other, path)
    with pytest.raises(ArtifactError, match="altered or damaged"):
        load_pretrained(tmp_path / "one")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused_also_without_a_hash(value: float, tmp_path: Path) -> None:
    path = _saved(tmp_path)
    state = load_file(path)
    name = next(name for name, tensor in state.items() if tensor.is_floating_point() and tensor.ndim == 2)
    state[name][0, 0] = value
    save_file(state, path)
    settings = json.loads((tmp_path / "config.json").read_text())
    del settings["weights_sha256"]
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ArtifactError, match="finite weights"):
        load_pretrained(tmp_path)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_the_umask_decides_who_may_read_a_saved_model(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        _saved(tmp_path / "model")
    finally:
        os.umask(before)
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "model").iterdir()}
    assert found == {"config.json": mode, "model.safetensors": mode}


@pytest.mark.parametrize(("system", "head"), [("statistics", "paper"), ("limssr", "statistics")])
def test_a_model_from_before_wide_moments_were_reduced_keeps_its_shapes(system: str, head: str, tmp_path: Path) -> None:
    backbone = BackboneConfig(name="tiny", num_layers=1)
    config = ModelConfig(system=system, head=head, backbone=backbone, statistics=StatisticsConfig(widest=None))
    model = build_model(config, (Modality("video", 300),), CRITERIA, seed=0)
    save_pretrained(model, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    settings = json.loads(path.read_text())
    del settings["model"]["statistics"]["widest"]  # as it was written then
    path.write_text(json.dumps(settings))
    assert load_pretrained(tmp_path / "model").state_dict().keys() == model.state_dict().keys()
    settings["model"]["statistics"]["widest"] = 1024
    path.write_text(json.dumps(settings))
    with pytest.raises(ArtifactError, match="directions_0"):
        load_pretrained(tmp_path / "model")
