"""Published checkpoints of any size through the importer, and every refusal: nothing runs, nothing is half-written."""

import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoModel, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen3Config

from limssr.core.config import BackboneConfig, LoraConfig, ModelConfig, PromptConfig
from limssr.core.errors import ArtifactError, InputError
from limssr.core.reading.checkpoints import read_checkpoint
from limssr.core.types import Batch, Criterion, Modality
from limssr.model.limssr import LimssrModel
from limssr.runs.evaluate import evaluate_run
from limssr.runs.published.find import find_checkpoint
from limssr.runs.published.import_checkpoint import import_checkpoint
from limssr.runs.published.keys import KeyMap
from limssr.runs.published.state import read_sizes
from limssr.studies.paper.tasks import TASKS, published_task
from limssr.systems.build import build_model
from limssr.systems.saving import load_pretrained

State = dict[str, torch.Tensor]
SHAPE = {"intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 120}
CRITERIA = (Criterion("TES", 0.0, 130.0),)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted({*"abcdefghijklmnopqrstuvwxyzGTBO-:.,", "Ġ"})
    raw.train_from_iterator([], trainers.BpeTrainer(vocab_size=90, initial_alphabet=alphabet))
    return PreTrainedTokenizerFast(tokenizer_object=raw)


def save_backbone(folder: Path, tokenizer: PreTrainedTokenizerFast, settings: Any, *, seed: int = 0) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModel.from_config(settings)
        for parameter in model.parameters():  # biases and norms too: nothing stands at its starting value
            parameter.data += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    folder = tmp_path_factory.mktemp("backbones") / "qwen3"
    settings = Qwen3Config(**SHAPE, hidden_size=32, num_hidden_layers=2, head_dim=8, pad_token_id=0)
    return save_backbone(folder, tokenizer, settings)


def trained_model(backbone: Path, streams: dict[str, int], *, fusion: int = 4, rank: int | None = 4) -> LimssrModel:
    """Our model with every trained tensor and every running statistic redrawn."""
    config = ModelConfig(
        backbone=BackboneConfig(name=str(backbone)),
        lora=None if rank is None else LoraConfig(rank=rank),
        train_embeddings="all",
        prompt=PromptConfig(variant="published"),
        num_fusion_tokens=fusion,
    )
    model = build_model(config, [Modality(*item) for item in streams.items()], CRITERIA, seed=1)
    assert isinstance(model, LimssrModel)
    generator = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer += torch.rand(buffer.shape, generator=generator)
    return model.eval()


def published_state(model: LimssrModel, keys: KeyMap) -> State:
    """What the published code would have saved for the same weights."""
    state = {}
    for name, tensor in model.state_dict().items():
        key = keys.published(name)
        if key is not None:
            state[key] = tensor.reshape(keys.published_shape(key, tuple(tensor.shape))).clone()
    return {**state, keys.output_matrix: state[keys.table]}


def make_batch(model: LimssrModel, *, num_segments: int = 5) -> Batch:
    """One sample for every non-empty pattern."""
    generator = torch.Generator().manual_seed(3)
    patterns = torch.cartesian_prod(*[torch.tensor([False, True])] * len(model.modalities))[1:]
    lengths = torch.randint(2, num_segments + 1, (len(patterns),), generator=generator)
    valid = (torch.arange(num_segments) < lengths[:, None])[:, None] & patterns[:, :, None]
    features = {
        item.name: torch.randn(len(patterns), num_segments, item.dim, generator=generator) for item in model.modalities
    }
    masks = {"present_BM": patterns, "valid_BMT": valid, "lengths_B": lengths}
    return Batch(ids=tuple(map(str, range(len(patterns)))), features=features, **masks)


FAMILIES: dict[str, tuple[Any, dict[str, int], dict[str, Any]]] = {
    "qwen2 with biases, K 2, r 3": (
        Qwen2Config(**SHAPE, hidden_size=48, num_hidden_layers=3, pad_token_id=0),
        {"video": 6, "audio": 5, "flow": 7},
        {"fusion": 2, "rank": 3},
    ),
    "llama, two streams, one layer, K 1": (
        LlamaConfig(**SHAPE, hidden_size=32, num_hidden_layers=1, pad_token_id=0),
        {"video": 3, "flow": 4},
        {"fusion": 1, "rank": 8},
    ),
    "qwen3, four streams, K 6": (
        Qwen3Config(**SHAPE, hidden_size=16, num_hidden_layers=1, head_dim=8, pad_token_id=0),
        {"video": 3, "audio": 2, "flow": 4, "pose": 5},
        {"fusion": 6, "rank": 2},
    ),
    "without LoRA": (
        Qwen3Config(**SHAPE, hidden_size=32, num_hidden_layers=2, head_dim=8, pad_token_id=0),
        {"video": 3, "audio": 2, "flow": 4},
        {"fusion": 4, "rank": None},
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_any_size_comes_through(family: str, tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    settings, dims, sizes = FAMILIES[family]
    backbone = save_backbone(tmp_path / "lm", tokenizer, settings)
    model = trained_model(backbone, dims, **sizes)
    letters = {"v": "video", "a": "audio", "f": "flow", "p": "pose"}
    keys = KeyMap(
        tuple(letter for letter, name in letters.items() if name in dims), "lora" if sizes["rank"] else "none"
    )
    torch.save(published_state(model, keys), tmp_path / "checkpoint.pkl")
    batch = make_batch(model)
    with torch.no_grad():
        expected = model(batch)
    for rows in ("used", "all"):
        imported = import_checkpoint(
            tmp_path / "checkpoint.pkl",
            tmp_path / rows,
            backbone=str(backbone),
            criteria=CRITERIA,
            num_segments=9,
            streams=letters,
            embeddings=rows,
        )
        assert (imported.sizes.num_fusion_tokens, imported.sizes.lora_rank) == (sizes["fusion"], sizes["rank"])
        assert imported.sizes.num_layers == settings.num_hidden_layers
        assert dict(zip(imported.streams, imported.sizes.widths, strict=True)) == dims
        again = load_pretrained(tmp_path / rows / "model")
        with torch.no_grad():
            found = again(batch)
        assert torch.equal(found.unit_scores_BC, expected.unit_scores_BC)
        assert torch.equal(found.slots_BKH, expected.slots_BKH)
    assert (tmp_path / "used" / "model" / "model.safetensors").stat().st_size < (
        tmp_path / "all" / "model" / "model.safetensors"
    ).stat().st_size


@pytest.fixture(scope="module")
def small(backbone: Path) -> State:
    return published_state(trained_model(backbone, {"video": 3, "audio": 2, "flow": 4}), KeyMap())


def write(state: Any, folder: Path, name: str = "checkpoint.pkl") -> Path:
    path = folder / name
    torch.save(state, path)
    return path


def imported(path: Path | str, out: Path, backbone: Path, **options: Any) -> Path:
    options = {"criteria": CRITERIA, "num_segments": 9, **options}
    return import_checkpoint(path, out, backbone=str(backbone), **options).run


def refused(state: Any, tmp_path: Path, backbone: Path, **options: Any) -> str:
    """The message, after having seen that nothing was written."""
    path = write(state, tmp_path)
    with pytest.raises(InputError) as caught:
        imported(path, tmp_path / "deep" / "run", backbone, **options)
    assert list(tmp_path.iterdir()) == [path]
    return str(caught.value)


LAYER = "language_model.base_model.model.model.layers.1."
TABLE = "language_model.base_model.model.model.embed_tokens.weight"


def without(key: str) -> Callable[[State], State]:
    return lambda state: {name: tensor for name, tensor in state.items() if name != key}


def with_(**changes: Any) -> Callable[[State], State]:
    return lambda state: {**state, **changes}


ALTERED: dict[str, tuple[Callable[[State], Any], list[str]]] = {
    "missing": (without("modal_gate.2.bias"), ["1 missing: modal_gate.2.bias"]),
    "missing and a size": (without("token_role_weight"), ["without token_role_weight"]),
    "unexpected": (
        with_(**{f"extra.{n}": torch.zeros(1) for n in range(14)}),
        ["14 unexpected: extra.0, ", "extra.9 and 4 more"],
    ),
    "another shape": (with_(w1=torch.zeros(2)), ["1 of another shape: w1 (expected [1], found [2])"]),
    "a size of nothing": (with_(token_role_weight=torch.ones(0)), ["found token_role_weight [0]"]),
    "a flat width": (
        lambda state: {**state, "feature_to_llm.a.0.weight": torch.ones(4)},
        ["feature_to_llm.a.0.weight [4]"],
    ),
    "another K": (with_(token_role_weight=torch.ones(5)), ["48 rows, not the 49 of", "5 fusion tokens"]),
    "another vocabulary": (lambda state: {**state, TABLE: state[TABLE][:-3]}, ["45 rows, not the 48 of"]),
    "a wrapper": (lambda state: {"model": state}, ["type dict under 'model'"]),
    "a list": (lambda state: list(state.values()), ["found something of type list"]),
    "a number beside": (lambda state: {**state, "epoch": 3}, ["type int under 'epoch'"]),
    "a number for a name": (lambda state: {**state, 3: torch.zeros(1)}, ["the key 3"]),
    "a sparse tensor": (lambda state: {**state, "w1": torch.ones(1).to_sparse()}, ["sparse", "'w1'"]),
    "a stretched tensor": (
        lambda state: {**state, "w1": torch.ones(1).expand(10**12)},
        ["beyond the size of the file"],
    ),
    "nothing": (lambda state: {}, ["an empty one"]),
    "something else": (lambda state: {"layer.weight": torch.zeros(2)}, ["1 tensors without feature_to_llm.v.0.weight"]),
    "integers": (with_(w1=torch.ones(1, dtype=torch.int64)), ["w1 (int64)"]),
    "not finite": (with_(w1=torch.tensor([torch.nan])), ["NaN or infinity in 1 tensors: w1"]),
    "tuned backbone": (
        lambda state: {**state, f"{LAYER}mlp.up_proj.weight": state[f"{LAYER}mlp.up_proj.weight"] + 0.5},
        ["1 of 23 frozen tensors differ", f"{LAYER}mlp.up_proj.weight (by up to 0.5)"],
    ),
    "unnamed stream": (
        lambda state: {**state, "feature_to_llm.x.0.weight": torch.zeros(32, 4, 1)},
        ["streams v, a, f, x", "expected a name for x"],
    ),
}


@pytest.mark.parametrize("change", ALTERED)
def test_what_does_not_fit_is_named(change: str, small: State, tmp_path: Path, backbone: Path) -> None:
    alter, expected = ALTERED[change]
    message = refused(alter(small), tmp_path, backbone)
    for words in expected:
        assert words in message


def test_another_backbone_is_refused(small: State, tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    shape = {**SHAPE, "head_dim": 8, "pad_token_id": 0}
    others = {
        "layers 2 and not 3": Qwen3Config(**shape, hidden_size=32, num_hidden_layers=3),
        "width 32 and not 64": Qwen3Config(**shape, hidden_size=64, num_hidden_layers=2),
        "of another shape": Qwen3Config(**{**shape, "intermediate_size": 40}, hidden_size=32, num_hidden_layers=2),
        "unexpected": LlamaConfig(**shape, hidden_size=32, num_hidden_layers=2),
        "20 of 23 frozen tensors differ|2. of 23 frozen": Qwen3Config(**shape, hidden_size=32, num_hidden_layers=2),
    }
    path = write(small, tmp_path)
    for number, (words, settings) in enumerate(others.items()):
        other = save_backbone(tmp_path / f"lm{number}", tokenizer, settings, seed=9)
        with pytest.raises(InputError, match=words):
            imported(path, tmp_path / "run", other)
    assert not (tmp_path / "run").exists()


class Malicious:
    """Runs a command when it is unpickled by anyone who is not careful."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def test_a_malicious_file_runs_nothing(tmp_path: Path, small: State) -> None:
    mark = tmp_path / "mark"
    evil = {**small, "w1": Malicious(mark)}
    files = {}
    for protocol in (2, 4):
        files[f"torch-{protocol}.pt"] = buffer = io.BytesIO()
        torch.save(evil, buffer, pickle_protocol=protocol)
        files[f"legacy-{protocol}.pt"] = buffer = io.BytesIO()
        torch.save(evil, buffer, pickle_protocol=protocol, _use_new_zipfile_serialization=False)
        files[f"plain-{protocol}.pkl"] = io.BytesIO(pickle.dumps({"w1": Malicious(mark)}, protocol=protocol))
    for name, buffer in files.items():
        (tmp_path / name).write_bytes(buffer.getvalue())
        with pytest.raises(InputError, match=r"posix\.system|pickle instruction") as caught:
            read_checkpoint(tmp_path / name)
        assert name in str(caught.value)
        assert "weights_only" not in str(caught.value)  # no advice to read it all the same
        assert not mark.exists()
    # The same bytes do run where they are not refused: the test is a real one.
    pickle.loads(files["plain-2.pkl"].getvalue())  # noqa: S301
    assert mark.exists()


def test_damaged_files_are_refused(tmp_path: Path, small: State) -> None:
    whole, legacy, plain = io.BytesIO(), io.BytesIO(), tmp_path / "whole.safetensors"
    torch.save(small, whole)
    torch.save(small, legacy, _use_new_zipfile_serialization=False)
    save_file({name: tensor.clone() for name, tensor in small.items()}, plain)
    sources = {"zip.pt": whole.getvalue(), "legacy.pkl": legacy.getvalue(), "tensors.safetensors": plain.read_bytes()}
    for name, content in sources.items():
        for length in (0, 1, 100, len(content) // 2, len(content) - 3):
            (tmp_path / name).write_bytes(content[:length])
            with pytest.raises(InputError, match=r"cannot be read|expected a state dict|Expected a checkpoint"):
                read_checkpoint(tmp_path / name)
    with pytest.raises(InputError, match=r"py cannot be read"):
        read_checkpoint(Path(__file__))


def test_what_is_asked_for_is_checked(small: State, tmp_path: Path, backbone: Path) -> None:
    path = write(small, tmp_path)
    with pytest.raises(InputError, match=r"names for the 1 score\(s\)"):
        imported(path, tmp_path / "run", backbone, criteria=(*CRITERIA, Criterion("PCS")))
    with pytest.raises(InputError, match="at least 1"):
        imported(path, tmp_path / "run", backbone, num_segments=0)
    for nowhere in (tmp_path / "nowhere.pt", "nowhere.pkl", "a/b/c"):
        with pytest.raises(InputError, match="found nothing"):
            imported(nowhere, tmp_path / "run", backbone)
    (tmp_path / "taken").mkdir()
    for given, out, told in ((tmp_path, "run", "found a folder"), (path, "taken", "does not exist for the new run")):
        with pytest.raises(InputError, match=told):
            imported(given, tmp_path / out, backbone)
    assert not (tmp_path / "run").exists()


def test_fewer_bits_and_no_output_matrix_are_accepted(small: State, tmp_path: Path, backbone: Path) -> None:
    """Compared with the backbone in the bits that the checkpoint has; what no score reads may be absent."""
    halved = {key: tensor.bfloat16() if tensor.is_floating_point() else tensor for key, tensor in small.items()}
    del halved[KeyMap().output_matrix]
    model = load_pretrained(imported(write(halved, tmp_path), tmp_path / "run", backbone) / "model")
    assert model.head.mix.item() == halved["w1"].item()  # type: ignore[union-attr]


def test_the_run_folder_says_what_it_is(small: State, tmp_path: Path, backbone: Path) -> None:
    run = imported(write(small, tmp_path), tmp_path / "run", backbone)
    document = json.loads((run / "run.json").read_text())
    assert (document["status"], document["origin"]) == ("done", "imported checkpoint")
    assert document["selection"] == "test"  # the published script chooses on test, and reports say so
    assert document["checkpoint"]["file"] == "checkpoint.pkl"
    assert len(document["checkpoint"]["sha256"]) == 64
    assert {path.name for path in run.iterdir()} == {"config.yaml", "run.json", "model"}
    with pytest.raises(InputError, match="--store"):
        evaluate_run(run)


def test_an_altered_backbone_is_noticed_later_too(
    small: State, tmp_path: Path, tokenizer: PreTrainedTokenizerFast, backbone: Path
) -> None:
    copy = tmp_path / "lm"
    AutoModel.from_pretrained(backbone).save_pretrained(copy)
    tokenizer.save_pretrained(copy)
    run = imported(write(small, tmp_path), tmp_path / "run", copy)
    (other := AutoModel.from_pretrained(copy)).norm.weight.data += 0.1
    other.save_pretrained(copy)
    with pytest.raises(ArtifactError, match="SHA-256"):
        load_pretrained(run / "model")


def test_a_hub_id_is_found_in_the_local_cache(
    small: State, tmp_path: Path, backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's own cache layout, so nothing is fetched: refs name a commit, snapshots hold its files."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name in ("one", "two"):
        snapshot = tmp_path / f"models--owner--{name}" / "snapshots" / commit
        snapshot.mkdir(parents=True)
        (snapshot.parents[1] / "refs").mkdir()
        (snapshot.parents[1] / "refs" / "main").write_text(commit)
        write(small, snapshot, "best.pkl")
    write(small, snapshot, "last.pkl")
    run = imported("owner/one", tmp_path / "run", backbone)
    assert json.loads((run / "run.json").read_text())["checkpoint"]["file"] == "best.pkl"
    with pytest.raises(InputError, match=r"Expected one checkpoint .* found best\.pkl, last\.pkl"):
        find_checkpoint("owner/two")
    with pytest.raises(InputError, match="--allow-download"):
        find_checkpoint("owner/three")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="could not be reached"):
        find_checkpoint("owner/three", local_files_only=False)


def test_streams_stand_in_the_order_of_their_names(small: State) -> None:
    """Files may sort names; the order of the masks is that of the published code, or as the caller says."""
    backwards = dict(sorted(small.items(), reverse=True))
    assert read_sizes(backwards).letters == ("v", "a", "f")
    assert read_sizes(small, {"f": "flow", "v": "video", "a": "audio"}).letters == ("f", "v", "a")


def test_the_published_tasks_are_there() -> None:
    assert len(TASKS) == 13
    assert published_task("FS1000/pcs").criterion == Criterion("PCS", 0.0, 60.0)
    assert (published_task("rg/Hoop").num_segments, published_task("rg/Hoop").dropout) == (68, 0.3)
    with pytest.raises(InputError, match=r"fisv/TES.*'fisv/TR'"):
        published_task("fisv/TR")
