"""`sound`: what a listener measures: log-mel spectrum, loudness, onsets, tempo, brightness.

Definitions are those of librosa (Slaney's mel scale, spectral flux of the log-mel spectrum, tempo from the
autocorrelation of the onset envelope with a log-normal prior), at 16 kHz with windows of 25 ms every 10 ms.
"""

import numpy as np
from jaxtyping import Float32

from limssr.media.clock import NS, Segments
from limssr.media.decode import SOUND_RATE_HZ, Picture, Sound
from limssr.media.encoders.contract import Encoder, EncoderCard, RowSession
from limssr.media.encoders.mel import hann, mel_filters
from limssr.media.encoders.pooling import covered, pooled, statistic_names
from limssr.media.encoders.windows import Gathered, Windows

WINDOW, HOP, FFT = 400, 160, 512
NUM_MELS = 40
FLOOR_DB = -100.0
ROWS = (*(f"mel{band:02d}_db" for band in range(NUM_MELS)), "loudness_db", "onset", "centroid_hz", "flatness")
LOUDNESS, ONSET = NUM_MELS, NUM_MELS + 1
# Tempo is looked for in so many seconds around a segment, between these beats a minute.
TEMPO_S, SLOWEST_BPM, FASTEST_BPM, USUAL_BPM = 8.0, 30.0, 240.0, 120.0
COLUMNS = (
    *statistic_names(ROWS, ("mean", "deviation")),
    *("loudness_db.minimum", "loudness_db.maximum", "onset.maximum", "onsets_per_s", "tempo_bpm", "tempo_strength"),
)
CARD = EncoderCard(
    name="sound",
    reads="sound",
    does="log-mel spectrum, loudness, onsets, tempo and brightness: mean, deviation and extremes of a segment",
    columns=COLUMNS,
    licence="ours (MIT)",
    verified="mel bands against transformers' audio_utils, tempo of clicks of a known rate, onsets at known moments",
)


class SoundEncoder(Encoder):
    """See the module."""

    card = CARD

    def session(self, segments: Segments) -> "SoundSession":
        """Begin a recording."""
        return SoundSession()


class SoundSession(RowSession):
    """Sound of one recording."""

    def __init__(self) -> None:
        super().__init__(("mean", "deviation"))
        self._gathered = Gathered(SOUND_RATE_HZ)
        self._windows = Windows(WINDOW, HOP)
        self._last_mel: np.ndarray | None = None
        self._last_ns = 0

    def add(self, piece: Picture | Sound) -> None:
        """Measure the windows that are complete."""
        assert isinstance(piece, Sound)
        for sound in self._gathered.add(piece):
            self._measure(sound)

    def finish(self) -> None:
        """Measure what is left."""
        for sound in self._gathered.rest():
            self._measure(sound)

    def segments(self, segments: Segments, num_segments: int) -> Float32[np.ndarray, "T D"]:
        """Statistics, then what needs more than a row at once."""
        values_TD = super().segments(segments, num_segments)
        times_ns, rows_NF = self.noted()
        more_TD = np.full((num_segments, 6), np.nan, np.float32)
        if len(times_ns):
            pair_NF = rows_NF[:, [LOUDNESS, ONSET]]
            extremes_TD = pooled(times_ns, pair_NF, segments, num_segments, statistics=("minimum", "maximum"))
            more_TD[:, :3] = extremes_TD[:, [0, 2, 3]]
            more_TD[:, 3:] = _rhythm(times_ns, rows_NF[:, ONSET], segments, num_segments)
        else:
            values_TD = np.full((num_segments, 2 * len(ROWS)), np.nan, np.float32)
        return np.concatenate([values_TD, more_TD], axis=1)

    def _measure(self, sound: Sound) -> None:
        times_ns, windows_NW = self._windows.add(sound)
        if not len(times_ns):
            return
        power_NB = np.abs(np.fft.rfft(windows_NW * hann(WINDOW), FFT, axis=1)) ** 2
        mel_NB = 10 * np.log10(power_NB @ mel_filters(FFT, NUM_MELS) + 1e-10)
        loudness_N = 10 * np.log10(np.mean(windows_NW.astype(np.float64) ** 2, axis=1) + 10 ** (FLOOR_DB / 10))
        follows = self._last_mel is not None and times_ns[0] - self._last_ns < 2 * HOP * NS // SOUND_RATE_HZ
        before_NB = np.concatenate([self._last_mel[None] if follows else mel_NB[:1], mel_NB[:-1]])  # type: ignore[index]
        onset_N = np.maximum(mel_NB - before_NB, 0).mean(axis=1)
        frequencies_B = np.arange(power_NB.shape[1]) * (SOUND_RATE_HZ / FFT)
        total_N = power_NB.sum(axis=1) + 1e-10
        centroid_N = power_NB @ frequencies_B / total_N
        flatness_N = np.exp(np.log(power_NB + 1e-10).mean(axis=1)) / (power_NB + 1e-10).mean(axis=1)
        measured = np.stack([loudness_N, onset_N, centroid_N, flatness_N], axis=1)
        self.note(times_ns, np.concatenate([mel_NB, measured], axis=1))
        self._last_mel, self._last_ns = mel_NB[-1], int(times_ns[-1])


def _rhythm(times_ns: np.ndarray, onset_N: np.ndarray, segments: Segments, num_segments: int) -> np.ndarray:
    """Onsets a second, tempo and its strength, [T, 3]."""
    rhythm_T3 = np.full((num_segments, 3), np.nan, np.float32)
    first_T, after_T = segments.bounds(times_ns, num_segments)
    peaks_N = _is_peak(onset_N)
    for segment in np.flatnonzero(covered(times_ns, segments, num_segments)):
        span = slice(first_T[segment], after_T[segment])
        middle_ns = segments.start_ns(int(segment)) + segments.length_ns // 2
        around = np.searchsorted(times_ns, [middle_ns - TEMPO_S / 2 * NS, middle_ns + TEMPO_S / 2 * NS])
        rhythm_T3[segment, 0] = peaks_N[span].sum() / ((span.stop - span.start) * HOP / SOUND_RATE_HZ)
        rhythm_T3[segment, 1:] = tempo(onset_N[around[0] : around[1]])
    return rhythm_T3


def _is_peak(onset_N: np.ndarray) -> np.ndarray:
    """The largest of its 50 ms neighbourhood, and clearly above the 200 ms around it."""
    padded = np.pad(onset_N.astype(np.float64), 10, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, 21)
    near = around[:, 8:13]
    return (onset_N >= near.max(axis=1)) & (onset_N > around.mean(axis=1) + 1.5)


def tempo(onset_N: np.ndarray) -> tuple[float, float]:
    """Beats a minute, and how strong the beat is in [0, 1]; (0, 0) where there is none."""
    rate_hz = SOUND_RATE_HZ / HOP
    longest = int(rate_hz * 60 / SLOWEST_BPM)
    if len(onset_N) < longest // 2:
        return 0.0, 0.0
    centred = onset_N.astype(np.float64) - onset_N.mean()
    spectrum = np.fft.rfft(centred, 2 * len(centred))
    correlation = np.fft.irfft(spectrum * spectrum.conj(), 2 * len(centred))[: min(longest + 1, len(centred))]
    if correlation[0] <= 1e-6:
        return 0.0, 0.0
    lags = np.arange(int(rate_hz * 60 / FASTEST_BPM), len(correlation))
    beats = 60 * rate_hz / lags
    prior = np.exp(-0.5 * np.log2(beats / USUAL_BPM) ** 2)
    best = int(np.argmax(np.maximum(correlation[lags], 0) * prior))
    strength = max(float(correlation[lags[best]] / correlation[0]), 0.0)
    return (float(beats[best]), strength) if strength > 0 else (0.0, 0.0)
