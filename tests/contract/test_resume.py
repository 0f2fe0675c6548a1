"""A run that is killed at any moment, again and again, ends with the same bits as one that is not."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from limssr.core.config import BackboneConfig, EvalConfig, ModelConfig, RunConfig, TrainConfig
from limssr.core.config_data import AvailabilityConfig, DataConfig, MissingConfig
from limssr.core.recipes import dump_config
from limssr.data.simulate import simulate_store

EPOCHS = 6
SAME_BYTES = (
    "model/model.safetensors",
    "references/attention/model/model.safetensors",
    "subsets.parquet",
    "predictions.parquet",
    "calibration.parquet",
    "evaluation.json",
)


class Trainings:
    """Starts trainings one after the other, each a process of its own."""

    def __init__(self, recipe: Path) -> None:
        # One thread: with another number of them, sums may be taken in another order.
        self.server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("resume_child.py")), str(recipe)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, out: Path) -> int:
        """The process id."""
        return self._ask(str(out))

    def end(self) -> int:
        """Wait for the end of the training; its exit status."""
        return self._ask("end")

    def finish(self, out: Path) -> None:
        """Train to the end."""
        self.start(out)
        assert self.end() == 0

    def kill(self, out: Path, *, after_epochs: int, delay_s: float) -> bool:
        """Train until so many epochs are recorded and a moment longer. False: it had ended before the signal came."""
        child = self.start(out)
        metrics = out / "metrics.jsonl"
        deadline = time.monotonic() + 60
        while not (metrics.exists() and len(metrics.read_text().splitlines()) >= after_epochs):
            assert time.monotonic() < deadline, "the training does not get on"
            time.sleep(0.005)
        time.sleep(delay_s)
        os.kill(child, signal.SIGKILL)
        return self.end() == signal.SIGKILL

    def close(self) -> None:
        """End the server."""
        self.server.communicate()

    def _ask(self, line: str) -> int:
        assert self.server.stdin
        assert self.server.stdout
        self.server.stdin.write(f"{line}\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Everything that has a state: dropout of streams and units, crops, BatchNorm, averaging, accumulation, LoRA."""
    simulate_store(tmp_path / "store", 60, 2, seed=3)
    config = RunConfig(
        data=DataConfig(store=str(tmp_path / "store"), num_segments=10),
        missing=MissingConfig(availability=AvailabilityConfig(rate=0.4)),
        model=ModelConfig(
            backbone=BackboneConfig(name="tiny", num_layers=1), input_scaling="standard", output="standardized"
        ),
        train=TrainConfig(
            epochs=EPOCHS, warmup_epochs=1, learning_rate=2e-3, accumulate=2, average=0.8, batches="length"
        ),
        evaluation=EvalConfig(bootstrap=0, references=("attention",)),
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_config(config), encoding="utf-8")
    return path


@pytest.fixture
def trainings(recipe: Path) -> Iterator[Trainings]:
    running = Trainings(recipe)
    yield running
    running.close()


def without_times(path: Path) -> list[dict[str, object]]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records]


@pytest.mark.slow
def test_killed_and_resumed_run_equals_an_unbroken_one(trainings: Trainings, tmp_path: Path) -> None:
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    trainings.finish(unbroken)

    moments = random.Random(5)
    kills = [
        trainings.kill(broken, after_epochs=epochs, delay_s=moments.uniform(0.0, 0.3))
        for epochs in (1, 2, 3, 4, 5, EPOCHS)
    ]
    assert sum(kills) >= 4, "the signals came too late to show anything"
    trainings.finish(broken)

    for name in SAME_BYTES:
        assert (broken / name).read_bytes() == (unbroken / name).read_bytes(), name
    for name in ("metrics.jsonl", "references/attention/metrics.jsonl"):
        assert without_times(broken / name) == without_times(unbroken / name)
    assert len(without_times(broken / "metrics.jsonl")) == EPOCHS
    assert json.loads((broken / "run.json").read_text())["status"] == "done"
    assert not (broken / "checkpoints").exists()
    assert not list(broken.rglob("*.partial"))
