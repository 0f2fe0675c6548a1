"""The banners of a reproduction come from comparing configurations, and from nothing else."""

import pytest

from limssr.core.config import RunConfig
from limssr.core.recipes import load_recipe, recipe_path
from limssr.studies.paper.deviations import config_deviations, count_deviations, size_deviations


def config(task="TES", protocol="published", *overrides):
    return load_recipe(recipe_path("paper/fs1000"), overrides, {"task": task, "protocol": protocol})


def told(ours, tasks=("TES",)):
    banners = config_deviations(ours, {task: config(task) for task in tasks})
    return {banner.title: banner.text for banner in banners}


def test_the_published_protocol_does_not_deviate_from_itself():
    assert told({"TES": config()}) == {}


def test_labels_places_and_seeds_are_no_deviation():
    ours = config("TES", "published", "name=mine", "seed=7", "data.store=elsewhere", "evaluation.bootstrap=0")
    assert told({"TES": ours}) == {}


@pytest.mark.parametrize(
    ("override", "title", "text"),
    [
        ("model.backbone.name=tiny", "Another language model", "model.backbone.name: tiny instead of qwen3-0.6b."),
        ("train.epochs=3", "Trained in another way", "train.epochs: 3 instead of 160."),
        ("train.selection=last", "The epoch is chosen in another way", "train.selection: last instead of test."),
        ("data.padding=masked", "The segments are read in another way", "data.padding: masked instead of attended."),
        ("missing.dropout=none", "Streams are missing in another way", "missing.dropout: none instead of per_batch."),
        ("loss.margin=0.5", "Another loss", "loss.margin: 0.5 instead of 1."),
        ("model.lora=null", "Another model", None),
    ],
)
def test_every_changed_key_is_told_under_its_topic(override, title, text):
    found = told({"TES": config("TES", "published", override)})
    assert list(found) == [title]
    assert text is None or found[title] == text


def test_the_honest_protocol_says_how_it_is_honest():
    found = told({"TES": config("TES", "honest")})
    assert "train.selection: val instead of test" in found["The epoch is chosen in another way"]
    assert "missing.availability: {rate 0.5," in found["Streams are missing in another way"]
    assert "data.padding: masked instead of attended" in found["The segments are read in another way"]


def test_values_that_differ_by_target_are_told_by_target():
    tasks = ("TES", "PCS")
    ours = {task: config(task, "published", "train.epochs=2") for task in tasks}
    assert told(ours, tasks)["Trained in another way"] == "train.epochs: 2 instead of 160 (TES), 100 (PCS)."
    ours["TES"] = config("TES")
    assert told(ours, tasks)["Trained in another way"] == "train.epochs: 2 instead of 100 (PCS)."


def test_every_key_of_a_configuration_has_a_topic():
    """A key that is added one day is compared, unless it is named as one that changes no score."""
    from limssr.studies.paper.deviations import NOT_COMPARED, TOPICS

    for name in RunConfig.model_fields:
        assert name in NOT_COMPARED or any(start == name for start, _ in TOPICS), name


def test_fewer_seeds_and_targets_are_told():
    assert count_deviations(("TES", "PCS"), ("TES", "PCS"), 6, 6) == []
    seeds, missing = count_deviations(("TES",), ("TES", "PCS"), 2, 6)
    assert seeds.text == "2 instead of 6."
    assert missing.text == "PCS left out, so averages over all 2 targets are not shown."


def test_other_numbers_of_performances_are_told():
    expected = {"train": 200, "test": 50}
    exact = {"train": 200, "val": 0, "test": 50}
    assert size_deviations({"Ball": exact}, expected, uses_validation=False) == []
    less = {"Ball": exact, "Hoop": {"train": 180, "val": 20, "test": 50}}
    (banner,) = size_deviations(less, expected, uses_validation=True)
    assert banner.text == "180 for training instead of 200, 20 set aside for validation (Hoop)."
