"""What each row of a comparison is: its declaration, and how its run was set, in every form."""

import csv
import io
import json

import pytest

from limssr.studies.compare.notes import describe_row, epoch_words
from limssr.studies.compare.rows import read_rows
from limssr.studies.compare.run import CompareOptions, compare_runs
from limssr.studies.compare.write import to_latex, to_text, write_comparison
from limssr.systems.table import SYSTEMS

REDUCED = ("model.hidden=16", "model.options.recurrent_layers=1")
REDUCED_DMVG = ("model.hidden=16", "model.options.latent=8", "model.options.sampler_steps=2")


def abouts(*runs):
    return {row.label: describe_row(row) for row in read_rows([str(run) for run in runs]).rows}


def compared(*runs):
    return compare_runs(CompareOptions(runs=tuple(str(run) for run in runs), num_resamples=100))


def test_rows_repeat_what_their_systems_declare(scored_run):
    runs = [scored_run(name, system=name) for name in ("gcnet", "dmvg", "late-fusion")]
    found = abouts(*runs)
    for name, about in found.items():
        declared = SYSTEMS[name]
        assert (about.title, about.source) == (declared.title, declared.source)
        assert (about.absent, about.checked, about.adapted) == (declared.absent, declared.checked, declared.changed)
        assert (about.stochastic, about.hidden_losses) == (declared.stochastic, declared.hidden_values)
    assert [about.targets for about in found.values()] == ["re-masked", "re-masked", ""]
    assert found["dmvg"].stochastic


def test_targets_are_complete_where_training_data_were(scored_run):
    runs = [scored_run("all", system="gcnet", record={"trained_on": "complete"}), scored_run("plain")]
    assert [about.targets for about in abouts(*runs).values()] == ["complete", ""]


def test_sizes_that_were_changed_are_named(scored_run):
    settings = {"paper": (), "small": REDUCED, "own": ("model.hidden=8", "model.options.recurrent_layers=2")}
    found = abouts(*(f"{name}={scored_run(name, system='gcnet', set=words)}" for name, words in settings.items()))
    assert found["paper"].sizes == "as declared"
    assert found["small"].sizes == "small: hidden 16, recurrent_layers 1 (2 declared)"
    assert found["own"].sizes == "changed: hidden 8"
    ensembles = {"five": ("model.statistics.members=5",), "eight": ()}
    found = abouts(*(f"{name}={scored_run(name, system='statistics', set=words)}" for name, words in ensembles.items()))
    assert [about.sizes for about in found.values()] == ["changed: members 5 (8 declared)", "as declared"]


def test_epochs_are_those_that_were_run(scored_run):
    runs = [
        scored_run(f"seed{seed}", seed=seed, set=("train.epochs=60",), record={"epochs_run": ran})
        for seed, ran in ((1, 12), (2, 40))
    ]
    whole = scored_run("whole", system="gcnet", set=("train.epochs=15",), record={"epochs_run": 15})
    unknown = scored_run("unknown", system="gain", set=("train.epochs=7",), references={"ridge": 3.0})
    found = abouts(*runs, whole, unknown)
    assert [epoch_words(about) for about in found.values()] == ["12 to 40 of 60", "15", "7", "none"]
    assert found["attention"].epochs_run == (12, 40)


def test_limssr_and_regressions_have_words_of_their_own(scored_run):
    small = ("model.backbone.name=smollm2-135m", "model.backbone.num_layers=2", "model.head=statistics")
    plain = scored_run("plain", system="limssr", references={"ridge": 3.0, "extra-trees-imputed": 4.0})
    other = scored_run("other", system="limssr", set=small)
    bare = scored_run("bare", system="limssr", set=("model.absent=zeros",))
    found = abouts(f"plain={plain}", f"other={other}", f"bare={bare}")
    assert found["plain"].absent == "learned placeholders"
    assert found["plain"].sizes == "qwen3-0.6b, all its layers; head paper"
    assert found["plain"].hidden_losses == ()
    assert "ours" not in found["plain"].checked
    assert found["other"].sizes == "smollm2-135m, 2 of its 30 layers; head statistics"
    assert "its head statistics is ours" in found["other"].checked
    assert "training median" in found["other"].absent
    assert found["bare"].absent.startswith("zeros")
    assert found["ridge"].absent == "not read: a model of its own for every subset"
    assert found["extra-trees-imputed"].absent == "its training mean, and a flag"
    assert (found["ridge"].epochs, found["ridge"].stochastic) == (None, False)


def test_rows_that_are_fed_zeros_are_marked(scored_run):
    names = ("attention", "gcnet", "pcd", "late-fusion")
    found = compared(*(scored_run(name, system=name, set=("model.hidden=16",)) for name in names))
    assert [found.marks[name] for name in names] == [(), ("zeros",), ("zeros",), ()]
    text = to_text(found)
    assert "gcnet ◊" in text
    assert "◊ zeros are fed where a stream is absent" in text
    assert r"gcnet $\diamond$" in to_latex(found)
    assert "◊" not in to_text(
        compared(*(scored_run(f"{name}-bare", system=name) for name in ("attention", "late-fusion")))
    )


def test_every_form_says_what_each_row_is(scored_run, tmp_path):
    found = compared(
        scored_run("gcnet", system="gcnet", set=REDUCED), scored_run("dmvg", system="dmvg", set=REDUCED_DMVG)
    )
    write_comparison(found, tmp_path, command="limssr compare")
    read = {name: (tmp_path / f"compare.{name}").read_text(encoding="utf-8") for name in ("txt", "tex", "html", "json")}
    for name in ("txt", "tex", "html"):
        assert "What each row is" in read[name]
        for words in ("zeros, as its paper", "sampled by diffusion", "reconstruction (re-masked)"):
            assert words in " ".join(read[name].split()), (name, words)
    document = json.loads(read["json"])["rows"][0]["about"]
    assert (document["absent"], document["targets"], document["stochastic"]) == (
        "zeros, as its paper",
        "re-masked",
        False,
    )
    rows = list(csv.DictReader(io.StringIO((tmp_path / "systems.csv").read_text(encoding="utf-8"))))
    assert rows[0]["sizes"] == "small: hidden 16, recurrent_layers 1 (2 declared)"
    assert [row["stochastic"] for row in rows] == ["no", "yes"]
    assert rows[0]["hidden_losses"] == "reconstruction"


@pytest.mark.parametrize("name", ["attention", "gcnet"])
def test_a_run_of_an_option_that_is_gone_can_still_be_shown(scored_run, name):
    run = scored_run("old", system=name, set=("model.options.gone=3",), references={"ridge": 3.0})
    assert "gone 3 (not an option of this version)" in abouts(run)[name].sizes
