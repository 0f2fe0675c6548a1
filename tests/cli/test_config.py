"""`limssr config`: every key with its type, its default and its meaning."""

import json

import pytest

from limssr.core.config import RunConfig
from limssr.core.recipe_keys import recipe_keys
from limssr.core.recipes import parse_config


def test_every_key_is_listed_with_its_default(limssr):
    listed = {key["key"]: key for key in limssr("config", "--json").document["keys"]}
    tree = RunConfig().model_dump(mode="json")
    leaves = {".".join(path): value for path, value in leaves_of(tree, ())}
    assert set(leaves) <= set(listed)
    told = {key: listed[key]["default"] for key in leaves if not listed[key]["group"]}
    assert told == {key: value for key, value in leaves.items() if not listed[key]["group"]}


def leaves_of(tree, path):
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves_of(value, (*path, key))
        else:
            yield (*path, key), value


@pytest.mark.parametrize("key", recipe_keys(), ids=lambda key: key.key)
def test_every_key_is_explained(key):
    assert len(key.meaning.split()) >= 3, key.key
    assert key.meaning[0].isalnum()
    assert key.meaning.endswith((".", ")"))


@pytest.mark.parametrize("key", ["train.epochs", "epochs", "train", "model.lora", "missing.availability.rate"])
def test_a_key_is_found_by_its_name_its_group_or_its_last_word(limssr, key):
    listed = [found["key"] for found in limssr("config", key, "--json").document["keys"]]
    assert listed
    assert all(name == key or name.startswith(f"{key}.") or name.endswith(f".{key}") for name in listed)


def test_a_key_that_is_none_names_the_nearest(limssr):
    outcome = limssr("config", "train.epoch")
    assert outcome.code == 2
    assert "'train.epochs'" in outcome.err


def test_the_text_fits_eighty_columns_and_says_what_json_says(limssr):
    lines = limssr("config").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "train.epochs: 100   (whole number from 1 to 1,000,000)" in lines


@pytest.mark.parametrize("key", [key for key in recipe_keys() if not key.group], ids=lambda key: key.key)
def test_a_listed_default_is_a_value_that_the_key_takes(key):
    if key.key.startswith(("data.validation.", "data.test.", "missing.availability.")):
        return  # keys of a group that is null by default
    parse_config({}, where="defaults", overrides=[f"{key.key}={json.dumps(key.default)}"])
