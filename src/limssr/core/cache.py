"""Folders for cached files, which can be made again at any time."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """$LIMSSR_CACHE, else ~/.cache/limssr: converted backbones, and which stores were verified."""
    return Path(os.environ.get("LIMSSR_CACHE") or Path.home() / ".cache" / "limssr")
