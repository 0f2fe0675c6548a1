"""A recipe on data that it was not written for hides nothing more, speaks of nobody else, and says so."""

import json

import pytest

from limssr.core.recipes import load_recipe, recipe_path, store_behind
from limssr.data.mask import mask_store
from limssr.studies.borrowed import BORROWED, without_borrowed
from limssr.studies.recipes import Changes, read_config

PERCEPIANO = dict.fromkeys(BORROWED, "stores/percepiano")


@pytest.fixture
def incomplete(store_path, tmp_path):
    mask_store(store_path, tmp_path / "mine", rate=0.5, seed=1, splits=("train", "val"))
    return tmp_path / "mine"


def config_of(store, name="ablation", *changes):
    overrides = [f"data.store={json.dumps(str(store))}", "data.modalities=null", *changes]
    return load_recipe(recipe_path(name), overrides)


@pytest.mark.parametrize("name", ["ablation", "percepiano"])
def test_an_incomplete_store_loses_nothing_more_and_its_prompt_is_not_anothers(incomplete, name):
    config = config_of(incomplete, name)
    assert config.missing.availability is not None
    found, notes = without_borrowed(config, PERCEPIANO, [])
    assert found.missing.availability is None
    assert found.model.prompt.subject == "a performance"
    assert len(notes) == 2
    assert "a piano performance" in notes[0]
    assert "Nothing more is hidden" in notes[1]
    assert found.train == config.train


def test_a_complete_store_is_made_incomplete_and_it_is_said(store_path):
    found, notes = without_borrowed(config_of(store_path), PERCEPIANO, [])
    assert found.missing.availability.rate == 0.5
    assert "50% of the streams in train and val are hidden" in notes[1]


def test_what_was_given_by_hand_holds(incomplete):
    by_hand = ["model.prompt.subject=a dive", "missing.availability.rate=0.2"]
    config = config_of(incomplete, "ablation", *by_hand)
    assert without_borrowed(config, PERCEPIANO, {"model.prompt.subject", "missing.availability.rate"}) == (config, [])


def test_the_store_of_the_recipe_keeps_it_as_it_is(store_path, tmp_path):
    config = config_of(store_path)
    assert without_borrowed(config, dict.fromkeys(BORROWED, f"stores/{store_path.name}"), []) == (config, [])
    assert without_borrowed(config, dict.fromkeys(BORROWED, ""), []) == (config, [])


def test_what_is_cropped_is_counted(store_path):
    config = config_of(store_path, "ablation", "data.num_segments=6")
    found, notes = without_borrowed(config, PERCEPIANO, [])
    assert found.data.num_segments == 6
    assert any("of 60 performances are longer than 6 segments and cropped" in note for note in notes)
    longest = config_of(store_path, "ablation", "data.num_segments=9")
    assert not any("cropped" in note for note in without_borrowed(longest, PERCEPIANO, [])[1])


@pytest.mark.parametrize(
    ("text", "behind"),
    [
        ("base: percepiano\n", "stores/percepiano"),
        ("base: percepiano\ndata: {store: stores/mine}\n", "stores/percepiano"),  # what is below is still another's
        ("base: percepiano\ndata: {store: stores/mine}\nmodel: {prompt: {subject: a dive}}\n", "stores/mine"),
        ("base: own\ndata: {store: stores/mine}\n", "stores/mine"),
        ("base: lower.yaml\ndata: {store: stores/mine}\n", "stores/mine"),  # a base that was written for no store
    ],
)
def test_a_key_belongs_to_the_store_of_the_file_that_gives_it(tmp_path, text, behind):
    (tmp_path / "lower.yaml").write_text("model: {prompt: {subject: a vault}}\n")
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(text)
    assert store_behind(recipe, "model.prompt.subject") == behind


def test_a_variant_of_a_base_belongs_to_the_base(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("base: paper/fisv\ndata: {store: stores/mine}\n")
    assert store_behind(recipe, "missing.availability") == "stores/fisv"


@pytest.mark.parametrize("text", ["percepiano", "base: percepiano\ndata: {store: STORE, modalities: null}\n"])
def test_training_borrows_nothing_either_and_says_so(incomplete, tmp_path, capsys, text):
    """The place is the one that every verb reads its recipe at, so none can forget it."""
    recipe, changes = text, Changes(settings=("data.modalities=null",), store=incomplete)
    if text.startswith("base"):
        recipe = str(tmp_path / "mine.yaml")
        (tmp_path / "mine.yaml").write_text(text.replace("STORE", json.dumps(str(incomplete))))
        changes = Changes()
    config = read_config(recipe, changes)
    said = capsys.readouterr().err
    assert config.model.prompt.subject == "a performance"
    assert config.missing.availability is None
    assert '"a piano performance" in the recipe is about stores/percepiano' in said
    assert "Nothing more is hidden" in said
