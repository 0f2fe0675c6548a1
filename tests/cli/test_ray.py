"""`--engine ray`: extraction, studies and scoring on a Ray cluster give the bytes that this machine gives alone."""

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from limssr.cli import main
from limssr.core import cluster as clusters
from limssr.core.cluster import Cluster, LostTask, Needs, Workplace, at_work
from limssr.core.errors import InputError
from limssr.core.signals import Terminated, signals_as_interruptions
from limssr.data.simulate import simulate_store
from limssr.media.write import write_media

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster():
    """A Ray of this machine for all tests here; commands find it connected, and leave it."""
    with Cluster(processes=1, needs=Needs(cpus=1)) as found:
        assert list(found.run(abs, [-1])) == [(0, 1)]
        yield found


@pytest.fixture
def recordings(tmp_path):
    """A good file, and one that breaks off where its frames do."""
    random = np.random.default_rng(0)
    lines = ["id,split,score:total,media:video"]
    for number, split in enumerate(("train", "train", "val", "test")):
        pictures = [(time_s, random.integers(0, 255, (48, 64, 3), np.uint8)) for time_s in np.arange(30) / 25]
        write_media(tmp_path / f"r{number}.mp4", pictures=pictures)
        lines.append(f"r{number},{split},{number},r{number}.mp4")
    table = tmp_path / "all.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_extraction_on_ray_is_the_serial_one_byte_by_byte(limssr, cluster, recordings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # paths are meant from where the command is given, in every task
    words = ("extract", recordings.name, "--encoders", "motion", "--segments", "1", "--scale", "total=0:9")
    for name, more in (("serial", ()), ("ray", ("--engine", "ray"))):
        Path(name).mkdir()
        assert limssr(*words[:2], f"{name}/store", *words[2:], *more).code == 0
    assert files(tmp_path / "ray" / "store") == files(tmp_path / "serial" / "store")
    assert len(files(tmp_path / "ray" / "store")) == 3


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A store of more samples than are scored in one block."""
    path = tmp_path_factory.mktemp("stores") / "many"
    simulate_store(path, 300, seed=7, num_segments=(2, 4))
    return path


@pytest.fixture(scope="module")
def sweep(store_path, tmp_path_factory):
    """The words of a sweep of one system, and its folder after it was run here."""
    folder = tmp_path_factory.mktemp("sweep")
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f"name: mine\ndata: {{store: {store_path}}}\nmodel: {{backbone: {{name: tiny, num_layers: 1}}}}\n"
        "train: {epochs: 6, warmup_epochs: 0}\nevaluation: {bootstrap: 0, references: []}\n"
    )
    words = ["sweep", "systems", recipe, "--systems", "attention", "--sizes", "small", "--seeds", "1"]
    assert main([str(word) for word in (*words, "--out", folder / "local")]) == 0
    return words, folder / "local"


def results(out):
    """What runs have computed, without the times that it took."""
    found = {}
    for folder in sorted(out.glob("*-seed*")):
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        weights = (folder / "model" / "model.safetensors").read_bytes()
        told = [(line["epoch"], line.get("train_loss"), line.get("val_loss")) for line in lines]
        found[folder.name] = (weights, (folder / "predictions.parquet").read_bytes(), told)
    return found


def killed_half_way(out, killed):
    """SIGKILL for the process of the first run that has two epochs behind it."""
    deadline = time.monotonic() + 120
    while not killed and time.monotonic() < deadline:
        for metrics in out.glob("*/metrics.jsonl"):
            lock = metrics.with_name(".lock")
            if len(metrics.read_text().splitlines()) >= 2 and lock.exists():
                killed.append(json.loads(lock.read_text())["process"])
                os.kill(killed[0], signal.SIGKILL)
                return
        time.sleep(0.005)


def test_a_sweep_on_ray_ends_with_the_bits_of_a_local_one_though_a_run_is_killed(limssr, cluster, sweep, tmp_path):
    words, local = sweep
    there, killed = tmp_path / "there", []
    killer = threading.Thread(target=killed_half_way, args=(there, killed))
    killer.start()
    told = limssr(*words, "--out", there, "--engine", "ray", "--json")
    killer.join()
    assert told.code == 0, told.err
    assert killed, "no run was killed half-way"
    assert killed[0] != os.getpid()
    assert results(there) == results(local)
    assert len(results(there)) == 1
    assert not list(there.rglob(".lock"))


def test_scores_on_ray_are_the_bytes_of_one_process(limssr, cluster, sweep, many, tmp_path):
    run = sweep[1] / "attention-seed42"
    one, parts = tmp_path / "one.csv", tmp_path / "parts.csv"
    assert limssr("predict", run, many, "--out", one).code == 0
    told = limssr("predict", run, many, "--out", parts, "--engine", "ray", "--shards", "2", "--json")
    assert told.code == 0, told.err
    assert told.document["num_samples"] == 300
    assert parts.read_bytes() == one.read_bytes()
    assert not list(tmp_path.glob("parts.csv.*")), "parts that are not needed any more"


def test_a_process_that_dies_again_and_again_is_said_and_not_fatal(cluster, monkeypatch):
    monkeypatch.setattr(clusters, "RETRIES", 0)
    found = dict(cluster.run(os._exit, [3]))
    assert isinstance(found[0], LostTask)
    assert "died" in found[0].reason


def test_a_command_that_is_asked_to_end_says_by_what(cluster):
    """Ray makes a bare interruption of it, whose exit code would be that of Ctrl+C."""
    with signals_as_interruptions():
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(Terminated, match="SIGTERM"):
            list(cluster.run(time.sleep, [60]))


def test_parts_without_an_engine_are_refused(limssr, tmp_path):
    for words in (("--shards", "2"), ("--engine", "ray")):
        refused = limssr("predict", tmp_path, tmp_path, *words, "--json")
        assert refused.code == 2
        assert "--engine ray and --out with --shards" in refused.document["error"]["message"]


def test_nothing_is_heard_beyond_loopback_and_nothing_is_told_anyone(cluster):
    """Every socket that a process of this Ray listens on, as the kernel lists them."""
    psutil = pytest.importorskip("psutil")
    children = [one for one in psutil.Process().children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE]
    addresses = {
        one.laddr.ip
        for process in children
        for one in process.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN
    }
    assert addresses
    assert {address.removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}
    (reporter,) = (one for one in children if any(word.endswith("dashboard.py") for word in one.cmdline()))
    assert reporter.environ()["RAY_USAGE_STATS_ENABLED"] == "0"
    assert "RAY_AUTH_TOKEN" in reporter.environ()
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_a_task_that_no_machine_has_room_for_is_refused(cluster):
    with pytest.raises(InputError, match=r"cpus=64 in the Ray cluster, found 1 CPUs.*change --needs"):
        list(Cluster(needs=Needs(cpus=64)).run(abs, [1]))


def test_what_is_wrong_with_a_task_is_raised_as_it_was(cluster, tmp_path):
    place = Workplace(folder=str(tmp_path / "none"), versions=clusters.versions(), threads=1)
    with pytest.raises(InputError, match="a folder that all"):
        at_work(place, abs, 1)
    other = replace(place, versions={**place.versions, "torch": "0.1"})
    with pytest.raises(InputError, match=r"torch 0\.1.* found torch"):
        at_work(other, abs, 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--address", "here:6379"), "--engine ray with --address"),
        (("--needs", "cpus=2"), "--engine ray with --needs"),
        (("--engine", "ray", "--needs", "cores=2"), "cpus=2,gpus=1,gb=8"),
        (("--engine", "ray", "--needs", "cpus=0"), "whole cores"),
        (("--engine", "ray", "--address", "here:6379", "--processes", "2"), "either --address or --processes"),
        (("--engine", "ray", "--address", "ray://here:10001"), "HOST:PORT"),
        (("--engine", "ray", "--processes", "0"), "at least one process"),
    ],
)
def test_options_that_do_not_go_together_are_refused_before_anything(limssr, words, said):
    refused = limssr("sweep", "systems", "own", *words, "--json")
    assert refused.code == 2
    assert said in refused.document["error"]["message"]


def test_without_the_package_it_is_said_what_to_install(limssr, monkeypatch, recordings, tmp_path):
    monkeypatch.setattr(clusters.importlib.util, "find_spec", lambda name: None)
    refused = limssr("extract", recordings, tmp_path / "store", "--engine", "ray", "--json")
    assert refused.code == 2
    assert "pip install 'limssr[ray]'" in refused.document["error"]["message"]
