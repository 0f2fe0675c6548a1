"""safetensors from outside: the header first, held against the size of the file, then its tensors."""

import os
from typing import TYPE_CHECKING, Any

from limssr.core.quoting import quoted
from limssr.core.reading.documents import parse_json
from limssr.core.reading.regular import Outside, open_regular

if TYPE_CHECKING:
    from torch import Tensor

SIZE_BYTES = 8
"""Of the length in front of the header."""
MAX_HEADER_BYTES = 32 * 2**20


def read_header(outside: Outside) -> dict[str, Any]:
    """Name -> dtype, shape and offsets, as the file declares them; no value is read.

    Raises:
        InputError: No such file, no header that can be read, or a file of another length than it declares.
    """
    with open_regular(outside) as file:
        length = os.fstat(file.fileno()).st_size
        header = parse_header(file.read(SIZE_BYTES), length, outside)
        entries = parse_entries(file.read(header), outside)
    ends = [entry["data_offsets"][1] for entry in entries.values()]
    declared = SIZE_BYTES + header + max(ends, default=0)
    if declared != length:
        raise outside.refused(f"{length:,} bytes where its header declares {declared:,}")
    return entries


def parse_header(start: bytes, length: int, outside: Outside) -> int:
    """The bytes of the header of a file of `length` bytes that begins with `start`."""
    header = int.from_bytes(start[:SIZE_BYTES], "little")
    if len(start) < SIZE_BYTES or header > min(length - SIZE_BYTES, MAX_HEADER_BYTES):
        raise outside.refused("no safetensors file: its header is longer than the file, or than any header is")
    return header


def parse_entries(content: bytes, outside: Outside) -> dict[str, Any]:
    """The entries of a header, without what the file says about itself."""
    document = parse_json(content, outside)
    if not isinstance(document, dict):
        raise outside.refused(f"a header that is {quoted(document)}")
    document.pop("__metadata__", None)
    for name, entry in document.items():
        if not _is_entry(entry):
            raise outside.refused(f"no dtype, shape and place of the tensor {quoted(name)}")
    return document


def read_tensors(outside: Outside) -> "dict[str, Tensor]":
    """All tensors of a safetensors file, on the CPU.

    Raises:
        InputError: No such file, or damaged.
    """
    from safetensors.torch import load_file

    read_header(outside)
    try:
        return load_file(outside.path)
    except MemoryError:
        raise
    except Exception as error:  # SafetensorError, OSError, and what torch raises for dtypes it lacks
        raise outside.unreadable(error) from None


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        return False
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2:
        return False
    return all(type(number) is int and 0 <= number < 2**63 for number in (*shape, *offsets))
