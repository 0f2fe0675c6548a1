"""The record in a store of how its features were made, so that new recordings are treated alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from limssr.core.errors import ArtifactError, InputError
from limssr.core.types import Modality
from limssr.data.words.streams import words_modality
from limssr.media.clock import PRESETS, Segments, make_segments
from limssr.media.encoders.sets import resolved
from limssr.media.encoders.table import check_needs, is_known, load_encoder

FORMAT_VERSION = 1
Stamps = Literal["shared", "own"]
# Whose releases may change a feature in its last digits; recorded, and never a reason to refuse.
PACKAGES = ("av", "numpy", "opencv-python-headless", "ai-edge-litert", "torch")


@dataclass(frozen=True, kw_only=True)
class StreamRecord:
    """How one stream was made.

    Attributes:
        name: Of the stream.
        source: The column of the manifest: "media:video", "sensor:wrist", "stream:pose".
        encoder: What read the media; None for sensors and arrays.
        version: Of the encoder.
        weights_sha256: Of its weights.
        columns: Names of its D features; none for words.
        words: The view of a stream of words; else None.
    """

    name: str
    source: str
    encoder: str | None = None
    version: int | None = None
    weights_sha256: str | None = None
    columns: tuple[str, ...] = ()
    words: str | None = None

    @property
    def modality(self) -> Modality:
        """The stream as a store has it.

        Raises:
            InputError: The view of words is not available here, or has other weights.
        """
        return words_modality(self.name, self.words) if self.words else Modality(self.name, len(self.columns))

    @property
    def kind(self) -> str:
        """One of media, sensor, stream and text."""
        return self.source.partition(":")[0]

    @property
    def column(self) -> str:
        """NAME of the column `media:NAME`."""
        return self.source.partition(":")[2]


@dataclass(frozen=True, kw_only=True)
class ExtractionRecord:
    """How all streams of a store were made.

    Attributes:
        segments: The clock.
        streams: In the order of the store.
        packages: Package -> version.
        left_out: Streams that were asked for, but that no recording has.
        stamps: From where several sensors with time stamps are counted: the earliest of their first rows, or each from
            its own, as older versions did.
    """

    segments: Segments
    streams: tuple[StreamRecord, ...]
    packages: Mapping[str, str]
    left_out: tuple[str, ...] = ()
    stamps: Stamps = "shared"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "format_version": FORMAT_VERSION,
            "segments": self.segments.to_dict(),
            "streams": {
                stream.name: {
                    "source": stream.source,
                    "encoder": stream.encoder,
                    "version": stream.version,
                    "weights_sha256": stream.weights_sha256,
                    "columns": list(stream.columns),
                    **({"words": stream.words} if stream.words else {}),
                }
                for stream in self.streams
            },
            "packages": dict(self.packages),
            "left_out": list(self.left_out),
            # Of one sensor nothing is to be said: its stores are those of older versions.
            **({"stamps": self.stamps} if _num_sensors(self.streams) > 1 else {}),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "ExtractionRecord":
        """From what `to_dict` wrote.

        Raises:
            ArtifactError: Damaged, or of a newer format.
        """
        try:
            if document["format_version"] > FORMAT_VERSION:
                raise ArtifactError("Expected extraction settings of this version or older: upgrade limssr.")
            streams = [
                StreamRecord(**{**how, "name": name, "columns": tuple(how["columns"])})
                for name, how in document["streams"].items()
            ]
            left_out = tuple(document.get("left_out", ()))
            segments = make_segments(document["segments"]["length_s"], document["segments"]["stride_s"])
            return cls(
                segments=segments,
                streams=tuple(streams),
                packages=document["packages"],
                left_out=left_out,
                stamps="shared" if document.get("stamps") == "shared" or _num_sensors(streams) < 2 else "own",
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(
                f"Expected readable extraction settings, found that {error} is missing or of another kind: the file "
                "was altered; extract again."
            ) from error


def _num_sensors(streams: Sequence[StreamRecord]) -> int:
    return sum(stream.kind == "sensor" for stream in streams)


def encoder_record(name: str, *, source: str, encoder: str) -> StreamRecord:
    """The record of a stream that an encoder of this limssr makes."""
    made = load_encoder(encoder)
    return StreamRecord(
        name=name,
        source=source,
        encoder=encoder,
        version=made.card.version,
        weights_sha256=made.weights_sha256,
        columns=made.card.columns,
    )


def relocated(record: ExtractionRecord, encoders: Sequence[str]) -> ExtractionRecord:
    """The record with weights elsewhere; their hash is still held against that of training.

    Args:
        record: How the training data was made.
        encoders: `NAME=SOURCE`.

    Raises:
        InputError: An encoder that made no stream of the record.
    """
    sources = {name.partition("=")[0]: name for name in encoders}
    made = {str(stream.encoder).partition("=")[0] for stream in record.streams if stream.encoder is not None}
    strange = next((name for short, name in sources.items() if short not in made), None)
    if strange is not None:
        raise InputError(
            f"Expected with --encoders where the weights of {', '.join(sorted(made)) or 'no encoder'} are, found "
            f"'{strange}', which made no stream of the training data: leave it out."
        )
    moved = [
        replace(stream, encoder=sources.get(str(stream.encoder).partition("=")[0], stream.encoder))
        for stream in record.streams
    ]
    return replace(record, streams=tuple(moved))


def published_record(name: str, encoders: Sequence[str], modalities: Sequence[Modality]) -> ExtractionRecord:
    """How a recording is read for a model that learnt from published features.

    Args:
        name: Of the published data set (`limssr.media.encoders.sets.SETS`).
        encoders: `NAME=SOURCE` where the weights are; streams whose encoder is not named are left out. None of them:
            all, from where they usually are.
        modalities: What the model reads.

    Raises:
        InputError: An encoder that is not here, or whose features have another width than the published ones.
    """
    wide = {modality.name: modality.dim for modality in modalities}
    found = resolved((name, *encoders))
    named = {encoder.partition("=")[0] for encoder in encoders}
    streams = [
        encoder_record(stream, source="media:video", encoder=encoder)
        for encoder, stream in found.items()
        if stream in wide and (not named or encoder.partition("=")[0] in named)
    ]
    for stream in streams:
        if len(stream.columns) != wide[stream.name]:
            raise InputError(
                f"Expected {wide[stream.name]} features of the stream '{stream.name}' from the encoder "
                f"'{stream.encoder}', as the model learnt from, found {len(stream.columns)}: name weights of the "
                "published size."
            )
    return ExtractionRecord(segments=PRESETS[name], streams=tuple(streams), packages=package_versions())


def package_versions() -> dict[str, str]:
    """Versions of the packages that are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def check_same_encoders(record: ExtractionRecord, streams: Sequence[str]) -> None:
    """See that this limssr would make the streams as they were made for training.

    Raises:
        InputError: An encoder is unknown here, or of another version or other weights.
        MissingExtraError: A package is missing.
    """
    encoded = [stream for stream in record.streams if stream.encoder is not None and stream.name in streams]
    for stream in encoded:
        if not is_known(str(stream.encoder)):
            raise InputError(
                f"The model reads the stream '{stream.name}' of the encoder '{stream.encoder}', which this limssr does "
                "not have: install the limssr that extracted the training data."
            )
    check_needs([str(stream.encoder) for stream in encoded])
    for stream in encoded:
        here = encoder_record(stream.name, source=stream.source, encoder=str(stream.encoder))
        for what, there_value, here_value in (
            ("version", stream.version, here.version),
            ("weights", stream.weights_sha256, here.weights_sha256),
        ):
            if there_value != here_value:
                raise InputError(
                    f"The model learnt from the encoder '{stream.encoder}' with {what} {_short(there_value)}, and here "
                    f"it has {what} {_short(here_value)}, whose features mean something else: extract and train again, "
                    "or install the limssr that extracted the training data."
                )


def _short(value: object) -> str:
    return str(value)[:12]
