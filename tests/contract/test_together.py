"""Several processes that train one model end with the weights of one process; a killed one can be replaced."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from contract.together_child import CASES
from limssr.core.config import BackboneConfig, EvalConfig, ModelConfig, RunConfig, TrainConfig
from limssr.core.config_data import DataConfig
from limssr.core.errors import InputError
from limssr.core.recipes import dump_config, load_recipe
from limssr.core.team import Team, launched_team
from limssr.data.simulate import simulate_store
from limssr.model.reading.shared import shares_of
from limssr.runs.train import train_run
from limssr.systems.build import build_model
from limssr.testing import CRITERIA, MODALITIES

TOLERANCE = 1e-5


def launch(words: list[str], number: int, *, port: int | None = None, **more: str) -> list[subprocess.Popen[str]]:
    """Start python with these words in so many processes that know of one another, as a launcher does."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = port or found.getsockname()[1]
    shared = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), **more}
    shared["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    if number > 1:
        shared["WORLD_SIZE"] = str(number)
    return [
        subprocess.Popen(
            [sys.executable, *words],
            env={**shared, "RANK": str(n), "LOCAL_RANK": str(n)} if number > 1 else shared,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(number)
    ]


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each."""
    found = []
    for process in processes:
        out, error = process.communicate(timeout=600)
        found.append((process.returncode, out, error))
    return found


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one, two and three processes end with, in every case."""
    folder = tmp_path_factory.mktemp("together")
    child = str(Path(__file__).with_name("together_child.py"))
    ((code, _, error),) = ended(launch([child, str(folder)], 1))
    assert code == 0, error[-3000:]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_and_three_processes_end_with_the_weights_of_one(name: str, weights: Path) -> None:
    alone = load_file(weights / f"1-0-{name}.safetensors")
    for size in (2, 3):
        first = load_file(weights / f"{size}-0-{name}.safetensors")
        assert first.keys() == alone.keys()
        for key, value in alone.items():
            torch.testing.assert_close(
                first[key], value, rtol=TOLERANCE, atol=TOLERANCE, msg=lambda m, k=key: f"{k}: {m}"
            )
        for number in range(1, size):
            other = load_file(weights / f"{size}-{number}-{name}.safetensors")
            assert all(torch.equal(other[key], value) for key, value in first.items()), "processes drifted apart"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    simulate_store(folder / "store", 30, 2, seed=3)
    config = RunConfig(
        data=DataConfig(store=str(folder / "store"), num_segments=8),
        model=ModelConfig(
            backbone=BackboneConfig(name="tiny", num_layers=1), input_scaling="standard", output="standardized"
        ),
        train=TrainConfig(epochs=4, warmup_epochs=0, learning_rate=1e-3),
        evaluation=EvalConfig(bootstrap=0),
    )
    path = folder / "recipe.yaml"
    path.write_text(dump_config(config), encoding="utf-8")
    return path


def losses(run: Path) -> list[float]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["train_loss"] for line in lines]


@pytest.mark.slow
def test_a_run_whose_process_was_killed_goes_on_with_another_number(recipe: Path, tmp_path: Path) -> None:
    words = ["-m", "limssr", "train", str(recipe), "--out", str(tmp_path / "run"), "--json"]
    processes = launch(words, 2)
    metrics, deadline = tmp_path / "run" / "metrics.jsonl", time.monotonic() + 120
    while not (metrics.exists() and len(metrics.read_text().splitlines()) >= 1):
        assert time.monotonic() < deadline, "the training does not get on"
        time.sleep(0.005)
    processes[1].send_signal(signal.SIGKILL)
    first, second = ended(processes)
    assert second[0] == -signal.SIGKILL
    if first[0] != 0:  # it had not finished when the signal came
        assert "lost its connection" in first[2]
        assert "Traceback" not in first[2]
        assert not (tmp_path / "run" / "model").exists()
    assert second[1] == "", "only the first process prints"
    config = load_recipe(recipe)
    train_run(config, tmp_path / "run", device="cpu", resume="auto")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "done"
    unbroken = train_run(config, tmp_path / "unbroken", device="cpu")
    assert losses(tmp_path / "run") == pytest.approx(losses(unbroken), rel=1e-4)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"ACCELERATE_USE_FSDP": "true"}, "found FSDP asked for"),
        ({"ACCELERATE_MIXED_PRECISION": "bf16"}, "train.precision of the recipe"),
        ({"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "2"}, "train.accumulate"),
        ({"ACCELERATE_DYNAMO_BACKEND": "INDUCTOR"}, "nothing is compiled"),
        ({"MASTER_ADDR": ""}, "sets MASTER_ADDR"),
        ({"WORLD_SIZE": "many"}, "a number of processes"),
    ],
)
def test_what_a_launcher_asks_for_and_is_not_done_is_refused(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", **environment}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=expected), launched_team():
        pass


@pytest.mark.parametrize(
    ("changes", "expected"), [({"reading": "padded"}, "reading: packed for several"), ({}, "dropout of its own")]
)
def test_dropout_that_is_drawn_for_a_whole_batch_is_refused(changes: dict[str, str], expected: str) -> None:
    config = ModelConfig(backbone=BackboneConfig.model_validate({"name": "tiny", "num_layers": 1, **changes}))
    model = build_model(config, MODALITIES[:2], CRITERIA, seed=0)
    if not changes:
        model.reader.backbone.config.attention_dropout = 0.1
    with pytest.raises(InputError, match=expected):
        model.join(Team(1, 2, 1))
    model.join(Team.alone())


def test_shares_are_even_and_hold_every_sample_once() -> None:
    lengths, prompts = [40, 10, 10, 10, 10, 9], [(1, 2)] * 6
    shares = shares_of(lengths, prompts, 2)
    assert sorted(b for share in shares for b in share) == list(range(6))
    assert sorted(sum(lengths[b] - 2 for b in share) for share in shares) == [38, 39]
    assert shares_of([5], [()], 3) == [[0], [], []]
