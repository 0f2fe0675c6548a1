"""I3D up to its pooled features: Carreira and Zisserman, Quo Vadis, Action Recognition?, CVPR 2017.

Inception with convolutions over time. Layers are named as in the published PyTorch weights (`rgb_imagenet.pt`,
`flow_imagenet.pt`), which came from the authors' TensorFlow ones; padding is therefore TensorFlow's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limssr.core.errors import InputError
from limssr.core.quoting import quoted
from limssr.core.reading.checkpoints import read_checkpoint

EPSILON = 1e-3
STEM, SECOND = 64, 192
# (name, widths of b0, b1a, b1b, b2a, b2b, b3b); "pool" is (kernel, stride) over time, then over height and width.
POOLS = {"3b": ((1, 3), (1, 2)), "4b": ((3, 3), (2, 2)), "5b": ((2, 2), (2, 2))}
MIXED = {
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}


@dataclass(frozen=True, kw_only=True)
class I3DSizes:
    """What distinguishes one I3D from another.

    Attributes:
        channels: 2 for optical flow, 3 for pictures.
        narrow: Every width of the published network is divided by this; more than 1 is for trying it out.
    """

    channels: int = 2
    narrow: int = 1

    @property
    def features(self) -> int:
        """Width of the result."""
        return sum(MIXED["5c"][place] for place in (0, 2, 4, 5)) // self.narrow


class Unit(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(channels_in, channels_out, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(channels_out, eps=EPSILON)
        self._sides = (kernel, stride), (kernel, stride)

    def forward(self, clip: Tensor) -> Tensor:
        """[B, C, N, H, W] -> [B, C', ceil(N / stride), ...]."""
        return torch.relu(self.bn(self.conv3d(_padded(clip, *self._sides))))


class Pool(nn.Module):
    """The largest of each neighbourhood; nothing beyond the edge is larger than 0."""

    def __init__(self, over_time: tuple[int, int], over_picture: tuple[int, int]) -> None:
        super().__init__()
        self._sides = over_time, over_picture

    def forward(self, clip: Tensor) -> Tensor:
        """[B, C, N, H, W] -> [B, C, ceil(N / stride), ...]."""
        (time, time_stride), (side, side_stride) = self._sides
        padded = _padded(clip, *self._sides)
        return nn.functional.max_pool3d(padded, (time, side, side), (time_stride, side_stride, side_stride))


class Mixed(nn.Module):
    """Four branches side by side."""

    def __init__(self, channels_in: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = widths
        self.b0 = Unit(channels_in, b0, 1)
        self.b1a, self.b1b = Unit(channels_in, b1a, 1), Unit(b1a, b1b, 3)
        self.b2a, self.b2b = Unit(channels_in, b2a, 1), Unit(b2a, b2b, 3)
        self.b3a, self.b3b = Pool((3, 1), (3, 1)), Unit(channels_in, b3b, 1)
        self.width = b0 + b1b + b2b + b3b

    def forward(self, clip: Tensor) -> Tensor:
        """[B, C, N, H, W] -> [B, C', N, H, W]."""
        branches = self.b0(clip), self.b1b(self.b1a(clip)), self.b2b(self.b2a(clip)), self.b3b(self.b3a(clip))
        return torch.cat(branches, dim=1)


class I3D(nn.Module):
    """Clips of optical flow, or of pictures -> features."""

    def __init__(self, sizes: I3DSizes | None = None) -> None:
        super().__init__()
        self.sizes = sizes or I3DSizes()
        narrow = self.sizes.narrow
        width = SECOND // narrow
        layers: dict[str, nn.Module] = {
            "Conv3d_1a_7x7": Unit(self.sizes.channels, STEM // narrow, 7, 2),
            "MaxPool3d_2a_3x3": Pool((1, 1), (3, 2)),
            "Conv3d_2b_1x1": Unit(STEM // narrow, STEM // narrow, 1),
            "Conv3d_2c_3x3": Unit(STEM // narrow, width, 3),
        }
        for name, widths in MIXED.items():
            if name in POOLS:
                (time, side), (time_stride, side_stride) = POOLS[name]
                layers[f"pool_before_{name}"] = Pool((time, time_stride), (side, side_stride))
            mixed = layers[f"Mixed_{name}"] = Mixed(width, tuple(one // narrow for one in widths))
            width = mixed.width
        self._order = tuple(layers)
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, clip: Float[Tensor, "B C N H W"]) -> Float[Tensor, "B D"]:
        """Flow or pictures in [-1, 1] -> the mean of the last layer over time and place."""
        for name in self._order:
            clip = self.get_submodule(name)(clip)
        return clip.mean(dim=(2, 3, 4))


def read_i3d(path: Path, *, channels: int | None = None) -> I3D:
    """An I3D from a file of published weights; the head is left out.

    Args:
        path: A state dict.
        channels: That its clips must have; None: as the file has it.

    Raises:
        InputError: Not readable, or no I3D; the message names the first tensor that does not fit.
    """
    state = {
        name.removeprefix("module."): tensor
        for name, tensor in read_checkpoint(path, under=("state_dict",)).items()
        if not name.removeprefix("module.").startswith("logits.")
    }
    model = I3D(_sizes(state, path, channels))
    # Some files were saved before torch counted batches.
    counted = {name: tensor for name, tensor in model.state_dict().items() if name.endswith("num_batches_tracked")}
    wanted = model.state_dict()
    for name, tensor in wanted.items():
        if name not in counted and (name not in state or state[name].shape != tensor.shape):
            found = f"shape {tuple(state[name].shape)}" if name in state else "nothing"
            raise _refused(path, f"{found} for {name}, where {tuple(tensor.shape)} is expected")
    more = next((name for name in state if name not in wanted), None)
    if more:
        raise _refused(path, f"the tensor {quoted(more)}, which has no place in it")
    model.load_state_dict({**counted, **state})
    return model.float().eval().requires_grad_(False)


def _sizes(state: Mapping[str, Tensor], path: Path, channels: int | None) -> I3DSizes:
    first = state.get("Conv3d_1a_7x7.conv3d.weight")
    if first is None or first.ndim != 5 or not 1 <= first.shape[0] <= STEM or STEM % first.shape[0]:
        raise _refused(path, "no Conv3d_1a_7x7.conv3d in it, or one of another width")
    if channels is not None and first.shape[1] != channels:
        raise _refused(path, f"one whose clips have {first.shape[1]} channels, where {channels} are expected")
    return I3DSizes(channels=first.shape[1], narrow=STEM // first.shape[0])


def _padded(clip: Tensor, over_time: tuple[int, int], over_picture: tuple[int, int]) -> Tensor:
    """As TensorFlow pads: the result has ceil(length / stride), and an odd rest is at the end."""
    pads: list[int] = []
    for length, (kernel, stride) in zip(clip.shape[2:], (over_time, over_picture, over_picture), strict=True):
        total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        pads = [total // 2, total - total // 2, *pads]
    return nn.functional.pad(clip, pads)


def _refused(path: Path, found: str) -> InputError:
    return InputError(
        f"Expected weights of I3D at {path} (the layout of pytorch-i3d), found {found}: give such a file, "
        "i3d-flow=FILE."
    )
