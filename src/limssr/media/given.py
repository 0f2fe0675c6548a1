"""Recordings that a caller gives by their paths among samples, and the features that take their place."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from limssr.core.errors import InputError
from limssr.media.assemble import assemble
from limssr.media.clock import parse_segments
from limssr.media.encoders.table import check_needs, chosen, stream_names
from limssr.media.jobs import media_job
from limssr.media.manifest import Recording, Recordings, Source
from limssr.media.plan import plan_streams
from limssr.media.record import ExtractionRecord, check_same_encoders, package_versions
from limssr.media.work import encode_file

ALONE = "recording"
"""What a sample's only file is called where the sample is nothing but its path."""


def as_given(samples: Any) -> Any:
    """Samples as they are; where paths are among them, a list of mappings.

    A path is a `pathlib.Path` (or another `os.PathLike`): the sample itself, or the value of a stream. Text is words.
    """
    if isinstance(samples, Mapping | str | bytes | os.PathLike) or hasattr(samples, "columns"):
        return samples
    if not isinstance(samples, Iterable):
        return samples
    return [{ALONE: sample} if isinstance(sample, os.PathLike) else sample for sample in samples]


def plan_given(samples: Any, encoders: Sequence[str] | None, segments: str) -> ExtractionRecord | None:
    """How the recordings among samples are going to be read; None without any.

    Args:
        samples: As `as_given` returned them.
        encoders: As for `limssr extract`; None: the default ones.
        segments: `rg`, `fisv`, `fs1000` or `LENGTH[:STRIDE]`.

    Raises:
        InputError: A file cannot be opened, an encoder is unknown or has nothing to read.
        MissingExtraError: A package is missing.
    """
    if not _has_paths(samples):
        return None
    names = chosen(encoders)
    check_needs(names)
    rows = [_row(sample, index) for index, sample in enumerate(samples)]
    columns = dict.fromkeys(("media", source.name) for row in rows for source in row.sources)
    recordings = Recordings(path=Path("samples"), criteria=(), columns=tuple(columns), rows=tuple(rows))
    failures: dict[str, str] = {}
    streams = plan_streams(recordings, names, failures, called=stream_names(encoders))
    if failures:
        raise InputError(next(iter(failures.values())))
    return ExtractionRecord(segments=parse_segments(segments), streams=streams, packages=package_versions())


def read_given(samples: Any, record: ExtractionRecord | None) -> Any:
    """The samples with features in place of paths; what is given beside them stays.

    Args:
        samples: Whatever a caller gives.
        record: How recordings are read; None where a model learnt from none.

    Raises:
        InputError: A file cannot be read, an encoder here is another one than in training, a stream is given twice, or
            there are recordings and no record.
    """
    samples = as_given(samples)
    if not _has_paths(samples):
        return samples
    if record is None:
        raise InputError("Expected arrays, as in fit, found the path of a recording: fit with recordings.")
    streams = record.streams
    check_same_encoders(record, [stream.name for stream in streams])
    made = []
    for index, sample in enumerate(samples):
        row = _row(sample, index)
        media = {
            source.name: encode_file(media_job(row, source, streams, record.segments, cache=None))
            for source in row.sources
        }
        features = assemble(row, media, streams, record.segments).sample.streams if media else {}
        kept = {str(key): value for key, value in sample.items() if not isinstance(value, os.PathLike)}
        twice = sorted(features.keys() & {key for key, value in kept.items() if value is not None})
        if twice:
            raise InputError(
                f"{row.where}: expected one stream '{twice[0]}', found it given and made of a recording: rename it."
            )
        made.append({**kept, **features})
    return made


def used(record: ExtractionRecord | None, names: Sequence[str]) -> ExtractionRecord | None:
    """The record without streams that no sample has."""
    if record is None:
        return None
    kept = tuple(stream for stream in record.streams if stream.name in names)
    left = tuple(stream.name for stream in record.streams if stream.name not in names)
    return replace(record, streams=kept, left_out=left)


def remembered(document: Mapping[str, Any] | None) -> ExtractionRecord | None:
    """The record that `ExtractionRecord.to_dict` wrote down.

    Raises:
        ArtifactError: Damaged, or of a newer format.
    """
    return None if document is None else ExtractionRecord.from_dict(document)


def sentences(record: ExtractionRecord | None) -> list[str]:
    """One line about how recordings are read; none without any."""
    if record is None:
        return []
    names = ", ".join(dict.fromkeys(str(stream.encoder) for stream in record.streams))
    length_s, stride_s = record.segments.length_s, record.segments.stride_s
    return [f"recordings are read by {names}, in segments of {length_s:g} s every {stride_s:g} s"]


def _has_paths(samples: Any) -> bool:
    return isinstance(samples, list) and any(_paths(sample) for sample in samples)


def _paths(sample: Any) -> dict[str, Path]:
    if not isinstance(sample, Mapping):
        return {}
    return {str(key): Path(value) for key, value in sample.items() if isinstance(value, os.PathLike)}


def _row(sample: Any, index: int) -> Recording:
    where = f"Sample {index}"
    sources = tuple(
        Source(kind="media", name=name, cell=path.name, folder=path.parent) for name, path in _paths(sample).items()
    )
    return Recording(id=str(index), sources=sources, scores_C=np.empty(0), group="", split=None, where=where)
