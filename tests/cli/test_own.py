"""The recipe `own` fits any store: name, validation split and number of layers are taken from what is there."""

import numpy as np
import pytest

from limssr.core.errors import InputError
from limssr.core.recipes import load_recipe
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.store.writer import StoreWriter
from limssr.runs.folder import read_config as config_of_run
from limssr.studies.recipes import Changes, default_folder, folder_name, limited_layers, read_config

QUICK = ("train.epochs=6", "model.statistics.members=2", "evaluation.references=[]", "evaluation.bootstrap=0")


def make_store(folder, *, name, dims, criteria=("total",), splits=("train", "val", "test"), num_samples=30):
    random = np.random.default_rng(3)
    modalities = [Modality(stream, width) for stream, width in dims.items()]
    samples = []
    for row in range(num_samples):
        streams = {stream: random.normal(size=(4 + row % 3, width)).astype("float32") for stream, width in dims.items()}
        if row % 2 and len(dims) > 1:
            streams.pop(next(iter(dims)))
        scores = random.uniform(1, 9, size=len(criteria))
        split = splits[0] if row % 3 else splits[1 + row // 3 % (len(splits) - 1)]
        samples.append(Sample(f"s{row}", streams, scores, f"g{row}", split))
    criteria = [Criterion(criterion, 0.0, 10.0) for criterion in criteria]
    with StoreWriter(
        folder, name=name, modalities=modalities, criteria=criteria, provenance={"made": "here"}, splits_required=splits
    ) as writer:
        for sample in samples:
            writer.add(sample)
    return folder


@pytest.mark.parametrize(
    ("name", "dims", "criteria", "splits"),
    [
        ("Our dances, 2024/25", {"mocap": 3, "music": 5}, ("timing", "style"), ("train", "val", "test")),
        ("one-stream", {"sensor": 1}, ("total",), ("train", "test")),
        ("four", {"a": 2, "b": 2, "c": 2, "d": 2}, ("x",), ("train", "test")),
    ],
)
def test_own_trains_on_any_store_and_is_named_after_it(limssr, tmp_path, monkeypatch, name, dims, criteria, splits):
    monkeypatch.chdir(tmp_path)
    store = make_store(tmp_path / "our-store", name=name, dims=dims, criteria=criteria, splits=splits)
    settings = [word for setting in QUICK for word in ("--set", setting)]
    outcome = limssr("train", "own", "--store", store, "--backbone", "tiny", *settings, "--json")
    assert outcome.code == 0, outcome.err
    run = tmp_path / "runs" / "our-store"  # the folder of the store, and its name as the title
    assert outcome.document["run"] == str(run.relative_to(tmp_path))
    config = config_of_run(run)
    assert config.name == name
    assert config.model.prompt.subject == "a performance"
    assert ("has no validation split: 15% of the training samples" in outcome.err) == ("val" not in splits)


@pytest.mark.parametrize(
    ("recipe", "text", "system", "folder"),
    [
        ("own", "", None, "dances"),
        ("own", "", "attention", "dances-attention"),
        ("mine.yaml", "base: own\n", None, "dances"),
        ("mine.yaml", "base: own\nname: first try\n", None, "first-try"),
        ("mine.yaml", "base: own\nname: first\n", "attention", "first-attention"),
    ],
)
def test_the_folder_of_a_run_is_named_after_the_recipe_or_the_store(tmp_path, recipe, text, system, folder):
    store = make_store(tmp_path / "dances", name="manifest", dims={"a": 2})
    if text:
        (tmp_path / recipe).write_text(text)
        recipe = str(tmp_path / recipe)
    changes = Changes(store=store, backbone="tiny")
    assert default_folder(recipe, changes, read_config(recipe, changes, system=system)) == folder


@pytest.mark.parametrize(("asked", "kept"), [(2, 2), (3, 2), (30, 2), (None, None)])
def test_a_recipe_asks_for_no_more_layers_than_the_backbone_has(tmp_path, capsys, asked, kept):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"name: mine\nbase: own\nmodel: {{backbone: {{num_layers: {asked or 'null'}}}}}\n")
    store = make_store(tmp_path / "store", name="x", dims={"a": 2})
    config = read_config(str(recipe), Changes(backbone="tiny", store=store))
    assert config.model.backbone.num_layers == kept
    assert (f"the recipe keeps {asked} layers, tiny has 2" in capsys.readouterr().err) == (asked not in (kept, None))
    asked_for = read_config(
        str(recipe), Changes(settings=("model.backbone.num_layers=5",), backbone="tiny", store=store)
    )
    assert asked_for.model.backbone.num_layers == 5  # said by the caller: refused later, never changed


def test_a_backbone_in_a_folder_tells_its_layers(tmp_path):
    (tmp_path / "config.json").write_text('{"num_hidden_layers": 4}')
    assert limited_layers(str(tmp_path), 9) == 4
    assert limited_layers(str(tmp_path), 3) == 3
    assert limited_layers("owner/unknown", 9) == 9


@pytest.mark.parametrize("base", ["own", "demo", "paper/fs1000", "near.yaml"])
def test_a_base_is_a_bundled_name_or_a_path(tmp_path, base):
    (tmp_path / "near.yaml").write_text("name: near\ntrain: {epochs: 7}\n")
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"base: {base}\nseed: 5\n")
    config = load_recipe(recipe)
    assert config.seed == 5
    assert config.train.epochs == {"own": 48, "demo": 12, "near.yaml": 7}.get(base, config.train.epochs)


def test_a_base_that_is_neither_lists_the_bundled_ones(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("base: dmeo\n")
    with pytest.raises(InputError, match=r"under `base:`.*own.*'dmeo'"):
        load_recipe(recipe)


def test_own_without_a_store_says_where_to_give_it(limssr):
    outcome = limssr("train", "own")
    assert outcome.code == 2
    assert "own: expected a feature store, found none: give its folder with --store STORE" in outcome.err


@pytest.mark.parametrize(
    ("name", "folder"),
    [("plain", "plain"), ("paper/fs1000", "paper/fs1000"), ("Our dances, 2024", "Our-dances-2024"), ("../..", "run")],
)
def test_the_name_of_a_run_becomes_a_folder(name, folder):
    assert folder_name(name) == folder
