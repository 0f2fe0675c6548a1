"""A recipe on data that it was not written for hides nothing more, speaks of nobody else, and says so."""

import json

import pytest

from limssr.core.recipes import load_recipe, recipe_path
from limssr.data.mask import mask_store
from limssr.studies.borrowed import without_borrowed


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
    found, notes = without_borrowed(config, "stores/percepiano", [])
    assert found.missing.availability is None
    assert found.model.prompt.subject == "a performance"
    assert len(notes) == 2
    assert "a piano performance" in notes[0]
    assert "Nothing more is hidden" in notes[1]
    assert found.train == config.train


def test_a_complete_store_is_made_incomplete_and_it_is_said(store_path):
    found, notes = without_borrowed(config_of(store_path), "stores/percepiano", [])
    assert found.missing.availability.rate == 0.5
    assert "50% of the streams in train and val are hidden" in notes[1]


def test_what_was_given_by_hand_holds(incomplete):
    by_hand = ["model.prompt.subject=a dive", "missing.availability.rate=0.2"]
    config = config_of(incomplete, "ablation", *by_hand)
    assert without_borrowed(config, "stores/percepiano", by_hand) == (config, [])


def test_the_store_of_the_recipe_keeps_it_as_it_is(store_path, tmp_path):
    config = config_of(store_path)
    assert without_borrowed(config, f"stores/{store_path.name}", []) == (config, [])
    assert without_borrowed(config, "", []) == (config, [])
