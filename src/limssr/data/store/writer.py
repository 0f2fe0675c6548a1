"""Writes a feature store: every sample is checked, and the folder appears only when it is complete."""

import hashlib
import io
import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from limssr.core.errors import InputError
from limssr.core.files import check_new, new_folder, write_bytes
from limssr.core.types import SPLITS, Criterion, Modality, Sample, Split
from limssr.core.verified import remember
from limssr.data.store import format as shards
from limssr.data.store.format import (
    FORMAT,
    FORMAT_VERSION,
    HEADER_NAME,
    INDEX_NAME,
    WITHOUT_WORDS,
    WORDS_NAME,
    resolved,
    shard_name,
    without_streams,
)
from limssr.data.store.observed import Observed
from limssr.data.store.words import encode_words, words_rows
from limssr.data.validate import check_collection, check_criteria, check_modalities, check_sample, duplicate_id

SHARD_BYTES = 64 * 1024 * 1024
SHARD_ARRAYS = 16_384
"""Of many short samples: what a shard says of each array is read as a whole."""


class StoreWriter:
    """Write a new store; use it as a context manager.

    Everything goes into a hidden folder beside `path`, which is renamed when the block ends and removed when it is left
    by an exception: a store exists completely or not at all.

    Args:
        path: Must not exist.
        name: Of the data set.
        modalities: All streams.
        criteria: All scores.
        segment_s: Length of a segment in seconds.
        provenance: Where the data came from: plain JSON values, nothing that differs from run to run (times, users).
        derived_scales: Criteria whose scale was taken from the training scores; values outside it are accepted.
        splits_required: Splits that must not be empty.
        shard_bytes: A shard is closed when it holds this much.

    Attributes:
        observed: What was seen in the samples so far.

    Raises:
        InputError: The path exists; a name, a scale, the provenance, a sample or all of them together are not right.
        ResourceError: The disk is full.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        name: str,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        provenance: Mapping[str, Any],
        segment_s: float | None = None,
        derived_scales: Collection[str] = (),
        splits_required: Sequence[Split] = SPLITS,
        shard_bytes: int = SHARD_BYTES,
    ) -> None:
        self.path = Path(path)
        check_new(self.path, "store")
        check_modalities(modalities)
        check_criteria(criteria)
        if not criteria:
            raise InputError("Expected at least one criterion, found none: a store holds scores to learn from.")
        resolved("criterion", list(derived_scales) or None, [criterion.name for criterion in criteria])
        self.modalities, self.criteria = tuple(modalities), tuple(criteria)
        self._header = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION if any(item.words for item in modalities) else WITHOUT_WORDS,
            "name": name,
            "segment_s": _checked_segment_s(segment_s),
            "modalities": [modality.to_dict() for modality in modalities],
            "criteria": [asdict(criterion) for criterion in criteria],
            "derived_scales": sorted(derived_scales),
            "provenance": _checked_json(provenance),
        }
        self.observed = Observed()
        self._splits_required = tuple(splits_required)
        self._shard_bytes = shard_bytes
        self._pending: dict[str, np.ndarray] = {}
        self._pending_bytes = 0
        self._num_shards = 0
        self._columns: dict[str, list[Any]] = {name: [] for name in self._schema().names}
        self._pieces: list[dict[str, Any]] = []
        self._light: dict[str, Sample] = {}
        self._files: dict[str, dict[str, Any]] = {}
        self._stack = ExitStack()
        self._folder: Path | None = None
        self._fingerprint = ""

    def __enter__(self) -> Self:
        self._folder = self._stack.enter_context(new_folder(self.path, "store"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self._finish()
            except BaseException as failure:
                self._stack.__exit__(type(failure), failure, failure.__traceback__)
                raise
        self._stack.__exit__(kind, error, trace)
        if error is None:
            remember(self.path, self._fingerprint, self._files)

    def add(self, sample: Sample) -> None:
        """Check a sample and write it; samples keep their order.

        Raises:
            InputError: The sample is not right; leaving the block with it removes the store.
            ResourceError: The disk is full.
        """
        checked = check_sample(sample, self.modalities, self.criteria, derived_scales=self._header["derived_scales"])
        if checked.id in self._light:
            raise duplicate_id(checked.id)
        size = sum(stream_TD.nbytes for stream_TD in checked.streams.values())
        is_full = self._pending_bytes + size > self._shard_bytes
        if self._pending and (is_full or len(self._pending) + len(checked.streams) > SHARD_ARRAYS):
            self._write_shard()
        self.observed.add(sample, checked)
        self._light[checked.id] = without_streams(checked)
        for name, value in self._row(checked).items():
            self._columns[name].append(value)
        self._pieces += words_rows(checked, self.modalities)
        for stream, stream_TD in checked.streams.items():
            self._pending[shards.tensor_name(checked.id, stream)] = stream_TD
        self._pending_bytes += size

    def record(self, **provenance: Any) -> None:
        """Add to the provenance what only became known while samples were written.

        Raises:
            InputError: Not plain JSON values.
        """
        self._header["provenance"] |= _checked_json(provenance)

    def _row(self, sample: Sample) -> dict[str, Any]:
        row: dict[str, Any] = {
            "id": sample.id,
            "split": sample.split,
            "group": sample.group,
            "num_segments": sample.num_segments,
            "shard": self._num_shards,
        }
        for modality in self.modalities:
            stream_TD = sample.streams.get(modality.name)
            row[f"valid:{modality.name}"] = None if stream_TD is None else int((~np.isnan(stream_TD[:, 0])).sum())
        for criterion, score in zip(self.criteria, sample.scores, strict=True):
            row[f"score:{criterion.name}"] = None if np.isnan(score) else float(score)
        return row

    def _write_shard(self) -> None:
        self._write(shard_name(self._num_shards), shards.encode(self._pending))
        self._num_shards += 1
        self._pending, self._pending_bytes = {}, 0

    def _finish(self) -> None:
        check_collection(self._light.values(), self.criteria, splits_required=self._splits_required)
        if self._pending:
            self._write_shard()
        buffer = io.BytesIO()
        pq.write_table(pa.table(self._columns, schema=self._schema()), buffer)
        self._write(INDEX_NAME, buffer.getvalue())
        if self._header["format_version"] == FORMAT_VERSION:
            self._write(WORDS_NAME, encode_words(self._pieces))
        splits = {split: self._columns["split"].count(split) for split in SPLITS}
        header = {**self._header, "num_samples": len(self._light), "splits": splits, "files": self._files}
        self._write(HEADER_NAME, (json.dumps(header, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())
        self._fingerprint = self._files[HEADER_NAME]["sha256"]

    def _schema(self) -> pa.Schema:
        fields = [("id", pa.string()), ("split", pa.string()), ("group", pa.string())]
        fields += [("num_segments", pa.int32()), ("shard", pa.int32())]
        fields += [(f"valid:{modality.name}", pa.int32()) for modality in self.modalities]
        fields += [(f"score:{criterion.name}", pa.float64()) for criterion in self.criteria]
        return pa.schema(fields)

    def _write(self, name: str, content: bytes) -> None:
        assert self._folder is not None, "StoreWriter is a context manager: use it in a with statement"
        path = self._folder / name
        path.parent.mkdir(exist_ok=True)
        write_bytes(path, content)
        self._files[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _checked_segment_s(segment_s: float | None) -> float | None:
    if segment_s is not None and not 0 < segment_s < float("inf"):
        raise InputError(f"Expected a segment length above 0 s, found {segment_s}: give the seconds of a segment.")
    return segment_s


def _checked_json(provenance: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return json.loads(json.dumps(dict(provenance), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"Expected provenance of plain JSON values, found one that is not: {error}.") from error
