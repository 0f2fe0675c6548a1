"""A file in memory without a file descriptor: a store may have more shards than a process may open files."""

import contextlib
import ctypes
import mmap
import sys
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
import pyarrow as pa

# Buffers that are files, by the number of the object: only their pages may be given back, for they are read again.
_MAPPED: WeakValueDictionary[int, pa.Buffer] = WeakValueDictionary()
MADV_DONTNEED = 4


def map_file(path: Path) -> pa.Buffer:
    """The bytes of a file, read when they are used; its descriptor is closed again at once.

    Raises:
        OSError: The file cannot be read.
    """
    with pa.memory_map(str(path), "r") as file:
        buffer = file.read_buffer()
    _MAPPED[id(buffer)] = buffer
    return buffer


def give_back(array: np.ndarray) -> None:
    """Free the memory of a view of a mapped file; it is read from the file again when it is used again."""
    if sys.platform != "linux" or not isinstance(array, np.ndarray) or not array.flags.c_contiguous:
        return
    owner = array
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    owner = owner.obj if isinstance(owner, memoryview) else owner
    if owner is not _MAPPED.get(id(owner)):
        return
    page = mmap.PAGESIZE
    start = -(-array.ctypes.data // page) * page
    length = (array.ctypes.data + array.nbytes) // page * page - start
    if length > 0:
        with contextlib.suppress(OSError, AttributeError):
            _libc().madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), MADV_DONTNEED)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
