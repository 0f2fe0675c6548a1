"""The paper's encoders and newer ones, by hub id or local folder: `NAME` or `NAME=SOURCE`.

Weights are read from a folder or from the hub's cache on this machine; nothing is ever fetched. A segment is given to
the model as the model expects it: evenly spaced pictures, or its sound.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.signal import resample_poly

from limssr.core.errors import InputError
from limssr.core.files import sha256_of
from limssr.core.quoting import quoted
from limssr.core.reading.documents import read_json
from limssr.core.reading.model_folder import check_folder, outside_of
from limssr.media.clock import NS, Segments
from limssr.media.decode import SOUND_RATE_HZ
from limssr.media.encoders.contract import Encoder, EncoderCard, Need
from limssr.media.encoders.families import FAMILIES
from limssr.media.encoders.segmentwise import PictureSegments, SoundSegments
from limssr.media.extras import INSTALL, import_cv2

PICTURES_HZ = 12.5
PICTURES = Need(module="cv2", package="opencv-python-headless", command=INSTALL)
# Pictures a segment for models that read pictures one by one.
SINGLE_PICTURES = 4
CLAP_RATE_HZ, CLAP_LONGEST_S = 48_000, 10.0


def is_hub(name: str) -> bool:
    """Whether a name is that of a model family, with or without a source."""
    return name.partition("=")[0] in FAMILIES


def hub_card(name: str) -> EncoderCard:
    """What a published model is, from its configuration.

    Raises:
        InputError: It is not on this machine.
    """
    kind, _, source = name.partition("=")
    family = FAMILIES[kind]
    config = _read_json(_folder(kind, source or family.source) / "config.json")
    width = family.width(config)
    return EncoderCard(
        name=kind,
        reads=family.reads,
        does=family.does,
        columns=tuple(f"feature{number:04d}" for number in range(width)),
        pictures_hz=PICTURES_HZ if family.reads == "picture" else 0.0,
        weights=source or family.source,
        licence=family.licence,
        verified=family.verified,
        version=family.version,
        needs=(PICTURES,) if family.reads == "picture" else (),
    )


class HubEncoder(Encoder):
    """A published model.

    Raises:
        InputError: It is not on this machine, or cannot be read.
    """

    def __init__(self, name: str) -> None:
        self.card = hub_card(name)
        kind, _, source = name.partition("=")
        self.family = FAMILIES[kind]
        self.folder = _folder(kind, source or self.family.source)
        weights = check_folder(self.folder)
        self.weights_sha256 = "+".join(sha256_of(path) for path in weights)
        self.config = _read_json(self.folder / "config.json")
        self.model = self.family.load(self.folder).eval().requires_grad_(False)

    def session(self, segments: Segments) -> "HubPictures | HubSound":
        """Begin a recording."""
        return HubPictures(self, segments) if self.family.reads == "picture" else HubSound(self, segments)


class HubPictures(PictureSegments):
    """Pictures of one recording, for a published model."""

    def __init__(self, encoder: HubEncoder, segments: Segments) -> None:
        super().__init__(segments, encoder.card.dim)
        self._encoder = encoder
        config = encoder.config.get("vision_config", encoder.config)
        size = config.get("image_size") or config.get("crop_size") or 224
        self._side_px = int(size if isinstance(size, int) else size[0])
        written = encoder.folder / "preprocessor_config.json"
        told = _read_json(written) if written.is_file() else {}
        mean, deviation = encoder.family.normal
        self._mean = torch.tensor(told.get("image_mean") or mean)[:, None, None]
        self._deviation = torch.tensor(told.get("image_std") or deviation)[:, None, None]
        clip_s = encoder.family.clip_s
        self._num_clips = 1 if clip_s is None else max(segments.length_ns // round(clip_s * NS), 1)

    def prepare(self, rgb_HWC: np.ndarray) -> np.ndarray:
        """The shorter side to the model's size, then the middle square."""
        height, width = rgb_HWC.shape[:2]
        scale, side = self._side_px / min(height, width), self._side_px
        cv2 = import_cv2()
        size = (max(round(width * scale), side), max(round(height * scale), side))
        scaled = cv2.resize(rgb_HWC, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        top, left = (size[1] - side) // 2, (size[0] - side) // 2
        return np.ascontiguousarray(scaled[top : top + side, left : left + side])

    def encode(self, pictures: list[np.ndarray]) -> np.ndarray:
        """Evenly spaced pictures through the model; the mean over its clips."""
        number = min(self._num_clips, len(pictures))
        bounds = [place * len(pictures) // number for place in range(number + 1)]
        clips = [self._clip(pictures[first:after]) for first, after in pairwise(bounds)]
        return np.mean(clips, axis=0)

    def _clip(self, pictures: list[np.ndarray]) -> np.ndarray:
        clip = self._encoder.family.num_pictures
        number = SINGLE_PICTURES if clip is None else clip(self._encoder.config)
        if clip is None:
            number = min(number, len(pictures))
        places = np.floor((np.arange(number) + 0.5) * len(pictures) / number).astype(int)
        pixels = torch.from_numpy(np.stack([pictures[place] for place in places])).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            features = self._encoder.family.features(self._encoder.model, (pixels - self._mean) / self._deviation)
        return features.mean(dim=0).numpy()


class HubSound(SoundSegments):
    """Sound of one recording, for a published model."""

    def __init__(self, encoder: HubEncoder, segments: Segments) -> None:
        super().__init__(segments, encoder.card.dim)
        self._encoder = encoder
        self._prepared = _preparation(encoder.config)

    def encode(self, samples_N: np.ndarray) -> np.ndarray:
        """The sound of a segment through the model."""
        features = self._encoder.family.features
        with torch.inference_mode():
            parts = [features(self._encoder.model, part)[0].numpy() for part in self._prepared(samples_N)]
        return np.mean(parts, axis=0)


def _preparation(config: dict[str, Any]) -> Callable[[np.ndarray], list[torch.Tensor]]:
    """Sound at `SOUND_RATE_HZ` -> what a model is given, by transformers' own extractor of its kind."""
    from transformers import ASTFeatureExtractor, ClapFeatureExtractor, Wav2Vec2FeatureExtractor

    def plain(extractor: Any) -> Callable[[np.ndarray], list[torch.Tensor]]:
        return lambda samples_N: [
            extractor(samples_N, sampling_rate=SOUND_RATE_HZ, return_tensors="pt")["input_values"]
        ]

    kind = config["model_type"]
    if kind == "audio-spectrogram-transformer":
        size = {"max_length": config.get("max_length", 1024), "num_mel_bins": config.get("num_mel_bins", 128)}
        return plain(ASTFeatureExtractor(**size))
    if not kind.startswith("clap"):
        return plain(Wav2Vec2FeatureExtractor(do_normalize=True))
    if config.get("audio_config", config).get("enable_fusion"):
        raise InputError(
            "Expected weights of CLAP that read 10 s at a time, found fused ones (enable_fusion): take "
            f"{FAMILIES['clap'].source}."
        )
    extractor = ClapFeatureExtractor(
        feature_size=config.get("audio_config", config).get("num_mel_bins", 64),
        frequency_min=50,
        truncation="rand_trunc",
    )

    def clap(samples_N: np.ndarray) -> list[torch.Tensor]:
        number = int(np.ceil(len(samples_N) / SOUND_RATE_HZ / CLAP_LONGEST_S))
        parts = np.array_split(resample_poly(samples_N, CLAP_RATE_HZ // SOUND_RATE_HZ, 1).astype(np.float32), number)
        made = [extractor(part, sampling_rate=CLAP_RATE_HZ, return_tensors="pt") for part in parts]
        return [one["input_features"] for one in made]

    return clap


@lru_cache(maxsize=16)
def _folder(kind: str, source: str) -> Path:
    """The folder of a model on this machine."""
    folder = Path(source)
    if (folder / "config.json").is_file():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise InputError(
            f"Expected the weights of the encoder '{kind}' in a folder or in the hub's cache, found nothing for "
            f"'{source}': fetch them with `hf download {FAMILIES[kind].source}`, or name a folder with config.json and "
            f"safetensors: {kind}=FOLDER."
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    outside = outside_of(path, f"a readable {path.name}")
    document = read_json(outside)
    if not isinstance(document, dict):
        raise outside.refused(quoted(document))
    return document
