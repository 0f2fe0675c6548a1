"""Reads a feature store: a folder with `store.json`, `index.parquet` and `shards/*.safetensors`.

`docs/data-format.md` describes every field. A store never changes once it exists: it is written beside its final place,
renamed when it is complete, and `store.json` holds size and SHA-256 of every other file. Times and machine names are
not part of it, so the same input gives the same bytes.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from limssr.core.errors import ArtifactError, InputError, unknown_name
from limssr.core.quoting import listed, quoted
from limssr.core.reading.fields import made
from limssr.core.reading.records import own_file
from limssr.core.reading.tables import read_parquet
from limssr.core.types import SPLITS, Criterion, Modality, Sample, Split
from limssr.core.verified import is_as_verified, remember
from limssr.core.words import Words
from limssr.data.store import format as shards
from limssr.data.store.format import (
    HEADER_NAME,
    INDEX_NAME,
    StoreInfo,
    altered,
    check_hash,
    check_size,
    read_header,
    resolved,
    shard_name,
    without_streams,
)
from limssr.data.store.mapped import give_back
from limssr.data.store.observed import Observed
from limssr.data.store.remote import local_folder
from limssr.data.store.rows import Rows
from limssr.data.store.words import read_words
from limssr.data.store.writer import StoreWriter
from limssr.data.validate import check_collection, check_criteria, check_modalities, check_sample

__all__ = ["FeatureStore", "Progress", "StoreInfo", "StoreWriter"]

Progress = Callable[[int, int], None]


class FeatureStore:
    """A read-only view of a store.

    Attributes:
        path: The folder.
        modalities: All streams, in the order of the columns.
        criteria: All scores.
        info: Name, segment length, provenance.
        index: One row a sample: id, split, group, num_segments, shard, `valid:STREAM` (number of valid segments, null
            where the stream is absent), `score:CRITERION` (null where not judged).
    """

    def __init__(self, path: Path, header: Mapping[str, Any], index: pa.Table, fingerprint: str) -> None:
        """Use `FeatureStore.open`."""
        self.path = path
        self.fingerprint = fingerprint
        self.modalities = tuple(Modality(**entry) for entry in header["modalities"])
        self.criteria = tuple(Criterion(**entry) for entry in header["criteria"])
        self.info = StoreInfo(
            header["name"],
            header["segment_s"],
            header["provenance"],
            header["format_version"],
            tuple(header["derived_scales"]),
        )
        self.index = index
        self._files: Mapping[str, Mapping[str, Any]] = header["files"]
        self._shards: dict[int, shards.Shard] = {}

    @classmethod
    def open(cls, path: Path | str) -> "FeatureStore":
        """Open a store: format, presence and size of every file, hash of the index. Shards are not read.

        Args:
            path: Its folder, or an address (`limssr.data.store.remote`), of which a verified copy is made.

        Raises:
            ArtifactError: Not a store, of a newer format, or a file is missing or altered; the message names it.
        """
        path = local_folder(path)
        content, header = read_header(path)
        for name, entry in header["files"].items():
            check_size(path / name, entry["bytes"])
        index_path = path / INDEX_NAME
        check_hash(index_path, header["files"][INDEX_NAME]["sha256"])
        index = read_parquet(own_file(index_path))
        fingerprint = hashlib.sha256(content).hexdigest()
        store = made(own_file(path / HEADER_NAME), "fields", lambda: cls(path, header, index, fingerprint)._checked())
        store._check_index()
        return store

    def _checked(self) -> "FeatureStore":
        check_modalities(self.modalities)
        check_criteria(self.criteria)
        return self

    def _check_index(self) -> None:
        """Refuse an index whose columns are not those that the header promises."""
        text, whole, number = (pa.types.is_string, pa.types.is_integer, pa.types.is_floating)
        needed = {"id": text, "split": text, "group": text, "num_segments": whole, "shard": whole}
        needed |= {f"valid:{modality.name}": whole for modality in self.modalities}
        needed |= {f"score:{criterion.name}": number for criterion in self.criteria}
        outside = own_file(self.path / INDEX_NAME)
        for name, is_kind in needed.items():
            if self.index.column_names.count(name) != 1 or not is_kind(self.index.schema.field(name).type):
                raise outside.refused(f"no column {quoted(name)} of the right type")
            if ":" not in name and self.index.column(name).null_count and name != "group":
                raise outside.refused(f"gaps in the column {quoted(name)}")
        known = {number for number in range(len(self._files)) if shard_name(number) in self._files}
        shards_used = set(self.index.column("shard").unique().to_pylist())
        if not shards_used <= known:
            raise outside.refused(f"samples in shards that the store does not have ({listed(shards_used - known)})")
        if pc.count_distinct(self.index.column("id")).as_py() != self.index.num_rows:  # type: ignore[attr-defined]
            raise outside.refused("ids that occur twice")

    def __len__(self) -> int:
        return self.index.num_rows

    def __repr__(self) -> str:
        streams = ", ".join(modality.name for modality in self.modalities)
        return f"FeatureStore({str(self.path)!r}: {len(self)} samples of {streams})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Memory maps do not travel to another process: it opens the folder again.
        return (FeatureStore.open, (self.path,))

    def ids(self, split: Split | None = None) -> tuple[str, ...]:
        """The ids of a split, or of all samples, in the order in which they were written."""
        return self._rows.ids(split)

    @cached_property
    def words(self) -> Mapping[str, Mapping[str, Words]]:
        """Sample -> stream of words -> what was said; read when it is first asked for.

        Raises:
            ArtifactError: The file is damaged.
        """
        return read_words(self.path, self._files) if shards.WORDS_NAME in self._files else {}

    def sample(self, sample_id: str) -> Sample:
        """One sample; its streams are read-only views of memory-mapped files, read when they are used.

        Raises:
            InputError: No such id.
            ArtifactError: Its shard is damaged.
        """
        if sample_id not in self._rows:
            raise unknown_name("sample", sample_id, self.ids())
        row = self._rows[sample_id]
        shard = self._shard(row.shard)
        streams = {name: shard.stream(sample_id, name) for name in row.streams}
        said = {name: words for name, words in self.words.get(sample_id, {}).items() if name in streams}
        return Sample(sample_id, streams, row.scores, row.group, row.split, words=said)

    def described(self, sample_id: str) -> Sample:
        """A sample without its streams, from the index alone."""
        row = self._rows[sample_id]
        return Sample(sample_id, {}, row.scores, row.group, row.split)

    def samples(
        self,
        split: Split | None = None,
        modalities: Sequence[str] | None = None,
        criteria: Sequence[str] | None = None,
    ) -> list[Sample]:
        """The samples of a split, or all.

        Args:
            split: "train", "val", "test", or None for all.
            modalities: Only these streams, in this order. A sample that owns none of them is left out.
            criteria: Only these scores, in this order; None for all.

        Raises:
            InputError: An unknown name (the message has the nearest one).
        """
        streams, scores = self.select(modalities, criteria)
        if split is not None and split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        columns = [self.criteria.index(criterion) for criterion in scores]
        names = tuple(modality.name for modality in streams)
        found = []
        for sample_id in self.ids(split):
            sample = self.sample(sample_id).restricted_to(names)
            if sample.streams:
                found.append(replace(sample, scores=sample.scores[columns]))
        return found

    def select(
        self, modalities: Sequence[str] | None = None, criteria: Sequence[str] | None = None
    ) -> tuple[tuple[Modality, ...], tuple[Criterion, ...]]:
        """Resolve names, in the order given; None means all.

        Raises:
            InputError: An unknown or repeated name, or none at all; the message has the nearest valid name.
        """
        streams = {modality.name: modality for modality in self.modalities}
        scores = {criterion.name: criterion for criterion in self.criteria}
        return (
            tuple(streams[name] for name in resolved("stream", modalities, streams)),
            tuple(scores[name] for name in resolved("criterion", criteria, scores)),
        )

    def check(self, say: Callable[[str], None] | None = None) -> None:
        """See that every file is as when the store was last hashed here; hash it where that is not so.

        Size, times and place of the files are compared, which costs milliseconds; importing a store and `verify` write
        them down.

        Args:
            say: Told why the whole store is read, where it is.

        Raises:
            ArtifactError: A file is missing or altered (named), or its content breaks a rule of the format.
        """
        same = is_as_verified(self.path, self.fingerprint, (HEADER_NAME, *self._files))
        if same:
            return
        if same is False and say is not None:
            say(f"{self.path}: files look other than when they were last verified; verifying every file again")
        self.verify()

    def verify(self, progress: Progress | None = None) -> list[str]:
        """Read everything: the hash of every file, then every sample and all of them together as when written.

        Args:
            progress: Called as (done, total) after every file.

        Returns:
            A sentence for each kind of identical features under several ids: in two splits, a test result is flattered.

        Raises:
            ArtifactError: A file is missing or altered (named), or its content breaks a rule of the format.
        """
        for done, (name, entry) in enumerate(self._files.items(), start=1):
            check_size(self.path / name, entry["bytes"])
            check_hash(self.path / name, entry["sha256"])
            if progress:
                progress(done, len(self._files))
        if hashlib.sha256((self.path / HEADER_NAME).read_bytes()).hexdigest() != self.fingerprint:
            raise altered(self.path / HEADER_NAME, "the file that was opened", "another content")
        try:
            copies = self._check_content()
        except ArtifactError:
            raise
        except InputError as error:
            raise ArtifactError(f"{self.path}: {error} The store breaks its own rules: import it again.") from error
        remember(self.path, self.fingerprint, (HEADER_NAME, *self._files))
        return copies

    def _check_content(self) -> list[str]:
        light, observed = [], Observed()
        for sample in self._each():
            check_sample(sample, self.modalities, self.criteria, derived_scales=self.info.derived_scales)
            light.append(without_streams(sample))
            if sample.streams:
                observed.add(sample, sample)
            for stream_TD in sample.streams.values():
                give_back(stream_TD)
        check_collection(light, self.criteria, splits_required=[])
        return observed.copies()

    def _each(self) -> Iterator[Sample]:
        return (self.sample(sample_id) for sample_id in self.ids())

    @cached_property
    def _rows(self) -> Rows:
        return Rows(self.index, self.modalities, self.criteria)

    def _shard(self, number: int) -> shards.Shard:
        if number not in self._shards:
            self._shards[number] = shards.Shard(self.path / shard_name(number))
        return self._shards[number]
