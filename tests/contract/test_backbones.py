"""Every family of language models: a score depends on the recording alone, or the family is refused with the reason."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

from helpers.backbones import FAMILIES, POSITIONS, write_backbone
from limssr.core.config import BackboneConfig, ModelConfig
from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality, Sample
from limssr.evaluation.scorer import ModelScorer
from limssr.model.backbone.load import load_backbone
from limssr.nn.contract import Network
from limssr.systems.build import build_model

MODALITIES = (Modality("video", 3), Modality("audio", 2))
CRITERIA = (Criterion("score"),)
NOT_CAUSAL = ("bert", "roberta", "modernbert", "electra", "xlnet", "gemma3 that looks both ways")
TWO_SEQUENCES = ("bart", "t5")
LIMITED = ("gpt2", "gptj", "opt", "llama with dynamic positions", "phi3 with long positions")
PADDED_ONLY = ("gptj", "bloom", "mamba", "gpt2", "opt")
CAUSAL = tuple(name for name in FAMILIES if name not in NOT_CAUSAL + TWO_SEQUENCES)


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory):
    made: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in made:
            made[family] = write_backbone(tmp_path_factory.mktemp("backbones") / "lm", family)
        return made[family]

    return folder


def model_of(folder: Path, reading: str) -> Network:
    backbone = BackboneConfig.model_validate({"name": str(folder), "reading": reading})
    config = {"backbone": backbone, "lora": None, "num_missing_tokens": 1, "num_fusion_tokens": 2, "output": "linear"}
    config["prompt"] = {"variant": "none"}
    return build_model(ModelConfig.model_validate(config), MODALITIES, CRITERIA, seed=0).eval()


def recordings(*lengths: int) -> list[Sample]:
    rng = np.random.default_rng(0)
    return [
        Sample(f"{n}", {m.name: rng.normal(size=(length, m.dim)).astype(np.float32) for m in MODALITIES[n % 2 :]})
        for n, length in enumerate(lengths)
    ]


@pytest.mark.parametrize("reading", ["packed", "padded"])
@pytest.mark.parametrize("family", CAUSAL)
def test_a_score_is_the_same_beside_a_longer_recording(folder_of, family: str, reading: str) -> None:
    if reading == "packed" and family in PADDED_ONLY:
        with pytest.raises(InputError, match="padded"):
            model_of(folder_of(family), reading)
        return
    samples, mate = recordings(3, 5, 4, 6), recordings(11)[0]
    model = model_of(folder_of(family), reading)
    scorer = ModelScorer(model, scale="open")
    short = [dataclasses.replace(s, id=f"new-{s.id}") for s in samples]
    alone = np.concatenate([scorer.score([one]) for one in samples])
    assert alone.std() > 1e-6
    np.testing.assert_allclose(scorer.score([*short, mate])[:4], alone, rtol=0, atol=1e-5)
    np.testing.assert_allclose(scorer.score([mate, *short[::-1]])[:0:-1], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("reading", ["packed", "padded"])
@pytest.mark.parametrize("family", NOT_CAUSAL)
def test_a_family_that_is_not_causal_is_refused_for_what_it_is(folder_of, family: str, reading: str) -> None:
    with pytest.raises(InputError, match="sees what stands behind it") as refused:
        model_of(folder_of(family), reading)
    assert "padded" not in str(refused.value), "no advice that does not help"
    assert "decoder" in str(refused.value)


@pytest.mark.parametrize("family", TWO_SEQUENCES)
def test_an_encoder_with_a_decoder_is_refused(folder_of, family: str) -> None:
    with pytest.raises(InputError, match="an encoder and a decoder"):
        model_of(folder_of(family), "padded")


@pytest.mark.parametrize("family", LIMITED)
def test_positions_end_where_they_would_mean_something_else(folder_of, family: str) -> None:
    model = model_of(folder_of(family), "padded")
    scorer = ModelScorer(model, scale="open")
    fits = recordings(4)[0]
    assert np.isfinite(scorer.score([fits])).all()
    too_long = recordings(POSITIONS // 2)[0]  # two streams
    for samples in ([too_long], [fits, too_long]):
        with pytest.raises(InputError, match=rf"at most {POSITIONS} positions .*num_segments"):
            scorer.score(samples)


def damaged(folder: Path, how: str) -> Path:
    """A copy of a model with one thing wrong."""
    weights, config = folder / "model.safetensors", folder / "config.json"
    if how == "a pointer of git-lfs":
        weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    elif how == "cut weights":
        weights.write_bytes(weights.read_bytes()[:3000])
    elif how == "no weights of a layer":
        state = {name: x for name, x in safetensors.torch.load_file(weights).items() if "layers.1.mlp" not in name}
        safetensors.torch.save_file(state, weights, metadata={"format": "pt"})
    elif how == "no tokenizer":
        for path in folder.glob("tokenizer*"):
            path.unlink()
    elif how == "a tokenizer of another model":
        state = safetensors.torch.load_file(weights)
        (name,) = [name for name in state if "embed_tokens" in name]
        safetensors.torch.save_file(state | {name: state[name][:64].clone()}, weights, metadata={"format": "pt"})
        config.write_text(json.dumps(json.loads(config.read_text()) | {"vocab_size": 64}))
    elif how == "a configuration that is none":
        config.write_text("{")
    elif how == "code beside the weights":
        named = {"auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Model"}, "model_type": "own"}
        config.write_text(json.dumps(json.loads(config.read_text()) | named))
        (folder / "code.py").write_text("raise SystemExit(7)")
    elif how.endswith(".gguf"):
        (folder.parent / how).write_text("junk" if how.startswith("junk") else "")
        return folder.parent / how
    return folder


@pytest.mark.parametrize(
    "how",
    [
        "a pointer of git-lfs",
        "cut weights",
        "no weights of a layer",
        "no tokenizer",
        "a tokenizer of another model",
        "a configuration that is none",
        "code beside the weights",
        "junk.gguf",
        "empty.gguf",
    ],
)
def test_a_damaged_backbone_is_refused_with_a_remedy(folder_of, tmp_path: Path, how: str, monkeypatch) -> None:
    monkeypatch.setenv("LIMSSR_CACHE", str(tmp_path / "cache"))
    folder = damaged(Path(shutil.copytree(folder_of("llama"), tmp_path / "lm")), how)
    with pytest.raises(InputError, match=r"again|belong to different models|another backbone"):
        build_model(ModelConfig(backbone=BackboneConfig(name=str(folder))), MODALITIES, CRITERIA, seed=0)
    assert not list((tmp_path / "cache").rglob("*.partial*"))


def test_only_the_layers_that_are_asked_for_are_loaded(folder_of) -> None:
    for family in ("llama", "gemma3", "mamba", "gpt2"):
        whole = load_backbone(BackboneConfig(name=str(folder_of(family))), seed=0)
        half = load_backbone(BackboneConfig(name=str(folder_of(family)), num_layers=1), seed=0)
        sizes = [sum(x.numel() for x in one.model.parameters()) for one in (whole, half)]
        assert sizes[1] < sizes[0], family
