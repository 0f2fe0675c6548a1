"""Whether a path leads to recordings; asked before anything that reads them is loaded."""

from pathlib import Path

from limssr.data.importers.table.manifest import MANIFESTS
from limssr.data.store.format import HEADER_NAME
from limssr.media.manifest import has_recordings


def is_recordings(source: Path) -> bool:
    """Whether a path is a recording, a folder or a manifest of recordings, and neither a store nor another manifest."""
    if source.is_dir():
        return not (source / HEADER_NAME).exists()
    if source.suffix.lower() in MANIFESTS:
        return source.exists() and has_recordings(source)
    return source.is_file()
