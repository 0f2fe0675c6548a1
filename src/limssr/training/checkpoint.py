"""Checkpoints, from which an interrupted run continues as if it had not been interrupted.

One folder an epoch, `epoch-0007`, which appears by renaming and is therefore always complete: `weights.safetensors`
(trained tensors and buffers), `optimizer.safetensors`, `average.safetensors` if weights are averaged, `state.json`.
No state of a random generator is needed, since every epoch's randomness is a function of (seed, epoch). The newest
epoch and those that may still be chosen are kept.
"""

import json
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from accelerate import Accelerator
from torch import Tensor

from limssr.core.config import RunConfig
from limssr.core.errors import ArtifactError
from limssr.core.files import (
    new_folder,
    remove_leftovers,
    sha256_of,
    write_atomically,
    write_bytes,
    write_json,
)
from limssr.core.progress import Reporter
from limssr.core.reading.records import CheckpointDocument, own_file, read_document
from limssr.core.reading.tensors import read_tensors
from limssr.core.team import Team
from limssr.nn.contract import Network
from limssr.systems.saving import check_backbone, load_saved_state, state_to_save
from limssr.training.optimizer import WeightAverage
from limssr.training.selection import candidate_epochs

FORMAT_VERSION = 1


EPOCH_FOLDER = re.compile(r"epoch-(\d{4,})")


@dataclass(frozen=True)
class TrainingState:
    """Everything that changes while training.

    Attributes:
        epoch: The last finished one, counted from 0.
        weights: Trained tensors and buffers, as after the last step.
        average: Their moving average; None if the run has none.
        optimizer: "index.key" -> tensor, see `pack_optimizer`.
        progress: The rest, plain JSON values: history, number of updates, loss scaler.
    """

    epoch: int
    weights: Mapping[str, Tensor]
    average: Mapping[str, Tensor] | None
    optimizer: Mapping[str, Tensor]
    progress: Mapping[str, Any]


def save_checkpoint(folder: Path, state: TrainingState, *, keep_epochs: Collection[int]) -> None:
    """Write the state of an epoch, then remove what is no longer needed.

    Args:
        folder: Holds all checkpoints of a run.
        state: After the epoch.
        keep_epochs: The epochs whose weights may still be chosen.

    Raises:
        ResourceError: The disk is full. The previous checkpoint is untouched.
    """
    target = _epoch_folder(folder, state.epoch)
    with new_folder(target, "checkpoint") as partial:
        tensors = {"weights": state.weights, "optimizer": state.optimizer, "average": state.average}
        hashes = {}
        for name, values in tensors.items():
            if values is None:
                continue
            path = partial / f"{name}.safetensors"
            write_bytes(
                path, safetensors.torch.save({key: value.detach().cpu().contiguous() for key, value in values.items()})
            )
            hashes[path.name] = sha256_of(path)
        document = {
            "format_version": FORMAT_VERSION,
            "epoch": state.epoch,
            "files": hashes,
            "progress": dict(state.progress),
        }
        write_json(partial / "state.json", document)
    _prune(folder, newest=state.epoch, keep=keep_epochs)


def load_checkpoint(folder: Path) -> TrainingState | None:
    """The newest state; None where there is none.

    Raises:
        ArtifactError: A file of it is missing, altered, or of a newer format.
    """
    epochs = _epochs(folder)
    if not epochs:
        return None
    path = _epoch_folder(folder, epochs[-1])
    document = read_document(path / "state.json", CheckpointDocument, newest_version=FORMAT_VERSION)
    average = _load_tensors(path, "average", document) if "average.safetensors" in document["files"] else None
    return TrainingState(
        document["epoch"],
        _load_tensors(path, "weights", document),
        average,
        _load_tensors(path, "optimizer", document),
        document["progress"],
    )


def load_scoring_weights(folder: Path, epoch: int) -> dict[str, Tensor]:
    """The weights of an epoch that are scored with: the average where there is one, else the weights themselves."""
    path = _epoch_folder(folder, epoch)
    document = read_document(path / "state.json", CheckpointDocument, newest_version=FORMAT_VERSION)
    return _load_tensors(path, "average" if "average.safetensors" in document["files"] else "weights", document)


def pack_optimizer(state: Mapping[int, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The `state` part of an optimizer's state_dict as named tensors."""
    return {f"{index}.{key}": value for index, values in state.items() for key, value in values.items()}


def unpack_optimizer(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """Inverse of `pack_optimizer`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    return state


def write_metrics(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """One JSON object an epoch; the whole file each time, so it never holds an epoch that no checkpoint knows."""
    write_atomically(path, "".join(json.dumps(record, allow_nan=False) + "\n" for record in history).encode())


def _load_tensors(path: Path, name: str, document: Mapping[str, Any]) -> dict[str, Tensor]:
    file = path / f"{name}.safetensors"
    if not file.is_file() or file.name not in document["files"]:
        raise ArtifactError(f"Expected a file at {file}, found none: start the run again in a new folder.")
    if sha256_of(file) != document["files"][file.name]:
        raise ArtifactError(
            f"Expected {file} as it was written, found another content: start the run again in a new folder."
        )
    return read_tensors(own_file(file))


def _epoch_folder(folder: Path, epoch: int) -> Path:
    return folder / f"epoch-{epoch:04d}"


def _epochs(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    matches = (EPOCH_FOLDER.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def _prune(folder: Path, *, newest: int, keep: Collection[int]) -> None:
    for epoch in _epochs(folder):
        if epoch != newest and epoch not in keep:
            shutil.rmtree(_epoch_folder(folder, epoch), ignore_errors=True)
        elif epoch != newest:
            # Only the newest state is ever continued; of an epoch that may be chosen the weights are enough.
            (_epoch_folder(folder, epoch) / "optimizer.safetensors").unlink(missing_ok=True)
    remove_leftovers(folder)


@dataclass(frozen=True, kw_only=True)
class TrainingParts:
    """What the epochs of a training share.

    Attributes:
        model: On its device, prepared by Accelerate.
        optimizer: AdamW, prepared by Accelerate.
        accelerator: Holds device, precision and the loss scaler.
        average: Moving average of the weights; None: none.
        rates: Highest learning rate of each parameter group.
        config: Of the run.
        reporter: Is told of every epoch.
        team: The processes that train together; only the first writes.
    """

    model: Network
    optimizer: Any
    accelerator: Accelerator
    average: WeightAverage | None
    rates: list[float]
    config: RunConfig
    reporter: Reporter
    team: Team = field(default_factory=Team.alone)

    def scoring_weights(self) -> dict[str, Tensor]:
        """A copy of the weights that are scored with."""
        source = self.average.values if self.average else state_to_save(self.model)
        return {name: value.detach().clone() for name, value in source.items()}

    def keep(
        self, kept: Mapping[int, dict[str, Tensor]], history: Sequence[dict[str, Any]]
    ) -> dict[int, dict[str, Tensor]]:
        """Epoch -> scoring weights, for the epochs that may still be chosen; the last of `history` is taken anew."""
        last = history[-1]["epoch"]
        return {
            epoch: self.scoring_weights() if epoch == last else kept[epoch]
            for epoch in candidate_epochs(history, self.config.train)
        }

    def save(self, folder: Path | None, history: Sequence[dict[str, Any]]) -> None:
        """Write a checkpoint after the last epoch of `history`, then metrics.jsonl; the first process does."""
        if folder is None or not self.team.is_first:
            return
        scaler = self.accelerator.scaler
        progress = {
            "history": list(history),
            "num_updates": self.average.num_updates if self.average else None,
            "scaler": scaler.state_dict() if scaler else None,
            "backbone_sha256": self.model.frozen.sha256 if self.model.frozen else "",
        }
        state = TrainingState(
            history[-1]["epoch"],
            state_to_save(self.model),
            self.average.values if self.average else None,
            pack_optimizer(self.optimizer.state_dict()["state"]),
            progress,
        )
        save_checkpoint(folder / "checkpoints", state, keep_epochs=candidate_epochs(history, self.config.train))
        write_metrics(folder / "metrics.jsonl", history)

    def restore(self, folder: Path) -> tuple[list[dict[str, Any]], dict[int, dict[str, Tensor]]]:
        """Take up the newest checkpoint, if there is one.

        Returns:
            The history, and the scoring weights of the epochs that may be chosen; both empty where training has not
            begun.
        """
        state = load_checkpoint(folder / "checkpoints")
        if state is None:
            return [], {}
        if state.progress.get("backbone_sha256"):
            check_backbone(self.model, state.progress["backbone_sha256"], where=str(folder / "checkpoints"))
        load_saved_state(self.model, dict(state.weights))
        # Learning rates are computed in every epoch, so the groups of a new optimizer are right.
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": unpack_optimizer(state.optimizer), "param_groups": groups})
        if self.average:
            self.average.restore(state.average or {}, state.progress["num_updates"], self.accelerator.device)
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(state.progress["scaler"])
        history = list(state.progress["history"])
        if self.team.is_first:
            write_metrics(folder / "metrics.jsonl", history)
        self.reporter.note(f"going on after epoch {len(history)} of {self.config.train.epochs}")
        candidates = candidate_epochs(history, self.config.train)
        return history, {epoch: load_scoring_weights(folder / "checkpoints", epoch) for epoch in candidates}
