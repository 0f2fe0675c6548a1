"""Video Swin (VST) up to its pooled features: Liu et al., Video Swin Transformer, CVPR 2022.

Layers are named as in the authors' checkpoints. Attention is within windows of patches, every second block with windows
that are shifted by half; between stages four neighbours become one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor, nn

Size = tuple[int, int, int]
"""Over time, height and width."""

EXPANSION = 4
# Added to the attention of patches that stand side by side only because the windows are shifted.
APART = -100.0


@dataclass(frozen=True, kw_only=True)
class SwinSizes:
    """What distinguishes one Video Swin from another.

    Attributes:
        width: Of a patch in the first stage; it doubles from stage to stage.
        depths: Blocks a stage.
        heads: Of the attention in each stage.
        window: Patches a window.
        patch: Pictures, rows and columns a patch.
    """

    width: int = 128
    depths: tuple[int, ...] = (2, 2, 18, 2)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    window: Size = (8, 7, 7)
    patch: Size = (2, 4, 4)

    @property
    def features(self) -> int:
        """Width of the result."""
        return self.width * 2 ** (len(self.depths) - 1)


class PatchEmbedding(nn.Module):
    """Pictures -> patches."""

    def __init__(self, sizes: SwinSizes) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, sizes.width, sizes.patch, sizes.patch)
        self.norm = nn.LayerNorm(sizes.width)
        self._patch = sizes.patch

    def forward(self, clip: Float[Tensor, "B 3 N H W"]) -> Float[Tensor, "B N2 H2 W2 D"]:
        """What does not fill a patch is filled up with zeros."""
        missing = [-length % side for length, side in zip(clip.shape[2:], self._patch, strict=True)]
        padded = nn.functional.pad(clip, (0, missing[2], 0, missing[1], 0, missing[0]))
        return self.norm(self.proj(padded).permute(0, 2, 3, 4, 1))


class WindowAttention(nn.Module):
    """Attention among the patches of each window."""

    def __init__(self, width: int, heads: int, window: Size) -> None:
        super().__init__()
        self._heads, self._window = heads, window
        places = [2 * side - 1 for side in window]
        self.relative_position_bias_table = nn.Parameter(torch.zeros(places[0] * places[1] * places[2], heads))
        self.register_buffer("relative_position_index", _relative_places(window))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, patches: Tensor, shift: Size) -> Tensor:
        """[B, N, H, W, D] -> the same shape.

        Where there are fewer patches than a window has, the window is cut down and not shifted; where windows do not
        fill up, zeros do.
        """
        shape = patches.shape[1:4]
        window = _size(min(pair) for pair in zip(shape, self._window, strict=True))
        shift = _size(0 if length <= side else by for length, side, by in zip(shape, self._window, shift, strict=True))
        missing = [-length % side for length, side in zip(shape, window, strict=True)]
        grid = nn.functional.pad(patches, (0, 0, 0, missing[2], 0, missing[1], 0, missing[0]))
        padded = _size(grid.shape[1:4])
        grid = torch.roll(grid, [-by for by in shift], (1, 2, 3))
        attended = self._attend(_to_windows(grid, window), _apart(padded, window, shift))
        grid = torch.roll(_from_windows(attended, padded, window), shift, (1, 2, 3))
        return grid[:, : shape[0], : shape[1], : shape[2]]

    def _attend(self, windows_NPD: Tensor, apart_VPP: Tensor) -> Tensor:
        number, places, width = windows_NPD.shape
        qkv = self.qkv(windows_NPD).reshape(number, places, 3, self._heads, width // self._heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        index: Tensor = self.get_buffer("relative_position_index")[:places, :places]
        bias_1HPP = self.relative_position_bias_table[index].permute(2, 0, 1)[None]
        apart_VPP = apart_VPP.to(windows_NPD)
        bias = bias_1HPP + apart_VPP.repeat(number // len(apart_VPP), 1, 1)[:, None]
        heads = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.proj(heads.transpose(1, 2).reshape(number, places, width))


class Perceptron(nn.Module):
    """Two layers on each patch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, EXPANSION * width)
        self.fc2 = nn.Linear(EXPANSION * width, width)

    def forward(self, patches: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        return self.fc2(nn.functional.gelu(self.fc1(patches)))


class Block(nn.Module):
    """Attention within windows, then a perceptron; each added to its input."""

    def __init__(self, width: int, heads: int, window: Size, shift: Size) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, window)
        self.mlp = Perceptron(width)
        self._shift = shift

    def forward(self, patches: Tensor) -> Tensor:
        """[B, N, H, W, D] -> the same shape."""
        patches = patches + self.attn(self.norm1(patches), self._shift)
        return patches + self.mlp(self.norm2(patches))


class Merging(nn.Module):
    """Two by two patches become one of twice the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, patches: Tensor) -> Tensor:
        """[B, N, H, W, D] -> [B, N, ceil(H / 2), ceil(W / 2), 2 D]."""
        grid = nn.functional.pad(patches, (0, 0, 0, patches.shape[3] % 2, 0, patches.shape[2] % 2))
        corners = [grid[:, :, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, dim=-1)))


class Stage(nn.Module):
    """Blocks of one width; `downsample` leads to the next stage."""

    def __init__(self, sizes: SwinSizes, number: int) -> None:
        super().__init__()
        width, heads = sizes.width * 2**number, sizes.heads[number]
        half = _size(side // 2 for side in sizes.window)
        self.blocks = nn.ModuleList(
            Block(width, heads, sizes.window, half if place % 2 else (0, 0, 0)) for place in range(sizes.depths[number])
        )
        self.downsample = Merging(width) if number < len(sizes.depths) - 1 else None

    def forward(self, patches: Tensor) -> Tensor:
        """[B, N, H, W, D] -> what the next stage reads."""
        for block in self.blocks:
            patches = block(patches)
        return patches if self.downsample is None else self.downsample(patches)


class VideoSwin(nn.Module):
    """Clips -> features.

    Args:
        sizes: By default those of the base model, whose features are 1024 wide.
    """

    def __init__(self, sizes: SwinSizes | None = None) -> None:
        super().__init__()
        self.sizes = sizes or SwinSizes()
        self.patch_embed = PatchEmbedding(self.sizes)
        self.layers = nn.ModuleList(Stage(self.sizes, number) for number in range(len(self.sizes.depths)))
        self.norm = nn.LayerNorm(self.sizes.features)

    def forward(self, clip: Float[Tensor, "B 3 N H W"]) -> Float[Tensor, "B D"]:
        """Normalised pictures -> the mean of what is left of the patches."""
        patches = self.patch_embed(clip)
        for layer in self.layers:
            patches = layer(patches)
        return self.norm(patches).mean(dim=(1, 2, 3))

    @classmethod
    def from_published(cls, state: Mapping[str, Tensor], sizes: SwinSizes) -> "VideoSwin":
        """Put published weights in place; see `limssr.media.encoders.swin3d_file`."""
        model = cls(sizes)
        model.load_state_dict(dict(state))
        return model.eval().requires_grad_(False)


def _size(numbers: "object") -> Size:
    time, height, width = numbers  # type: ignore[misc]
    return int(time), int(height), int(width)


def _relative_places(window: Size) -> Tensor:
    """Row of the table for each pair of places in a window, [P, P]."""
    axes = torch.meshgrid(*(torch.arange(side) for side in window), indexing="ij")
    places_P3 = torch.stack([axis.flatten() for axis in axes], dim=1)
    away_PP3 = places_P3[:, None] - places_P3[None] + torch.tensor([side - 1 for side in window])
    rows, columns = 2 * window[1] - 1, 2 * window[2] - 1
    return away_PP3[..., 0] * rows * columns + away_PP3[..., 1] * columns + away_PP3[..., 2]


def _to_windows(grid: Tensor, window: Size) -> Tensor:
    """[B, N, H, W, D] -> [windows, places, D]."""
    number, width = grid.shape[0], grid.shape[-1]
    counts = [length // side for length, side in zip(grid.shape[1:4], window, strict=True)]
    parts = [number for pair in zip(counts, window, strict=True) for number in pair]
    split = grid.reshape(number, *parts, width).permute(0, 1, 3, 5, 2, 4, 6, 7)
    return split.reshape(-1, window[0] * window[1] * window[2], width)


def _from_windows(windows: Tensor, padded: Size, window: Size) -> Tensor:
    """[windows, places, D] -> [B, N, H, W, D]."""
    counts = [length // side for length, side in zip(padded, window, strict=True)]
    split = windows.reshape(-1, *counts, *window, windows.shape[-1]).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return split.reshape(-1, *padded, windows.shape[-1])


@lru_cache(maxsize=32)
def _apart(padded: Size, window: Size, shift: Size) -> Tensor:
    """What keeps patches from both ends of the grid apart in a shifted window, [V, P, P] or [1, 1, 1] of zero."""
    if not any(shift):
        return torch.zeros(1, 1, 1)
    region = torch.zeros(padded)
    for axis, (length, side, by) in enumerate(zip(padded, window, shift, strict=True)):
        place = torch.arange(length)
        part = (place >= length - side).long() + (place >= length - by).long() if by else torch.zeros_like(place)
        shape = [1, 1, 1]
        shape[axis] = length
        region = 3 * region + part.reshape(shape)
    of_VP = _to_windows(region[None, ..., None], window)[..., 0]
    return torch.where(of_VP[:, :, None] == of_VP[:, None], 0.0, APART)
