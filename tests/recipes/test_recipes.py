"""Every recipe that comes with limssr is read, and its YAML says nothing that the configuration does not know."""

from pathlib import Path

import pytest

from limssr.core.errors import InputError
from limssr.core.recipes import dump_config, load_recipe, parse_config, recipe_names, recipe_path

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def test_the_names_are_the_files_of_the_folder():
    assert {recipe_path(name).resolve() for name in recipe_names()} == set(RECIPES.rglob("[!_]*.yaml"))
    assert "paper/fs1000" in recipe_names()


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_is_read_and_written_back(name):
    import yaml

    config = load_recipe(recipe_path(name))
    assert parse_config(yaml.safe_load(dump_config(config)), where=name) == config


def test_a_name_that_is_none_lists_the_recipes():
    with pytest.raises(InputError, match="paper/fs1000"):
        recipe_path("percepino")
