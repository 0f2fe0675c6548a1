"""A look at the pickles of a file of torch before torch reads them: what they ask for, and how much.

torch's restricted reader runs nothing, but it believes sizes: a file of 60 bytes can have it fill the memory. Here the
instructions are only read, never followed.
"""

import mmap
import pickletools
import zipfile
from typing import Any, BinaryIO, Literal

from limssr.core.errors import InputError
from limssr.core.quoting import shortened
from limssr.core.reading.regular import Outside

MAX_PICKLE_BYTES = 64 * 2**20
"""Of names and shapes, which are few; values lie outside of the pickles."""
MAX_INSTRUCTIONS = 5_000_000
SMALL = 2**20
"""A number that may stand in any file."""
MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""At the beginning of torch's files from before it wrote archives."""
LEGACY_PICKLES = 5
"""Magic number, version, facts about the machine, the state dict, names of the storages."""
MAKERS = ("bytearray", "array", "Counter", "Fraction", "Decimal", "range")
"""Builtins and the like that torch's reader makes on request, of any size."""

Numbers = Literal["bounded", "any"]


def check_pickles(file: BinaryIO, outside: Outside, *, numbers: Numbers = "bounded") -> bool:
    """Refuse a file of torch that asks for more than it holds.

    Args:
        file: Open at its beginning; regular.
        outside: How a refusal speaks of it.
        numbers: "any" lets numbers pass that are beyond the size of the file: for a file whose hash is known.

    Returns:
        Whether it is an archive, which torch can map into memory.

    Raises:
        InputError: Packed values (torch stores them as they are), numbers beyond the size of the file, objects that are
            made of a size, or a pickle that never ends.
    """
    try:
        is_archive = zipfile.is_zipfile(file)
    except zipfile.BadZipFile as error:  # of several parts
        raise outside.unreadable(error) from None
    if is_archive:
        _check_archive(file, outside, numbers)
        return True
    length = file.seek(0, 2)
    if not length:
        raise outside.refused("an empty file, which cannot be read as a checkpoint")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for _ in range(LEGACY_PICKLES):
            if content.tell() >= length or not _check_pickle(content, length, outside, numbers):
                break
    return False


def _check_archive(file: BinaryIO, outside: Outside, numbers: Numbers) -> None:
    length = file.seek(0, 2)
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED:
                    raise outside.refused(f"packed values in '{shortened(member.filename)}', where torch packs none")
                if not member.filename.endswith("data.pkl"):
                    continue
                if member.file_size > MAX_PICKLE_BYTES:
                    raise outside.refused(f"names and shapes of {member.file_size:,} bytes")
                with archive.open(member) as content:
                    _check_pickle(content, length, outside, numbers)
    except MemoryError:
        raise
    except Exception as error:  # zipfile and struct have a dozen kinds between them
        raise outside.unreadable(error) from None


def _check_pickle(content: Any, length: int, outside: Outside, numbers: Numbers) -> bool:
    """One pickle; False where it is none, which torch says in better words."""
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if number > MAX_INSTRUCTIONS:
                raise outside.refused(f"more than {MAX_INSTRUCTIONS:,} instructions")
            too_large = type(argument) is int and abs(argument) > max(length, SMALL) and argument != MAGIC_NUMBER
            if numbers == "bounded" and too_large and opcode.name not in ("PROTO", "FRAME"):
                raise outside.refused(f"the number {shortened(str(argument)[:40])}, beyond the size of the file")
            if opcode.name == "GLOBAL" and str(argument).split(" ")[-1] in MAKERS:
                name = str(argument).replace(" ", ".")
                raise outside.refused(f"that it asks for {name}, which no state dict needs; nothing of it was run")
    except InputError:
        raise
    except Exception:  # a damaged pickle ends in whatever pickletools stumbles over
        return False
    return True
