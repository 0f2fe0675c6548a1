"""Runs on a hub: `push` writes a repository of one, `pull` fetches one and checks every byte of it.

Everything goes through huggingface_hub, which has the address (`HF_ENDPOINT`) and the token (`hf auth login`,
`HF_TOKEN`). Nothing is fetched or sent unless these functions are called.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from limssr.core.cache import cache_folder
from limssr.core.errors import InputError
from limssr.core.files import new_folder
from limssr.runs.sharing.bundle import LIST, check_bundle, read_list, unpack_zip

REASONS = {
    401: "the hub asks who you are: run `hf auth login`, or set HF_TOKEN",
    403: "your token has no right to it",
    404: "there is no such repository, revision or file",
}
"""Answers of a hub in words."""
REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """What was fetched.

    Attributes:
        folder: The new run folder.
        source: Where it came from.
        revision: The commit of the hub that was fetched; None of a file.
        files: Names of the files.
    """

    folder: Path
    source: str
    revision: str | None
    files: list[str]


def push(bundle: Path, repository: str, *, private: bool = True, message: str = "Upload a run of limssr") -> str:
    """Send a bundle to a repository of models, which is made if it is not there.

    Args:
        bundle: From `write_bundle`.
        repository: "owner/name".
        private: Whether a new repository can be seen by its owner alone; one that is there stays what it is.
        message: Of the commit.

    Returns:
        The address of the commit.

    Raises:
        InputError: Not a name, no right, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi

    check_repository(repository)
    check_bundle(bundle, where=str(bundle))
    with _hub(f"send to {repository}"):
        api = HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(folder_path=bundle, repo_id=repository, commit_message=message)
    return str(commit.commit_url)


def pull(source: str, folder: Path, *, revision: str | None = None) -> Pulled:
    """Fetch a run from a hub, or unpack one from a file, into a new folder.

    Args:
        source: "owner/name", or the path of a file that `limssr export` wrote.
        folder: To make.
        revision: Commit, tag or branch of the hub; None: what is newest.

    Raises:
        InputError: No such repository or file, no right, the hub cannot be reached, or `folder` exists.
        ArtifactError: Not a run that limssr exported, or altered on the way; nothing is left.
    """
    path = Path(source).expanduser()
    if path.suffix == ".zip" or path.is_file():
        if revision is not None:
            raise InputError(f"Expected a repository of a hub for a revision, found the file {path}.")
        with new_folder(folder, "run") as partial:
            unpack_zip(path, partial)
            files = check_bundle(partial, where=str(path))
        return Pulled(folder=folder, source=str(path), revision=None, files=files)
    check_repository(source)
    with new_folder(folder, "run") as partial:
        commit = _fetch(source, partial, revision)
        files = check_bundle(partial, where=source)
    return Pulled(folder=folder, source=source, revision=commit, files=files)


def found_or_fetched(name: str | Path, *, revision: str | None = None) -> Path:
    """A folder of this machine as it is; "owner/name" of a hub as a folder in the cache, checked file by file.

    The hub is asked only where nothing here can be meant: neither the path nor the folder that it would be in is there.

    Raises:
        InputError: As for `pull`.
        ArtifactError: As for `pull`.
    """
    path = Path(name)
    if path.exists() or path.parent.exists() or not REPOSITORY.fullmatch(str(name)):
        return path
    from huggingface_hub import HfApi

    with _hub(f"fetch {name} (there is no such folder either)"):
        commit = str(HfApi().model_info(str(name), revision=revision).sha)
    folder = cache_folder() / "pulled" / str(name).replace("/", "--") / commit
    if folder.is_dir():
        check_bundle(folder, where=str(folder))
        return folder
    return pull(str(name), folder, revision=commit).folder


def check_repository(name: str) -> None:
    """Raise `InputError` unless a name is "owner/name"."""
    if not REPOSITORY.fullmatch(name):
        raise InputError(
            f"Expected a repository such as owner/name, or a .zip file that limssr export wrote, found {name!r}."
        )


def _fetch(repository: str, folder: Path, revision: str | None) -> str:
    """The list first, then exactly the files in it, all of one commit."""
    from huggingface_hub import HfApi, hf_hub_download

    with _hub(f"fetch {repository}"), tempfile.TemporaryDirectory(dir=folder.parent) as cache:
        commit = str(HfApi().model_info(repository, revision=revision).sha)
        for name in (LIST, *_listed(hf_hub_download(repository, LIST, revision=commit, cache_dir=cache), repository)):
            found = hf_hub_download(repository, name, revision=commit, cache_dir=cache)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, folder / name)
    return commit


def _listed(path: str, repository: str) -> list[str]:
    return list(read_list(Path(path), where=repository))


@contextmanager
def _hub(what: str) -> Iterator[None]:
    """Whatever goes wrong with a hub, as one sentence."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        yield
    except InputError:
        raise
    except OfflineModeIsEnabled:
        raise InputError(f"Expected to {what}, found HF_HUB_OFFLINE set: unset it to allow the network.") from None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        why = REASONS.get(status or 0) or str(error).strip().split("\n")[0]
        raise InputError(f"Expected to {what}, found {type(error).__name__}: {why}.") from None
