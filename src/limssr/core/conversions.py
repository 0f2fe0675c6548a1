"""What is converted once and kept in the cache: whole, by one process, and the same when it is read again."""

import contextlib
import glob
import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from limssr.core.cache import cache_folder
from limssr.core.errors import InputError
from limssr.core.files import sha256_of, write_json
from limssr.core.reading.documents import read_json
from limssr.core.reading.model_folder import outside_of
from limssr.core.verified import is_as_verified, remember

LEFT_S = 3_600.0
"""Age at which a half-converted backbone belongs to no process that is still at work."""
RECORD = "converted.json"
"""Name and SHA-256 of every file of a conversion, written when it is made."""


def kept_conversion(name: str, convert: Callable[[Path], None]) -> Path:
    """The folder of a backbone in the cache, converted where it is not there or no longer what was written.

    Its files are hashed when they are written, and again where their sizes or times differ from those last seen. A
    folder that does not say what was written is of an older limssr, and made anew.

    Args:
        name: Of the folder, with the fingerprint of the source.
        convert: Writes the files into a folder that exists.
    """
    folder = cache_folder() / "backbones" / name
    if _is_what_was_written(folder):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    for leftover in folder.parent.glob(f"{glob.escape(folder.name)}.*partial*"):
        if time.time() - leftover.stat().st_mtime > LEFT_S:
            shutil.rmtree(leftover, ignore_errors=True)
    # A name of its own: what a killed process left under any other stands in nobody's way.
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".partial", dir=folder.parent))
    try:
        convert(partial)
        write_json(partial / RECORD, {"files": _hashes(partial)})
        with contextlib.suppress(OSError):  # another process was faster, with the same bytes
            os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _is_what_was_written(folder: Path) -> bool:
    try:
        recorded = read_json(outside_of(folder / RECORD))["files"]
        digest = hashlib.sha256(json.dumps(recorded, sort_keys=True).encode()).hexdigest()
        names = {path.name for path in folder.iterdir()} - {RECORD}
        if names == set(recorded) and is_as_verified(folder, digest, recorded):
            return True
        same = names == set(recorded) and _hashes(folder) == recorded
    except (InputError, OSError, KeyError, TypeError):
        return False
    if same:
        remember(folder, digest, recorded)
    else:
        warnings.warn(f"{folder}: a file is not what was written, so the backbone is converted again.", stacklevel=4)
    return same


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.name != RECORD}
