"""Messages for a machine that runs out of memory, disk, files or threads.

One place: `limssr.core.files` asks it when a file cannot be written, the command line for everything that got past.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from limssr.core.errors import ArtifactError, InputError, LimssrError, ResourceError

# No space left on the device, over the user's quota.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
NO_RIGHTS = (errno.EACCES, errno.EPERM)
TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
LEADS_NOWHERE = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR)
# How Python, PyTorch, Arrow, NumPy and the loader of shared libraries say that there is no memory left.
NO_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "unable to allocate",
    "not enough memory",
    "out of memory",
    "malloc of size",
    "realloc of size",
    "bad_alloc",
    "failed to map segment",
    "can't start new thread",
)
MAX_CAUSES = 16


def diagnosis(error: BaseException) -> LimssrError | None:
    """The error to show instead of `error`, where the machine's limits or the rights to a file are behind it.

    A shortage that a reader took for a damaged file is found among the causes of its error.

    Returns:
        None where nothing of that kind is to blame: then the error itself says what there is to say.
    """
    if isinstance(error, ResourceError) or (isinstance(error, LimssrError) and not isinstance(error, InputError)):
        return None
    for cause in _causes(error):
        if _is_out_of_memory(cause):
            return _no_memory(cause)
        # Our own errors have good words of their own, except that a file that may not be read seems altered.
        is_hidden = cause is not error and isinstance(error, ArtifactError)
        if isinstance(cause, OSError) and (is_hidden or not isinstance(error, LimssrError)):
            found = _of_system(cause, only_reading=is_hidden)
            if found is not None:
                return found
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return InputError("Expected a path, found one that holds a NUL character: give another path.")
    return None


def failed_write(path: Path, error: OSError, num_bytes: int = 0) -> LimssrError | None:
    """The error to raise when a file or folder cannot be written.

    Args:
        path: What was to be written.
        error: What the system said.
        num_bytes: How much was to be written.

    Returns:
        None where the reason is none that a person could put right.
    """
    if error.errno in DISK_FULL:
        return _disk_full(path.parent, num_bytes)
    if error.filename is None:
        error.filename = str(path)
    return _of_system(error, only_reading=False)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(MAX_CAUSES):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    # Libraries raise RuntimeError, ImportError, OSError and types of their own for it.
    is_foreign = not isinstance(error, LimssrError)
    return is_foreign and any(words in str(error).lower() for words in NO_MEMORY)


def _no_memory(error: BaseException) -> ResourceError:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return ResourceError(
        f"Expected enough memory, found none left ({said}): close other programs, raise the limit (ulimit -v, the "
        "container's or the job's), or ask for less at once (train.batch_size, evaluation.batch_size, --device)."
    )


def _of_system(error: OSError, *, only_reading: bool) -> LimssrError | None:
    where = _place(error.filename)
    if error.errno in TOO_MANY_FILES:
        return ResourceError(
            f"Expected to open {where}, found as many files open as this process may have: raise the limit (ulimit -n)."
        )
    if error.errno in NO_RIGHTS:
        return InputError(
            f"Expected the right to read or write {where}, found none ({error.strerror}): ask its owner for it, or "
            "choose another path."
        )
    if only_reading:
        return None
    if error.errno == errno.EROFS:
        return InputError(f"Expected to write {where}, found a file system that can only be read: choose another path.")
    if error.errno == errno.EFBIG:
        return ResourceError(
            f"Expected to write {where} whole, found a limit on the size of files: raise it (ulimit -f), or write to a "
            "disk without one. What had been written has been removed."
        )
    if error.errno in DISK_FULL:
        return _disk_full(Path(error.filename or ".").parent, 0)
    if error.errno in LEADS_NOWHERE:
        return InputError(
            f"Expected a path that leads to a file or folder, found {where} ({error.strerror}): give another path."
        )
    return None


def _place(filename: object) -> str:
    """A path as it is shown: cut where it is long, and without the temporary name under which a file is written."""
    if not isinstance(filename, str | bytes | os.PathLike):
        return "a file"
    path = Path(os.fsdecode(filename))
    if path.name.startswith(".") and path.name.endswith((".partial", ".lock")):
        return f"a file in {path.parent}"
    text = str(path)
    return text if len(text) <= 200 else f"{text[:120]}… ({len(text)} characters)"


def _disk_full(folder: Path, num_bytes: int) -> ResourceError:
    free = shutil.disk_usage(folder).free if folder.exists() else 0
    return ResourceError(
        f"Expected room for {num_bytes:,} bytes more in {folder}, found {free:,} bytes free: the disk is full; make "
        "room or write to another disk. What had been written has been removed."
    )
