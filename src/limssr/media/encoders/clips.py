"""`vst=FILE` and `i3d-flow=FILE`: the paper's encoders that transformers lacks, from a file of published weights.

Both see pictures as the published features of Fis-V and RG were made, as far as it is known: the shorter side scaled to
256, the middle 224 x 300 cut out and squeezed to 224 x 224, 25 pictures a second. The flow is OpenCV's DIS, not TV-L1,
which the plain wheel of OpenCV lacks: these features resemble the published ones and are not them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn

from limssr.core.errors import InputError
from limssr.core.files import sha256_of
from limssr.media.clock import NS, Segments
from limssr.media.decode import Picture, Sound
from limssr.media.encoders.contract import Encoder, EncoderCard, Need
from limssr.media.encoders.families import IMAGENET
from limssr.media.encoders.i3d import I3D, read_i3d
from limssr.media.encoders.segmentwise import PictureSegments
from limssr.media.encoders.swin3d import VideoSwin
from limssr.media.encoders.swin3d_file import read_swin
from limssr.media.extras import INSTALL, import_cv2

PICTURES_HZ = 25.0
SHORTER_PX, CROP_PX, SIDE_PX = 256, (224, 300), 224
VST_PICTURES = 32
# Flow beyond so many pixels a picture is cut off; eight bits hold the rest, as in the published pictures of flow.
FLOW_PX = 20.0
FURTHEST_NS = NS // 5
PICTURES = Need(module="cv2", package="opencv-python-headless", command=INSTALL)


@dataclass(frozen=True, kw_only=True)
class FileFamily:
    """An encoder whose weights are a file.

    Attributes:
        does: One sentence.
        weights: Which files are known.
        licence: Of these.
        verified: What was checked of it here.
        read: File -> model.
    """

    does: str
    weights: str
    licence: str
    verified: str
    read: Callable[[Path], nn.Module]


FILE_FAMILIES: Mapping[str, FileFamily] = MappingProxyType(
    {
        "vst": FileFamily(
            does="Video Swin: 32 pictures of a segment (the paper's video encoder for Fis-V and RG)",
            weights="swin_base_patch244_window877_kinetics600_22k.pth (authors) or torchvision's swin3d_b: vst=FILE",
            licence="Apache-2.0 (authors), BSD-3-Clause (torchvision)",
            verified=(
                "output of base and tiny against torchvision's swin3d with random weights in its layout, within 2e-5; "
                "88,048,984 parameters with the head, as published; the authors' layout by its layer names alone; "
                "never run with trained weights"
            ),
            read=read_swin,
        ),
        "i3d-flow": FileFamily(
            does="I3D on optical flow (DIS, not TV-L1): mean over a segment (the paper's flow encoder)",
            weights="flow_imagenet.pt of pytorch-i3d: i3d-flow=FILE",
            licence="Apache-2.0 (pytorch-i3d)",
            verified=(
                "output and layer names against the copy of pytorch-i3d in cd-fvd 0.1.1 (with pytorch-i3d's epsilon), "
                "random weights, to the bit; 12,265,312 parameters without the head; never run with trained weights; "
                "flow not compared with TV-L1"
            ),
            read=lambda path: read_i3d(path, channels=2),
        ),
    }
)


def is_file_family(name: str) -> bool:
    """Whether a name is that of an encoder from a file, with or without the file."""
    return name.partition("=")[0] in FILE_FAMILIES


def file_card(name: str) -> EncoderCard:
    """What an encoder from a file is.

    Raises:
        InputError: No file is named, or there is none.
    """
    return _loaded(name)[0]


class FileEncoder(Encoder):
    """Weights of a file.

    Raises:
        InputError: No file is named, there is none, or it is of another kind.
    """

    def __init__(self, name: str) -> None:
        self.card, self.weights_sha256, self.model = _loaded(name)

    def session(self, segments: Segments) -> "VstPictures | FlowPictures":
        """Begin a recording."""
        return (VstPictures if isinstance(self.model, VideoSwin) else FlowPictures)(self, segments)


class _Squeezed(PictureSegments):
    """Pictures scaled and cut as the published features had them."""

    def __init__(self, encoder: FileEncoder, segments: Segments) -> None:
        super().__init__(segments, encoder.card.dim)
        self._model = encoder.model
        self._cv2: Any = import_cv2()

    def scaled(self, picture: np.ndarray) -> np.ndarray:
        """The shorter side is `SHORTER_PX` long."""
        height, width = picture.shape[:2]
        scale = SHORTER_PX / min(height, width)
        size = (max(round(width * scale), SHORTER_PX), max(round(height * scale), SHORTER_PX))
        return self._cv2.resize(
            picture, size, interpolation=self._cv2.INTER_AREA if scale < 1 else self._cv2.INTER_LINEAR
        )

    def squeezed(self, picture: np.ndarray) -> np.ndarray:
        """The middle, as a square of `SIDE_PX`."""
        height, width = (min(pair) for pair in zip(CROP_PX, picture.shape, strict=False))
        top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
        middle = np.ascontiguousarray(picture[top : top + height, left : left + width])
        return self._cv2.resize(middle, (SIDE_PX, SIDE_PX), interpolation=self._cv2.INTER_LINEAR)


class VstPictures(_Squeezed):
    """Pictures of one recording, for Video Swin."""

    def prepare(self, rgb_HWC: np.ndarray) -> np.ndarray:
        """Scaled, cut and squeezed."""
        return self.squeezed(self.scaled(rgb_HWC))

    def encode(self, pictures: list[np.ndarray]) -> np.ndarray:
        """`VST_PICTURES` evenly spaced ones through the model."""
        places = np.floor((np.arange(VST_PICTURES) + 0.5) * len(pictures) / VST_PICTURES).astype(int)
        clip = torch.from_numpy(np.stack([pictures[place] for place in places])).permute(3, 0, 1, 2).float() / 255
        mean, deviation = (torch.tensor(colours)[:, None, None, None] for colours in IMAGENET)
        with torch.inference_mode():
            return self._model(((clip - mean) / deviation)[None])[0].numpy()


class FlowPictures(_Squeezed):
    """Pictures of one recording, for I3D: what is kept of each is how it moved since the one before."""

    def __init__(self, encoder: FileEncoder, segments: Segments) -> None:
        super().__init__(encoder, segments)
        self._flow = self._cv2.DISOpticalFlow_create(self._cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._before: np.ndarray | None = None
        self._before_ns = 0

    def add(self, piece: Picture | Sound) -> None:
        """Where pictures are missing, movement begins anew."""
        assert isinstance(piece, Picture)
        if piece.time_ns - self._before_ns > FURTHEST_NS:
            self._before = None
        super().add(piece)
        self._before_ns = piece.time_ns

    def prepare(self, rgb_HWC: np.ndarray) -> np.ndarray:
        """Flow in 255 steps from -`FLOW_PX` to `FLOW_PX` pixels, [SIDE_PX, SIDE_PX, 2]."""
        grey_HW = self._cv2.cvtColor(self.scaled(rgb_HWC), self._cv2.COLOR_RGB2GRAY)
        before_HW = grey_HW if self._before is None else self._before
        self._before = grey_HW
        flow_HW2 = self.squeezed(self._flow.calc(before_HW, grey_HW, None))
        return np.rint((np.clip(flow_HW2, -FLOW_PX, FLOW_PX) / FLOW_PX + 1) * 127.5).astype(np.uint8)

    def encode(self, pictures: list[np.ndarray]) -> np.ndarray:
        """All flow of the segment through the model, in [-1, 1]."""
        clip = torch.from_numpy(np.stack(pictures)).permute(3, 0, 1, 2).float() / 127.5 - 1
        with torch.inference_mode():
            return self._model(clip[None])[0].numpy()


@lru_cache(maxsize=4)
def _loaded(name: str) -> tuple[EncoderCard, str, VideoSwin | I3D]:
    kind, _, source = name.partition("=")
    family = FILE_FAMILIES[kind]
    path = Path(source)
    if not source or not path.is_file():
        raise InputError(
            f"Expected a file of weights for the encoder '{kind}', found {path if source else 'none named'}: give "
            f"{kind}=FILE ({family.weights})."
        )
    model = family.read(path)
    assert isinstance(model, VideoSwin | I3D)
    width = model.sizes.features
    card = EncoderCard(
        name=kind,
        reads="picture",
        does=family.does,
        columns=tuple(f"feature{number:04d}" for number in range(width)),
        pictures_hz=PICTURES_HZ,
        weights=source,
        licence=family.licence,
        verified=family.verified,
        needs=(PICTURES,),
    )
    return card, sha256_of(path), model
