"""The index of a store in memory: columns and one place a sample, some 150 bytes each, whatever their number."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from limssr.core.types import Criterion, Modality, Split

ABSENT = -1
"""Stands for the number of valid segments where a sample does not own the stream."""


@dataclass(frozen=True)
class Row:
    """What the index says of a sample.

    Attributes:
        split: Its part of the store.
        group: Its group; "" where it has none.
        shard: Number of the shard that holds its streams.
        streams: Those that it owns, in the order of the store.
        scores: [C], NaN where not judged.
    """

    split: Split
    group: str
    shard: int
    streams: tuple[str, ...]
    scores: np.ndarray


class Rows:
    """An index by id.

    Args:
        index: A checked table, as `FeatureStore.index`.
        modalities: Of the store.
        criteria: Of the store.
    """

    def __init__(self, index: pa.Table, modalities: Sequence[Modality], criteria: Sequence[Criterion]) -> None:
        self._names = tuple(modality.name for modality in modalities)
        self._place = {name: place for place, name in enumerate(index.column("id").to_pylist())}
        self._split, self._splits = _coded(index.column("split"))
        self._group, self._groups = _coded(index.column("group"))
        self._shard_N = index.column("shard").to_numpy()
        shape = (index.num_rows, 0)
        owned = [index.column(f"valid:{name}").is_valid().to_numpy() for name in self._names]
        self._owned_NM = np.stack(owned, axis=1) if owned else np.empty(shape, dtype=bool)
        scores = [index.column(f"score:{one.name}").to_numpy().astype(np.float64) for one in criteria]
        self._scores_NC = np.stack(scores, axis=1) if scores else np.empty(shape)

    def __contains__(self, name: object) -> bool:
        return name in self._place

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __getitem__(self, name: str) -> Row:
        place = self._place[name]
        group = self._group[place]
        return Row(
            self._splits[self._split[place]],  # type: ignore[arg-type]
            "" if group < 0 else self._groups[group],
            int(self._shard_N[place]),
            tuple(stream for stream, owns in zip(self._names, self._owned_NM[place], strict=True) if owns),
            self._scores_NC[place].copy(),
        )

    def ids(self, split: str | None = None) -> tuple[str, ...]:
        """Of a split, or all, in the order in which they were written."""
        if split is None:
            return tuple(self._place)
        wanted = self._splits.index(split) if split in self._splits else ABSENT
        return tuple(name for name, code in zip(self._place, self._split.tolist(), strict=True) if code == wanted)


def _coded(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """Each value once, and its number in every row; -1 for none."""
    coded = column.combine_chunks().dictionary_encode()
    return coded.indices.fill_null(ABSENT).to_numpy(zero_copy_only=False).astype(np.int32), coded.dictionary.to_pylist()
