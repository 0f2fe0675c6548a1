"""Writing so that all of it is there or nothing: temporary names, renaming, a clear word on a full disk."""

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from limssr.errors import InputError, ResourceError

# No space left on the device, over the user's quota.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
READ_BYTES = 1 << 20
# How the temporary names of everything that is written look.
LEFTOVERS = ".*.partial"


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file and see it reach the disk.

    Raises:
        ResourceError: The disk is full; the message says how much was needed and how much is free.
    """
    try:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise _disk_full(path.parent, len(content)) from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def check_new(path: Path, kind: str) -> None:
    """Raise `InputError` if `path` exists: nothing is ever overwritten."""
    if os.path.lexists(path):
        raise InputError(
            f"Expected a path that does not exist for the new {kind}, found something at {path}: "
            "choose another path, or remove what is there."
        )


@contextmanager
def new_folder(path: Path, kind: str) -> Iterator[Path]:
    """A folder that appears at `path` when the block ends well and leaves no trace when it does not.

    Yields:
        A folder beside `path` to write into.

    Raises:
        InputError: `path` exists.
    """
    check_new(path, kind)
    missing_parents = [parent for parent in path.parents if not parent.exists()]
    partial = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        _make_folder(partial, kind)
        yield partial
        check_new(path, kind)
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        for parent in missing_parents:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove what writers that were killed left at or below a folder; for when nobody else is writing there."""
    for leftover in list(folder.rglob(LEFTOVERS)):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _make_folder(path: Path, kind: str) -> None:
    try:
        path.mkdir(parents=True)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise _disk_full(path.parent, 0) from error
        raise InputError(
            f"Expected a folder that can be written for the new {kind}, found {path.parent}: {error.strerror}: "
            "choose another path."
        ) from error


def _disk_full(folder: Path, num_bytes: int) -> ResourceError:
    free = shutil.disk_usage(folder).free if folder.exists() else 0
    return ResourceError(
        f"Expected room for {num_bytes:,} bytes more in {folder}, found {free:,} bytes free: the disk is full; make "
        "room or write to another disk. What had been written has been removed."
    )
