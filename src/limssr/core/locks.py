"""One writer at a time: locks on the folders that limssr writes.

A lock is held by the kernel for a process (`flock`) and ends with it, however it ends; a lock file that a killed
process left behind holds nobody up. Where a file system knows no such locks, filelock falls back to the file itself.
"""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from limssr.core.diagnosis import failed_write
from limssr.core.errors import InputError
from limssr.core.reading.documents import read_json
from limssr.core.reading.regular import Outside

LOCK_NAME = ".lock"
MAX_LOCK_BYTES = 4_096


@contextlib.contextmanager
def being_written(folder: Path, kind: str) -> Iterator[None]:
    """Nobody else writes into `folder` inside the block; a folder that is still empty afterwards is taken away again.

    Args:
        folder: Made where it does not exist.
        kind: "run", "study": what is written, for the message.

    Raises:
        InputError: Another process writes there now, or the folder cannot be made or written to.
    """
    made = [one for one in [folder, *folder.parents] if not one.exists()]
    try:
        with _held(folder / LOCK_NAME, folder, kind):
            yield
    finally:
        remove_empty(made)


@contextlib.contextmanager
def about_to_appear(path: Path, kind: str) -> Iterator[None]:
    """Nobody else prepares something that will appear at `path` inside the block. Its parent folder must exist.

    Raises:
        InputError: Another process does so now, or the folder it would stand in cannot be written to.
    """
    with _held(path.parent / f".{path.name}{LOCK_NAME}", path, kind):
        yield


def check_nobody_writes(folder: Path, kind: str) -> None:
    """Raise `InputError` if another process writes into `folder` now; changes nothing."""
    if not (folder / LOCK_NAME).is_file():
        return
    with contextlib.suppress(OSError), _held(folder / LOCK_NAME, folder, kind, remove=False):
        pass


def remove_empty(folders: list[Path]) -> None:
    """Remove those folders that hold nothing, innermost first."""
    for folder in folders:
        with contextlib.suppress(OSError):  # not empty, or gone
            folder.rmdir()


@contextlib.contextmanager
def _held(lock_path: Path, target: Path, kind: str, *, remove: bool = True) -> Iterator[None]:
    lock = FileLock(lock_path)
    try:
        _acquire(lock, lock_path, target, kind, remove=remove)
        yield
    finally:
        # An interruption may come at any moment, also while this is done.
        try:
            _let_go(lock, lock_path, remove=remove)
        except KeyboardInterrupt:
            _let_go(lock, lock_path, remove=remove)
            raise


def _acquire(lock: FileLock, lock_path: Path, target: Path, kind: str, *, remove: bool) -> None:
    try:
        lock_path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
        if remove:
            lock_path.write_text(json.dumps(_owner()), encoding="utf-8")
    except Timeout:
        raise InputError(
            f"Expected to be the only one to write the {kind} at {target}, found {_described(lock_path)} writing it "
            "now: wait until it has ended, or choose another path."
        ) from None
    except OSError as error:
        lock.release()
        explained = failed_write(target, error) if remove else None
        if explained is None:
            raise
        raise explained from error


def _let_go(lock: FileLock, lock_path: Path, *, remove: bool) -> None:
    if lock.is_locked and remove:
        # While it is held: whoever waits for this very file notices that it has no name any more.
        lock_path.unlink(missing_ok=True)
    lock.release()


def _owner() -> dict[str, object]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"process": os.getpid(), "machine": socket.gethostname(), "since": now}


def _described(lock_path: Path) -> str:
    try:
        outside = Outside(path=lock_path, what="a lock", remedy="remove it")
        owner = read_json(outside, limit=MAX_LOCK_BYTES)
        return f"process {owner['process']} on {owner['machine']} (since {owner['since']})"
    except (InputError, KeyError, TypeError):
        return "another process"
