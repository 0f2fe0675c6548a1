"""Recipes from anyone: what they may ask for has an end, and every refusal is an `InputError` in a moment."""

import os
import time
import tracemalloc

import pytest

from limssr.core.errors import InputError, unknown_name
from limssr.core.quoting import MAX_MESSAGE
from limssr.core.recipes import load_recipe


def laughs(levels: int = 30, width: int = 9) -> str:
    """YAML of a few lines that stands for `width ** levels` values."""
    lines = [f"a0: &a0 [{', '.join(['x'] * width)}]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]")
    return "\n".join(lines)


SOURCES = {
    "aliases of aliases": (laughs(), "keys and values"),
    "merged aliases": ("a: &a {k: 1}\nb: {<<: [" + "*a, " * 60_000 + "]}", "keys and values"),
    "an alias of what it stands in": ("train: &t {epochs: *t}", "alias"),
    "an alias of nothing": ("train: *nothing", "alias"),
    "deep lists": ("name: " + "[" * 500 + "]" * 500, "deeper than 64"),
    "deep mappings": ("{a: " * 400 + "1" + "}" * 400, "deeper than 64"),
    "deep blocks": ("\n".join(f"{' ' * n}a:" for n in range(300)), "deeper than 64"),
    "a date that is none": ("name: 2024-99-99", "readable YAML.*month"),
    "a number that is none": ("seed: !!int abc", "readable YAML"),
    "a truth value that is none": ("seed: !!bool x", "readable YAML"),
    "a time that is none": ("seed: !!timestamp x", "readable YAML"),
    "a float that is none": ("seed: !!float 1e", "readable YAML"),
    "a Python object": ("seed: !!python/object/apply:os.system [true]", "readable YAML"),
    "thousands of digits": ("seed: " + "9" * 5_000, "5,000 characters"),
    "thousands of digits to the base 60": ("seed: 1" + ":59" * 3_000, "characters"),
    "half a surrogate pair": (r'name: "a\ud800b"', "YAML|surrogate"),
    "half a surrogate pair in a list": (r'model: {prompt: {subject: "\udfff"}}', "YAML|surrogate"),
    "a long name": ("name: " + "n" * 5_000, "name"),
    "a name of long letters": ("name: " + "é" * 150, "name"),
    "a name with a NUL": (r'name: "a\0b"', "name"),
    "a long subject": ("model: {prompt: {subject: " + "s" * 5_000 + "}}", "subject"),
    "a value of a megabyte": ("name: " + "n" * 2**20, "bytes|characters"),
    "a list": ("[1, 2]", "keys and values, found list of 2"),
    "a base that is no path": ("base: [a]", "path of a recipe"),
    "a base with a NUL": (r'base: "a\0b"', "path of a recipe"),
    "a base of a long name": ("base: " + "b" * 300, "path of a recipe"),
    "a base that is a device": ("base: /dev/zero", "a device"),
    "blanks without end": ("variants: {task: {a: {}}}\nchoose: {task: a}\nname: '{task:>2000000000}'", "in braces"),
    "the inside of an object": ("variants: {task: {a: {}}}\nchoose: {task: a}\nname: '{task.__class__}'", "in braces"),
    "a part of a name": ("variants: {task: {a: {}}}\nchoose: {task: a}\nname: '{task[0]}'", "in braces"),
    "many groups": ("variants: {" + ", ".join(f"g{n}: {{a: {{}}}}" for n in range(3_000)) + "}", "groups of variants"),
    "many unknown keys": ("\n".join(f"key{n}: 1" for n in range(9_000)), "and 8,990 more"),
    "unknown keys of great length": ("\n".join(f"? {'k' * 5_000}{n}\n: 1" for n in range(80)), "unknown key"),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_what_no_person_writes_is_refused_in_a_moment(tmp_path, kind):
    text, message = SOURCES[kind]
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    begun = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=f"(?s){message}") as refusal:
            load_recipe(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.monotonic() - begun < 15
    assert peak < 150e6
    assert len(str(refusal.value)) <= MAX_MESSAGE


VALUES = {
    "seed": ("-1", "1e23", str(2**32)),
    "data.num_segments": ("100000000",),
    "data.stream_dims": ("{a: 100000000000}", "{a: 0}", "{a: -5}"),
    "data.validation.folds": ("100000",),
    "data.test": ("{folds: 1}", "{folds: 3, fold: 3}", "{folds: 100000}"),
    "missing.availability.seed": ("-1",),
    "model.num_fusion_tokens": ("100000000", "1" + "0" * 23),
    "model.num_missing_tokens": ("100000000",),
    "model.statistics.members": ("100000000",),
    "model.statistics.hidden": ("100000000",),
    "model.lora.rank": ("100000000",),
    "model.hidden": ("100000000",),
    "model.options": ("{num_layers: 100000000}", "{rate: .nan}", "{rate: -.inf}", "{rate: -1.0e+20}"),
    "model.backbone.memory_gb": (".inf", "1e30"),
    "model.prompt.subject": ("s" * 5_000,),
    "loss.margin": (".nan", ".inf", "-.inf"),
    "loss.task": (".inf", "1e300"),
    "train.learning_rate": (".inf", ".nan", "0"),
    "train.weight_decay": (".inf", "-1"),
    "train.epochs": ("1" + "0" * 30,),
    "train.workers": ("100000",),
    "train.clip_norm": (".inf",),
    "evaluation.bootstrap": ("10000000",),
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in VALUES.items() for value in values])
def test_a_size_that_no_machine_has_is_refused_by_name(tmp_path, key, value):
    path = tmp_path / "recipe.yaml"
    path.write_text("model: {system: gcnet}" if key == "model.options" else "name: plain")
    with pytest.raises(InputError) as refusal:
        load_recipe(path, [f"{key}={value}"])
    assert key in str(refusal.value)


def test_sizes_that_are_large_together_are_refused(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("model: {statistics: {members: 1024, hidden: 8192}}")
    with pytest.raises(InputError, match="members times hidden"):
        load_recipe(path)


def test_ordinary_aliases_still_work(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("train: {epochs: &n 3, warmup_epochs: *n}\nmissing: {availability: {rate: 0.5, splits: [train]}}")
    assert load_recipe(path).train.warmup_epochs == 3


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.mkdir()])
def test_what_is_no_regular_file_is_no_recipe(tmp_path, make):
    make(tmp_path / "recipe.yaml")
    with pytest.raises(InputError, match=r"a pipe|a device|a folder"):
        load_recipe(tmp_path / "recipe.yaml")


@pytest.mark.parametrize("length", [10**6, 10**4])
def test_a_message_has_an_end_and_keeps_its_advice(length):
    message = str(InputError(f"Expected a word, found {'x' * length}: write one."))
    assert len(message) <= MAX_MESSAGE
    assert message.startswith("Expected a word")
    assert message.endswith("write one.")
    listed = str(unknown_name("sample", "y" * length, [f"sample-{n}" for n in range(length)]))
    assert len(listed) < 1_000
    assert f"{length - 20:,} more" in listed
