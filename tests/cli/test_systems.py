"""`limssr systems`, and training one of them by name."""

import re
from pathlib import Path

import pytest
import yaml

from limssr.runs.folder import read_run
from limssr.systems.catalogue import system_document
from limssr.systems.table import SYSTEMS


def test_every_system_is_listed_with_what_it_needs(limssr):
    document = limssr("systems", "--json").document
    assert {one["name"] for one in document["systems"]} == set(SYSTEMS)
    assert all(one["checked"] and one["absent"] and one["summary"] and one["source"] for one in document["systems"])


def test_the_table_names_every_system(limssr):
    outcome = limssr("systems")
    assert outcome.code == 0
    assert all(name in outcome.out for name in SYSTEMS)


@pytest.mark.parametrize("name", SYSTEMS)
def test_one_system_shows_its_options(limssr, name):
    document = limssr("systems", name, "--json").document
    assert document == system_document(name)
    assert [one["name"] for one in document["options"]] == list(SYSTEMS[name].options.model_fields)
    assert all(one["meaning"] for one in document["options"])
    assert SYSTEMS[name].title in limssr("systems", name).out


def test_the_table_and_its_document_say_what_is_peculiar(limssr):
    text = limssr("systems").out
    assert max(map(len, text.splitlines()[:-2])) <= 80
    blocks = re.split(r"\n(?=  \S)", text)
    lines = {block.split(":")[0].strip(): " ".join(block.split()) for block in blocks if ":" in block}
    assert "stages: experts, then mixture" in lines["momke"]
    assert "losses that look at hidden streams: reconstruction" in lines["gcnet"]
    assert {name for name, line in lines.items() if "random scoring" in line} == {
        name for name, system in SYSTEMS.items() if system.stochastic
    }
    document = limssr("systems", "--json").document
    assert "ridge" in document["regressions"]
    for one in document["systems"]:
        system = SYSTEMS[one["name"]]
        assert one["stages"] == [stage.name for stage in system.stages]
        assert one["hidden_values"] == list(system.hidden_values)
        assert one["stochastic"] == system.stochastic


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ridge", "evaluation.references"),
        ("gradient-boosting", "evaluation.references"),
        ("random-backbone", "evaluation.references"),
    ],
)
def test_what_is_no_network_is_named_for_what_it_is(limssr, name, said):
    outcome = limssr("systems", name)
    assert outcome.code == 2
    assert said in outcome.err
    assert "did you mean" not in outcome.err


def test_an_unknown_system_is_refused_with_the_nearest(limssr):
    outcome = limssr("systems", "attentoin")
    assert outcome.code == 2
    assert "did you mean 'attention'" in outcome.err


@pytest.fixture
def recipe(tmp_path, store_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"name: mine\ndata: {{store: {store_path}}}\n"
        "missing: {availability: {rate: 0.5}}\n"
        "model: {backbone: {name: tiny}}\n"
        "train: {epochs: 2, warmup_epochs: 0}\nevaluation: {bootstrap: 0}\n"
    )
    return path


def test_a_system_is_trained_by_name_and_the_run_says_so(limssr, recipe, tmp_path):
    out = tmp_path / "run"
    assert limssr("train", recipe, "--system", "attention-mean", "--out", out).code == 0
    record = read_run(out)
    assert record.config.model.system == "attention-mean"
    assert record.document["trained_on"] == "available"


def test_complete_training_is_recorded(limssr, recipe, tmp_path):
    out = tmp_path / "run"
    assert limssr("train", recipe, "--system", "attention", "--complete-training", "--out", out).code == 0
    document = read_run(out).document
    assert document["trained_on"] == "complete"
    assert len(document["owned_streams"]["train"]) == 1  # every sample owns everything
    assert len(document["owned_streams"]["val"]) > 1  # validation is as incomplete as before


def test_complete_training_needs_something_to_give_back(limssr, recipe, tmp_path):
    outcome = limssr(
        "train", recipe, "--complete-training", "--set", "missing.availability=null", "--out", tmp_path / "run"
    )
    assert outcome.code == 2
    assert "nothing hidden" in " ".join(outcome.err.split())


def test_a_regression_is_no_run_of_its_own(limssr, recipe, tmp_path):
    outcome = limssr("train", recipe, "--system", "ridge", "--out", tmp_path / "run")
    assert outcome.code == 2
    assert "evaluation.references" in outcome.err


def test_bibtex_has_this_software_its_paper_and_every_published_system(limssr):
    citation = yaml.safe_load((Path(__file__).parents[2] / "CITATION.cff").read_text(encoding="utf-8"))
    text = limssr("systems", "--bibtex").out
    assert limssr("systems", "--bibtex", "--json").document["bibtex"] == text.strip()
    entries = re.findall(r"^@(\w+)\{([\w-]+),$", text, flags=re.MULTILINE)
    names = [name for _, name in entries]
    assert names[:2] == ["limssr", "limssr-paper"]
    assert len(set(names)) == len(names)
    published = {name for name, system in SYSTEMS.items() if re.search(r"20\d\d$", system.source)}
    assert set(names[2:]) == published - {"limssr"}
    assert len(published) > 15
    assert f"version = {{{citation['version']}}}" in text
    paper = citation["preferred-citation"]
    assert f"title = {{{paper['title']}}}" in text
    assert all(f"{author['family-names']}, {author['given-names']}" in text for author in paper["authors"])
    assert "author = {Zeng and Zheng}" in text  # two authors, no "and others"
    assert text.count("{") == text.count("}")
    assert ("article", "asgtn") in entries
    assert ("inproceedings", "gain") in entries
