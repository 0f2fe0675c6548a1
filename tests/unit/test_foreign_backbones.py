"""Backbone folders from anyone: nothing in them runs, nothing is unpickled, and damage is named."""

import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from limssr.core.config import BackboneConfig
from limssr.core.conversions import kept_conversion
from limssr.core.errors import InputError
from limssr.model.backbone import load
from limssr.model.backbone.load import load_backbone

SHAPE = {"vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def made(folder: Path) -> Path:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.train_from_iterator([], trainers.BpeTrainer(vocab_size=290, initial_alphabet=alphabet, show_progress=False))
    with torch.random.fork_rng(devices=[]):
        AutoModel.from_config(AutoConfig.for_model("llama", **SHAPE, intermediate_size=32)).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=raw).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return made(tmp_path_factory.mktemp("backbone") / "llama")


@pytest.fixture
def folder(kept, tmp_path):
    return Path(shutil.copytree(kept, tmp_path / "llama"))


def loaded(folder: Path, **settings):
    return load_backbone(BackboneConfig(name=str(folder), **settings), seed=0)


def said(path: Path, **changes) -> None:
    document = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(document | changes))


def evil(folder: Path) -> None:
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\nclass Evil: pass\n")


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def only_pickled(folder: Path, *, beside: str | None = None) -> None:
    with (folder / "pytorch_model.bin").open("wb") as file:
        pickle.dump(Payload(folder / "ran"), file)
    if beside:
        (folder / "model.safetensors").rename(folder / beside)
    else:
        (folder / "model.safetensors").unlink()


def with_tensors(folder: Path, change) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    change(tensors)
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def cut(name: str, length: int):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:length])


def write(name: str, content: str):
    return lambda folder: (folder / name).write_text(content)


def no_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


CODE = {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil", "AutoTokenizer": ["evil.Evil", None]}
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
DAMAGE = {
    "code for the model": (lambda f: (evil(f), said(f / "config.json", auto_map=CODE)), "auto_map.*never run"),
    "code for the words": (
        lambda f: (evil(f), said(f / "tokenizer_config.json", auto_map=CODE)),
        "auto_map.*never run",
    ),
    "code in a part": (lambda f: (evil(f), said(f / "config.json", text_config={"auto_map": CODE})), "auto_map.*never"),
    "a kernel of a hub": (lambda f: said(f / "config.json", attn_implementation="evil/kernel"), "never fetched"),
    "an adapter": (lambda f: said(f / "adapter_config.json", base_model_name_or_path="evil/model"), "an adapter"),
    "pickled weights": (only_pickled, "pickled weights.*never read"),
    "pickled weights beside others": (lambda f: only_pickled(f, beside="other.safetensors"), "list of weight files"),
    "a weight file elsewhere": (
        lambda f: (
            (f / "model.safetensors").rename(f / "a.safetensors"),
            said(f / "model.safetensors.index.json", weight_map={"norm.weight": "../a.safetensors"}),
        ),
        r"no \*\.safetensors of the folder",
    ),
    "a pointer for the weights": (write("model.safetensors", LFS), "safetensors"),
    "cut weights": (cut("model.safetensors", 3_000), "bytes where its header declares"),
    "cut in the header": (cut("model.safetensors", 100), "header is longer"),
    "no weights for a layer": (
        lambda f: with_tensors(f, lambda tensors: tensors.pop("layers.1.mlp.up_proj.weight")),
        "found none for",
    ),
    "no numbers": (
        lambda f: with_tensors(f, lambda tensors: tensors["norm.weight"].fill_(float("nan"))),
        "NaN or infinity in 'norm.weight'",
    ),
    "another shape": (lambda f: said(f / "config.json", intermediate_size=48), "damaged|weights"),
    "a size that no machine has": (lambda f: said(f / "config.json", hidden_size=10**7), "values where the weights"),
    "many layers": (lambda f: said(f / "config.json", num_hidden_layers=10**6), "with 1000000 layers"),
    "a number without end": (lambda f: said(f / "config.json", hidden_size=10**30), "no size of a model"),
    "no size": (lambda f: said(f / "config.json", hidden_size="wide"), "config.json|hidden_size"),
    "a broken description": (write("config.json", "{"), "no JSON"),
    "a deep description": (write("config.json", "[" * 10**5), "endless depth"),
    "no description": (lambda f: (f / "config.json").unlink(), "found nothing"),
    "no tokenizer": (no_tokenizer, "tokenizer"),
    "a broken tokenizer": (write("tokenizer.json", "{}"), "damaged or incomplete"),
    "a pipe": (lambda f: os.mkfifo(f / "generation_config.json"), "neither a file nor a folder"),
    "a device for weights": (
        lambda f: ((f / "model.safetensors").unlink(), (f / "model.safetensors").symlink_to("/dev/zero")),
        "neither a file nor a folder",
    ),
}


def test_a_whole_folder_is_read(folder):
    assert loaded(folder).table_VH.shape[1] == 16
    assert loaded(folder, num_layers=1).fingerprint == loaded(folder).fingerprint


@pytest.mark.parametrize("left_out", [1, 40])
def test_numbers_that_a_tokenizer_leaves_out_do_not_move_its_last_tokens(folder, left_out):
    description = json.loads((folder / "tokenizer.json").read_text())
    tokens = sorted(description["model"]["vocab"], key=description["model"]["vocab"].get)
    for token in tokens[-30 - left_out : -30]:
        del description["model"]["vocab"][token]
    last = tokens[-1]
    description["model"]["merges"] = []
    rows = len(loaded(folder).table_VH)
    (folder / "tokenizer.json").write_text(json.dumps(description))
    found = loaded(folder)
    assert len(found.table_VH) == rows == 1 + description["model"]["vocab"][last]


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_damaged_or_would_run_is_refused(folder, kind, monkeypatch):
    damage, message = DAMAGE[kind]
    damage(folder)
    # Nobody is asked anything: a question would fail here.
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question on stdin"))
    with pytest.raises(InputError, match=f"(?s){message}"):
        loaded(folder)
    assert not (folder / "ran").exists()
    assert "evil" not in sys.modules


def test_the_weights_that_are_hashed_are_the_weights_that_are_read(folder):
    with (folder / "pytorch_model.bin").open("wb") as file:
        pickle.dump(Payload(folder / "ran"), file)
    table = safetensors.torch.load_file(folder / "model.safetensors")["embed_tokens.weight"]
    torch.testing.assert_close(loaded(folder).table_VH, table[:256], atol=0, rtol=0, check_dtype=False)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"junk", b"GGUF", b"GGUF\x03\0\0\0" + b"\xff" * 64])
def test_a_gguf_file_that_is_none_is_refused_and_leaves_nothing(tmp_path, monkeypatch, content):
    monkeypatch.setenv("LIMSSR_CACHE", str(tmp_path / "cache"))
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.gguf"):
        loaded(tmp_path / "model.gguf")
    assert not list((tmp_path / "cache" / "backbones").iterdir())


def test_what_a_killed_conversion_left_is_in_nobodys_way(tmp_path, monkeypatch):
    monkeypatch.setenv("LIMSSR_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "model.gguf"
    file.write_bytes(b"junk")
    name = f"model-{load.hash_files([file])[:16]}"
    left = [tmp_path / "cache" / "backbones" / item for item in (f"{name}.partial-{os.getpid()}", "other")]
    for path in left:
        path.mkdir(parents=True)
        os.utime(path, (0, 0))
    with pytest.raises(InputError, match=r"GGUF|gguf"):
        loaded(file)
    assert [path.exists() for path in left] == [False, True]


def convert(folder):
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "tokenizer.json").write_bytes(b"words")


def alter_weights(folder):
    (folder / "model.safetensors").write_bytes(b"wEights")


def alter_words(folder):
    (folder / "tokenizer.json").write_bytes(b"words and more")


def remove_a_file(folder):
    (folder / "tokenizer.json").unlink()


def add_a_file(folder):
    (folder / "other.safetensors").write_bytes(b"")


@pytest.mark.parametrize("alter", [alter_weights, alter_words, remove_a_file, add_a_file])
def test_what_was_altered_in_the_cache_is_converted_again_and_said(tmp_path, monkeypatch, alter):
    """Whoever changes a converted backbone changes every score under an unchanged fingerprint."""
    monkeypatch.setenv("LIMSSR_CACHE", str(tmp_path / "cache"))
    made = []

    def counted(folder):
        made.append(folder)
        convert(folder)

    folder = kept_conversion("model-0123", counted)
    assert kept_conversion("model-0123", counted) == folder
    assert len(made) == 1
    os.utime(folder / "model.safetensors", (0, 0))  # looks other, and is the same
    kept_conversion("model-0123", counted)
    assert len(made) == 1
    alter(folder)
    with pytest.warns(UserWarning, match="not what was written"):
        assert kept_conversion("model-0123", counted) == folder
    assert len(made) == 2
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "tokenizer.json", "converted.json"}


def test_what_nothing_tells_of_is_converted_again(tmp_path, monkeypatch):
    monkeypatch.setenv("LIMSSR_CACHE", str(tmp_path / "cache"))
    old = tmp_path / "cache" / "backbones" / "model-0123"
    old.mkdir(parents=True)
    alter_weights(old)  # as an older limssr left it
    assert (kept_conversion("model-0123", convert) / "model.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize("name", ["b" * 300, "a\0b", "owner/" + "n" * 300, "../../etc/passwd", "-/-"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match=r"path|No backbone|could not be"):
        load_backbone(BackboneConfig(name=name), seed=0)
