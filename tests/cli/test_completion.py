"""Shells complete verbs and options with what `limssr completion` prints."""

import shutil
import subprocess

import pytest

from limssr.cli import main
from limssr.cli.parser import completions
from limssr.cli.table import all_verbs


def complete(capsys, *words):
    """What bash offers after some words, the last of which has begun."""
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    typed = " ".join(f"'{word}'" for word in ("limssr", *words))
    asked = f"{script}\nCOMP_WORDS=({typed}); COMP_CWORD={len(words)}; _limssr; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True, cwd="/")
    assert done.stderr == ""
    return done.stdout.split()


def test_verbs_are_completed(capsys):
    assert complete(capsys, "predi") == ["predict"]
    assert {"evaluate", "export", "extract"} <= set(complete(capsys, "e"))
    assert complete(capsys, "data", "import", "per") == ["percepiano"]
    assert "import" in complete(capsys, "data", "i")


def test_options_are_those_of_the_verb(capsys):
    assert complete(capsys, "predict", "runs/x", "--inter") == ["--interval"]
    assert complete(capsys, "data", "inspect", "--st") == []


def test_files_stand_where_no_option_is_begun(capsys):
    assert "etc" in " ".join(complete(capsys, "predict", "/et"))


def test_every_verb_is_there():
    found = completions()
    for words in all_verbs():
        before, _, last = words.rpartition(" ")
        assert last in found[before]
        assert "--json" in found[words]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_can_read_it(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "predict" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)
