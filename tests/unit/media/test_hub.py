"""Published models by folder: small random weights, and what goes in and comes out against transformers itself."""

import numpy as np
import pytest
import torch
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTModel,
    Dinov2Config,
    Dinov2Model,
    SiglipVisionConfig,
    SiglipVisionModel,
    TimesformerConfig,
    TimesformerModel,
    VideoMAEConfig,
    VideoMAEModel,
    VJEPA2Config,
    VJEPA2Model,
    Wav2Vec2Config,
    Wav2Vec2Model,
)

from limssr.core.errors import InputError
from limssr.media.clock import NS, make_segments
from limssr.media.decode import SOUND_RATE_HZ, Picture, Sound
from limssr.media.encoders.hub import FAMILIES, hub_card
from limssr.media.encoders.table import card_of, load_encoder

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
PICTURE = {**SMALL, "image_size": 32, "patch_size": 16}
MADE = {
    "timesformer": lambda: TimesformerModel(TimesformerConfig(**PICTURE, num_frames=4)),
    "videomae": lambda: VideoMAEModel(VideoMAEConfig(**PICTURE, num_frames=4, decoder_num_hidden_layers=1)),
    "vjepa2": lambda: VJEPA2Model(
        VJEPA2Config(
            **{**SMALL, "hidden_size": 24, "num_attention_heads": 2},
            crop_size=32,
            patch_size=16,
            frames_per_clip=4,
            pred_hidden_size=24,
            pred_num_attention_heads=2,
            pred_num_hidden_layers=1,
        )
    ),
    "dinov2": lambda: Dinov2Model(Dinov2Config(**PICTURE)),
    "siglip2": lambda: SiglipVisionModel(SiglipVisionConfig(**PICTURE)),
    "ast": lambda: ASTModel(ASTConfig(**SMALL, max_length=128, num_mel_bins=32)),
    "wav2vec2": lambda: Wav2Vec2Model(
        Wav2Vec2Config(
            **SMALL,
            conv_dim=(8, 8),
            conv_kernel=(10, 8),
            conv_stride=(5, 4),
            num_feat_extract_layers=2,
            num_conv_pos_embeddings=4,
            num_conv_pos_embedding_groups=2,
        )
    ),
}


@pytest.fixture(params=list(FAMILIES))
def kind(request):
    return request.param


@pytest.fixture
def folder(kind, tmp_path):
    torch.manual_seed(0)
    MADE[kind]().save_pretrained(tmp_path / kind)
    return tmp_path / kind


def pieces(kind):
    random = np.random.default_rng(0)
    if FAMILIES[kind].reads == "picture":
        shown = [number for number in range(40) if not 10 <= number < 20]
        size = (48, 64, 3)
        return [Picture(time_ns=number * NS // 10, rgb_HWC=random.integers(0, 255, size, np.uint8)) for number in shown]
    samples_N = (0.1 * random.normal(size=SOUND_RATE_HZ)).astype(np.float32)
    return [Sound(start_ns=second * NS, samples_N=samples_N * (second + 1)) for second in (0, 2, 3)]


def test_each_family_reads_segments_and_tells_them_apart(kind, folder):
    encoder = load_encoder(f"{kind}={folder}")
    card = card_of(f"{kind}={folder}")
    assert card.name == kind
    session = encoder.session(make_segments(1))
    for piece in pieces(kind):
        session.add(piece)
    values_TD = session.segments(make_segments(1), 5)
    assert values_TD.shape == (5, card.dim)
    assert list(np.isnan(values_TD).any(axis=1)) == [False, True, False, False, True]
    assert (np.isnan(values_TD).any(axis=1) == np.isnan(values_TD).all(axis=1)).all()
    if kind != "wav2vec2":  # it is given sound of the same loudness
        assert np.abs(values_TD[0] - values_TD[2]).max() > 1e-4
    assert len(encoder.weights_sha256) == 64


def test_what_a_model_is_given(tmp_path):
    """Pictures: the middle square, normalised; sound: transformers' own preparation."""
    torch.manual_seed(0)
    for kind in ("videomae", "ast"):
        MADE[kind]().save_pretrained(tmp_path / kind)
    session = load_encoder(f"videomae={tmp_path / 'videomae'}").session(make_segments(1))
    random = np.random.default_rng(1)
    squares = random.integers(0, 255, (8, 32, 32, 3), np.uint8)
    for number, square in enumerate(squares):
        wide = np.zeros((32, 64, 3), np.uint8)
        wide[:, 16:48] = square
        session.add(Picture(time_ns=number * NS // 8, rgb_HWC=wide))
    found = session.segments(make_segments(1), 1)[0]
    pixels = torch.from_numpy(squares[[1, 3, 5, 7]]).permute(0, 3, 1, 2).float() / 255
    mean, deviation = (torch.tensor(numbers)[:, None, None] for numbers in FAMILIES["videomae"].normal)
    model = VideoMAEModel.from_pretrained(tmp_path / "videomae").eval()
    expected = model(((pixels - mean) / deviation)[None]).last_hidden_state.mean(dim=1)[0].detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)

    samples_N = (0.1 * random.normal(size=SOUND_RATE_HZ * 2)).astype(np.float32)
    session = load_encoder(f"ast={tmp_path / 'ast'}").session(make_segments(1, 0.5))
    for begin in range(0, len(samples_N), 700):
        start_ns = round(begin * NS / SOUND_RATE_HZ)
        session.add(Sound(start_ns=start_ns, samples_N=samples_N[begin : begin + 700]))
    found = session.segments(make_segments(1, 0.5), 3)[1]
    extractor = ASTFeatureExtractor(max_length=128, num_mel_bins=32)
    ready = extractor(samples_N[8_000:24_000], sampling_rate=SOUND_RATE_HZ, return_tensors="pt")
    expected = ASTModel.from_pretrained(tmp_path / "ast").eval()(**ready).pooler_output[0].detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_what_is_not_here_is_said(tmp_path):
    with pytest.raises(InputError, match=r"hf download MCG-NJU/videomae-base.*videomae=FOLDER"):
        hub_card(f"videomae={tmp_path / 'nothing'}")
    MADE["ast"]().config.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="safetensors"):
        load_encoder(f"ast={tmp_path}")
    with pytest.raises(InputError, match="did you mean 'videomae'"):
        card_of("videomea")
