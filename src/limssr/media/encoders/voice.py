"""`voice`: who speaks or sings and how: the d-vector of Resemblyzer's speaker encoder (Wan et al., 2018).

Windows of 1.6 s, 2.5 times a second. Unlike Resemblyzer we do not cut out silence, since times would shift; a window
quieter than -60 dB says nothing.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from limssr.media.clock import Segments
from limssr.media.decode import Picture, Sound
from limssr.media.encoders.contract import Encoder, EncoderCard, Need, RowSession
from limssr.media.encoders.mel import hann, mel_filters
from limssr.media.encoders.pooling import statistic_names
from limssr.media.encoders.weights import checked_sha256, read_state, wheel_file
from limssr.media.encoders.windows import Windows

NUM_FRAMES, FRAME, FRAME_HOP, NUM_MELS, WIDTH = 160, 400, 160, 40, 256
WINDOW, HOP = NUM_FRAMES * FRAME_HOP, 6_400
# Quieter windows are raised to this level, and those below the last are no voice, in dB of full scale.
LEVEL_DB, SILENT_DB = -30.0, -60.0
INSIDE = "pretrained.pt"
SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
WHEEL = Need(module="resemblyzer", package="resemblyzer==0.1.4", command="pip install --no-deps resemblyzer==0.1.4")
CARD = EncoderCard(
    name="voice",
    reads="sound",
    does="speaker embedding (d-vector): mean of a segment; not valid where it is silent",
    columns=statistic_names([f"voice{number:03d}" for number in range(WIDTH)], ("mean",)),
    weights="in the wheel resemblyzer 0.1.4",
    licence="Apache-2.0 (Resemblyzer)",
    verified="every published tensor used once; two synthetic voices nearer to themselves than to each other",
    needs=(WHEEL,),
)


class SpeakerEncoder(nn.Module):
    """Mel spectrograms -> unit vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(NUM_MELS, WIDTH, 3, batch_first=True)
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, mel_NTB: Float[Tensor, "N T 40"]) -> Float[Tensor, "N 256"]:
        """The last hidden state, through a layer, of length 1."""
        _, (hidden, _) = self.lstm(mel_NTB)
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)

    @classmethod
    def from_published(cls, state: dict[str, Tensor]) -> "SpeakerEncoder":
        """Put the published weights in place; two numbers of the training loss are left out."""
        model = cls()
        model.load_state_dict({name: state[name] for name in model.state_dict()})
        return model.eval().requires_grad_(False)


class VoiceEncoder(Encoder):
    """See the module.

    Raises:
        MissingExtraError: The wheel with the weights is not installed.
    """

    card = CARD

    def __init__(self) -> None:
        path = wheel_file("voice", WHEEL, INSIDE)
        self.weights_sha256 = checked_sha256(path, SHA256)
        self._model = SpeakerEncoder.from_published(read_state(path))

    def session(self, segments: Segments) -> "VoiceSession":
        """Begin a recording."""
        return VoiceSession(self._model)


class VoiceSession(RowSession):
    """Voices of one recording."""

    def __init__(self, model: SpeakerEncoder) -> None:
        super().__init__(("mean",))
        self._model = model
        self._windows = Windows(WINDOW, HOP)

    def add(self, piece: Picture | Sound) -> None:
        """Listen to the windows that are complete."""
        assert isinstance(piece, Sound)
        times_ns, windows_NW = self._windows.add(piece)
        if not len(times_ns):
            return
        level_N = 10 * np.log10(np.mean(windows_NW.astype(np.float64) ** 2, axis=1) + 1e-12)
        gain_N = 10 ** (np.maximum(LEVEL_DB - level_N, 0) / 20)
        with torch.inference_mode():
            voices_NF = self._model(torch.from_numpy(mel_frames(windows_NW * gain_N[:, None]))).numpy()
        self.note(times_ns, np.where((level_N >= SILENT_DB)[:, None], voices_NF, np.nan))


def mel_frames(windows_NW: np.ndarray) -> np.ndarray:
    """Power in mel bands, [N, 160, 40]; frames are centred on their moment."""
    padded = np.pad(windows_NW.astype(np.float32), ((0, 0), (FRAME // 2, FRAME // 2)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME, axis=1)[:, ::FRAME_HOP][:, :NUM_FRAMES]
    power = np.abs(np.fft.rfft(frames * hann(FRAME), axis=2)) ** 2
    return (power @ mel_filters(FRAME, NUM_MELS)).astype(np.float32)
