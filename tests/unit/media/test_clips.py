"""Video Swin and I3D: sizes and layer names as published, files read within bounds, and what their encoders look at."""

import re

import numpy as np
import pytest
import torch

from limssr.core.errors import InputError
from limssr.media.clock import NS, make_segments
from limssr.media.decode import Picture
from limssr.media.encoders import clips
from limssr.media.encoders.i3d import I3D, I3DSizes, read_i3d
from limssr.media.encoders.swin3d import SwinSizes, VideoSwin
from limssr.media.encoders.swin3d_file import read_swin
from limssr.media.encoders.table import load_encoder

TINY = SwinSizes(width=8, depths=(1, 2), heads=(2, 4), window=(2, 3, 3))


def tiny_swin():
    """Small, and with no weight at its beginning, so that every one of them counts."""
    torch.manual_seed(0)
    model = VideoSwin(TINY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model.eval()


def as_torchvision(state):
    """The same tensors under torchvision's names, with a head."""
    renamed = {"head.weight": torch.zeros(5, TINY.features), "head.bias": torch.zeros(5)}
    for name, tensor in state.items():
        name = name.replace(".mlp.fc1.", ".mlp.0.").replace(".mlp.fc2.", ".mlp.3.")
        name = re.sub(r"^layers\.(\d)\.blocks", lambda found: f"features.{2 * int(found[1])}", name)
        name = re.sub(r"^layers\.(\d)\.downsample", lambda found: f"features.{2 * int(found[1]) + 1}", name)
        renamed[name] = tensor
    return renamed


def test_sizes_as_published():
    """Without the heads, which have 410,000 and 410,000 of the published 88,048,984 and 12,675,312."""
    with torch.device("meta"):
        counted = [sum(one.numel() for one in model.parameters()) for model in (VideoSwin(), I3D())]
    assert counted == [88_048_984 - 410_000, 12_675_312 - 410_000]
    assert SwinSizes().features == I3DSizes().features == 1024


def test_both_layouts_of_video_swin_are_read(tmp_path):
    model = tiny_swin()
    backbone = {f"backbone.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save(
        {"meta": {"epoch": 30}, "state_dict": {**backbone, "cls_head.fc_cls.bias": torch.zeros(5)}}, tmp_path / "a"
    )
    torch.save(as_torchvision(model.state_dict()), tmp_path / "b")
    clip = torch.randn(1, 3, 5, 26, 37, generator=torch.Generator().manual_seed(1))
    for name in ("a", "b"):
        found = read_swin(tmp_path / name)
        assert found.sizes == TINY
        torch.testing.assert_close(found(clip), model(clip))


@pytest.mark.parametrize(
    ("changed", "reached"),
    [((0, 0, 0), {(0, 0, 0)}), ((1, 1, 1), {(1, 1, 1), (2, 3, 3)}), ((3, 8, 8), {(3, 7, 7), (3, 8, 8)})],
)
def test_how_far_a_patch_reaches_in_shifted_windows(changed, reached):
    """To the edges of its window, and not around to the other side of the picture."""
    block = tiny_swin().layers[1].blocks[1]
    before = torch.randn(1, 4, 9, 9, 16, generator=torch.Generator().manual_seed(2))
    after = before.clone()
    after[0][changed] += torch.arange(16)
    moved = torch.nonzero((block(after) - block(before)).abs().amax(dim=-1)[0] > 0)
    corners = {tuple(moved.min(dim=0).values.tolist()), tuple(moved.max(dim=0).values.tolist())}
    assert corners == reached


@pytest.mark.parametrize("kind", ["vst", "i3d-flow"])
def test_what_does_not_fit_is_named(kind, tmp_path):
    path = tmp_path / "weights.pt"
    state = tiny_swin().state_dict() if kind == "vst" else I3D(I3DSizes(narrow=16)).state_dict()
    last = [name for name in state if "num_batches" not in name][-1]
    for change, told in (
        ({last: torch.zeros(1)}, last),
        ({"odd": torch.zeros(1)}, "'odd', which has no place"),
        ({"layers.0.blocks.0.attn.relative_position_bias_table": torch.zeros(74, 2)}, "no window|no place"),
    ):
        torch.save({**state, **change}, path)
        with pytest.raises(InputError, match=told):
            (read_swin if kind == "vst" else read_i3d)(path)
    torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(InputError, match="found no "):
        load_encoder(f"{kind}={path}")
    with pytest.raises(InputError, match=f"give {kind}=FILE"):
        load_encoder(kind)


def test_flow_of_pictures_is_not_taken_for_that_of_movement(tmp_path):
    torch.save(I3D(I3DSizes(channels=3, narrow=16)).state_dict(), tmp_path / "rgb.pt")
    with pytest.raises(InputError, match="3 channels, where 2 are expected"):
        load_encoder(f"i3d-flow={tmp_path / 'rgb.pt'}")


class Seen(torch.nn.Module):
    """Keeps what it is given."""

    def forward(self, clip):
        self.clip = clip
        return torch.zeros(1, 4)


@pytest.fixture
def squares(monkeypatch):
    """`squares(kind, pixels a second)`: what a model is given of a patterned square that moves to the right."""
    monkeypatch.setattr(clips, "SIDE_PX", 32)

    def look(session_of, px_per_s):
        encoder = type("Stub", (), {"card": type("Card", (), {"dim": 4}), "model": Seen()})
        session = session_of(encoder, make_segments(1.28))
        pattern = np.random.default_rng(0).integers(0, 255, (256, 800), np.uint8)
        pattern = clips.import_cv2().GaussianBlur(pattern, (0, 0), 3)
        for number in range(32):
            left = 200 - round(px_per_s * number / 25)
            rgb_HWC = np.repeat(pattern[:, left : left + 400, None], 3, axis=2)
            session.add(Picture(time_ns=number * NS // 25, rgb_HWC=np.ascontiguousarray(rgb_HWC)))
        session.segments(make_segments(1.28), 1)
        return encoder.model.clip

    return look


def test_vst_is_given_32_normalised_pictures(squares):
    clip = squares(clips.VstPictures, 0)
    assert clip.shape == (1, 3, 32, 32, 32)
    assert clip.abs().max() < 3
    assert clip.std() > 0.1


def test_flow_is_in_twentieths_of_20_pixels_a_picture(squares):
    clip = squares(clips.FlowPictures, 100)
    assert clip.shape == (1, 2, 32, 32, 32)
    right, down = clip[0, 0, 1:].mean(), clip[0, 1, 1:].mean()
    assert right == pytest.approx(100 / 25 / 20, abs=0.02)
    assert down == pytest.approx(0, abs=0.02)
    assert clip[0, :, 0].abs().max() < 0.01
