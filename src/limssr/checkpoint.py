"""Checkpoints: what a run needs to go on after any interruption as if there had been none.

One folder an epoch, `epoch-0007`, which appears by renaming and is therefore always complete: `weights.safetensors`
(trained tensors and buffers), `optimizer.safetensors`, `average.safetensors` if weights are averaged, `state.json`.
No state of a random generator is needed, since every epoch's randomness is a function of (seed, epoch). The newest
epoch and those that may still be chosen are kept.
"""

import json
import re
import shutil
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from limssr.data.files import new_folder, remove_leftovers, sha256_of, write_bytes
from limssr.errors import ArtifactError

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
    document = read_json(path / "state.json", newest_version=FORMAT_VERSION)
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
    document = read_json(path / "state.json", newest_version=FORMAT_VERSION)
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


def write_json(path: Path, document: Any) -> None:
    """Write a JSON document under a temporary name and rename it.

    Raises:
        ResourceError: The disk is full.
    """
    write_atomically(path, (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def write_metrics(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """One JSON object an epoch; the whole file each time, so it never holds an epoch that no checkpoint knows."""
    write_atomically(path, "".join(json.dumps(record, allow_nan=False) + "\n" for record in history).encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that it is either the old or the new one.

    Raises:
        ResourceError: The disk is full.
    """
    partial = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        write_bytes(partial, content)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def read_json(path: Path, *, newest_version: int) -> dict[str, Any]:
    """Read a document that `write_json` wrote.

    Raises:
        ArtifactError: Missing, not JSON, or with a format_version above `newest_version`.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(f"Expected a file at {path}: {error.strerror}. Was the folder moved or removed?") from error
    except ValueError as error:
        raise ArtifactError(
            f"Expected a JSON document in {path}, found something else ({error}): it was altered."
        ) from error
    version = document.get("format_version") if isinstance(document, dict) else None
    if not isinstance(version, int):
        raise ArtifactError(f"Expected a format_version in {path}, found none: limssr did not write this file.")
    if version > newest_version:
        raise ArtifactError(
            f"{path}: expected format_version {newest_version} or lower, found {version}: "
            "it was written by a newer limssr; install that version or newer."
        )
    return document


def _load_tensors(path: Path, name: str, document: Mapping[str, Any]) -> dict[str, Tensor]:
    file = path / f"{name}.safetensors"
    if not file.is_file():
        raise ArtifactError(f"Expected a file at {file}, found none: start the run again in a new folder.")
    if sha256_of(file) != document["files"][file.name]:
        raise ArtifactError(
            f"Expected {file} as it was written, found another content: start the run again in a new folder."
        )
    try:
        return safetensors.torch.load_file(file)
    except safetensors.SafetensorError as error:
        raise ArtifactError(f"Expected tensors in {file}, found something else ({error}).") from error


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
