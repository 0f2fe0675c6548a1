"""Read video and sound by their presentation time stamps, piece by piece.

Nothing counts frames: where a picture or a sample stands in time is what the file says. Memory does not grow with the
length of a file. Where a file is damaged, what can be decoded is, and the rest is reported as a place in time.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from limssr.core.errors import InputError
from limssr.media.clock import NS, rows_ns
from limssr.media.containers import duration_s, open_media, tracks_of, words_of
from limssr.media.extras import import_av
from limssr.media.vectors import OPTIONS, VectorReader, Vectors

SOUND_RATE_HZ = 16_000
LONGEST_PX = 640
# Larger pictures are refused before memory is asked for.
MAX_PIXELS = 16_384 * 8_640
# Sound whose time stamps jump by more than this begins a new run.
JUMP_NS = 40_000_000
# Longer times without a picture are told.
GAP_NS = NS
# Time stamps beyond the length that the file declares, by more than this, are damage.
BEYOND_NS = 10 * NS
LONGEST_NS = 24 * 3_600 * NS
MAX_DAMAGE = 50


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture, upright, with square pixels.

    Attributes:
        time_ns: When it is shown, from the start of the recording.
        rgb_HWC: Its pixels.
    """

    time_ns: int
    rgb_HWC: UInt8[np.ndarray, "H W 3"]


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A stretch of sound, all channels mixed into one, at `SOUND_RATE_HZ`.

    Attributes:
        start_ns: Moment of the first sample, from the start of the recording.
        samples_N: Values in [-1, 1].
    """

    start_ns: int
    samples_N: Float32[np.ndarray, " N"]


class Reader:
    """Iterate once over the pictures and the sound of a file, in the order of the file.

    Args:
        path: Of the file.
        pictures_hz: Deliver at most so many pictures a second, evenly spaced in time; 0: none.
        sound: Whether to deliver sound.
        vectors: Whether to deliver the motion vectors of the codec, before the picture that they belong to.
        longest_px: Pictures are scaled down so that their longer side has at most so many pixels.

    Attributes:
        damage: (second, what was wrong there), complete after the last piece.
        picture_end_ns: Where the last picture ends; 0 without any.
        sound_end_ns: Where the sound ends; 0 without any.

    Raises:
        InputError: No such file, no media in it, or (while iterating) nothing that can be decoded.
    """

    def __init__(
        self,
        path: Path,
        *,
        pictures_hz: float,
        sound: bool = True,
        vectors: bool = False,
        longest_px: int = LONGEST_PX,
    ) -> None:
        self.path = path
        self.damage: list[tuple[float, str]] = []
        self.picture_end_ns = 0
        self.sound_end_ns = 0
        self._pictures_hz = pictures_hz
        self._longest_px = longest_px
        self._sound_wanted = sound
        self._vectors = VectorReader() if vectors else None
        self._num_pictures = 0
        self._last_picture_ns = -1
        self._last_slot = -1
        self._shape: tuple[int, int] | None = None
        self._run: _SoundRun | None = None
        self._limit_ns = LONGEST_NS
        self._zero_ns = 0

    def __iter__(self) -> Iterator[Picture | Sound | Vectors]:
        """Decode to the end, or to where nothing more can be decoded."""
        container = open_media(self.path)
        try:
            picture, sound = tracks_of(container)
            length_s = duration_s(container)
            if length_s is not None:
                self._limit_ns = round(length_s * NS) + BEYOND_NS
            # AAC begins with a few milliseconds before zero, which are no sound of the recording.
            self._zero_ns = max(round((container.start_time or 0) * NS / 1_000_000), 0)
            wanted = [picture] if picture is not None and (self._pictures_hz > 0 or self._vectors) else []
            wanted += [sound] if sound is not None and self._sound_wanted else []
            # A stream must not be touched once its file is closed.
            kinds = {stream.type for stream in wanted}
            for stream in wanted:
                _configure(stream, OPTIONS if self._vectors and stream.type == "video" else {})
            for frame, stream in self._frames(container, wanted):
                yield from self._picture(frame, stream) if stream.type == "video" else self._sound(frame)
            if self._run is not None:
                yield from self._delivered(self._run.flush())
        finally:
            container.close()
        self._check_end(length_s, kinds)

    @property
    def end_ns(self) -> int:
        """Where the recording ends: the later of picture and sound."""
        return max(self.picture_end_ns, self.sound_end_ns)

    def _frames(self, container: Any, streams: list[Any]) -> Iterator[tuple[Any, Any]]:
        av = import_av()
        if not streams:
            return
        packets = container.demux(streams)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, ValueError, MemoryError) as error:
                self._note(self.end_ns, f"the file cannot be read on ({words_of(error)})")
                return
            if packet is None:
                return
            if packet.has_sidedata("encryption_info"):
                raise InputError(
                    f"Expected a recording that can be decoded, found a protected one (encrypted) in {self.path}: "
                    "export it without protection."
                )
            try:
                frames = packet.decode()
            except (av.error.FFmpegError, ValueError, MemoryError) as error:
                self._note(self._packet_ns(packet), f"{packet.stream.type} cannot be decoded ({words_of(error)})")
                continue
            for frame in frames:
                yield frame, packet.stream

    def _packet_ns(self, packet: Any) -> int:
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None or packet.time_base is None:
            return self.end_ns
        return min(max(round(stamp * packet.time_base * NS) - self._zero_ns, 0), self._limit_ns)

    def _time_ns(self, frame: Any, otherwise: int) -> int:
        stamp = frame.pts if frame.pts is not None else frame.dts
        if stamp is None or frame.time_base is None:
            return otherwise
        return round(stamp * frame.time_base * NS) - self._zero_ns

    def _picture(self, frame: Any, stream: Any) -> Iterator[Picture | Vectors]:
        time_ns = self._time_ns(frame, self.picture_end_ns)
        if frame.is_corrupt:
            self._note(max(time_ns, 0), "a picture is damaged")
            return
        if time_ns > self._limit_ns:
            self._note(self.end_ns, "a time stamp lies beyond the end of the file")
            return
        if time_ns < 0 or time_ns <= self._last_picture_ns:
            return
        if self._num_pictures and time_ns - self.picture_end_ns > GAP_NS:
            self._note(self.picture_end_ns, f"no picture for {(time_ns - self.picture_end_ns) / NS:.2f} s")
        self._last_picture_ns = time_ns
        self._num_pictures += 1
        self.picture_end_ns = time_ns + _shown_ns(frame, stream)
        found = None if self._vectors is None else self._vectors.read(frame, time_ns)
        if found is not None:
            yield found
        slot = math.floor(time_ns * self._pictures_hz / NS)
        if slot == self._last_slot or not self._pictures_hz:
            return
        self._last_slot = slot
        yield from self._upright(frame, stream, time_ns)

    def _upright(self, frame: Any, stream: Any, time_ns: int) -> Iterator[Picture]:
        if self._shape is None:
            self._shape = _delivered_shape(frame, stream, self._longest_px)
        height, width = self._shape
        try:
            rgb_HWC = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
        except (ValueError, MemoryError, import_av().error.FFmpegError) as error:
            self._note(time_ns, f"a picture cannot be converted ({words_of(error)})")
            return
        turns = round(frame.rotation / 90) % 4
        yield Picture(time_ns=time_ns, rgb_HWC=np.ascontiguousarray(np.rot90(rgb_HWC, turns)) if turns else rgb_HWC)

    def _sound(self, frame: Any) -> Iterator[Sound]:
        expected_ns = self._run.next_ns if self._run is not None else 0
        time_ns = self._time_ns(frame, expected_ns)
        if time_ns > self._limit_ns:
            self._note(self.end_ns, "a time stamp lies beyond the end of the file")
            return
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._run is not None and (abs(time_ns - expected_ns) > JUMP_NS or self._run.form != form):
            if time_ns - expected_ns < -JUMP_NS:
                self._note(self.sound_end_ns, "sound steps back in time")
                return
            if time_ns - expected_ns > JUMP_NS:
                self._note(expected_ns, f"no sound for {(time_ns - expected_ns) / NS:.2f} s")
            yield from self._delivered(self._run.flush())
            self._run = None
        if self._run is None:
            self._run = _SoundRun(time_ns, form)
        try:
            yield from self._delivered(self._run.add(frame))
        except (ValueError, MemoryError, import_av().error.FFmpegError) as error:
            self._note(time_ns, f"sound cannot be converted ({words_of(error)})")
            self._run = None

    def _delivered(self, sound: Sound | None) -> Iterator[Sound]:
        if sound is None:
            return
        early = -(-max(-sound.start_ns, 0) * SOUND_RATE_HZ // NS)
        samples_N = sound.samples_N[early:]
        if not len(samples_N):
            return
        if early:
            sound = Sound(start_ns=sound.start_ns + int(rows_ns(early + 1, SOUND_RATE_HZ)[-1]), samples_N=samples_N)
        if not np.isfinite(samples_N).all():
            self._note(sound.start_ns, "sound holds values that are not finite")
            sound = Sound(start_ns=sound.start_ns, samples_N=np.nan_to_num(samples_N, nan=0.0, posinf=0.0, neginf=0.0))
        self.sound_end_ns = max(self.sound_end_ns, sound.start_ns + len(samples_N) * NS // SOUND_RATE_HZ)
        yield sound

    def _note(self, time_ns: int, what: str) -> None:
        if self.damage and self.damage[-1][1] == what:
            return
        if len(self.damage) < MAX_DAMAGE:
            self.damage.append((round(time_ns / NS, 3), what))

    def _check_end(self, length_s: float | None, kinds: set[str]) -> None:
        if not kinds:
            return
        reason = f" ({self.damage[0][1]})" if self.damage else ""
        if not self.end_ns:
            raise InputError(
                f"Expected a recording that can be decoded, found none in {self.path}{reason}: it may be damaged, "
                "empty or protected; record or export it again."
            )
        if self._num_pictures == 1 and not self.sound_end_ns and "video" in kinds:
            raise InputError(
                f"Expected a video, found a single picture in {self.path}{reason}: give a recording of the performance."
            )
        if length_s is not None and self.end_ns < round(length_s * NS) - NS:
            self._note(self.end_ns, f"the recording breaks off; the file declares {length_s:.1f} s")


class _SoundRun:
    """Sound without a jump in its time stamps, mixed and brought to `SOUND_RATE_HZ`."""

    def __init__(self, start_ns: int, form: tuple[str, str, int]) -> None:
        self.form = form
        self._start_ns = start_ns
        self._num_in = 0
        self._num_out = 0
        self._resampler = import_av().AudioResampler(format="flt", layout="mono", rate=SOUND_RATE_HZ)

    @property
    def next_ns(self) -> int:
        """Where the next sample is expected."""
        return self._start_ns + self._num_in * NS // self.form[2]

    def add(self, frame: Any) -> Sound | None:
        """Samples that are ready after this frame."""
        # The run counts by itself: time stamps of sound jitter.
        frame.pts = None
        self._num_in += frame.samples
        return self._sound(self._resampler.resample(frame))

    def flush(self) -> Sound | None:
        """The samples that the filter still held."""
        try:
            return self._sound(self._resampler.resample(None))
        except (ValueError, import_av().error.FFmpegError):
            return None

    def _sound(self, frames: list[Any]) -> Sound | None:
        pieces = [frame.to_ndarray().reshape(-1) for frame in frames if frame.samples]
        if not pieces:
            return None
        samples_N = np.concatenate(pieces).astype(np.float32, copy=False)
        start_ns = self._start_ns + round(self._num_out * NS / SOUND_RATE_HZ)
        self._num_out += len(samples_N)
        return Sound(start_ns=start_ns, samples_N=samples_N)


def _configure(stream: Any, more: Mapping[str, str]) -> None:
    # One thread: what is concealed in a damaged picture must not depend on how threads were scheduled.
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS), **more}


def _shown_ns(frame: Any, stream: Any) -> int:
    """How long a picture is shown."""
    if frame.duration and frame.time_base:
        shown_ns = round(frame.duration * frame.time_base * NS)
        if 0 < shown_ns <= 10 * NS:
            return shown_ns
    rate = float(stream.average_rate or 0)
    return round(NS / rate) if rate > 0.1 else NS // 25


def _delivered_shape(frame: Any, stream: Any, longest_px: int) -> tuple[int, int]:
    """Height and width before rotation, with square pixels."""
    aspect = float(stream.sample_aspect_ratio or 1) or 1.0
    if not 0.1 < aspect < 10:
        aspect = 1.0
    width, height = frame.width * aspect, float(frame.height)
    scale = min(longest_px / max(width, height), 1.0)
    return max(round(height * scale), 1), max(round(width * scale), 1)
