"""Opens files named by a user: regular files only; pipes and devices are refused."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from limssr.core.errors import InputError
from limssr.core.quoting import quoted, shortened

PIECE_BYTES = 1 << 20
MAX_PATH = 200
"""Characters of a path that a message repeats."""
FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True, kw_only=True)
class Outside:
    """A file from outside, and how a refusal speaks of it.

    Attributes:
        path: Of the file.
        what: What it should be: "a recipe (YAML)".
        remedy: What to do where it is not.
        where: What named it: "Sample 'x', stream 'audio'"; "" where the path says enough.
        error: The class of the refusal; `ArtifactError` for files that limssr itself wrote.
    """

    path: Path
    what: str
    remedy: str
    where: str = ""
    error: type[InputError] = InputError

    def refused(self, found: str) -> InputError:
        """The error that says what was found instead."""
        begin = f"{self.where}: expected" if self.where else "Expected"
        place = shortened(str(self.path), MAX_PATH)
        return self.error(f"{begin} {self.what} at {place}, found {found}: {self.remedy}.")

    def unreadable(self, error: BaseException) -> InputError:
        """The error for whatever a library below stumbled over."""
        if isinstance(error, InputError):
            return error
        if isinstance(error, OSError) and error.strerror:
            return self.refused(error.strerror)
        first = str(error).strip().split("\n")[0]
        return self.refused(f"that it cannot be read ({type(error).__name__}: {shortened(first, 160) or 'no more'})")


def open_regular(outside: Outside) -> BinaryIO:
    """Open a regular file for reading, without waiting for anything.

    Raises:
        InputError: Nothing there, no right to read it, a path that no file can have, or a folder, pipe, socket or
            device (also behind a symbolic link), which could block without end or have no end.
    """
    try:
        # A device may do something when it is opened, so it is looked at first.
        _check_kind(outside, Path(outside.path).stat().st_mode)
        descriptor = os.open(outside.path, FLAGS)
    except FileNotFoundError:
        raise outside.refused("nothing") from None
    except OSError as error:
        raise outside.unreadable(error) from None
    except ValueError as error:  # a NUL in the path, or half a surrogate pair
        raise outside.refused(f"a path that no file can have ({error}, {quoted(str(outside.path))})") from None
    try:
        # Between the two looks another thing may have taken the name.
        _check_kind(outside, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def exists(path: Path) -> bool:
    """Whether anything stands at a path; False for a path that no file can have."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def read_bytes(outside: Outside, *, limit: int) -> bytes:
    """All of a regular file, if it is no longer than `limit` bytes.

    Raises:
        InputError: See `open_regular`; also a longer file, and one that cannot be read to its end.
    """
    pieces, length = [], 0
    with open_regular(outside) as file:
        check_length(outside, os.fstat(file.fileno()).st_size, limit)
        try:
            # A file of the system may say that it is empty and have no end.
            while piece := file.read(PIECE_BYTES):
                length += len(piece)
                check_length(outside, length, limit)
                pieces.append(piece)
        except OSError as error:
            raise outside.unreadable(error) from None
    return b"".join(pieces)


def read_text(outside: Outside, *, limit: int, encoding: str = "utf-8-sig") -> str:
    """All of a regular text file; see `read_bytes`.

    Raises:
        InputError: Also where it is not text in that encoding.
    """
    try:
        return read_bytes(outside, limit=limit).decode(encoding)
    except UnicodeDecodeError as error:
        raise outside.refused(f"that it is no text in {encoding.removesuffix('-sig').upper()} ({error})") from None


def check_length(outside: Outside, length: int, limit: int) -> None:
    """Refuse more bytes than a file of its kind may have."""
    if length > limit:
        raise outside.refused(f"more than {limit:,} bytes, which is more than such a file holds")


def _check_kind(outside: Outside, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    raise outside.refused(next((name for is_kind, name in KINDS if is_kind(mode)), "no regular file"))
