"""What the folder of a store holds, shared by reading (`store.py`) and writing (`writer.py`)."""

import re
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import safetensors.numpy

from limssr.core.errors import ArtifactError, InputError, unknown_name
from limssr.core.files import sha256_of
from limssr.core.quoting import quoted, shortened
from limssr.core.reading.documents import MAX_JSON_BYTES, parse_json
from limssr.core.reading.fields import checked
from limssr.core.reading.records import StoreDocument, own_file
from limssr.core.reading.regular import read_bytes
from limssr.core.reading.tensors import parse_entries, parse_header
from limssr.core.types import Sample
from limssr.data.store.mapped import map_file

FORMAT = "limssr-store"


FORMAT_VERSION = 2
WITHOUT_WORDS = 1
"""The version of a store that has no stream of words, so that older versions read it too."""


HEADER_NAME = "store.json"


INDEX_NAME = "index.parquet"


WORDS_NAME = "words.parquet"
"""Of a store with streams of words: a row a piece, with the columns id, stream, segment, start_s, end_s, text."""


SHARD_NAME = re.compile(r"shards/[0-9]{5,9}\.safetensors")


@dataclass(frozen=True)
class StoreInfo:
    """What a store says about itself.

    Attributes:
        name: Of the data set.
        segment_s: Length of a segment in seconds; None where unknown.
        provenance: Where the data came from, as written by the importer; plain JSON values.
        format_version: Of the folder.
        derived_scales: Criteria whose scale was taken from the training scores, not declared.
    """

    name: str
    segment_s: float | None
    provenance: Mapping[str, Any]
    format_version: int = FORMAT_VERSION
    derived_scales: tuple[str, ...] = ()

    @property
    def availability(self) -> Mapping[str, Any] | None:
        """How the store was made incomplete ("rate", "seed", "pattern", "splits"); None if `mask` never did."""
        return self.provenance.get("availability")

    @property
    def reading(self) -> Mapping[str, Any] | None:
        """How its tables were read (`limssr.data.importers.table.reading`), also where streams were hidden since."""
        return self._from_source("reading")

    @property
    def decisions(self) -> Sequence[str]:
        """What was decided when the features were imported, a sentence each."""
        return self._from_source("decisions") or ()

    @property
    def importer(self) -> str | None:
        """What read the features first, also where streams were hidden since."""
        provenance: Mapping[str, Any] = self.provenance
        while "parent" in provenance:
            provenance = provenance["parent"]["provenance"]
        return provenance.get("importer")

    def _from_source(self, key: str) -> Any:
        provenance: Mapping[str, Any] = self.provenance
        while key not in provenance and "parent" in provenance:
            provenance = provenance["parent"]["provenance"]
        return provenance.get(key)

    @property
    def extraction(self) -> Mapping[str, Any] | None:
        """How its features were made from recordings, also where streams were hidden since; None if they were not."""
        return self._from_source("extraction")


def read_header(path: Path) -> tuple[bytes, dict[str, Any]]:
    """The bytes of `store.json` and what they say.

    Raises:
        ArtifactError: Not a store, of a newer format, or a field is missing.
    """
    outside = own_file(path / HEADER_NAME)
    if not (path / HEADER_NAME).exists():
        raise ArtifactError(
            f"Expected a store (a folder with store.json) at {path}, found "
            f"{'a folder without it' if path.is_dir() else 'a file' if path.exists() else 'nothing'}: "
            "give the folder that `limssr data import` wrote."
        )
    content = read_bytes(outside, limit=MAX_JSON_BYTES)
    header = parse_json(content, outside)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise altered(outside.path, f"the format '{FORMAT}'", "another one")
    version = header.get("format_version")
    if type(version) is not int or version > FORMAT_VERSION:
        raise ArtifactError(
            f"{outside.path}: expected format version {FORMAT_VERSION} or older, found {quoted(version)}: "
            "the store was written by a newer limssr; upgrade limssr."
        )
    checked(StoreDocument, header, outside)
    if INDEX_NAME not in header["files"]:
        raise altered(outside.path, "every field of the format", f"none of {INDEX_NAME}")
    for name in header["files"]:
        # Nothing outside the folder is ever read because a store says so.
        if name not in (INDEX_NAME, WORDS_NAME) and not SHARD_NAME.fullmatch(name):
            raise outside.refused(f"the file {quoted(name)}, where a store has {INDEX_NAME} and its shards")
    return content, header


def check_size(path: Path, expected: int) -> None:
    """Raise `ArtifactError` unless the file exists and has the expected number of bytes."""
    try:
        about = path.stat()
        found = about.st_size if stat.S_ISREG(about.st_mode) else -1
    except OSError as error:
        raise altered(path, f"a file of {expected:,} bytes", "none that can be read") from error
    if found != expected:
        raise altered(path, f"{expected:,} bytes", f"{found:,}" if found >= 0 else "no regular file")


def check_hash(path: Path, expected: str) -> None:
    """Raise `ArtifactError` unless the file has the expected SHA-256."""
    found = sha256_of(path)
    if found != expected:
        raise altered(path, f"SHA-256 {expected[:12]}…", f"{found[:12]}…")


def altered(path: Path, expected: str, found: str) -> ArtifactError:
    """The error for a file that is not as it was written."""
    return ArtifactError(
        f"{path}: expected {expected}, found {found}: the file is truncated or was altered; copy the store again "
        "from its source or import it again."
    )


def resolved(kind: str, names: Sequence[str] | None, valid: Collection[str]) -> tuple[str, ...]:
    """The names in the order given; None means all of `valid`.

    Raises:
        InputError: A name is unknown (the message has the nearest one), repeated, or there is none.
    """
    if names is None:
        return tuple(valid)
    for name in names:
        if name not in valid:
            raise unknown_name(kind, name, tuple(valid))
    if not names or len(set(names)) < len(names):
        raise InputError(f"Expected every {kind} once and at least one, found {list(names)}: list each name once.")
    return tuple(names)


def without_streams(sample: Sample) -> Sample:
    """The sample without its features: what is kept of it in memory."""
    return Sample(sample.id, {}, sample.scores, sample.group, sample.split)


def shard_name(number: int) -> str:
    """Path of a shard inside the store."""
    return f"shards/{number:05d}.safetensors"


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
            self._map = map_file(path)
            content = memoryview(self._map)
            outside = own_file(path)
            self._start = HEADER_SIZE_BYTES + parse_header(bytes(content[:HEADER_SIZE_BYTES]), len(content), outside)
            self._places = _Places(parse_entries(bytes(content[HEADER_SIZE_BYTES : self._start]), outside))
        except (OSError, ValueError, pa.ArrowException) as error:
            raise self._damaged(f"found a header that cannot be read ({error})") from error

    def stream(self, sample_id: str, stream: str) -> np.ndarray:
        """A read-only view [T, D] of one array; nothing is copied.

        Raises:
            ArtifactError: The shard does not hold it, or not as float32 [T, D].
        """
        name = tensor_name(sample_id, stream)
        try:
            entry = self._places[name]
            rows, columns = entry["shape"]
            begin, end = entry["data_offsets"]
            if min(rows, columns, begin) < 0 or entry["dtype"] != "F32" or end - begin != 4 * rows * columns:
                raise ValueError(f"dtype {entry['dtype']}, shape {entry['shape']}, {end - begin} bytes")
            flat = np.frombuffer(self._map, dtype="<f4", count=rows * columns, offset=self._start + begin)
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise self._damaged(
                f"found no such float32 array [segments, features] for '{shortened(name)}' ({shortened(repr(error))})"
            ) from error
        return flat.reshape(rows, columns)

    def _damaged(self, found: str) -> ArtifactError:
        return ArtifactError(
            f"{self.path}: expected a complete safetensors shard, {found}: the file is damaged; copy or import the "
            "store again."
        )


class _Places:
    """The entries of a shard: where each array stands, in 32 bytes and its name instead of objects of their own."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        usual = {name: one for name, one in entries.items() if one["dtype"] == "F32" and len(one["shape"]) == 2}
        self._others = {name: one for name, one in entries.items() if name not in usual}
        self._row = {name: row for row, name in enumerate(usual)}
        places = [(*one["shape"], *one["data_offsets"]) for one in usual.values()]
        self._places_N4 = np.array(places, dtype=np.int64).reshape(-1, 4)

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        if name not in self._row:
            return self._others[name]
        rows, columns, begin, end = self._places_N4[self._row[name]].tolist()
        return {"dtype": "F32", "shape": [rows, columns], "data_offsets": [begin, end]}
