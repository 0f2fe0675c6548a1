"""One shard: a safetensors file of float32 arrays [T, D], named "SAMPLE ID/STREAM".

Read through a memory map: opening a shard reads its header only, an array is read from the disk when it is used.
"""

import json
import mmap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy

from limssr.errors import ArtifactError

HEADER_SIZE_BYTES = 8


def tensor_name(sample_id: str, stream: str) -> str:
    """The name of an array in its shard. Stream names hold no "/", so this can be taken apart again."""
    return f"{sample_id}/{stream}"


def encode(streams: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of a shard; the same arrays give the same bytes."""
    return safetensors.numpy.save(dict(streams))


class Shard:
    """A shard on disk, memory-mapped.

    Args:
        path: The safetensors file.

    Raises:
        ArtifactError: The file cannot be read as one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            size = int.from_bytes(self._map[:HEADER_SIZE_BYTES], "little")
            self._start = HEADER_SIZE_BYTES + size
            self._entries = json.loads(self._map[HEADER_SIZE_BYTES : self._start])
        except (OSError, ValueError) as error:
            raise self._damaged(f"found a header that cannot be read ({error})") from error

    def stream(self, sample_id: str, stream: str) -> np.ndarray:
        """A read-only view [T, D] of one array; nothing is copied.

        Raises:
            ArtifactError: The shard does not hold it, or not as float32 [T, D].
        """
        name = tensor_name(sample_id, stream)
        try:
            entry = self._entries[name]
            rows, columns = entry["shape"]
            begin, end = entry["data_offsets"]
            if entry["dtype"] != "F32" or end - begin != 4 * rows * columns:
                raise ValueError(f"dtype {entry['dtype']}, shape {entry['shape']}, {end - begin} bytes")
            flat = np.frombuffer(self._map, dtype="<f4", count=rows * columns, offset=self._start + begin)
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(f"found no such float32 array [segments, features] for '{name}' ({error!r})") from error
        return flat.reshape(rows, columns)

    def _damaged(self, found: str) -> ArtifactError:
        return ArtifactError(
            f"{self.path}: expected a complete safetensors shard, {found}: the file is damaged; copy or import the "
            "store again."
        )
