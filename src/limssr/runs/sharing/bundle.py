"""What of a run is handed on: a folder with a card and a list of hashes, without data and without paths.

What travels: weights and settings, the configuration, results under every subset, errors for intervals. What stays:
test performances with their names and scores, logs, checkpoints, paths. Whoever receives it holds every file against
the list.
"""

import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from limssr.core.errors import ArtifactError, InputError
from limssr.core.files import check_disk, new_folder, sha256_of, write_atomically, write_json
from limssr.core.quoting import listed, shortened
from limssr.core.reading.documents import read_json, read_yaml
from limssr.core.reading.records import own_file
from limssr.core.reading.regular import Outside, open_regular
from limssr.core.version import __version__
from limssr.report.card import estimator_card, model_card
from limssr.report.runfolder import read_run_folder
from limssr.runs.folder import check_has_model, read_run
from limssr.runs.reliability.calibration import CALIBRATION

LIST = "limssr-files.json"
CARD = "README.md"
ESTIMATOR = "estimator.json"
FORMAT_VERSION = 1
KEPT = (CALIBRATION, "evaluation.json", "subsets.parquet")
SUFFIXES = (".json", ".yaml", ".parquet", ".safetensors", ".md", ".txt")
"""Of files that may be received; none of them is code."""
MAX_FILES = 10_000
MAX_BYTES = 2**36
PIECE_BYTES = 1 << 20
IGNORED = (".gitattributes", ".gitignore")
"""Files that a hub adds by itself."""


def write_bundle(
    run: Path,
    folder: Path,
    *,
    source: str,
    references: bool = False,
    licence: str | None = None,
    data_licence: str | None = None,
) -> list[str]:
    """Copy what travels of a run into a new folder, with a card and the list of hashes.

    Args:
        run: A finished run folder, or a folder that `LimssrRegressor.save_pretrained` wrote.
        folder: To make.
        source: How the receiver will name it, for the card.
        references: Whether the simple models beside the run travel, too.
        licence: Of the weights, for the card.
        data_licence: Of the data, for the card.

    Returns:
        Names of the files, with forward slashes.

    Raises:
        InputError: The run is not finished, or `folder` exists.
    """
    is_estimator = (run / ESTIMATOR).is_file()
    if not is_estimator:
        check_has_model(run, read_run(run).document)
    sources = dict(_files_below(run, run)) if is_estimator else dict(_copied(run, references=references))
    check_disk(folder.parent, sum(path.stat().st_size for path in sources.values()))
    with new_folder(folder, "bundle") as partial:
        for name, path in sources.items():
            target = partial / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            if target.name in ("config.json", ESTIMATOR):
                write_json(target, without_places(read_json(own_file(target))))
        if is_estimator:
            card = estimator_card(run, source=source, licence=licence, data_licence=data_licence)
        else:
            document = read_run(run).document
            write_json(partial / "run.json", without_places({**document, "shared_by": f"limssr {__version__}"}))
            _write_yaml(partial / "config.yaml", without_places(read_yaml(own_file(run / "config.yaml"))))
            card = model_card(read_run_folder(run), source=source, licence=licence, data_licence=data_licence)
        write_atomically(partial / CARD, card.encode())
        names = sorted(path.relative_to(partial).as_posix() for path in partial.rglob("*") if path.is_file())
        entries = {
            name: {"sha256": sha256_of(partial / name), "bytes": (partial / name).stat().st_size} for name in names
        }
        write_json(partial / LIST, {"format_version": FORMAT_VERSION, "limssr": __version__, "files": entries})
    return [*names, LIST]


def _copied(run: Path, *, references: bool) -> Iterator[tuple[str, Path]]:
    for name in KEPT:
        if (run / name).is_file():
            yield name, run / name
    parts = [run / "model"]
    if references and (run / "references").is_dir():
        for one in sorted((run / "references").iterdir()):
            if (one / "model").is_dir():
                parts.append(one / "model")
                yield from ((f"references/{one.name}/{name}", one / name) for name in ("reference.json",))
                if (one / CALIBRATION).is_file():
                    yield f"references/{one.name}/{CALIBRATION}", one / CALIBRATION
    for part in parts:
        yield from _files_below(part, run)


def _files_below(part: Path, run: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(part.rglob("*")):
        if path.is_file() and _may_travel(path.relative_to(run).as_posix()) and path.name not in (CARD, LIST):
            yield path.relative_to(run).as_posix(), path


def without_places(value: Any) -> Any:
    """A document in which every absolute path is its last part: where things lie here is nobody else's business."""
    if isinstance(value, Mapping):
        return {key: without_places(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_places(one) for one in value]
    if isinstance(value, str) and "\n" not in value:
        for kind in (PurePosixPath, PureWindowsPath):
            path = kind(value)
            if path.is_absolute() or value.startswith("~"):
                return path.name or "."
    return value


def _write_yaml(path: Path, document: Any) -> None:
    import yaml

    write_atomically(path, yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode())


def check_bundle(folder: Path, *, where: str) -> list[str]:
    """Hold every file of a received folder against its list.

    Args:
        folder: As it was received.
        where: What a message calls it.

    Returns:
        Names of the files in the list.

    Raises:
        ArtifactError: No list, a file that is missing, altered or not in the list, or one of a kind that does not
            travel.
    """
    entries = read_list(folder / LIST, where=where)
    found = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not {".git", ".cache"} & set(path.relative_to(folder).parts)
    }
    surplus = sorted(found - entries.keys() - {LIST, *IGNORED})
    if surplus:
        raise ArtifactError(f"Expected only the files in {LIST} of {where}, found also {listed(surplus)}.")
    for name, entry in entries.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"Expected {name} in {where}, found nothing: it is not whole; fetch it again.")
        if path.stat().st_size != entry["bytes"] or sha256_of(path) != entry["sha256"]:
            raise ArtifactError(f"Expected {name} of {where} as its list says, found other bytes: fetch it again.")
    return list(entries)


def read_list(path: Path, *, where: str) -> dict[str, dict[str, Any]]:
    """The list of a bundle: name -> {"sha256", "bytes"}; every name stays inside the folder.

    Raises:
        ArtifactError: Not a list of files that can travel.
    """
    outside = Outside(
        path=path,
        what=f"a run that limssr exported ({LIST})",
        remedy=f"take {where} from `limssr export` or `limssr push`",
        error=ArtifactError,
    )
    document = read_json(outside)
    entries = document.get("files") if isinstance(document, Mapping) else None
    if not isinstance(entries, Mapping) or not 0 < len(entries) <= MAX_FILES:
        raise outside.refused("no list of files")
    if document.get("format_version") != FORMAT_VERSION:
        raise outside.refused(f"format {shortened(str(document.get('format_version')))}: update limssr")
    for name, entry in entries.items():
        if not _may_travel(name):
            raise outside.refused(f"the file {shortened(name)!r}, which does not travel")
        if not isinstance(entry, Mapping) or not isinstance(entry.get("bytes"), int) or "sha256" not in entry:
            raise outside.refused(f"no size and hash for {shortened(name)!r}")
    if sum(entry["bytes"] for entry in entries.values()) > MAX_BYTES:
        raise outside.refused(f"more than {MAX_BYTES:,} bytes")
    return {name: dict(entry) for name, entry in entries.items()}


def _may_travel(name: str) -> bool:
    path = PurePosixPath(name)
    plain = all(part not in ("", ".", "..") and not part.startswith(".") and "\\" not in part for part in path.parts)
    return plain and not path.is_absolute() and ":" not in name and "\0" not in name and path.suffix in SUFFIXES


def write_zip(folder: Path, file: Path) -> None:
    """A bundle as one zip file; it appears whole or not at all.

    Raises:
        InputError: `file` exists, or has another ending.
    """
    partial = file.with_name(f".{file.name}.partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    # A fixed date: the same run gives the same bytes.
                    info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
                    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                    with archive.open(info, "w", force_zip64=True) as target, path.open("rb") as content:
                        shutil.copyfileobj(content, target, PIECE_BYTES)
        partial.rename(file)
    finally:
        partial.unlink(missing_ok=True)


def unpack_zip(file: Path, folder: Path) -> None:
    """Unpack what `write_zip` wrote, file by file as its list says: nothing else, nothing larger, nothing elsewhere.

    Raises:
        InputError: No such file, or no archive.
        ArtifactError: Not a bundle.
    """
    outside = Outside(path=file, what="a run that limssr exported (.zip)", remedy="fetch it again")
    with open_regular(outside) as opened:
        try:
            with zipfile.ZipFile(opened) as archive:
                _unpack_member(archive, LIST, folder, limit=MAX_FILES * 1000, outside=outside)
                entries = read_list(folder / LIST, where=str(file))
                check_disk(folder, sum(entry["bytes"] for entry in entries.values()))
                for name, entry in entries.items():
                    _unpack_member(archive, name, folder, limit=entry["bytes"], outside=outside)
        except (InputError, MemoryError):
            raise
        except OSError as error:
            if not isinstance(error, EOFError) and error.errno is not None:
                raise
            raise outside.unreadable(error) from None
        except Exception as error:  # zipfile, zlib and struct have a dozen kinds between them
            raise outside.unreadable(error) from None


def _unpack_member(archive: zipfile.ZipFile, name: str, folder: Path, *, limit: int, outside: Outside) -> None:
    if name not in archive.namelist():
        raise outside.refused(f"no {shortened(name)} in it")
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    left = limit
    with archive.open(name) as content, target.open("wb") as written:
        while piece := content.read(PIECE_BYTES):
            left -= len(piece)
            if left < 0:
                raise outside.refused(f"more bytes in {shortened(name)} than its list says")
            written.write(piece)
