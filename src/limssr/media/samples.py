"""New recordings -> samples for a trained model, made in the way its training data was made."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limssr.core.errors import InputError, MissingExtraError
from limssr.core.types import Modality, Sample
from limssr.data.importers.table.manifest import MANIFESTS
from limssr.data.validate import check_sample
from limssr.media.assemble import assemble, word_streams
from limssr.media.jobs import media_job
from limssr.media.manifest import Recording, Source, load_recordings
from limssr.media.record import ExtractionRecord, StreamRecord, check_same_encoders
from limssr.media.work import encode_file

# What is taken from a folder; a file that is named is read whatever it is called.
PICTURE_SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv"),
    *(".ts", ".vob", ".webm", ".wmv"),
)
SOUND_SUFFIXES = (".aac", ".aif", ".aiff", ".flac", ".m4a", ".mka", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma")


@dataclass(frozen=True, kw_only=True)
class NewRecordings:
    """Recordings that can be scored, and those that cannot.

    Attributes:
        samples: Each with the streams that its files have.
        encoders_s: Seconds that loading the encoders took.
        read_s: Recording -> seconds that reading its files took, also where it failed.
        failures: Recording -> why it cannot be read.
        notes: What was damaged.
    """

    samples: tuple[Sample, ...]
    encoders_s: float
    read_s: Mapping[str, float]
    failures: Mapping[str, str]
    notes: tuple[str, ...]


def read_recordings(source: Path, record: ExtractionRecord, modalities: Sequence[Modality]) -> NewRecordings:
    """Read new recordings.

    Args:
        source: A file, a folder of files, or a manifest with `media:` or `sensor:` columns.
        record: How the model's training data was made.
        modalities: The streams that the model reads.

    Raises:
        InputError: An encoder here differs from that of the training data, or nothing can be read.
        MissingExtraError: A package is missing.
    """
    begun = time.perf_counter()
    names = tuple(modality.name for modality in modalities)
    streams = [stream for stream in record.streams if stream.name in names]
    check_same_encoders(record, names)
    rows, words = _rows(source, streams), word_streams(streams, record.segments)
    encoders_s = time.perf_counter() - begun
    samples, read_s, failures, notes = [], {}, {}, []
    for row in rows:
        begun = time.perf_counter()
        try:
            media = {
                part.name: encode_file(media_job(row, part, streams, record.segments, cache=None))
                for part in row.of_kind("media")
            }
            sample = assemble(row, media, streams, record.segments, words, stamps=record.stamps).sample
            samples.append(check_sample(sample, modalities, (), scores="optional"))
        except MissingExtraError:
            raise
        except InputError as error:
            failures[row.id] = str(error)
            continue
        finally:
            read_s[row.id] = time.perf_counter() - begun
        for result in media.values():
            notes += [f"'{row.id}' is damaged from {at_s:.1f} s on: {what}" for at_s, what in result.damage[:1]]
    if not samples:
        reason = next(iter(failures.values()))
        raise InputError(reason if len(failures) == 1 else f"None of {len(failures)} recordings can be read: {reason}")
    return NewRecordings(
        samples=tuple(samples), encoders_s=encoders_s, read_s=read_s, failures=failures, notes=tuple(notes)
    )


def _rows(source: Path, streams: Sequence[StreamRecord]) -> list[Recording]:
    if source.is_file() and source.suffix.lower() in MANIFESTS:
        return list(load_recordings(source, use="predict").rows)
    columns = list(dict.fromkeys(stream.column for stream in streams if stream.kind == "media"))
    if len(columns) != 1:
        raise InputError(
            f"Expected a manifest, since the model reads {', '.join(stream.source for stream in streams)}, found "
            f"{source}: write a table with the column id and these columns."
        )
    known = (*PICTURE_SUFFIXES, *SOUND_SUFFIXES)
    paths = [source]
    if source.is_dir():
        paths = sorted(path for path in source.iterdir() if path.is_file() and path.suffix.lower() in known)
    if not paths:
        raise InputError(f"Expected recordings in the folder {source}, found none: give a folder with videos or sound.")
    return [
        Recording(
            id=path.name,
            sources=(Source(kind="media", name=columns[0], cell=path.name, folder=path.parent),),
            scores_C=np.empty(0),
            group="",
            split=None,
            where=str(path),
        )
        for path in paths
    ]
