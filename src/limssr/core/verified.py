"""Remembers which stores were hashed on this machine, with the sizes and times of their files.

A store is hashed when it is written and by `limssr data verify`. Whoever reads it later compares size, times and place
of every file with what was seen then; only where something differs, or nothing is known, is it hashed again.
"""

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path

from limssr.core.cache import cache_folder
from limssr.core.errors import InputError
from limssr.core.files import write_json
from limssr.core.reading.documents import read_json
from limssr.core.reading.regular import Outside

MAX_REMEMBERED = 500


def remember(store: Path, fingerprint: str, files: Iterable[str]) -> None:
    """Write down how the files of a store look that has just been hashed; where that cannot be written, nothing is."""
    path = _record(store)
    # A cache: who cannot write it only waits longer next time.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"fingerprint": fingerprint, "files": _looks(store, files)})
        _forget_oldest(path.parent)


def is_as_verified(store: Path, fingerprint: str, files: Iterable[str]) -> bool | None:
    """Whether every file looks as when the store was last hashed here; None where it never was."""
    try:
        known = read_json(Outside(path=_record(store), what="a record of a store", remedy="remove it"))
        return bool(known["fingerprint"] == fingerprint and known["files"] == _looks(store, files))
    except (InputError, OSError, KeyError, TypeError):
        return None


def _looks(store: Path, files: Iterable[str]) -> dict[str, list[int]]:
    """Name -> size, times of content and of the entry in ns, and number on the disk."""
    found = {}
    for name in sorted(files):
        status = (store / name).stat()
        found[name] = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    return found


def _record(store: Path) -> Path:
    name = hashlib.sha256(str(store.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
    return cache_folder() / "verified" / f"{name[:32]}.json"


def _forget_oldest(folder: Path) -> None:
    records = list(folder.glob("*.json"))
    if len(records) > MAX_REMEMBERED:
        for path in sorted(records, key=lambda record: record.stat().st_mtime_ns)[: len(records) - MAX_REMEMBERED]:
            path.unlink(missing_ok=True)
