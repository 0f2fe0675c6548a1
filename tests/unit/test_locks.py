"""One writer at a time, and what killed writers left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from limssr.core.config import RunConfig
from limssr.core.errors import InputError
from limssr.core.files import new_folder, write_atomically
from limssr.core.locks import about_to_appear, being_written
from limssr.core.recipes import parse_config
from limssr.data.simulate import simulate_store
from limssr.runs.folder import read_run
from limssr.runs.train import train_run

HOLDER = """
import sys, time
from pathlib import Path
from limssr.core.{module} import {function}
with {function}(Path(sys.argv[1]), "thing") as inside:
    {work}
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder():
    """`holder("locks", "being_written", path)` starts a process that holds a lock until it is killed."""
    started = []

    def start(module, function, path, work="pass"):
        words = [sys.executable, "-c", HOLDER.format(module=module, function=function, work=work), str(path)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def config_for(store, **train) -> RunConfig:
    tree = {
        "data": {"store": str(store)},
        "model": {"system": "attention", "hidden": 8, "input_scaling": "standard", "output": "standardized"},
        "train": {"epochs": 1, "warmup_epochs": 0, **train},
        "evaluation": {"bootstrap": 10},
    }
    return parse_config(tree, where="test")


def test_a_folder_in_use_is_refused_until_its_process_is_gone(holder, tmp_path):
    process = holder("locks", "being_written", tmp_path / "run")
    with (
        pytest.raises(InputError, match=rf"only one to write the run.*process {process.pid} on .*wait"),
        being_written(tmp_path / "run", "run"),
    ):
        pass
    process.kill()
    process.wait()
    assert (tmp_path / "run" / ".lock").is_file()  # it could not take it away
    with being_written(tmp_path / "run", "run"):
        (tmp_path / "run" / "kept").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["kept"]


def test_training_into_a_folder_where_another_process_trains_is_refused(holder, store_path, tmp_path):
    holder("locks", "being_written", tmp_path / "run")
    with pytest.raises(InputError, match="wait until it has ended"):
        train_run(config_for(store_path), tmp_path / "run", resume="auto")


def test_a_store_in_the_making_is_refused_and_its_remains_are_removed(holder, tmp_path):
    process = holder("files", "new_folder", tmp_path / "store", '(inside / "half").write_bytes(b"x" * 1000)')
    with pytest.raises(InputError, match="only one to write the store"):
        simulate_store(tmp_path / "store", 16, num_segments=(2, 3))
    process.kill()
    process.wait()
    assert len(list(tmp_path.glob(".store.*.partial"))) == 1
    simulate_store(tmp_path / "store", 16, num_segments=(2, 3))
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_of_two_trainings_into_one_new_folder_one_is_refused_and_the_other_is_whole(store_path, tmp_path):
    out, ended, start = tmp_path / "run", [], threading.Barrier(2)

    def train(seed):
        config = config_for(store_path).model_copy(update={"seed": seed})
        start.wait()
        try:
            train_run(config, out)
            ended.append((seed, None))
        except InputError as error:
            ended.append((seed, str(error)))

    threads = [threading.Thread(target=train, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [seed for seed, error in ended if error is None]
    refusals = [error for _, error in ended if error is not None]
    assert len(winners) == len(refusals) == 1
    assert "only one to write" in refusals[0] or "found files in" in refusals[0]
    written = yaml.safe_load((out / "config.yaml").read_text(encoding="utf-8"))["seed"]
    assert (written, read_run(out).document["seed"]) == (winners[0], winners[0])
    assert not (out / ".lock").exists()


def test_a_refused_command_leaves_neither_lock_nor_folder(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        train_run(config_for(tmp_path / "nowhere"), tmp_path / "runs" / "deep" / "run")
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "stores" / "deep" / "store", "store"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_half_written_files_of_dead_processes_are_removed_and_those_of_living_ones_are_not(tmp_path):
    dead, alive, young, other = (tmp_path / f".{name}.partial" for name in ("a.csv.1", "a.csv.2", "a.csv.3", "b.csv.1"))
    for path in (dead, alive, young, other):
        path.write_bytes(b"half")
    for path in (dead, alive, other):
        os.utime(path, (0, time.time() - 3600))
    hold = "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, 1); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold, str(alive)], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        write_atomically(tmp_path / "a.csv", b"whole")
        process.send_signal(signal.SIGKILL)
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", alive.name, young.name, other.name}


@pytest.mark.parametrize("size", ["2", "16", "many"])
def test_one_of_several_processes_is_refused_before_anything_is_written(size, store_path, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(InputError, match=f"WORLD_SIZE={size}.*without a distributed launcher"):
        train_run(config_for(store_path), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [{"seed": -1}, {"seed": 10**23}, {"train": {"epochs": 0}}])
def test_a_value_that_no_run_can_have_leaves_no_folder(change, store_path, tmp_path):
    tree = {"data": {"store": str(store_path)}, "model": {"system": "attention"}, **change}
    with pytest.raises(InputError):
        train_run(parse_config(tree, where="test"), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moment", ["writing", "letting go"])
def test_an_interruption_at_any_moment_leaves_no_lock(tmp_path, monkeypatch, moment):
    """A signal may come between taking a lock and the work, and in the middle of giving it back."""
    wanted = {"writing": "write_text", "letting go": "unlink"}[moment]
    real, raised = getattr(Path, wanted), []

    def interrupted(path, *arguments, **options):
        if path.name.endswith(".lock") and not raised:
            raised.append(path)
            raise KeyboardInterrupt
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, wanted, interrupted)
    with pytest.raises(KeyboardInterrupt), about_to_appear(tmp_path / "store", "store"):
        pass
    assert raised
    assert list(tmp_path.iterdir()) == []
    with about_to_appear(tmp_path / "store", "store"):
        pass
