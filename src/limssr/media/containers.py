"""Opens media files: finds the kind of file and its streams, and refuses unsuitable ones before decoding."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limssr.core.errors import InputError
from limssr.media.extras import import_av

# What FFmpeg would also open, but is no recording: text, single pictures, lists of other files.
NOT_MEDIA = ("tty", "image2", "concat", "hls", "dash", "ffmetadata", "srt", "ass", "webvtt", "lrc", "imf", "vobsub")
LONGEST_S = 24 * 3_600.0


@dataclass(frozen=True, kw_only=True)
class Track:
    """One stream of a file.

    Attributes:
        codec: Its name.
        rate_hz: Pictures, or samples, a second, as the file declares them; 0 where it does not.
        size: Width and height in pixels, or the number of channels.
    """

    codec: str
    rate_hz: float
    size: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class MediaInfo:
    """What a file says about itself.

    Attributes:
        path: Of the file.
        duration_s: Declared length; None where unknown.
        picture: None if the file has no moving pictures; cover art does not count.
        sound: None if the file has no sound.
    """

    path: Path
    duration_s: float | None
    picture: Track | None
    sound: Track | None


def probe(path: Path) -> MediaInfo:
    """Look at a file without decoding it.

    Raises:
        InputError: No such file, or no media in it.
    """
    container = open_media(path)
    try:
        picture, sound = tracks_of(container)
        return MediaInfo(
            path=path,
            duration_s=duration_s(container),
            picture=picture
            and Track(
                codec=picture.codec_context.name,
                rate_hz=float(picture.average_rate or 0),
                size=(picture.codec_context.width, picture.codec_context.height),
            ),
            sound=sound
            and Track(
                codec=sound.codec_context.name,
                rate_hz=float(sound.codec_context.sample_rate or 0),
                size=(sound.codec_context.layout.nb_channels,),
            ),
        )
    finally:
        container.close()


def open_media(path: Path) -> Any:
    """An open container with pictures or sound in it; who opens it closes it.

    Raises:
        InputError: No such file, or no media in it.
    """
    av = import_av()
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise InputError(f"Expected a recording at {path}, found {found}: check the path.")
    if path.stat().st_size == 0:
        raise InputError(f"Expected a recording at {path}, found an empty file: record or copy it again.")
    try:
        # Other protocols would let a list of addresses pass for a video.
        container = av.open(str(path.resolve()), options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, MemoryError) as error:
        raise InputError(
            f"Expected a video or sound file, found that {path} is none or its beginning is damaged "
            f"({words_of(error)}): play it to check, and export it again."
        ) from error
    if any(name in NOT_MEDIA for name in container.format.name.split(",")) or tracks_of(container) == (None, None):
        name = container.format.name
        container.close()
        raise InputError(
            f"Expected a video or sound file, found neither pictures nor sound in {path} (it reads as '{name}'): give "
            "a recording."
        )
    return container


def tracks_of(container: Any) -> tuple[Any | None, Any | None]:
    """The first video and the first sound stream that can be decoded."""
    art = import_av().stream.Disposition.attached_pic
    pictures = [stream for stream in container.streams.video if not stream.disposition & art and _known(stream)]
    sounds = [stream for stream in container.streams.audio if _known(stream) and stream.codec_context.sample_rate]
    return (pictures or [None])[0], (sounds or [None])[0]


def _known(stream: Any) -> bool:
    return stream.codec_context is not None and stream.codec_context.codec is not None


def duration_s(container: Any) -> float | None:
    """The length that a file declares; None if it declares none."""
    if container.duration is None or container.duration <= 0:
        return None
    return min(container.duration / 1_000_000, LONGEST_S)


def words_of(error: BaseException) -> str:
    """What FFmpeg says of an error, without where in its code."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
