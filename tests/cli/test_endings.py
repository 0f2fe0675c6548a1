"""How a command ends when it is ended from outside, and on terminals that know few characters."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from limssr.cli import main
from limssr.cli import output as output_module
from limssr.core.signals import WITH_PARENT, Terminated, signals_as_interruptions
from limssr.runs import train as run_module

RECIPE = """
data: {store: %s}
model: {system: attention, hidden: 8}
train: {epochs: 100000}
"""


@pytest.fixture(autouse=True)
def heeded():
    """Signals as a terminal has them, also where whoever started the tests ignores some, as nohup does."""
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def recipe(tmp_path, store_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE % store_path)
    return path


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_ends_a_command_like_an_interruption(number, code, limssr, recipe, tmp_path, monkeypatch):
    cleaned_up = []

    def training(*_, **__):
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        finally:
            os.kill(os.getpid(), signal.SIGTERM) if number != signal.SIGINT else None  # a second one is not heard
            cleaned_up.append(True)

    monkeypatch.setattr(run_module, "train_run", training)
    outcome = limssr("train", recipe, "--out", tmp_path / "run", "--json")
    assert outcome.code == code
    assert cleaned_up
    assert outcome.document["error"]["exit_code"] == code
    assert "--resume" in outcome.err
    assert "Traceback" not in outcome.err
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_signal_that_somebody_ignores_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with signals_as_interruptions():
            os.kill(os.getpid(), signal.SIGHUP)
            with pytest.raises(Terminated):
                signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.slow
def test_sigterm_in_the_middle_of_training_leaves_what_can_be_resumed(recipe, tmp_path):
    out = tmp_path / "run"
    words = [sys.executable, "-m", "limssr", "train", str(recipe), "--out", str(out)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        try:
            _wait_for(lambda: len(list(out.glob("checkpoints/epoch-*"))) > 0, process)
        finally:
            process.terminate()
        told = process.communicate(timeout=120)[1]
    assert process.returncode == 143
    assert "limssr: ended by SIGTERM. Go on" in told
    assert f"limssr train {recipe} --out {out} --resume" in told
    assert "Traceback" not in told
    assert [path.name for path in out.rglob(".*")] == []


PARENT = """
import sys
from pathlib import Path
from limssr.studies.processes import Job, run_jobs
recipe, out = sys.argv[1], Path(sys.argv[2])
jobs = [Job(k, ("train", recipe, "--out", str(out / k), "--json"), out / f"{k}.log") for k in ("a", "b")]
run_jobs(jobs, processes=2, device="cpu", begin=lambda key: None, end=lambda key, error: None)
"""


@pytest.mark.slow
def test_children_end_with_their_parent_even_if_it_is_killed(recipe, tmp_path):
    locks = [tmp_path / key / ".lock" for key in ("a", "b")]
    with subprocess.Popen([sys.executable, "-c", PARENT, str(recipe), str(tmp_path)]) as process:
        try:
            _wait_for(lambda: all(lock.is_file() and lock.read_bytes() for lock in locks), process)
            owners = [json.loads(lock.read_text())["process"] for lock in locks]
        finally:
            process.kill()
    _wait_for(lambda: not any(_is_running(owner) for owner in owners))
    assert not any(lock.exists() for lock in locks)


def test_a_process_without_such_a_parent_does_not_read_its_standard_input(monkeypatch):
    monkeypatch.delenv(WITH_PARENT, raising=False)
    monkeypatch.setattr(os, "read", lambda *_: pytest.fail("read"))
    assert main(["systems", "nonsense"]) == 2


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_any_encoding_of_the_terminal_will_do(encoding, store_path, monkeypatch):
    stdout, stderr = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(sys, "stderr", stderr)
    code = main(["data", "inspect", str(store_path)])
    stdout.flush()
    assert code == 0
    text = stdout.buffer.getvalue().decode(encoding)
    assert "?" not in text.partition("Made by")[0]  # what is drawn has characters that look like it
    print("name \udcff · 日本", file=sys.stdout, flush=True)  # noqa: T201
    assert "name" in stdout.buffer.getvalue().decode(encoding, errors="replace")
    print("a € and 日本", file=sys.stderr, flush=True)  # noqa: T201


def test_a_document_keeps_every_character_in_any_encoding():
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    output_module._print_json({"name": "Šárka ·"}, stdout)
    assert json.loads(stdout.buffer.getvalue()) == {"name": "Šárka ·"}


def _wait_for(condition, process=None, seconds=180):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, "it ended before its time"
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def _is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
