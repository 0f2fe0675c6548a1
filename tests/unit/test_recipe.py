"""Recipes with variants: what is laid over what, and what is refused."""

import pytest

from limssr.core.errors import InputError
from limssr.core.recipes import load_recipe, parse_variants, recipe_variants

BASE = """
variants:
  task: {}
  protocol:
    honest: {train: {patience: 7}}
    published: {train: {selection: test, epochs: 50}}
choose: {protocol: honest}
"""
RECIPE = """
base: base.yaml
name: skating-{task}-{protocol}
train: {epochs: 9, batch_size: 4}
variants:
  task:
    TES: {}
    PCS:
      train: {epochs: 20}
      variants: {protocol: {published: {train: {epochs: 410}}}}
choose: {task: TES}
"""


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "base.yaml").write_text(BASE)
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def test_the_variants_in_order_with_the_default_first(recipe):
    assert recipe_variants(recipe) == {"task": ("TES", "PCS"), "protocol": ("honest", "published")}
    recipe.write_text(RECIPE.replace("choose: {task: TES}", "choose: {task: PCS, protocol: published}"))
    assert recipe_variants(recipe) == {"task": ("PCS", "TES"), "protocol": ("published", "honest")}


@pytest.mark.parametrize(
    ("chosen", "name", "epochs", "selection", "patience"),
    [
        ({}, "skating-TES-honest", 9, "val", 7),
        ({"task": "PCS"}, "skating-PCS-honest", 20, "val", 7),
        ({"protocol": "published"}, "skating-TES-published", 50, "test", None),
        ({"protocol": "published", "task": "PCS"}, "skating-PCS-published", 410, "test", None),
    ],
)
def test_variants_lie_over_the_recipe_in_the_order_of_the_groups(recipe, chosen, name, epochs, selection, patience):
    config = load_recipe(recipe, variants=chosen)
    assert (config.name, config.train.epochs, config.train.selection) == (name, epochs, selection)
    assert (config.train.patience, config.train.batch_size) == (patience, 4)


def test_overrides_lie_over_variants(recipe):
    config = load_recipe(recipe, ["train.epochs=3", "name=mine"], {"task": "PCS"})
    assert (config.train.epochs, config.name) == (3, "mine")


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"tasks": "PCS"}, "did you mean 'task'"),
        ({"task": "PCSS"}, "did you mean 'PCS'"),
        ({"protocol": "publish"}, "did you mean 'published'"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(recipe, chosen, message):
    with pytest.raises(InputError, match=message):
        load_recipe(recipe, variants=chosen)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("variants: {task: {A: {}}}", "choose task=A"),
        ("variants: {task: [A]}", "names and values under 'task'"),
        ("variants: {task: {A: 3}}\nchoose: {task: A}", "names and values under 'A'"),
        ("choose: {task: A}", "no variants"),
        ("variants: {task: {A: {trian: {}}}}\nchoose: {task: A}", "train"),
        ("variants: {task: {A: {choose: {}}}}\nchoose: {task: A}", "never in a variant"),
        ("variants: {a: {A: {}}, b: {B: {variants: {a: {A: {}}}}}}\nchoose: {a: A, b: B}", "later group of variants"),
        ("variants: {a: {A: {variants: {b: {C: {}}}}}, b: {B: {}}}\nchoose: {a: A, b: B}", "variant of b 'C'"),
        ("name: run-{task}", "there are none"),
        ("name: 'run-{'", "groups of variants in braces"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(tmp_path, text, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_recipe(path)


def test_variants_as_they_are_typed():
    assert parse_variants(["task=PCS", "protocol=paper"]) == {"task": "PCS", "protocol": "paper"}
    for wrong in (["task"], ["=PCS"], ["task="], ["task=PCS", "task=TES"]):
        with pytest.raises(InputError):
            parse_variants(wrong)
