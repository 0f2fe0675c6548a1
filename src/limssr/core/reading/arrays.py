"""Reads .npy and .npz files: the header first, then exactly the bytes that it declares. Pickles are refused."""

import io
import math
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import numpy as np

from limssr.core.quoting import shortened
from limssr.core.reading.regular import Outside, open_regular

MAX_ARRAY_BYTES = 2**29
"""Of one array in memory. A stream of an hour in windows of half a second and 16,384 features has fewer."""
MAX_HEADER_BYTES = 10_000
MAX_RANK = 32
MAX_MEMBERS = 100_000
MAGIC = b"\x93NUMPY"
PLAIN_TYPE = re.compile(r"b1|[iu][1248]|f[248]")
STORED_AS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1


@dataclass(frozen=True)
class ArrayForm:
    """What is known of an array without reading it."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool = False

    @property
    def num_bytes(self) -> int:
        """Of its values."""
        return math.prod(self.shape) * self.dtype.itemsize


@contextmanager
def opened_archive(outside: Outside) -> Iterator[zipfile.ZipFile]:
    """An .npz file, opened; whatever goes wrong with it in the block becomes a refusal of the file.

    Raises:
        InputError: No such file, no archive, or damaged in any way.
    """
    with open_regular(outside) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                if len(archive.infolist()) > MAX_MEMBERS:
                    raise outside.refused(f"an archive of more than {MAX_MEMBERS:,} members")
                yield archive
        except MemoryError:
            raise
        except Exception as error:  # zipfile, zlib and struct have a dozen kinds between them
            raise outside.unreadable(error) from None


def member_names(archive: zipfile.ZipFile) -> list[str]:
    """The arrays of an .npz by the names they were saved under, as often as they occur."""
    return [name.removesuffix(".npy") for name in archive.namelist()]


def read_member(archive: zipfile.ZipFile, name: str, outside: Outside) -> np.ndarray:
    """One array of an .npz; at most as many bytes are unpacked as its own header declares.

    Raises:
        InputError: Pickled objects, damaged, packed as NumPy does not pack, another size than declared, or too large.
    """
    info = next(item for item in archive.infolist() if item.filename.removesuffix(".npy") == name)
    if info.flag_bits & ENCRYPTED or info.compress_type not in STORED_AS:
        how = "encrypted" if info.flag_bits & ENCRYPTED else f"packed by method {info.compress_type}"
        raise outside.refused(f"'{shortened(name)}' {how}, where NumPy stores or deflates")
    with archive.open(info) as file:
        form = read_header(file, outside)
        check_plain(form, outside)
        content = file.read(form.num_bytes)
        if len(content) != form.num_bytes or file.read(1):
            found = f"{len(content):,}" if len(content) != form.num_bytes else "more"
            raise outside.refused(f"{found} bytes of values where shape {form.shape} needs {form.num_bytes:,}")
    return _array(content, form)


def read_npy(outside: Outside) -> np.ndarray:
    """An .npy file of numbers.

    Raises:
        InputError: No such file, pickled objects, damaged, of another size than its header declares, or too large.
    """
    with open_regular(outside) as file:
        form = read_form(file, outside)
        try:
            content = file.read(form.num_bytes)
        except OSError as error:
            raise outside.unreadable(error) from None
    if len(content) != form.num_bytes:
        raise outside.refused(f"{len(content):,} bytes of values where its header promises {form.num_bytes:,}")
    return _array(content, form)


def read_form(file: IO[bytes], outside: Outside) -> ArrayForm:
    """The header of an open .npy file of numbers, held against the size of the file."""
    form = read_header(file, outside)
    stored = os.fstat(file.fileno()).st_size - file.tell()
    if not form.dtype.hasobject and stored != form.num_bytes:
        raise outside.refused(f"{stored:,} bytes of values where shape {form.shape} needs {form.num_bytes:,}")
    check_plain(form, outside)
    return form


def read_header(file: IO[bytes], outside: Outside) -> ArrayForm:
    """The header of an .npy file, of any type of values.

    Raises:
        InputError: Not one, or one that no array can have.
    """
    readers = {1: (2, np.lib.format.read_array_header_1_0), 2: (4, np.lib.format.read_array_header_2_0)}
    try:
        start = file.read(len(MAGIC) + 2)
        if start[:-2] != MAGIC or start[-2] not in readers or start[-1]:
            raise ValueError("it does not begin as NumPy's versions 1 and 2 do")
        size, parse = readers[start[-2]]
        length = file.read(size)
        num_bytes = int.from_bytes(length, "little")
        if num_bytes > MAX_HEADER_BYTES:
            raise ValueError(f"a header of {num_bytes:,} bytes")
        # NumPy reads the header as Python text: a damaged one raises errors of every kind.
        shape, fortran, dtype = parse(io.BytesIO(length + file.read(num_bytes)))
    except Exception as error:
        raise outside.unreadable(error) from None
    if len(shape) > MAX_RANK or not all(type(size) is int and 0 <= size < 2**63 for size in shape):
        raise outside.refused(f"the shape {shortened(str(shape))}, which no array has")
    return ArrayForm(shape, dtype, fortran)


def check_plain(form: ArrayForm, outside: Outside) -> None:
    """Refuse what is no array of numbers, and what does not fit into memory, before any value is read."""
    if form.dtype.hasobject:
        raise outside.refused("a pickled object, which can run code when it is read and is never opened here")
    if not PLAIN_TYPE.fullmatch(form.dtype.str[1:]):
        raise outside.refused(f"values of type {shortened(str(form.dtype))}, where numbers of at most 8 bytes are read")
    if form.num_bytes > MAX_ARRAY_BYTES:
        raise outside.refused(
            f"an array of {form.num_bytes:,} bytes with shape {form.shape}, where one stream of a sample has at most "
            f"{MAX_ARRAY_BYTES:,}"
        )


def _array(content: bytes, form: ArrayForm) -> np.ndarray:
    array = np.frombuffer(content, dtype=form.dtype)
    return array.reshape(form.shape, order="F" if form.fortran else "C")
