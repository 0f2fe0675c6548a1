"""Stores that stand elsewhere: at `s3://`, `gs://`, `hf://` or `https://`, read and published through fsspec.

A store is fetched whole into the cache before it is used, in pieces: a connection that drops, or a command that is
ended, loses one piece. Every file is checked against the hash in the store's header, and the copy appears under its
final name only when all of them are right. Nothing is fetched but from an address that somebody gave.
"""

import contextlib
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from limssr.core.cache import cache_folder
from limssr.core.errors import InputError, MissingExtraError, ResourceError
from limssr.core.files import check_disk, write_bytes
from limssr.core.progress import make_reporter
from limssr.core.reading.documents import MAX_JSON_BYTES
from limssr.data.store.format import HEADER_NAME, check_hash, check_size, read_header

ADDRESS = re.compile(r"(s3|gs|gcs|hf|https?):/+(?=[^/])")
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "http": "aiohttp", "https": "aiohttp"}
BUCKETS = ("s3", "gs", "gcs")
NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError")
"""What the packages of services raise where they find none; they may not be installed, and have no class in common."""
PIECE_BYTES = 8 * 2**20
TRIES = 5
"""In a row that bring nothing before a fetch gives up; what is there by then is kept."""
WAIT_S = 0.5
"""Before the second try; twice as long before each further one."""
LIMIT_GB = 100.0
"""All copies together, in 10^9 bytes; $LIMSSR_STORES_GB changes it."""

Say = Callable[[str], None]


def is_address(path: Path | str) -> bool:
    """Whether a store is said to stand elsewhere."""
    return ADDRESS.match(str(path)) is not None


def address_of(path: Path | str) -> str:
    """The address as it was written, which a path has folded: s3:/a/b becomes s3://a/b."""
    return ADDRESS.sub(lambda found: f"{found[1]}://", str(path), count=1).rstrip("/")


def local_folder(path: Path | str) -> Path:
    """A store's folder on this machine: the path itself, or the copy of one that stands elsewhere, said on stderr."""
    return fetched(str(path), say=make_reporter().note) if is_address(path) else Path(path)


def fetched(address: str, say: Say | None = None) -> Path:
    """The folder of a store that stands elsewhere, as a verified copy; what is there already is not fetched again.

    Args:
        address: Of the folder that holds `store.json`.
        say: Told what is fetched.

    Raises:
        InputError: It cannot be reached, may not be read, is no store, or larger than the cache may be.
        MissingExtraError: Its kind of address needs a package that is not installed.
        ArtifactError: A file is another one than the store's header says.
        ResourceError: The disk is, or would be, full.
    """
    address = address_of(address)
    system, root = _opened(address)
    header = _explained(address, lambda: _header(system, root))
    folder = (
        _copies() / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}-{hashlib.sha256(header).hexdigest()[:16]}"
    )
    if not (folder / HEADER_NAME).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):  # of several processes that want it, one fetches and the others wait
            if not (folder / HEADER_NAME).exists():
                _fetch(system, root, folder, header, address=address, say=say)
    os.utime(folder)
    return folder


def publish(store: Path, address: str, say: Say | None = None) -> None:
    """Copy a store to an address: nobody can open it there before all of it has arrived.

    Args:
        store: A verified store's folder.
        address: Of the folder to be made.
        say: Told how far it is.

    Raises:
        InputError: A store stands there, it cannot be reached, or may not be written.
    """
    address = address_of(address)
    system, root = _opened(address)
    content, header = read_header(store)
    if _explained(address, lambda: system.exists(f"{root}/{HEADER_NAME}")):
        raise InputError(f"Expected nothing at {address}, found a store: give another address, one for each version.")
    for number, (name, entry) in enumerate(header["files"].items(), start=1):
        _explained(address, lambda name=name: _put(system, store / name, f"{root}/{name}", address=address))
        size = _explained(address, lambda name=name: system.info(f"{root}/{name}")["size"])
        if size != entry["bytes"]:
            raise InputError(
                f"Expected {entry['bytes']:,} bytes of {name} at {address}, found {size:,}: publish again."
            )
        if say is not None:
            say(f"{name}: {number} of {len(header['files'])} files")
    _explained(address, lambda: system.pipe_file(f"{root}/{HEADER_NAME}", content))


def _fetch(system: Any, root: str, folder: Path, header: bytes, *, address: str, say: Say | None) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(exist_ok=True)
    write_bytes(partial / HEADER_NAME, header)
    _, document = read_header(partial)
    total = sum(entry["bytes"] for entry in document["files"].values())
    _make_room(total, folder, address)
    there = sum(path.stat().st_size for path in partial.rglob("*") if path.is_file())
    check_disk(folder, max(0, total - there))
    if say is not None:
        say(f"fetching {address} ({total / 1e9:.3g} GB) into {folder}")
    for name, entry in document["files"].items():
        target = partial / name
        target.parent.mkdir(exist_ok=True)
        if not target.exists():
            _fetch_file(system, f"{root}/{name}", target, entry["bytes"], address)
        try:
            check_size(target, entry["bytes"])
            check_hash(target, entry["sha256"])
        except InputError:
            target.unlink(missing_ok=True)  # so that the next attempt fetches it anew
            raise
    partial.rename(folder)


def _fetch_file(system: Any, remote: str, target: Path, size: int, address: str) -> None:
    """Piece by piece into NAME.part, from where an earlier attempt ended."""
    part = target.with_name(f"{target.name}.part")
    with part.open("ab") as file:
        if file.tell() > size:
            file.truncate(0)
        while (done := file.tell()) < size:
            ends = min(done + PIECE_BYTES, size)
            piece = _patiently(address, lambda done=done, ends=ends: system.cat_file(remote, start=done, end=ends))
            if len(piece) > ends - done:  # a server that ignores what is asked of it sends the whole
                piece = piece[done:ends] if len(piece) == size else piece[: ends - done]
            if not piece:
                raise InputError(
                    f"Expected {size:,} bytes of {remote}, found its end after {done:,}: publish it again."
                )
            file.write(piece)
            file.flush()
    part.rename(target)


def _patiently(address: str, work: Callable[[], bytes]) -> bytes:
    """Try again after what may pass, a dropped connection above all."""
    for attempt in range(TRIES):
        try:
            return work()
        except (PermissionError, FileNotFoundError) as error:
            raise _explanation(address, error) from error
        except Exception as error:  # every kind of server has its own classes for a lost connection
            if attempt == TRIES - 1 or _is_refusal(error):
                raise _explanation(address, error) from error
            time.sleep(WAIT_S * 2**attempt)
    raise AssertionError


def _header(system: Any, root: str) -> bytes:
    content = system.cat_file(f"{root}/{HEADER_NAME}", start=0, end=MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise InputError(f"Expected a store's header of at most {MAX_JSON_BYTES:,} bytes, found more.")
    return content


def _put(system: Any, path: Path, remote: str, *, address: str) -> None:
    # Buckets have no folders, and asking for one makes a bucket: of a name that somebody has mistyped, too.
    if address.partition(":")[0] not in BUCKETS:
        with contextlib.suppress(NotImplementedError, OSError):
            system.makedirs(remote.rpartition("/")[0], exist_ok=True)
    system.put_file(str(path), remote)


def _opened(address: str) -> tuple[Any, str]:
    import fsspec

    kind = address.partition(":")[0]
    try:
        system, root = fsspec.core.url_to_fs(address)
    except ImportError as error:
        package = PACKAGES.get(kind, kind)
        raise MissingExtraError(
            f"Expected the package {package} for addresses of {kind}://, found none: pip install {package}."
        ) from error
    except Exception as error:
        raise _explanation(address, error) from error
    return system, str(root).rstrip("/")


def _explained(address: str, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except InputError:
        raise
    except Exception as error:
        raise _explanation(address, error) from error


def _explanation(address: str, error: Exception) -> InputError:
    if isinstance(error, InputError):
        return error
    status = getattr(error, "status", None)
    if isinstance(error, PermissionError) or status in (401, 403) or type(error).__name__ in NO_CREDENTIALS:
        return InputError(
            f"Expected to be allowed to use {address}, found that its server refuses ({error}): give the credentials "
            "that its service asks for, as its own tools take them."
        )
    if isinstance(error, FileNotFoundError) or status == 404:
        return InputError(
            f"Expected a store (a folder with store.json) at {address}, found none: look at the address, and whether "
            "its bucket exists."
        )
    return InputError(
        f"Expected to reach {address}, found {type(error).__name__}: {error}. What was fetched is kept; the same "
        "command goes on with it."
    )


def _is_refusal(error: Exception) -> bool:
    return getattr(error, "status", None) in (401, 403, 404) or type(error).__name__ in NO_CREDENTIALS


def _named(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _copies() -> Path:
    return cache_folder() / "stores"


def _limit_bytes() -> float:
    text = os.environ.get("LIMSSR_STORES_GB", "")
    try:
        limit = float(text) if text else LIMIT_GB
        if not limit > 0:
            raise ValueError
    except ValueError:
        raise InputError(
            f"Expected LIMSSR_STORES_GB to be a number of GB, found {text!r}: change or unset it."
        ) from None
    return limit * 1e9


def _make_room(total: int, folder: Path, address: str) -> None:
    """Remove the copies that were not used for longest until one more fits."""
    limit = _limit_bytes()
    if total > limit:
        raise ResourceError(
            f"Expected stores of at most {limit / 1e9:g} GB in the cache, found {total / 1e9:.3g} GB at {address}: set "
            "LIMSSR_STORES_GB to more, or LIMSSR_CACHE to a larger disk."
        )
    others = sorted((one for one in _copies_there() if one != folder), key=lambda one: one.stat().st_mtime)
    sizes = {one: sum(path.stat().st_size for path in one.rglob("*") if path.is_file()) for one in others}
    for oldest in others:
        if sum(sizes.values()) + total <= limit:
            break
        shutil.rmtree(oldest, ignore_errors=True)
        del sizes[oldest]


def _copies_there() -> Iterator[Path]:
    folder = _copies()
    return (one for one in folder.iterdir() if one.is_dir() and not one.name.endswith(".partial"))
