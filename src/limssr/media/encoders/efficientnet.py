"""EfficientNet-lite0 up to its pooled features: Tan and Le, 2019; the "lite" form without squeeze-and-excitation.

Inverted residual blocks with ReLU6 and TensorFlow's padding. Batch normalisation is folded into the convolutions when
weights are loaded, so that a forward pass is convolutions only.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

# (repeats, kernel, stride, expansion, channels out) of each stage.
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192))
LAST_STAGE = (1, 3, 1, 6, 320)
STEM, FEATURES = 32, 1280
EPSILON = 1e-3


class SameConv(nn.Module):
    """A convolution padded as TensorFlow does: with an odd rest, more at the end."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, *, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, groups=groups)
        self._kernel, self._stride = kernel, stride

    def forward(self, picture: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C', ceil(H / stride), ceil(W / stride)]."""
        if self._kernel > 1:
            height, width = self._pads(picture.shape[-2]), self._pads(picture.shape[-1])
            picture = nn.functional.pad(picture, (*width, *height))
        return self.conv(picture)

    def _pads(self, size: int) -> tuple[int, int]:
        total = max((-(-size // self._stride) - 1) * self._stride + self._kernel - size, 0)
        return total // 2, total - total // 2


class Block(nn.Module):
    """Expand, look around in each channel, project; added to its input where shapes allow."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels_in * expansion
        self.expand = SameConv(channels_in, hidden, 1) if expansion > 1 else None
        self.depthwise = SameConv(hidden, hidden, kernel, stride, groups=hidden)
        self.project = SameConv(hidden, channels_out, 1)
        self._adds = stride == 1 and channels_in == channels_out

    def forward(self, picture: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C', H', W']."""
        hidden = picture if self.expand is None else nn.functional.relu6(self.expand(picture))
        projected = self.project(nn.functional.relu6(self.depthwise(hidden)))
        return picture + projected if self._adds else projected


class EfficientNetLite0(nn.Module):
    """Pictures -> features."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM, 3, 2)
        blocks, channels = [], STEM
        for repeats, kernel, stride, expansion, channels_out in (*STAGES, LAST_STAGE):
            for repeat in range(repeats):
                blocks.append(Block(channels, channels_out, kernel, 1 if repeat else stride, expansion))
                channels = channels_out
        self.blocks = nn.ModuleList(blocks)
        self.head = SameConv(channels, FEATURES, 1)

    def forward(self, picture: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1280"]:
        """RGB in about [-1, 1] (value minus 127, over 128) -> pooled features."""
        hidden = nn.functional.relu6(self.stem(picture))
        for block in self.blocks:
            hidden = block(hidden)
        return nn.functional.relu6(self.head(hidden)).mean(dim=(2, 3))

    @classmethod
    def from_published(cls, state: Mapping[str, Tensor]) -> "EfficientNetLite0":
        """Fold the published weights in, batch normalisation included."""
        model = cls()
        _fold(model.stem.conv, state, "_conv_stem", "_bn0")
        for number, block in enumerate(model.blocks):
            assert isinstance(block, Block)
            start = f"_blocks.{number}."
            if block.expand is not None:
                _fold(block.expand.conv, state, start + "_expand_conv", start + "_bn0")
            _fold(block.depthwise.conv, state, start + "_depthwise_conv", start + "_bn1")
            _fold(block.project.conv, state, start + "_project_conv", start + "_bn2")
        _fold(model.head.conv, state, "_conv_head", "_bn1")
        return model.eval().requires_grad_(False)


def _fold(conv: nn.Conv2d, state: Mapping[str, Tensor], weight: str, norm: str) -> None:
    scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + EPSILON)
    assert conv.bias is not None
    with torch.no_grad():
        conv.weight.copy_(state[f"{weight}.weight"] * scale[:, None, None, None])
        conv.bias.copy_(state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale)
