"""A new version of a store with more samples, without writing its shards again."""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from limssr.core.errors import InputError
from limssr.core.files import new_folder, write_bytes
from limssr.core.quoting import listed
from limssr.core.reading.records import own_file
from limssr.core.reading.tables import read_parquet
from limssr.core.types import Sample
from limssr.core.verified import remember
from limssr.data.store.format import HEADER_NAME, INDEX_NAME, WORDS_NAME, read_header, shard_name
from limssr.data.store.reader import FeatureStore
from limssr.data.validate import check_collection

SAME = ("modalities", "criteria", "segment_s", "derived_scales")
"""What two stores have to say alike for one to go on the other."""


def append(store: Path | str, more: Path | str, out: Path) -> FeatureStore:
    """Make a store of two: the samples of the first, then those of the second.

    Shards are linked where the disk can do that, else copied; either way none is decoded. The first store stays as it
    is, so that runs on it can be repeated.

    Args:
        store: The older version.
        more: A store with the same streams and criteria, of the samples to be added.
        out: Folder to make.

    Raises:
        InputError: They differ in more than their samples, an id is in both, a group would be in two splits, or `out`
            exists.
        ArtifactError: One of them is damaged.
    """
    parts = [FeatureStore.open(one) for one in (store, more)]
    headers = [read_header(one.path)[1] for one in parts]
    _check_alike(headers)
    _check_ids(parts)
    for one in parts:
        one.check()
    check_collection(list(_light(parts)), parts[0].criteria, splits_required=[])
    with new_folder(out, "store") as folder:
        files = _linked(parts, headers, folder)
        first = _num_shards(headers[0])
        index = pa.concat_tables([parts[0].index, _moved(parts[1].index, first)])
        files[INDEX_NAME] = _written(folder / INDEX_NAME, _encoded(index))
        said = [read_parquet(own_file(one.path / WORDS_NAME)) for one in parts if (one.path / WORDS_NAME).exists()]
        if said:
            files[WORDS_NAME] = _written(folder / WORDS_NAME, _encoded(pa.concat_tables(said)))
        header = {
            **headers[0],
            "format_version": max(one["format_version"] for one in headers),
            "num_samples": index.num_rows,
            "splits": {name: sum(one["splits"][name] for one in headers) for name in headers[0]["splits"]},
            "provenance": {
                **headers[0]["provenance"],
                "appended": [*headers[0]["provenance"].get("appended", ()), _origin(parts[1], headers[1])],
            },
            "files": files,
        }
        content = (json.dumps(header, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
        fingerprint = _written(folder / HEADER_NAME, content)["sha256"]
    remember(out, fingerprint, (HEADER_NAME, *files))
    return FeatureStore.open(out)


def _check_alike(headers: list[dict[str, Any]]) -> None:
    for key in SAME:
        if headers[0][key] != headers[1][key]:
            raise InputError(
                f"Expected the same {key} in both stores, found {headers[0][key]} and {headers[1][key]}: import the "
                "new samples as the old ones were."
            )


def _check_ids(parts: list[FeatureStore]) -> None:
    known = set(parts[0].ids())
    if both := [name for name in parts[1].ids() if name in known]:
        raise InputError(
            f"Expected only new samples, found {len(both)} that the store has ({listed(both)}): leave them out."
        )


def _light(parts: list[FeatureStore]) -> Iterator[Sample]:
    return (one.described(name) for one in parts for name in one.ids())


def _linked(parts: list[FeatureStore], headers: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """The shards of both, those of the second under the numbers behind the first's."""
    files: dict[str, Any] = {}
    (folder / shard_name(0)).parent.mkdir()
    for one, header in zip(parts, headers, strict=True):
        first = len(files)
        for number in range(_num_shards(header)):
            name = shard_name(first + number)
            source = one.path / shard_name(number)
            try:
                os.link(source, folder / name)
            except OSError:  # another disk, or one that knows no links
                shutil.copyfile(source, folder / name)
            files[name] = header["files"][shard_name(number)]
    return files


def _moved(index: pa.Table, first: int) -> pa.Table:
    place = index.column_names.index("shard")
    shards = pa.array(index.column("shard").to_numpy() + first, index.schema.field("shard").type)
    return index.set_column(place, index.schema.field("shard"), shards)


def _num_shards(header: dict[str, Any]) -> int:
    return sum(name not in (INDEX_NAME, WORDS_NAME) for name in header["files"])


def _origin(store: FeatureStore, header: dict[str, Any]) -> dict[str, Any]:
    return {"name": header["name"], "fingerprint": store.fingerprint, "provenance": header["provenance"]}


def _encoded(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table.combine_chunks(), buffer)
    return buffer.getvalue()


def _written(path: Path, content: bytes) -> dict[str, Any]:
    write_bytes(path, content)
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
