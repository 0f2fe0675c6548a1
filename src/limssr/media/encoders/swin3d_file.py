"""Published weights of Video Swin: the file layouts of its authors and of torchvision, and the sizes they tell."""

import re
from collections.abc import Mapping
from itertools import product
from pathlib import Path

from torch import Tensor

from limssr.core.errors import InputError
from limssr.core.quoting import quoted
from limssr.core.reading.checkpoints import read_checkpoint
from limssr.media.encoders.swin3d import Size, SwinSizes, VideoSwin

STATE_KEYS = ("state_dict", "model")
"""Where the authors' files keep the weights, beside facts about their training."""
LARGEST_WINDOW = 32
# From torchvision's names to ours; its features.0, .2, ... are stages, and features.1, .3, ... lead to the next one.
RENAMED = ((r"\.mlp\.0\.", ".mlp.fc1."), (r"\.mlp\.3\.", ".mlp.fc2."))
COMPUTED = "relative_position_index"


def read_swin(path: Path) -> VideoSwin:
    """A Video Swin from a file of published weights.

    Two layouts are known: `backbone.layers.0.blocks.0...` under `state_dict` (the authors'), and `features.0.0...`
    (torchvision's). Sizes come from the shapes of the tensors, the head is left out.

    Raises:
        InputError: Not readable, or no Video Swin; the message names the first tensor that does not fit.
    """
    state = _named(read_checkpoint(path, under=STATE_KEYS))
    sizes = _sizes(state, path)
    wanted = {name: tensor.shape for name, tensor in VideoSwin(sizes).state_dict().items() if COMPUTED not in name}
    for name, shape in wanted.items():
        if name not in state or state[name].shape != shape:
            found = f"shape {tuple(state[name].shape)}" if name in state else "nothing"
            raise _refused(path, f"{found} for {name}, where {tuple(shape)} is expected")
    more = next((name for name in state if name not in wanted and COMPUTED not in name), None)
    if more:
        raise _refused(path, f"the tensor {quoted(more)}, which has no place in it")
    computed = {name: tensor for name, tensor in VideoSwin(sizes).state_dict().items() if COMPUTED in name}
    return VideoSwin.from_published({**{name: state[name].float() for name in wanted}, **computed}, sizes)


def _named(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the head, under the authors' names."""
    named = {}
    for name, tensor in state.items():
        inner = re.sub(r"^(module\.)?(backbone\.)?", "", name)
        if inner.startswith(("cls_head.", "head.")):
            continue
        found = re.match(r"features\.(\d+)\.(.*)", inner)
        if found:
            place, rest = int(found[1]), found[2]
            inner = f"layers.{place // 2}.downsample.{rest}" if place % 2 else f"layers.{place // 2}.blocks.{rest}"
            for pattern, replacement in RENAMED:
                inner = re.sub(pattern, replacement, inner)
        named[inner] = tensor
    return named


def _sizes(state: Mapping[str, Tensor], path: Path) -> SwinSizes:
    depths: dict[int, int] = {}
    for name in state:
        found = re.match(r"layers\.(\d{1,2})\.blocks\.(\d{1,3})\.", name)
        if found:
            depths[int(found[1])] = max(depths.get(int(found[1]), 0), int(found[2]) + 1)
    first = state.get("patch_embed.proj.weight")
    tables = [
        state.get(f"layers.{stage}.blocks.0.attn.relative_position_bias_table") for stage in range(len(depths) or 1)
    ]
    if first is None or first.ndim != 5 or any(table is None or table.ndim != 2 for table in tables):
        raise _refused(path, "no patch_embed.proj and layers.0.blocks.0.attn in it")
    patch = first.shape[2:]
    heads = [table.shape[1] for table in tables if table is not None]
    assert tables[0] is not None
    return SwinSizes(
        width=first.shape[0],
        depths=tuple(depths[stage] for stage in sorted(depths)),
        heads=tuple(heads),
        window=_window(tables[0].shape[0], path),
        patch=(patch[0], patch[1], patch[2]),
    )


def _window(num_rows: int, path: Path) -> Size:
    """The window of a table with (2 t - 1) (2 s - 1)^2 rows; squares of 7, as published, where several would do."""
    sides = range(1, LARGEST_WINDOW + 1)
    fitting = [
        (time, side, side) for time, side in product(sides, sides) if (2 * time - 1) * (2 * side - 1) ** 2 == num_rows
    ]
    if not fitting:
        raise _refused(path, f"a table of relative places with {num_rows} rows, which no window of squares has")
    return min(fitting, key=lambda window: (abs(window[1] - 7), window))


def _refused(path: Path, found: str) -> InputError:
    return InputError(
        f"Expected weights of Video Swin at {path} (the authors' or torchvision's file), found {found}: give such a "
        "file, vst=FILE."
    )
