"""The kinds of published models that transformers has: where their weights are, and what of their output is kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from limssr.media.encoders.contract import Reads

PICTURES_HZ = 12.5
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
        clip_s: A longer segment is read in several clips of at least this length, and the mean is taken; None: in one.
        version: Raised whenever its numbers change.
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
    clip_s: float | None = None
    version: int = 1
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
        "clap": Family(
            reads="sound",
            source="laion/clap-htsat-unfused",
            does="sound transformer trained on captions; it hears up to 8 kHz here, its training went to 14 kHz",
            licence="Apache-2.0",
            load=_loader("ClapAudioModelWithProjection"),
            verified=COMPARED,
            features=lambda model, spectrogram: model(input_features=spectrogram).audio_embeds,
            width=lambda config: config.get("projection_dim", 512),
        ),
        "timesformer": Family(
            reads="picture",
            source="facebook/timesformer-base-finetuned-k400",
            does="video transformer: evenly spaced pictures of a segment; of a long one the mean over clips of 1.6 s",
            licence="CC-BY-NC-4.0",
            load=_loader("TimesformerModel"),
            features=lambda model, pixels: model(pixels[None]).last_hidden_state[:, 0],
            num_pictures=lambda config: config["num_frames"],
            clip_s=1.6,
            version=2,
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
        "dinov3": Family(
            reads="picture",
            source="facebook/dinov3-vitb16-pretrain-lvd1689m",
            does="picture transformer: mean over the pictures of a segment",
            licence="DINOv3 License (the hub asks for consent)",
            load=_loader("DINOv3ViTModel"),
            verified=COMPARED,
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
