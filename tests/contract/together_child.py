"""Trains every case with one, two and three processes, and writes the weights that each of them ends with."""

import os
import socket
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from helpers.networks import TINY, VARIANTS, small_config
from limssr.core.config import BackboneConfig, LoraConfig, ModelConfig, RunConfig
from limssr.core.team import Team, launched_team
from limssr.core.types import Sample
from limssr.systems.build import build_model
from limssr.systems.saving import as_cpu, state_to_save
from limssr.testing import CRITERIA, MODALITIES, samples_of_every_pattern
from limssr.training import loop
from limssr.training.loop import fit

STREAMS = MODALITIES[:2]
WITHOUT_DRAWS = LoraConfig(dropout=0.0)
EQ17: dict[str, Any] = {"loss": {"regularizer": "eq17", "slots": 2.0}}


def _tiny(**backbone: Any) -> ModelConfig:
    return ModelConfig(backbone=BackboneConfig.model_validate({"name": "tiny", **backbone}), input_scaling="standard")


CASES: dict[str, tuple[ModelConfig, dict[str, Any]]] = {
    "paper": (small_config("limssr"), {"train": {"average": 0.7, "selection": "val"}}),
    "eq17": (ModelConfig(backbone=TINY), EQ17),
    "statistics": (VARIANTS["limssr-statistics"], {}),
    "in-stages": (VARIANTS["limssr-in-stages"], {}),
    "encoder": (VARIANTS["limssr-encoder"], {}),
    "padded": (small_config("limssr-padded", lora=WITHOUT_DRAWS), {"train": {"accumulate": 2}}),
    "chunks": (_tiny(memory_gb=0.01), {"train": {"batches": "length"}}),
    "checkpointing": (_tiny(gradient_checkpointing=True), {"train": {"accumulate": 3}}),
    "all-rows": (ModelConfig(backbone=TINY, train_embeddings="all"), {}),
    "per-batch": (small_config("limssr"), {"missing": {"dropout": "per_batch"}}),
    "gcnet": (small_config("gcnet"), {"train": {"batch_size": 6}}),
}
"""Every kind of head, loss and reading. Batches of 4 out of 9 samples: the last one has a single sample."""


def samples(*, complete: bool) -> list[Sample]:
    """Nine samples."""
    found = [one for seed in range(9) for one in samples_of_every_pattern(STREAMS, seed)]
    found = [one for one in found if not complete or len(one.streams) == len(STREAMS)][:9]
    return [Sample(f"{n}", one.streams, one.scores) for n, one in enumerate(found)]


def trained(name: str, team: Team) -> dict[str, torch.Tensor]:
    """The weights of a case after two epochs."""
    model, more = CASES[name]
    train = {"epochs": 2, "batch_size": 4, "warmup_epochs": 0, "selection": "last", "learning_rate": 1e-3}
    tree = {
        "model": model.model_dump(),
        **more,
        "train": train | more.get("train", {}),
        "evaluation": {"batch_size": 3},
    }
    config = RunConfig.model_validate(tree)
    network = build_model(config.model, STREAMS, CRITERIA, seed=0)
    every = samples(complete=config.missing.dropout == "per_batch")
    fit(network, every, every[:5], config=config, team=team)
    return as_cpu(state_to_save(network))


def without_blown_up_rounding() -> None:
    """Let AdamW divide by no less than 1e-4.

    It divides a gradient by its size. Where a gradient is zero but for rounding, as that of an offset in front of a
    BatchNorm, this makes a whole step of what is rounding, and no two orders of a sum would agree.
    """
    make = loop.make_optimizer

    def gentle(model: Any, train: Any) -> torch.optim.AdamW:
        optimizer = make(model, train)
        for group in optimizer.param_groups:
            group["eps"] = 1e-4
        return optimizer

    loop.make_optimizer = gentle


def train_all(folder: Path) -> None:
    """Train every case and write `SIZE-NUMBER-CASE.safetensors`; every process writes what it holds."""
    torch.set_num_threads(1)
    without_blown_up_rounding()
    with launched_team() as team:
        size, number = team.size, team.number
        for name in CASES:
            safetensors.torch.save_file(trained(name, team), folder / f"{size}-{number}-{name}.safetensors")


def main(folder: Path) -> int:
    """One, two and three processes, forked from this one, which has imported everything once."""
    build_model(CASES["paper"][0], STREAMS, CRITERIA, seed=0)  # imports the language model, and starts no thread
    for size in (1, 2, 3):
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        children = []
        for number in range(size):
            child = os.fork()
            if child == 0:
                if size > 1:
                    told = {"WORLD_SIZE": size, "RANK": number, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
                    os.environ.update({name: str(value) for name, value in told.items()})
                train_all(folder)
                return 0
            children.append(child)
        if max(os.waitpid(child, 0)[1] for child in children):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
