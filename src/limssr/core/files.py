"""Atomic writing of files and folders: temporary names, then renaming; clear errors on a full disk."""

import glob
import hashlib
import io
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from limssr.core.diagnosis import failed_write
from limssr.core.errors import InputError, ResourceError
from limssr.core.locks import about_to_appear, remove_empty
from limssr.core.reading.regular import Outside, open_regular

try:
    import fcntl
except ImportError:  # not on Windows, where what killed writers left is removed by hand
    fcntl = None

READ_BYTES = 1 << 20


# How the temporary names of everything that is written look.
LEFTOVERS = ".*.partial"
SETTLING_S = 5.0
"""Between making a file and locking it, and between closing and renaming it, its writer does not hold it."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file and see it reach the disk; its rights are what the umask leaves.

    Raises:
        InputError: The place cannot be written to.
        ResourceError: The disk is full (the message says how much was needed and how much is free), or a limit was met.
    """
    try:
        with path.open("wb") as file:
            _mark_as_alive(file.fileno())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        explained = failed_write(path, error, len(content))
        if explained is None:
            raise
        raise explained from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a regular file, read in pieces.

    Raises:
        InputError: No such file, or none that has an end.
    """
    digest = hashlib.sha256()
    with open_regular(Outside(path=path, what="a file to read", remedy="check the path")) as file:
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

    One process at a time prepares a folder for `path`; what killed ones left is removed by the next.

    Yields:
        A folder beside `path` to write into.

    Raises:
        InputError: `path` exists, another process is writing it, or the place cannot be written to.
    """
    check_new(path, kind)
    missing_parents = [parent for parent in path.parents if not parent.exists()]
    try:
        _make_folder(path.parent, kind)
        with about_to_appear(path, kind):
            for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
                shutil.rmtree(leftover, ignore_errors=True)
            partial = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.partial"
            try:
                _make_folder(partial, kind)
                yield partial
                check_new(path, kind)
                partial.rename(path)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
    except BaseException:
        remove_empty(missing_parents)
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
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        explained = failed_write(path, error)
        if isinstance(explained, ResourceError):
            raise explained from error
        raise InputError(
            f"Expected a folder that can be written for the new {kind}, found {path.parent}: {error.strerror}: "
            "choose another path."
        ) from error


def write_json(path: Path, document: Any) -> None:
    """Write a JSON document under a temporary name and rename it.

    Raises:
        ResourceError: The disk is full.
    """
    write_atomically(path, (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that it is either the old or the new one.

    What killed writers of the same file left is removed.

    Raises:
        InputError: The place cannot be written to.
        ResourceError: The disk is full, or a limit was met.
    """
    partial = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
            _remove_if_dead(leftover)
        write_bytes(partial, content)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        explained = failed_write(path, error, len(content))
        if explained is None:
            raise
        raise explained from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _mark_as_alive(descriptor: int) -> None:
    """Lock a file for as long as its writer has it open, which the kernel ends with the process."""
    if fcntl is not None:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _remove_if_dead(partial: Path) -> None:
    """Remove a half-written file whose writer is gone."""
    if fcntl is None:
        return
    with suppress(OSError), partial.open("rb") as file:  # its writer has it, or has just finished
        if time.time() - os.fstat(file.fileno()).st_mtime > SETTLING_S:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            partial.unlink()


DISK_RESERVE_BYTES = 64 * 2**20


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file under a temporary name and rename it."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_atomically(path, buffer.getvalue())


def check_folder(folder: Path) -> None:
    """Refuse a folder for results that cannot be one, before there is anything to write; nothing is made.

    Raises:
        InputError: It, or what it should stand in, is a file or may not be written to.
    """
    existing = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return
    found = f"{existing}, which may not be written to" if existing.is_dir() else f"the file {existing}"
    raise InputError(f"Expected to write into the folder {folder}, found {found}: give another one with --out.")


def check_output(path: Path, option: str = "--out") -> None:
    """Refuse a file for results that cannot be written, before there is anything to write; nothing is made.

    Raises:
        InputError: It is a folder, or the folder that it should stand in may not be written to.
    """
    if path.is_dir():
        raise InputError(f"Expected a file to write, found the folder {path}: add a file name in {option}.")
    existing = next(parent for parent in path.absolute().parents if parent.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return
    found = f"{existing}, which may not be written to" if existing.is_dir() else f"the file {existing}"
    raise InputError(f"Expected to write {path}, found {found}: give another path with {option}.")


def check_disk(folder: Path, num_bytes: int) -> None:
    """Refuse to start where the disk will not hold the run.

    Raises:
        ResourceError: Less free than `num_bytes` and a reserve.
    """
    existing = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    free = shutil.disk_usage(existing).free
    needed = num_bytes + DISK_RESERVE_BYTES
    if free < needed:
        raise ResourceError(
            f"Expected {needed / 2**20:,.0f} MiB free on the disk of {folder} for checkpoints and results, found "
            f"{free / 2**20:,.0f} MiB: make room or write to another disk. Nothing has been written."
        )
