"""The words of a store: one table of pieces with their times, as text and never as tokens of one language model."""

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from limssr.core.errors import InputError
from limssr.core.reading.fields import made
from limssr.core.reading.records import own_file
from limssr.core.reading.tables import read_parquet
from limssr.core.types import Modality, Sample
from limssr.core.words import Words
from limssr.data.store.format import WORDS_NAME, check_hash

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("stream", pa.string()),
        ("segment", pa.int32()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("text", pa.string()),
    ]
)
"""Null: segment where the text is of the whole performance, times where there are none, text where there is a gap."""


def words_rows(sample: Sample, modalities: Sequence[Modality]) -> list[dict[str, Any]]:
    """The pieces of a sample as rows of the table.

    Raises:
        InputError: The sample owns a stream of words and has none, or has words of a stream of numbers.
    """
    rows = []
    for modality in modalities:
        words = sample.words.get(modality.name)
        if (words is not None) != (bool(modality.words) and modality.name in sample.streams):
            raise InputError(
                f"Sample '{sample.id}', stream '{modality.name}': expected words with a stream of words and with no "
                f"other, found {'words' if words is not None else 'none'}: give both, or neither."
            )
        if words is None:
            continue
        for n, piece in enumerate(words.pieces):
            start, end = (None, None) if words.times is None else words.times[n]
            segment = None if words.segments is None else words.segments[n]
            rows.append(dict(zip(SCHEMA.names, (sample.id, modality.name, segment, start, end, piece), strict=True)))
    return rows


def encode_words(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The bytes of the file; the same pieces give the same bytes."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA), buffer)
    return buffer.getvalue()


def read_words(store: Path, files: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Words]]:
    """Sample -> stream -> words.

    Raises:
        ArtifactError: The file was altered, or its columns are not those of the format.
    """
    check_hash(store / WORDS_NAME, files[WORDS_NAME]["sha256"])
    outside = own_file(store / WORDS_NAME)
    table = read_parquet(outside, columns=SCHEMA.names)
    pieces: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in table.to_pylist():
        pieces[row["id"], row["stream"]].append(row)
    found: dict[str, dict[str, Words]] = defaultdict(dict)
    for (sample, stream), rows in pieces.items():
        found[sample][stream] = made(outside, "words", lambda rows=rows: _words(rows))
    return dict(found)


def _words(rows: Sequence[Mapping[str, Any]]) -> Words:
    timed = rows[0]["start_s"] is not None
    placed = rows[0]["segment"] is not None
    return Words(
        tuple(row["text"] for row in rows),
        tuple((float(row["start_s"]), float(row["end_s"])) for row in rows) if timed else None,
        tuple(int(row["segment"]) for row in rows) if placed else None,
    )
