"""Exit codes, and what an error looks like for people and for machines."""

import subprocess
import sys

import pytest

from limssr.cli import doctor as doctor_module
from limssr.core.errors import ResourceError
from limssr.runs import train as run_module

RECIPE = """
name: small
data: {store: %s}
model: {backbone: {name: tiny}}
train: {epochs: 1, selection: last}
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE % (tmp_path / "store"))
    return path


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["--seed", "3"],
        ["data", "nonsense"],
        ["train"],
        ["train", "recipe.yaml", "--epoch", "3"],
        ["demo", "--epochs", "many"],
        ["demo", "--backbone", "gpt"],
        ["data", "mask", "a", "b", "--splits", "dev"],
        ["train", "nowhere.yaml"],
        ["train", "no-such-recipe"],
        ["data", "inspect", "nowhere"],
        ["data", "verify", "nowhere"],
        ["data", "import", "table", "nowhere.csv", "out"],
        ["data", "import", "table", "nowhere.csv", "out", "--scale", "total"],
        ["data", "import", "percepiano", "nowhere", "out"],
        ["evaluate", "nowhere"],
        ["predict", "nowhere", "nowhere"],
        ["report", "nowhere"],
        ["describe", "nowhere.yaml"],
    ],
    ids=lambda words: "-".join(words) or "nothing",
)
def test_mistakes_of_the_user_end_with_2(limssr, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = limssr(*words)
    assert plain.code == 2
    assert plain.out == ""
    assert len(plain.err) > 20
    assert "Traceback" not in plain.err
    told = limssr(*words, "--json")
    assert told.code == 2
    assert told.document["error"]["exit_code"] == 2
    assert len(told.document["error"]["message"]) > 20
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("trian", "train"),
        ("evalute runs/x", "evaluate"),
        ("eval runs/x", "evaluate"),
        ("predcit", "predict"),
        ("data imprt", "data import"),
        ("data import tabel a b", "data import table"),
        ("inspect stores/x", "data inspect"),
        ("train demo --bakbone tiny", "--backbone"),
        ("train demo --dryrun", "--dry-run"),
        ("sweep systems demo --proceses 2", "--processes"),
        ("data mask a b --sed 3", "--seed"),
        ("demo --backbone tinny", "tiny"),
        ("data mask a b --splits trian", "train"),
        ("train demo --epochs 3", None),
    ],
)
def test_the_nearest_right_word_is_named(limssr, words, meant):
    outcome = limssr(*words.split())
    assert outcome.code == 2
    assert f"did you mean {meant}?" in outcome.err or (meant is None and "--set train.epochs=VALUE" in outcome.err)
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("demo --epochs many", "demo: expected a whole number after --epochs, found 'many'"),
        ("data mask a b --rate half", "data mask: expected a number after --rate, found 'half'"),
        ("benchmark --grid 1 two", "benchmark: expected a whole number after --grid, found 'two'"),
        ("train demo --seed", "train: expected a value after --seed"),
        ("train", "train: expected RECIPE"),
        ("reproduce fs1000", "reproduce: expected --store STORE"),
        ("train demo again", "train: nothing is expected after its arguments, found again"),
        ("--seed 3 train", "Expected a verb before --seed"),
        ("train demo -o x", "train: nothing is expected after its arguments, found -o"),
        ("--version again", "Expected a verb before --version"),
        ("help trian", "Unknown verb 'trian'; did you mean train?"),
    ],
)
def test_a_mistake_in_the_words_is_told_in_one_line(limssr, words, expected):
    outcome = limssr(*words.split())
    assert outcome.code == 2
    assert expected in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert limssr(*words.split(), "--json").document["error"]["message"] in outcome.err


@pytest.mark.parametrize(
    ("words", "old", "now"),
    [
        ("reproduce fs1000 --data nowhere", "--data", "--store"),
        ("reproduce fs1000 --data=nowhere", "--data", "--store"),
        ("ablate --table 4 --backbone tiny --store nowhere", "--backbone", "--extra-backbone"),
    ],
)
def test_an_old_spelling_still_works_and_says_so(limssr, words, old, now):
    outcome = limssr(*words.split())
    assert outcome.code == 2  # there is no such store
    assert f"note: {old} is called {now} now" in outcome.err
    assert "nowhere" in outcome.err
    assert "unknown option" not in outcome.err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("train.epoch=3", "--set train.epoch=3: unknown key 'train.epoch'; the nearest valid key is 'train.epochs'"),
        ("train.epochs=many", "--set train.epochs=many: expected a whole number from 1 to 1,000,000, found 'many'"),
        ("train.selection=best", "--set train.selection=best: expected val | last | test, found 'best'"),
        ("train=5", "--set train=5: expected keys and values, found 5"),
        (
            "model.lora.rank=[1,2]",
            "--set model.lora.rank=[1,2]: expected a whole number from 1 to 8,192, found a list of 2",
        ),
        ("data.padding=attended", "--set data.padding=attended: padding: attended needs num_segments"),
        ("train", "--set: expected KEY=VALUE such as train.epochs=3, found 'train'"),
    ],
)
def test_a_mistake_in_set_names_set_and_not_the_recipe(limssr, recipe, change, told):
    outcome = limssr("train", recipe, "--set", change)
    assert outcome.code == 2
    assert told in outcome.err
    assert str(recipe) not in outcome.err


def test_a_mistake_in_the_recipe_names_the_recipe_and_dumps_nothing(limssr, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text("train: {epochs: 0}\nmissing: {availability: 7}\nmodel: {head: statistics, paths: path1}\n")
    outcome = limssr("train", path, "--set", "seed=1")
    assert f"{path} with --set seed=1 is not a valid recipe" in outcome.err
    assert "train.epochs: expected a whole number from 1 to 1,000,000, found 0" in outcome.err
    assert "missing.availability: expected keys and values, or null, found 7" in outcome.err
    assert "model: paths and calibration are switches of head: paper" in outcome.err
    assert "{" not in outcome.err


def test_an_unknown_key_names_the_nearest_one(limssr, recipe, tmp_path):
    outcome = limssr("train", recipe, "--set", "train.epoch=3", "--out", tmp_path / "run")
    assert outcome.code == 2
    assert "'train.epoch'" in outcome.err
    assert "'train.epochs'" in outcome.err
    assert not (tmp_path / "run").exists()


def test_a_failure_of_the_machine_ends_with_2(limssr, recipe, monkeypatch):
    monkeypatch.setattr(run_module, "train_run", raiser(ResourceError("the disk is full")))
    outcome = limssr("train", recipe, "--json")
    assert outcome.code == 2
    assert outcome.document == {"error": {"kind": "ResourceError", "message": "the disk is full", "exit_code": 2}}
    assert "Traceback" not in outcome.err


def test_a_bug_ends_with_1_and_keeps_its_trace(limssr, recipe, monkeypatch):
    monkeypatch.setattr(run_module, "train_run", raiser(ZeroDivisionError("of ours")))
    outcome = limssr("train", recipe, "--json")
    assert outcome.code == 1
    assert outcome.document["error"]["kind"] == "ZeroDivisionError"
    assert "Traceback" in outcome.err


def test_debug_shows_where_an_expected_error_arose(limssr):
    assert "Traceback" not in limssr("data", "inspect", "nowhere").err
    assert "Traceback" in limssr("data", "inspect", "nowhere", "--debug").err


def test_an_interrupt_ends_with_130_and_the_command_to_go_on_with(limssr, recipe, monkeypatch, tmp_path):
    monkeypatch.setattr(run_module, "train_run", raiser(KeyboardInterrupt()))
    out = tmp_path / "my run"
    outcome = limssr("train", recipe, "--out", out)
    assert outcome.code == 130
    assert f"limssr train {recipe} --out '{out}' --resume" in outcome.err
    again = limssr("train", recipe, "--out", out, "--resume")
    assert again.err.count("--resume") == 1


def test_what_others_print_stays_off_the_document(limssr, monkeypatch):
    found = doctor_module.diagnose()

    def chatty():
        print("some package says hello")  # noqa: T201
        return found

    monkeypatch.setattr(doctor_module, "diagnose", chatty)
    outcome = limssr("doctor", "--json")
    assert outcome.document["limssr"] == found.limssr
    assert "hello" in outcome.err


BROKEN_PIPE = """
import dataclasses, sys
from limssr import cli
from limssr.cli.output import Answer
@dataclasses.dataclass(frozen=True)
class Talkative:
    def run(self):
        return Answer({}, ("word " * 20,) * 2_000)
cli.parse = lambda *_: Talkative()
sys.exit(cli.main([]))
"""


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -c '{BROKEN_PIPE}' | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("word word")
    assert (done.returncode, done.stderr) == (0, "")


def raiser(error):
    def fail(*_, **__):
        raise error

    return fail
