"""Reads tensors from a torch or safetensors file without running anything in it."""

import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limssr.core.errors import InputError
from limssr.core.quoting import quoted, shortened
from limssr.core.reading.regular import Outside, open_regular
from limssr.core.reading.tensors import read_tensors as read_safetensors
from limssr.runs.published.pickles import check_pickles

ENDINGS = (".pkl", ".pt", ".pth", ".bin", ".safetensors")


def find_checkpoint(file: str | Path, *, local_files_only: bool = True) -> Path:
    """A checkpoint's path: as it is given, or the only checkpoint of a repository of weights on the hub.

    Args:
        file: A path, or a hub id (owner/name).
        local_files_only: Never reach for the network: a hub id then has to be in the local cache.

    Raises:
        InputError: Nothing there, or several checkpoints in the repository.
    """
    path = Path(file)
    if path.is_file():
        return path
    if path.is_dir():
        raise InputError(f"Expected a checkpoint file at {path}, found a folder: give the file in it.")
    is_hub_id = re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", str(file)) and path.suffix not in ENDINGS
    if not is_hub_id:
        raise InputError(
            f"Expected a checkpoint at {path} ({', '.join(ENDINGS)}), found nothing: give a path that exists, or the "
            "hub id (owner/name) of a repository of weights."
        )
    return _from_hub(str(file), local_files_only=local_files_only)


def _from_hub(hub_id: str, *, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        patterns = [f"*{ending}" for ending in ENDINGS]
        folder = Path(snapshot_download(hub_id, local_files_only=local_files_only, allow_patterns=patterns))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        remedy = (
            "There is no such file, and no such repository in the local cache: give a path that exists, or add "
            "--allow-download to fetch it from the hub"
            if local_files_only
            else "The hub could not be reached or does not have it: check the name and the network"
        )
        raise InputError(f"Checkpoint {hub_id!r} could not be loaded ({type(error).__name__}). {remedy}.") from None
    files = sorted(path for path in folder.rglob("*") if path.suffix in ENDINGS)
    if len(files) != 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path in files) or "none"
        raise InputError(
            f"Expected one checkpoint in the repository {hub_id}, found {names}: download one and give its path."
        )
    return files[0]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Names and tensors of a checkpoint, on the CPU, memory-mapped where its format allows.

    Files of torch are pickles. They are read by torch's restricted unpickler, which makes tensors and plain containers
    and refuses every other object before it is made.

    Raises:
        InputError: Not readable, not only tensors, or an object that was refused; the message names it.
    """
    outside = Outside(path=path, what="a checkpoint", remedy="copy or download it again")
    if path.suffix == ".safetensors":
        return _checked(read_safetensors(outside), path)
    with open_regular(outside) as file:
        is_archive = check_pickles(file, outside)
    try:
        with warnings.catch_warnings(action="ignore"):  # about what is refused below in any case
            content: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes end in whatever the readers stumble over
        raise InputError(f"{path} cannot be read as a checkpoint: {_why(error)}") from None
    return _checked(content, path)


def _why(error: Exception) -> str:
    text = str(error)
    refused = re.search(r"GLOBAL (\S+)|Trying to (?:call|instantiate) \S+ ?(\S+)", text)
    if refused:
        name = (refused[1] or refused[2]).rstrip(".,")
        return (
            f"it asks for {name}, which no state dict needs. That was refused, and nothing of it was run. Expected "
            "names and tensors alone, as torch.save(model.state_dict(), ...) writes them."
        )
    instruction = re.search(r"Unsupported operand (\d+)", text)
    if instruction:
        return (
            f"it holds the pickle instruction {instruction[1]}, which torch does not write: it is another kind of "
            "file, of another pickle protocol, or made to do something. That was refused, and nothing of it was run."
        )
    # The restricted reader's own words end with advice to read the file without restriction, which is left out here.
    first = shortened(re.split(r"\n|\. ", text.strip())[0]) or "no more"
    return (
        f"it is damaged, cut short, or no file of torch or safetensors ({type(error).__name__}: {first}). "
        "Copy or download it again."
    )


def _checked(content: Any, path: Path) -> dict[str, Tensor]:
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a state dict (names and tensors), found {_kind(content)}.")
    if not content:
        raise InputError(f"{path}: expected a state dict (names and tensors), found an empty one.")
    for key, value in content.items():
        if not isinstance(key, str):
            raise InputError(f"{path}: expected names and tensors alone, found the key {quoted(key)}, {_kind(key)}.")
        if not _is_plain(value):
            raise InputError(
                f"{path}: expected plain tensors alone, found {_kind(value)} under {quoted(key)}: save the state dict "
                "by itself, torch.save(model.state_dict(), ...)."
            )
    return {key: value.detach() for key, value in content.items()}


def _is_plain(value: Any) -> bool:
    """Numbers in memory, each stored once."""
    if type(value) not in (Tensor, nn.Parameter):
        return False
    if value.layout != torch.strided or value.is_quantized or value.is_nested or value.device.type != "cpu":
        return False
    # A few bytes can claim any shape by repeating themselves; building a model of that shape would fill the memory.
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"another kind of tensor ({value.layout}, on {value.device})"
    return f"something of type {type(value).__name__}"
