"""Finds a checkpoint: a file, or the only one of a repository on the hub."""

import re
from pathlib import Path

from limssr.core.errors import InputError

ENDINGS = (".pkl", ".pt", ".pth", ".bin", ".safetensors")


def find_checkpoint(file: str | Path, *, local_files_only: bool = True) -> Path:
    """A checkpoint's path: as it is given, or the only checkpoint of a repository of weights on the hub.

    Args:
        file: A path, or a hub id (owner/name).
        local_files_only: Never reach for the network: a hub id then has to be in the local cache.

    Raises:
        InputError: Nothing there, or several checkpoints in the repository.
    """
    path = Path(file)
    if path.is_file():
        return path
    if path.is_dir():
        raise InputError(f"Expected a checkpoint file at {path}, found a folder: give the file in it.")
    is_hub_id = re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", str(file)) and path.suffix not in ENDINGS
    if not is_hub_id:
        raise InputError(
            f"Expected a checkpoint at {path} ({', '.join(ENDINGS)}), found nothing: give a path that exists, or the "
            "hub id (owner/name) of a repository of weights."
        )
    return _from_hub(str(file), local_files_only=local_files_only)


def _from_hub(hub_id: str, *, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        patterns = [f"*{ending}" for ending in ENDINGS]
        folder = Path(snapshot_download(hub_id, local_files_only=local_files_only, allow_patterns=patterns))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        remedy = (
            "There is no such file, and no such repository in the local cache: give a path that exists, or add "
            "--allow-download to fetch it from the hub"
            if local_files_only
            else "The hub could not be reached or does not have it: check the name and the network"
        )
        raise InputError(f"Checkpoint {hub_id!r} could not be loaded ({type(error).__name__}). {remedy}.") from None
    files = sorted(path for path in folder.rglob("*") if path.suffix in ENDINGS)
    if len(files) != 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path in files) or "none"
        raise InputError(
            f"Expected one checkpoint in the repository {hub_id}, found {names}: download one and give its path."
        )
    return files[0]
