"""Published models by folder: small random weights, and what goes in and comes out against transformers itself."""

import numpy as np
import pytest
import torch
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTModel,
    ClapAudioConfig,
    ClapAudioModelWithProjection,
    ClapFeatureExtractor,
    Dinov2Config,
    Dinov2Model,
    DINOv3ViTConfig,
    DINOv3ViTModel,
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
from limssr.media.encoders.families import FAMILIES
from limssr.media.encoders.hub import hub_card
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
    "dinov3": lambda: DINOv3ViTModel(DINOv3ViTConfig(**PICTURE)),
    "clap": lambda: ClapAudioModelWithProjection(
        ClapAudioConfig(
            **{"patch_embeds_hidden_size": 8, "hidden_size": 16, "depths": [1, 1], "num_attention_heads": [1, 2]},
            projection_dim=12,
            num_hidden_layers=2,
        )
    ),
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


def heard(folder, samples_N, length_s):
    session = load_encoder(f"clap={folder}").session(make_segments(length_s))
    session.add(Sound(start_ns=0, samples_N=samples_N))
    return session.segments(make_segments(length_s), 1)[0]


def test_what_clap_is_given(tmp_path):
    """Its own preparation at 48 kHz; a long segment is the mean over parts of at most 10 s."""
    torch.manual_seed(0)
    MADE["clap"]().save_pretrained(tmp_path)
    model = ClapAudioModelWithProjection.from_pretrained(tmp_path).eval()
    extractor = ClapFeatureExtractor(frequency_min=50, truncation="rand_trunc")

    def expected(at_48_khz):
        ready = extractor(at_48_khz, sampling_rate=48_000, return_tensors="pt")
        return model(input_features=ready["input_features"]).audio_embeds[0].detach().numpy()

    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(48_000 * 12) / 48_000)).astype(np.float32)
    tone[48_000 * 6 :] *= 0.1
    np.testing.assert_allclose(heard(tmp_path, tone[: 48_000 * 2 : 3], 2), expected(tone[: 48_000 * 2]), atol=2e-3)
    halves = [expected(tone[: 48_000 * 6]), expected(tone[48_000 * 6 :])]
    np.testing.assert_allclose(heard(tmp_path, tone[::3], 12), np.mean(halves, axis=0), atol=2e-3)
    assert np.abs(halves[0] - halves[1]).max() > 0.01


def test_what_dinov3_is_given(tmp_path):
    torch.manual_seed(0)
    MADE["dinov3"]().save_pretrained(tmp_path)
    square = np.random.default_rng(1).integers(0, 255, (32, 32, 3), np.uint8)
    session = load_encoder(f"dinov3={tmp_path}").session(make_segments(1))
    session.add(Picture(time_ns=0, rgb_HWC=square))
    mean, deviation = (torch.tensor(numbers)[:, None, None] for numbers in FAMILIES["dinov3"].normal)
    pixels = (torch.from_numpy(square).permute(2, 0, 1).float() / 255 - mean) / deviation
    expected = DINOv3ViTModel.from_pretrained(tmp_path).eval()(pixels[None]).pooler_output[0].detach().numpy()
    np.testing.assert_allclose(session.segments(make_segments(1), 1)[0], expected, atol=1e-5)


def test_a_long_segment_is_the_mean_over_clips(tmp_path):
    """Three clips of 4.8 s: each gives what a segment of its own would."""
    torch.manual_seed(0)
    MADE["timesformer"]().save_pretrained(tmp_path)
    random = np.random.default_rng(0)
    shown = [Picture(time_ns=n * NS // 5, rgb_HWC=random.integers(0, 255, (32, 32, 3), np.uint8)) for n in range(24)]

    def read(length_s, number):
        session = load_encoder(f"timesformer={tmp_path}").session(make_segments(length_s))
        for picture in shown:
            session.add(picture)
        return session.segments(make_segments(length_s), number)

    whole = read(4.8, 1)[0]
    np.testing.assert_allclose(whole, read(1.6, 3).mean(axis=0), atol=1e-5)
    assert np.abs(read(1.6, 3)[0] - whole).max() > 1e-3


def test_what_is_not_here_is_said(tmp_path):
    with pytest.raises(InputError, match=r"hf download MCG-NJU/videomae-base.*videomae=FOLDER"):
        hub_card(f"videomae={tmp_path / 'nothing'}")
    MADE["ast"]().config.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="safetensors"):
        load_encoder(f"ast={tmp_path}")
    with pytest.raises(InputError, match="did you mean 'videomae'"):
        card_of("videomea")
