"""The paper's encoders and newer ones, by hub id or local folder: `NAME` or `NAME=SOURCE`.

Weights are read from a folder or from the hub's cache on this machine; nothing is ever fetched. A segment is given to
the model as the model expects it: evenly spaced pictures, or its sound.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from limssr.core.errors import InputError
from limssr.core.files import sha256_of
from limssr.core.quoting import quoted
from limssr.core.reading.documents import read_json
from limssr.core.reading.model_folder import check_folder, outside_of
from limssr.media.clock import Segments
from limssr.media.decode import SOUND_RATE_HZ
from limssr.media.encoders.contract import Encoder, EncoderCard, Need, Reads
from limssr.media.encoders.segmentwise import PictureSegments, SoundSegments
from limssr.media.extras import INSTALL, import_cv2

PICTURES_HZ = 12.5
PICTURES = Need(module="cv2", package="opencv-python-headless", command=INSTALL)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

COMPARED = "preparation and output against transformers, with small random weights"
RUN_ONLY = "runs with small random weights; preparation and output are not compared with another program"


@dataclass(frozen=True, kw_only=True)
class Family:
    """A kind of published model.

    Attributes:
        reads: Pictures or sound.
        source: Where its weights are by default, on the hub.
        does: One sentence.
        licence: Of the default weights.
        load: Folder -> model.
        features: Model and its input -> [1, D], or [N, D] for N pictures that are read one by one.
        width: Configuration -> D.
        num_pictures: Configuration -> pictures a clip; None: each picture by itself, and the mean.
        normal: Mean and deviation of the colours, where the folder does not say.
        verified: What was checked of it here.
    """

    reads: Reads
    source: str
    does: str
    licence: str
    load: Callable[[Path], nn.Module]
    features: Callable[[nn.Module, Tensor], Tensor]
    width: Callable[[Mapping[str, Any]], int] = lambda config: config["hidden_size"]
    num_pictures: Callable[[Mapping[str, Any]], int] | None = None
    normal: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET
    verified: str = RUN_ONLY


def _loader(name: str) -> Callable[[Path], nn.Module]:
    """Folder -> model of a class of transformers, from safetensors alone, and without asking the hub."""

    def load(folder: Path) -> nn.Module:
        import transformers

        return getattr(transformers, name).from_pretrained(folder, use_safetensors=True, local_files_only=True)

    return load


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "ast": Family(
            reads="sound",
            source="MIT/ast-finetuned-audioset-10-10-0.4593",
            does="audio spectrogram transformer: the sound of a segment (the paper's audio encoder)",
            licence="BSD-3-Clause",
            load=_loader("ASTModel"),
            verified=COMPARED,
            features=lambda model, spectrogram: model(spectrogram).pooler_output,
        ),
        "wav2vec2": Family(
            reads="sound",
            source="facebook/wav2vec2-base",
            does="speech model: mean over the sound of a segment",
            licence="Apache-2.0",
            load=_loader("Wav2Vec2Model"),
            features=lambda model, samples: model(samples).last_hidden_state.mean(dim=1),
        ),
        "timesformer": Family(
            reads="picture",
            source="facebook/timesformer-base-finetuned-k400",
            does="video transformer: evenly spaced pictures of a segment",
            licence="CC-BY-NC-4.0",
            load=_loader("TimesformerModel"),
            features=lambda model, pixels: model(pixels[None]).last_hidden_state[:, 0],
            num_pictures=lambda config: config["num_frames"],
            normal=((0.45, 0.45, 0.45), (0.225, 0.225, 0.225)),
        ),
        "videomae": Family(
            reads="picture",
            source="MCG-NJU/videomae-base",
            does="video transformer: mean over evenly spaced pictures of a segment",
            licence="CC-BY-NC-4.0",
            load=_loader("VideoMAEModel"),
            verified=COMPARED,
            features=lambda model, pixels: model(pixels[None]).last_hidden_state.mean(dim=1),
            num_pictures=lambda config: config["num_frames"],
        ),
        "vjepa2": Family(
            reads="picture",
            source="facebook/vjepa2-vitl-fpc64-256",
            does="video transformer: mean over evenly spaced pictures of a segment",
            licence="MIT",
            load=_loader("VJEPA2Model"),
            features=lambda model, pixels: model(pixels[None], skip_predictor=True).last_hidden_state.mean(dim=1),
            num_pictures=lambda config: config["frames_per_clip"],
        ),
        "dinov2": Family(
            reads="picture",
            source="facebook/dinov2-base",
            does="picture transformer: mean over the pictures of a segment",
            licence="Apache-2.0",
            load=_loader("Dinov2Model"),
            features=lambda model, pixels: model(pixels).pooler_output,
        ),
        "siglip2": Family(
            reads="picture",
            source="google/siglip2-base-patch16-224",
            does="picture transformer trained on captions: mean over the pictures of a segment",
            licence="Apache-2.0",
            load=_loader("SiglipVisionModel"),
            features=lambda model, pixels: model(pixels).pooler_output,
            width=lambda config: config.get("vision_config", config)["hidden_size"],
            normal=HALF,
        ),
    }
)
# Pictures a segment for models that read pictures one by one.
SINGLE_PICTURES = 4


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
        """Evenly spaced pictures through the model."""
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
        from transformers import ASTFeatureExtractor, Wav2Vec2FeatureExtractor

        self._encoder = encoder
        config = encoder.config
        if config["model_type"] == "audio-spectrogram-transformer":
            self._extractor: Any = ASTFeatureExtractor(
                max_length=config.get("max_length", 1024), num_mel_bins=config.get("num_mel_bins", 128)
            )
        else:
            self._extractor = Wav2Vec2FeatureExtractor(do_normalize=True)

    def encode(self, samples_N: np.ndarray) -> np.ndarray:
        """The sound of a segment through the model."""
        ready = self._extractor(samples_N, sampling_rate=SOUND_RATE_HZ, return_tensors="pt")
        with torch.inference_mode():
            return self._encoder.family.features(self._encoder.model, ready["input_values"])[0].numpy()


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
