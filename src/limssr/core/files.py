"""Writing so that all of it is there or nothing: temporary names, renaming, a clear word on a full disk."""

import errno
import hashlib
import io
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from limssr.core.errors import ArtifactError, InputError, ResourceError

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


def write_json(path: Path, document: Any) -> None:
    """Write a JSON document under a temporary name and rename it.

    Raises:
        ResourceError: The disk is full.
    """
    write_atomically(path, (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


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
