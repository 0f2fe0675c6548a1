"""From the results of its files to one sample: all streams on one clock, with the same T."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from limssr.core.errors import InputError
from limssr.core.types import Sample
from limssr.core.words import Words
from limssr.data.importers.table.files import read_stream
from limssr.data.words.clean import cleaned
from limssr.data.words.files import read_cell
from limssr.data.words.streams import WordStreams
from limssr.media.clock import NS, Segments, rows_ns, to_ns
from limssr.media.manifest import Recording, Source
from limssr.media.record import Stamps, StreamRecord
from limssr.media.sensors import SensorTable, array_segments, on_one_clock, read_sensor, sensor_columns, sensor_segments
from limssr.media.work import FileResult


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """A sample and what should be known about it.

    Attributes:
        sample: All streams with the same T; a stream without any valid segment is left out when it is written.
        from_first: Sensors whose time stamps were counted from their first row.
        remarks: (Sensor, how its table was read).
    """

    sample: Sample
    from_first: tuple[str, ...] = field(default=())
    remarks: tuple[tuple[str, str], ...] = field(default=())


def offset_ns(source: Source, *, where: str) -> int:
    """Where a file's zero lies on the recording's clock.

    Raises:
        InputError: Not a number of seconds.
    """
    if not source.offset:
        return 0
    try:
        return to_ns(float(source.offset))
    except ValueError as error:
        raise InputError(
            f"{where}: expected seconds in column 'offset:{source.name}', found {source.offset!r}: correct it."
        ) from error


def assemble(
    row: Recording,
    media: Mapping[str, FileResult],
    streams: Sequence[StreamRecord],
    segments: Segments,
    words: WordStreams | None = None,
    *,
    stamps: Stamps = "shared",
) -> Assembled:
    """Bring everything that a performance has onto its T segments.

    T comes from the media; where there are none, from the longest of the sensors and of the arrays with a rate; where
    there is none of these either, from the arrays whose rows are segments.

    Args:
        row: Of the manifest.
        media: Column -> what its file gave.
        streams: The streams of the store.
        segments: The clock.
        words: Where streams of words are seen; None: they are not looked for.
        stamps: Whether sensors with time stamps are counted from the earliest of their first rows, or, as stores of
            older versions were, each from its own.

    Raises:
        InputError: A table or an array is not right, or nothing lies within the recording.
    """
    known = {stream.column: _readings_of(stream) for stream in streams if stream.kind == "sensor"}
    sensors = {
        source.name: read_sensor(
            source.path, offset=source.offset, where=_about(row, source), keep=known.get(source.name, ())
        )
        for source in row.of_kind("sensor")
    }
    if stamps == "shared":
        sensors = on_one_clock(sensors, where=f"{row.where}: '{row.id}'")
    arrays = {
        source.name: read_stream(source.cell, source.folder, where=_about(row, source)).array
        for source in row.of_kind("stream")
    }
    timed = {source.name: _array_times(source, arrays[source.name], row) for source in row.of_kind("stream")}
    said = {
        source.name: _words(source, row)
        for source in row.of_kind("text")
        if words is not None and any(source.name == modality.name for modality in words.modalities)
    }
    number = _num_segments(media, sensors, arrays, timed, segments)
    made: dict[str, np.ndarray] = {}
    for stream in streams:
        if stream.kind == "media" and stream.column in media:
            values_KD = media[stream.column].values.get(str(stream.encoder))
            if values_KD is not None:
                made[stream.name] = _fitted(values_KD, number)
        elif stream.kind == "sensor" and stream.column in sensors:
            made[stream.name] = _sensor(sensors[stream.column], stream, segments, number, row)
        elif stream.kind == "stream" and stream.column in arrays:
            times_ns = timed[stream.column]
            rows_NF = np.asarray(arrays[stream.column])
            made[stream.name] = rows_NF if times_ns is None else array_segments(rows_NF, times_ns, segments, number)
    sample = Sample(row.id, made, row.scores_C, row.group, row.split)
    sample = sample if words is None else words.join(sample, said, where=row.where)
    return Assembled(
        sample=sample,
        from_first=tuple(name for name, table in sensors.items() if table.from_first),
        remarks=tuple((name, remark) for name, table in sensors.items() for remark in table.remarks),
    )


def _about(row: Recording, source: Source) -> str:
    return f"{row.where}: '{row.id}', {source.kind}:{source.name}"


def word_streams(streams: Sequence[StreamRecord], segments: Segments, criteria: Sequence[str] = ()) -> WordStreams:
    """Where the streams of words of a store are seen.

    Raises:
        InputError: A view is not available here, or has other weights than in training.
    """
    return WordStreams(
        modalities=[stream.modality for stream in streams if stream.words],
        segment_s=segments.stride_s,
        criteria=criteria,
    )


def _words(source: Source, row: Recording) -> Words:
    """The words of a source on the recording's clock."""
    where = _about(row, source)
    read, shift_s = (
        read_cell(source.cell, source.folder, where=where, clean=cleaned),
        offset_ns(source, where=where) / NS,
    )
    times = None if read.times is None else tuple((start + shift_s, end + shift_s) for start, end in read.times)
    return Words(read.pieces, times)


def _array_times(source: Source, array: np.ndarray, row: Recording) -> np.ndarray | None:
    """The moments that the rows of an array stand for; None if they are segments."""
    if source.rate_hz is None:
        return None
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise InputError(
            f"{_about(row, source)}: expected numbers of rank 2, [rows, features], found {array.dtype} of rank "
            f"{array.ndim}: convert it."
        )
    return rows_ns(len(array), source.rate_hz, offset_ns(source, where=_about(row, source)))


def _num_segments(
    media: Mapping[str, FileResult],
    sensors: Mapping[str, SensorTable],
    arrays: Mapping[str, np.ndarray],
    timed: Mapping[str, np.ndarray | None],
    segments: Segments,
) -> int:
    ends = [result.end_ns for result in media.values()]
    ends = ends or [table.end_ns for table in sensors.values()] + [
        int(times_ns[-1]) + 1 for times_ns in timed.values() if times_ns is not None and len(times_ns)
    ]
    if ends:
        return segments.number(max(0, *ends))
    return max((len(array) for array in arrays.values()), default=1)


def _readings_of(stream: StreamRecord) -> tuple[str, ...]:
    """The readings that a sensor's stream was made of."""
    means = stream.columns[: (len(stream.columns) - 1) // 5]
    return tuple(name.removesuffix(".mean") for name in means)


def _sensor(table: SensorTable, stream: StreamRecord, segments: Segments, number: int, row: Recording) -> np.ndarray:
    if sensor_columns(table.columns) != stream.columns:
        raise InputError(
            f"{row.where}: '{row.id}', sensor:{stream.column}: expected the readings "
            f"{', '.join(_readings_of(stream))}, found {', '.join(table.columns)}: all tables "
            "of a sensor must have the same columns in the same order."
        )
    values_TD = sensor_segments(table, segments, number)
    if np.isnan(values_TD).all():
        first_s, last_s = table.times_ns[0] / NS, table.times_ns[-1] / NS
        end_s = (segments.start_ns(number - 1) + segments.length_ns) / NS
        raise InputError(
            f"{row.where}: '{row.id}', sensor:{stream.column}: expected readings within the recording (0 to "
            f"{end_s:.1f} s), found times from {first_s:.1f} to {last_s:.1f} s that fill no segment: give the column "
            f"'offset:{stream.column}', or leave the cell empty."
        )
    return values_TD


def _fitted(values_KD: np.ndarray, number: int) -> np.ndarray:
    """Cut, or filled up with segments that are not valid."""
    if len(values_KD) >= number:
        return values_KD[:number]
    missing = np.full((number - len(values_KD), values_KD.shape[1]), np.nan, np.float32)
    return np.concatenate([values_KD, missing])
