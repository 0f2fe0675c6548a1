"""Mel filters on Slaney's scale, as librosa and transformers define them."""

from functools import lru_cache

import numpy as np

from limssr.media.decode import SOUND_RATE_HZ

# The scale is linear up to 15 mels, which are 1 kHz, and logarithmic above.
LINEAR_MELS = 15.0


@lru_cache(maxsize=4)
def mel_filters(fft: int, num_mels: int) -> np.ndarray:
    """Triangles of the same area over 0 Hz to half the sample rate, [frequency bins, mel bands]."""
    edges_mel = np.linspace(0, _mel(SOUND_RATE_HZ / 2), num_mels + 2)
    linear_hz, above = edges_mel * 200 / 3, edges_mel > LINEAR_MELS
    edges_hz = np.where(above, 1_000 * 6.4 ** ((edges_mel - LINEAR_MELS) / 27), linear_hz)
    frequencies_B1 = (np.arange(fft // 2 + 1) * (SOUND_RATE_HZ / fft))[:, None]
    rising = (frequencies_B1 - edges_hz[:-2]) / np.diff(edges_hz)[:-1]
    falling = (edges_hz[2:] - frequencies_B1) / np.diff(edges_hz)[1:]
    triangles = np.maximum(np.minimum(rising, falling), 0)
    return (triangles * 2 / (edges_hz[2:] - edges_hz[:-2])).astype(np.float32)


@lru_cache(maxsize=4)
def hann(length: int) -> np.ndarray:
    """The periodic Hann window."""
    return np.hanning(length + 1)[:-1].astype(np.float32)


def _mel(frequency_hz: float) -> float:
    return LINEAR_MELS + 27 * np.log(frequency_hz / 1_000) / np.log(6.4)
