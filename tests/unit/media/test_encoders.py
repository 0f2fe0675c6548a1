"""Each encoder measures what is there, where it is."""

import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_filter_bank, spectrogram

from limssr.core.errors import InputError, MissingExtraError
from limssr.media.clock import NS, make_segments
from limssr.media.decode import SOUND_RATE_HZ, Picture, Sound
from limssr.media.encoders import table
from limssr.media.encoders.contract import Need
from limssr.media.encoders.image import INSIDE, WHEEL
from limssr.media.encoders.mel import mel_filters
from limssr.media.encoders.sound import FFT, HOP, WINDOW, tempo
from limssr.media.encoders.table import ENCODERS, check_needs, chosen, load_encoder
from limssr.media.encoders.weights import checked_sha256, read_state, wheel_file

SECONDS = make_segments(1)


def encoded(name, pieces, *, segments=SECONDS, number=4):
    session = load_encoder(name).session(segments)
    for piece in pieces:
        session.add(piece)
    values_TD = session.segments(segments, number)
    columns = ENCODERS[name].card.columns
    assert values_TD.shape == (number, len(columns))
    assert values_TD.dtype == np.float32
    nan_TD = np.isnan(values_TD)
    assert (nan_TD.any(axis=1) == nan_TD.all(axis=1)).all()
    return {column: values_TD[:, index] for index, column in enumerate(columns)}


def heard(samples_N, *, start_s=0.0, block=1_000):
    return [
        Sound(
            start_ns=round(start_s * NS) + round(begin * NS / SOUND_RATE_HZ), samples_N=samples_N[begin : begin + block]
        )
        for begin in range(0, len(samples_N), block)
    ]


def texture(height, width):
    random = np.random.default_rng(0)
    grey = np.kron(random.integers(0, 255, (height // 8, width // 8)), np.ones((8, 8)))
    return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)


def scene(*, square=(0.0, 0.0), camera=(0.0, 0.0), length_s=4.0, rate_hz=8):
    """A textured square on a textured ground; speeds in picture heights a second."""
    ground, patch = texture(400, 700), np.roll(texture(64, 64), 3, axis=0)
    pictures = []
    for number in range(round(length_s * rate_hz)):
        time_s = number / rate_hz
        right, down = (round(value * 144 * time_s) for value in camera)
        picture = ground[100 - down : 244 - down, 200 - right : 456 - right].copy()
        x, y = (round(100 + square[0] * 144 * time_s), round(30 + square[1] * 144 * time_s))
        picture[y : y + 64, x : x + 64] = patch
        pictures.append(Picture(time_ns=number * NS // rate_hz, rgb_HWC=picture))
    return pictures


@pytest.mark.parametrize(
    ("square", "sector"), [((0.15, 0.0), 0), ((0.0, 0.08), 2), ((-0.15, 0.0), 4), ((0.0, -0.05), 6)]
)
def test_motion_sees_speed_and_direction(square, sector):
    found = encoded("motion", scene(square=square))
    shares = [found[f"direction{number}.mean"][1] for number in range(8)]
    assert np.argmax(shares) == sector
    assert shares[sector] > 0.6
    assert found["speed_p99.mean"][1] == pytest.approx(np.hypot(*square), rel=0.35)
    assert abs(found["camera_right.mean"][1]) < 0.01


def test_a_panning_camera_is_not_motion():
    still, panned = encoded("motion", scene()), encoded("motion", scene(camera=(0.1, 0.0), square=(0.1, 0.0)))
    assert panned["camera_right.mean"][1] == pytest.approx(0.1, rel=0.15)
    assert panned["moving_share.mean"][1] < 0.15
    assert still["moving_share.mean"][1] < 0.01
    assert still["place_x.mean"][1] == 0.5


def test_motion_needs_two_pictures_close_in_time():
    pictures = [picture for picture in scene() if not NS <= picture.time_ns < 3 * NS]
    found = encoded("motion", pictures)
    assert list(np.isnan(found["speed.mean"])) == [False, True, True, False]


def test_sound_mel_bands_are_those_of_transformers():
    random = np.random.default_rng(0)
    samples_N = (0.1 * random.normal(size=SOUND_RATE_HZ)).astype(np.float32)
    filters = mel_filter_bank(FFT // 2 + 1, 40, 0.0, 8_000.0, SOUND_RATE_HZ, norm="slaney", mel_scale="slaney")
    np.testing.assert_allclose(mel_filters(FFT, 40), filters, atol=1e-8)
    session = load_encoder("sound").session(SECONDS)
    for piece in heard(samples_N):
        session.add(piece)
    session.finish()
    times_ns, rows_NF = session.noted()
    window = np.hanning(WINDOW + 1)[:-1]
    padded = np.concatenate([np.zeros(WINDOW // 2), samples_N])
    expected = spectrogram(
        padded, window, WINDOW, HOP, fft_length=FFT, power=2.0, center=False, mel_filters=filters, mel_floor=1e-10
    )
    np.testing.assert_allclose(rows_NF[:, :40], 10 * np.log10(expected.T)[: len(rows_NF)], atol=1e-2)
    assert list(times_ns[:3]) == [0, 10_000_000, 20_000_000]


@pytest.mark.parametrize("beats", [60, 90, 120, 150])
def test_tempo_of_clicks(beats):
    samples_N = np.zeros(SOUND_RATE_HZ * 12, np.float32)
    for begin in np.arange(0, 12, 60 / beats):
        samples_N[round(begin * SOUND_RATE_HZ) :][:160] = 0.8
    found = encoded("sound", heard(samples_N), segments=make_segments(4), number=3)
    assert found["tempo_bpm"][1] == pytest.approx(beats, rel=0.03)
    assert found["tempo_strength"][1] > 0.5
    assert found["onsets_per_s"][1] == pytest.approx(beats / 60, rel=0.3)
    assert tempo(np.zeros(800)) == (0.0, 0.0)


def test_loudness_and_brightness():
    seconds = np.arange(SOUND_RATE_HZ * 2) / SOUND_RATE_HZ
    low, high = 0.5 * np.sin(2 * np.pi * 300 * seconds), 0.05 * np.sin(2 * np.pi * 3000 * seconds)
    found = encoded("sound", heard(np.concatenate([low, high]).astype(np.float32)))
    assert found["loudness_db.mean"][0] == pytest.approx(20 * np.log10(0.5) - 3.01, abs=0.3)
    assert found["loudness_db.mean"][3] == pytest.approx(20 * np.log10(0.05) - 3.01, abs=0.3)
    assert found["centroid_hz.mean"][0] == pytest.approx(300, abs=20)
    assert found["centroid_hz.mean"][3] == pytest.approx(3000, abs=50)


def test_a_click_is_an_onset_in_its_segment_only():
    samples_N = np.full(SOUND_RATE_HZ * 4, 1e-4, np.float32)
    samples_N[round(2.03 * SOUND_RATE_HZ) :][:160] = 0.9
    found = encoded("sound", heard(samples_N))
    assert np.argmax(found["onset.maximum"]) == 2
    assert np.sort(found["onset.maximum"])[-2] < found["onset.maximum"][2] / 10


def test_late_sound_and_gaps_are_not_valid():
    tone = np.ones(SOUND_RATE_HZ, np.float32) * 0.1
    found = encoded("sound", [*heard(tone, start_s=1), *heard(tone, start_s=3)])
    assert list(np.isnan(found["loudness_db.mean"])) == [True, False, True, False]
    assert np.isnan(encoded("sound", [])["mel00_db.mean"]).all()


def test_how_sound_is_cut_into_pieces_changes_nothing():
    samples_N = (0.1 * np.random.default_rng(0).normal(size=SOUND_RATE_HZ * 4)).astype(np.float32)
    whole, pieces = encoded("sound", heard(samples_N, block=10**6)), encoded("sound", heard(samples_N, block=333))
    for column in whole:
        np.testing.assert_allclose(whole[column], pieces[column], rtol=1e-4, atol=1e-4)


def test_image_uses_every_published_tensor_and_tells_pictures_apart():
    state = read_state(wheel_file("image", WHEEL, INSIDE))
    used = set()

    class Noted(dict):
        def __getitem__(self, key):
            used.add(key)
            return super().__getitem__(key)

    from limssr.media.encoders.efficientnet import EfficientNetLite0

    model = EfficientNetLite0.from_published(Noted(state))
    left = {name for name in state if name not in used and not name.endswith("num_batches_tracked")}
    assert left == {"_fc.weight", "_fc.bias"}
    # The published 4,652,008 parameters less the classifier's 1,281,000 and the 21,008 scales that were folded in.
    assert sum(value.numel() for value in model.parameters()) == 4_652_008 - 1_281_000 - 21_008
    pictures = scene(square=(0.1, 0.05))
    found = encoded("image", pictures)
    features = np.stack(list(found.values()), axis=1)
    assert (features >= 0).all()
    torch.manual_seed(0)
    assert features.std(axis=1).min() > 0.05


def test_weights_with_another_hash_are_refused(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(b"other")
    with pytest.raises(InputError, match="SHA-256 0000"):
        checked_sha256(path, "0" * 64)


def test_missing_packages_are_named_with_what_to_type(monkeypatch):
    need = Need(module="no_such_module", package="nothing", command="pip install nothing")
    with pytest.raises(MissingExtraError, match="pip install nothing"):
        wheel_file("image", need, "w.pth")
    monkeypatch.setattr(table, "installed", lambda module: False)
    with pytest.raises(MissingExtraError, match=r"image, motion.*pip install"):
        check_needs(["image", "motion", "sound"])
    check_needs(["sound"])


def test_names_of_encoders():
    assert set(chosen(None)) <= set(ENCODERS)
    with pytest.raises(InputError, match="did you mean 'motion'"):
        chosen(["moton"])
    with pytest.raises(InputError, match="once"):
        chosen(["motion", "motion"])
    for name, entry in ENCODERS.items():
        assert name == entry.card.name
        assert len(set(entry.card.columns)) == entry.card.dim
        assert (entry.card.pictures_hz > 0) == (entry.card.reads == "picture")


@pytest.mark.parametrize("frequency_hz", [82.4, 155.6, 440, 698.5, 987.8])
def test_pitch_of_tones(frequency_hz):
    seconds = np.arange(SOUND_RATE_HZ * 2) / SOUND_RATE_HZ
    found = encoded("pitch", heard((0.3 * np.sin(2 * np.pi * frequency_hz * seconds)).astype(np.float32)), number=2)
    semitones = 12 * np.log2(frequency_hz / 440)
    assert found["pitch.mean"][0] == pytest.approx(semitones, abs=0.2)
    assert found["voiced_share"][0] > 0.9
    assert abs(found["pitch.slope"][0]) < 0.5
    assert found[f"pitch_class{round(semitones) % 12:02d}.share"][0] > 0.9


def test_pitch_of_a_glide_and_of_noise():
    seconds = np.arange(SOUND_RATE_HZ * 2) / SOUND_RATE_HZ
    cycles = np.cumsum(220 * 2 ** (seconds / 4)) / SOUND_RATE_HZ
    glide = encoded("pitch", heard((0.3 * np.sin(2 * np.pi * cycles)).astype(np.float32)), number=2)
    assert glide["pitch.slope"][1] == pytest.approx(3, abs=0.3)
    assert glide["pitch.maximum"][1] > glide["pitch.minimum"][1] + 2
    hiss = (0.1 * np.random.default_rng(0).normal(size=SOUND_RATE_HZ * 2)).astype(np.float32)
    assert encoded("pitch", heard(hiss), number=2)["voiced_share"].max() < 0.1


def test_voice_is_a_unit_vector_and_silence_is_not_valid():
    seconds = np.arange(SOUND_RATE_HZ * 8) / SOUND_RATE_HZ
    buzz = sum(np.sin(2 * np.pi * 120 * number * seconds) / number for number in range(1, 20))
    buzz = (0.2 * buzz * (1 + np.sin(2 * np.pi * 4 * seconds)) * (seconds < 4)).astype(np.float32)
    found = encoded("voice", heard(buzz), number=8)
    voices_TD = np.stack(list(found.values()), axis=1)
    assert np.linalg.norm(voices_TD[1]) == pytest.approx(1, abs=0.1)
    assert list(np.isnan(voices_TD[:, 0])) == [False] * 5 + [True] * 3
    # Both are raised to the same level; louder sound is left as it is.
    one, two = (np.stack(list(encoded("voice", heard(buzz / by), number=8).values())) for by in (20, 50))
    np.testing.assert_allclose(one[:, 1], two[:, 1], atol=1e-3)


def test_voice_and_pitch_use_every_published_tensor():
    from limssr.media.encoders import pitch, voice

    for module, left in ((pitch, set()), (voice, {"similarity_weight", "similarity_bias"})):
        state = read_state(wheel_file("x", module.WHEEL, module.INSIDE))
        used = set()

        class Noted(dict):
            def __getitem__(self, key, used=used):
                used.add(key)
                return super().__getitem__(key)

        model = (module.Crepe if module is pitch else module.SpeakerEncoder).from_published(Noted(state))
        assert set(state) - used == left
        assert sum(value.numel() for value in model.state_dict().values()) == sum(
            value.numel() for name, value in state.items() if name not in left
        )
