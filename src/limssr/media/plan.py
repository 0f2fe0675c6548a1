"""The streams that a table of recordings gives, by its columns, the chosen encoders and the files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from limssr.core.errors import InputError, MissingExtraError
from limssr.data.importers.table.files import read_stream
from limssr.data.words.names import DEFAULT
from limssr.data.words.views import view
from limssr.media.containers import MediaInfo, probe
from limssr.media.encoders.table import ENCODERS, card_of
from limssr.media.manifest import Recordings
from limssr.media.record import StreamRecord, encoder_record
from limssr.media.sensors import read_sensor, sensor_columns


def plan_streams(
    recordings: Recordings,
    encoders: Sequence[str],
    failures: dict[str, str],
    *,
    words: str = DEFAULT,
    called: Mapping[str, str] = MappingProxyType({}),
) -> tuple[StreamRecord, ...]:
    """The streams of the store, in the order of the columns and of the encoders.

    A column `media:NAME` whose NAME is that of an encoder is read by this encoder alone. Otherwise every chosen encoder
    reads it, and its stream is called like the encoder; where there are several such columns, NAME-ENCODER. An encoder
    that finds nothing to read in any file of a column gives no stream.

    Args:
        recordings: The manifest.
        encoders: The chosen ones.
        failures: Performance -> reason; files that cannot be opened are added.
        words: The view of streams of words.
        called: Encoder -> what its stream is called, where it is not called like the encoder.

    Raises:
        InputError: A column in which no file can be read, or nothing that an encoder could read.
    """
    opened = _opened(recordings, failures)
    shared = [name for kind, name in recordings.columns if kind == "media" and name not in ENCODERS]
    streams: list[StreamRecord] = []
    for kind, name in recordings.columns:
        if kind == "media":
            streams += _media_streams(recordings, name, encoders, opened, several=len(shared) > 1, called=called)
        elif kind == "sensor":
            columns = sensor_columns(_first_sensor(recordings, name, failures))
            streams.append(StreamRecord(name=name, source=f"sensor:{name}", columns=columns))
        elif kind == "text":
            if not any(source.name == name for row in recordings.rows for source in row.of_kind("text")):
                raise InputError(
                    f"{recordings.path}, column 'text:{name}': expected at least one performance with words, found "
                    "only empty cells: fill it in, or remove the column."
                )
            streams.append(StreamRecord(name=name, source=f"text:{name}", words=view(words).name))
        else:
            width = _first_width(recordings, name, failures)
            columns = tuple(f"feature{number:04d}" for number in range(width))
            streams.append(StreamRecord(name=name, source=f"stream:{name}", columns=columns))
    if not streams:
        raise InputError(
            f"{recordings.path}: expected recordings that the encoders {', '.join(encoders)} can read, found none "
            f"({next(iter(failures.values()), 'no file has pictures or sound for them')}): choose other encoders with "
            "--encoders, or correct the files."
        )
    return tuple(streams)


def _opened(recordings: Recordings, failures: dict[str, str]) -> dict[Path, MediaInfo]:
    opened: dict[Path, MediaInfo] = {}
    for row in recordings.rows:
        for source in row.of_kind("media"):
            if source.path in opened:
                continue
            try:
                opened[source.path] = probe(source.path)
            except MissingExtraError:
                raise
            except InputError as error:
                failures[row.id] = f"{row.where}: {error}"
    return opened


def _media_streams(
    recordings: Recordings,
    name: str,
    encoders: Sequence[str],
    opened: dict[Path, MediaInfo],
    *,
    several: bool,
    called: Mapping[str, str],
) -> list[StreamRecord]:
    files = [
        opened[source.path]
        for row in recordings.rows
        for source in row.of_kind("media")
        if source.name == name and source.path in opened
    ]
    has = {
        "picture": any(file.picture is not None for file in files),
        "sound": any(file.sound is not None for file in files),
    }
    has["vectors"] = has["picture"]
    source = f"media:{name}"
    if name in ENCODERS:
        if files and not has[card_of(name).reads]:
            raise InputError(
                f"{recordings.path}, column '{source}': expected files with {card_of(name).reads} for the encoder "
                f"'{name}', found none: rename or remove the column."
            )
        return [encoder_record(name, source=source, encoder=name)]
    reading = [encoder for encoder in encoders if has[card_of(encoder).reads]]
    return [
        encoder_record(f"{name}-{short}" if several else short, source=source, encoder=encoder)
        for encoder in reading
        for short in [called.get(encoder) or card_of(encoder).name]
    ]


def _first_sensor(recordings: Recordings, name: str, failures: dict[str, str]) -> tuple[str, ...]:
    """The readings of the first table of a sensor that can be read."""
    reason = "only empty cells"
    for row in recordings.rows:
        for source in row.of_kind("sensor"):
            if source.name == name and row.id not in failures:
                try:
                    return read_sensor(source.path, offset=source.offset, where=row.where).columns
                except InputError as error:
                    reason = failures[row.id] = str(error)
    raise InputError(
        f"{recordings.path}, column 'sensor:{name}': expected at least one table that can be read, found none "
        f"({reason}): correct the files, or remove the column."
    )


def _first_width(recordings: Recordings, name: str, failures: dict[str, str]) -> int:
    """The width of the first array of a stream that can be read."""
    reason = "only empty cells"
    for row in recordings.rows:
        for source in row.of_kind("stream"):
            if source.name == name and row.id not in failures:
                try:
                    array = read_stream(source.cell, source.folder, where=row.where).array
                except InputError as error:
                    reason = failures[row.id] = str(error)
                    continue
                if array.ndim == 2 and 0 not in array.shape:
                    return int(array.shape[1])
                reason = f"{source.cell} has shape {array.shape} instead of [rows, features]"
    raise InputError(
        f"{recordings.path}, column 'stream:{name}': expected at least one array that can be read, found none "
        f"({reason}): correct the files, or remove the column."
    )
