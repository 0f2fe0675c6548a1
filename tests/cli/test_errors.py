"""Exit codes, and what an error looks like for people and for machines."""

import subprocess
import sys

import pytest

from limssr.cli import doctor as doctor_module
from limssr.core.errors import ResourceError
from limssr.runs import train as run_module

RECIPE = """
data: {store: %s}
model: {backbone: {name: tiny}}
train: {epochs: 1}
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
        [],
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
import sys
from limssr import cli
from limssr.cli.options import Common
from limssr.cli.output import Answer
class Talkative:
    common = Common()
    def run(self):
        return Answer({}, ("word " * 20,) * 2_000)
sys.exit(cli._run(Talkative(), [], "text", sys.stdout))
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
