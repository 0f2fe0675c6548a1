"""What a recording takes in memory grows with its features alone, and these grow in step with its length."""

import tracemalloc

import numpy as np
import pytest

from limssr.media.clock import NS, make_segments
from limssr.media.decode import SOUND_RATE_HZ, Sound
from limssr.media.encoders.pitch import HOP as PITCH_HOP
from limssr.media.encoders.pitch import WINDOW as PITCH_WINDOW
from limssr.media.encoders.sound import HOP, WINDOW
from limssr.media.encoders.windows import Windows
from limssr.media.work import Job, encode_file
from limssr.media.write import write_media


def traced(work):
    """(bytes that are still held of what `work` made, the most that was held while it worked)."""
    tracemalloc.start()
    try:
        made = work()
        return tracemalloc.get_traced_memory(), made
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("window", "hop"), [(WINDOW, HOP), (PITCH_WINDOW, PITCH_HOP)])
def test_moments_of_windows_take_eight_bytes_each(window, hop):
    """Ten minutes of sound, of which only the moments are kept."""
    second = np.zeros(SOUND_RATE_HZ, np.float32)

    def listen():
        cut = Windows(window, hop)
        return [cut.add(Sound(start_ns=number * NS, samples_N=second))[0] for number in range(600)]

    (held, _), times = traced(listen)
    assert sum(map(len, times)) == pytest.approx(600 * SOUND_RATE_HZ / hop, abs=10)
    assert held < 600 * (SOUND_RATE_HZ / hop * 8 + 500) + 200_000


@pytest.mark.parametrize(
    ("encoder", "picture_hz", "lengths_s", "bytes_per_s"),
    [
        # A picture has 57 kB and 20 numbers are kept of each; a second of sound has 64 kB.
        ("motion", 4, (4, 10, 50), 4_000),
        ("sound", 0, (4, 30, 150), 10_000),
    ],
)
def test_a_long_recording_takes_no_more_than_its_features(encoder, picture_hz, lengths_s, bytes_per_s, tmp_path, click):
    """The first one loads what is loaded once."""
    random = np.random.default_rng(0)
    kinds = [random.integers(0, 255, (120, 160, 3), np.uint8) for _ in range(4)]
    peaks = []
    for length_s in lengths_s:
        pictures = [(n / picture_hz, kinds[n % 4]) for n in range(length_s * picture_hz)]
        sound_NC = None if pictures else click(1, length_s, rate_hz=16_000)
        path = write_media(tmp_path / f"{length_s}.mkv", pictures=pictures, sound_NC=sound_NC)
        job = Job(path=path, encoders=(encoder,), segments=make_segments(1))
        (_, peak), _ = traced(lambda job=job: encode_file(job))
        peaks.append(peak)
    assert peaks[2] - peaks[1] < bytes_per_s * (lengths_s[2] - lengths_s[1])
