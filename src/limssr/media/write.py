"""Write small video and sound files, for the demonstration and for tests of what is read."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from limssr.media.extras import import_av

# Fine enough for every rate that occurs.
TIME_BASE = Fraction(1, 60_000)


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """How a file is written.

    Attributes:
        codec: Of the pictures.
        pixel_format: Of the pictures.
        picture_hz: Declared rate.
        sound_codec: Of the sound.
        sound_hz: Its sample rate.
        layout: Of its channels.
        sound_start_s: When the sound begins.
        rotation: By which a player turns the pictures, in degrees counter-clockwise.
        codec_options: For the encoder of the pictures.
        container_options: For the file.
    """

    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    picture_hz: int = 25
    sound_codec: str = "aac"
    sound_hz: int = 48_000
    layout: str = "mono"
    sound_start_s: float = 0.0
    rotation: int = 0
    codec_options: Mapping[str, str] = field(default_factory=lambda: {"preset": "ultrafast", "threads": "1"})
    container_options: Mapping[str, str] = field(default_factory=dict)


def write_media(
    path: Path,
    *,
    pictures: Iterable[tuple[float, np.ndarray]] = (),
    sound_NC: np.ndarray | None = None,
    options: WriteOptions | None = None,
) -> Path:
    """Write a file with pictures, sound or both.

    Args:
        path: Its ending chooses the container.
        pictures: (second, uint8 [H, W, 3]) in order of time; of one size.
        sound_NC: Samples in [-1, 1], a column a channel.
        options: How.

    Returns:
        The path.
    """
    av = import_av()
    how = options or WriteOptions()
    with av.open(str(path), "w", options=dict(how.container_options)) as container:
        left = iter(pictures)
        first = next(left, None)
        video = None if first is None else _video_stream(container, first[1].shape, how)
        audio = None
        if sound_NC is not None:
            audio = container.add_stream(how.sound_codec, rate=how.sound_hz, layout=how.layout)
        if video is not None and first is not None:
            for second, rgb_HWC in itertools.chain([first], left):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb_HWC), format="rgb24")
                frame = frame.reformat(format=how.pixel_format)
                frame.pts, frame.time_base = round(second / TIME_BASE), TIME_BASE
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        if audio is not None and sound_NC is not None:
            _write_sound(container, audio, sound_NC, how)
    return path


def _video_stream(container: Any, shape: tuple[int, ...], how: WriteOptions) -> Any:
    stream = container.add_stream(how.codec, rate=how.picture_hz)
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = how.pixel_format
    stream.codec_context.time_base = TIME_BASE
    stream.codec_context.options = dict(how.codec_options)
    if how.rotation:
        stream.set_display_rotation(how.rotation)
    return stream


def _write_sound(container: Any, stream: Any, sound_NC: np.ndarray, how: WriteOptions) -> None:
    av = import_av()
    block = 1024
    start = round(how.sound_start_s * how.sound_hz)
    for begin in range(0, len(sound_NC), block):
        piece = np.ascontiguousarray(sound_NC[begin : begin + block].astype(np.float32).T)
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=how.layout)
        frame.sample_rate, frame.time_base = how.sound_hz, Fraction(1, how.sound_hz)
        frame.pts = start + begin
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
