"""What a person reads of a recipe's cost."""

import pytest


def test_the_published_set_up_stands_beside_the_published_figures(limssr):
    outcome = limssr("describe", "paper/fs1000", "--variant", "protocol=published")
    assert outcome.code == 0, outcome.err
    rows = [" ".join(line.split()) for line in outcome.out.splitlines()]
    for row in (
        "parameters of the language model 600,377,344 600.38 M",
        "trained 159,909,888 159.91 M",
        "parameters around it 17,349,645 17.35 M",
        "trained 177,259,533 177.26 M",
        "multiply-accumulates: its linear maps 164.646 G 232.966 G",
        "around it 567.833 M 0.57 G",
        "video + audio + flow 75 370 180.915 G",
    ):
        assert row in rows
    assert "docs/cost.md" in outcome.out


@pytest.mark.parametrize("system", ["attention", "statistics"])
def test_a_system_that_the_paper_does_not_have(limssr, system):
    dims = "data.stream_dims={video: 8, audio: 6}"
    options = ("--set", dims, "--set", f"model.system={system}")
    document = limssr("describe", "demo", *options, "--json").document
    assert document["published"] is None
    assert document["macs_by_subset"].keys() == {"video", "audio", "video+audio"}
    shown = limssr("describe", "demo", *options).out
    assert f"{document['total']:,}" in shown


@pytest.mark.parametrize("recipe", ["paper/fs1000", "paper/fisv", "paper/rg"])
@pytest.mark.parametrize("protocol", ["published", "honest"])
def test_every_recipe_of_the_paper_is_described(limssr, recipe, protocol):
    document = limssr("describe", recipe, "--variant", f"protocol={protocol}", "--json").document
    assert document["lora"] == 4_587_520
    assert document["prompt_tokens_source"] in ("recorded", "tokenizer")
    assert document["lora"] == 4_587_520
    # the whole table is trained as published, and only the rows that are read otherwise
    assert (document["total"] - document["active"] > 100e6) == (protocol == "published")
