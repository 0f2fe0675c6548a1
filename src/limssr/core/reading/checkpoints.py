"""Named tensors of a checkpoint, torch's own format or safetensors, read without running anything in it."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limssr.core.errors import InputError
from limssr.core.quoting import quoted, shortened
from limssr.core.reading.pickles import Numbers, check_pickles
from limssr.core.reading.regular import Outside, open_regular
from limssr.core.reading.tensors import read_tensors


def read_checkpoint(path: Path, *, under: Sequence[str] = (), numbers: Numbers = "bounded") -> dict[str, Tensor]:
    """Names and tensors of a checkpoint, on the CPU, memory-mapped where its format allows.

    Files of torch are pickles. They are read by torch's restricted unpickler, which makes tensors and plain containers
    and refuses every other object before it is made.

    Args:
        path: Of the file.
        under: Keys under which a file may keep its state dict beside other things; the first that is there counts.
        numbers: See `check_pickles`.

    Raises:
        InputError: Not readable, not only tensors, or an object that was refused; the message names it.
    """
    outside = Outside(path=path, what="a checkpoint", remedy="copy or download it again")
    if path.suffix == ".safetensors":
        return _checked(read_tensors(outside), path)
    with open_regular(outside) as file:
        is_archive = check_pickles(file, outside, numbers=numbers)
    try:
        with warnings.catch_warnings(action="ignore"):  # about what is refused below in any case
            content: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes end in whatever the readers stumble over
        raise InputError(f"{path} cannot be read as a checkpoint: {_why(error)}") from None
    return _checked(_within(content, under), path)


def _within(content: Any, under: Sequence[str]) -> Any:
    if not isinstance(content, dict):
        return content
    return next((content[key] for key in under if isinstance(content.get(key), dict)), content)


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
