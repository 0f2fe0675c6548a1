"""What is decoded stands where the file says it stands, whatever the file is."""

import numpy as np
import pytest

from limssr.core.errors import InputError
from limssr.media.containers import probe
from limssr.media.decode import Picture, Reader
from limssr.media.write import WriteOptions, write_media

REGULAR = np.arange(75) / 25
PLAIN = {"codec": "mpeg4", "codec_options": {}}
FILES = {
    "plain.mp4": {},
    "matroska.mkv": {"sound_codec": "libopus"},
    "start_offset.ts": {},
    "no_stamps.avi": {**PLAIN, "sound_codec": "pcm_s16le", "sound_hz": 44_100},
    "b_frames.mp4": {"codec_options": {"bf": "3", "g": "50", "threads": "1"}},
    "ten_bit.mp4": {"pixel_format": "yuv420p10le"},
    "stereo.webm": {"codec": "libvpx", "sound_codec": "libopus", "layout": "stereo", "codec_options": {}},
    "surround.mp4": {"layout": "5.1"},
    "slow_sound.mkv": {"sound_codec": "pcm_s16le", "sound_hz": 8_000},
}
CHANNELS = {"mono": 1, "stereo": 2, "5.1": 6}


@pytest.mark.parametrize("name", FILES)
def test_picture_and_sound_of_an_event_meet(name, tmp_path, flash, click, read, first_light, first_click):
    how = WriteOptions(**FILES[name])
    sound_NC = click(2, 3, rate_hz=how.sound_hz, channels=CHANNELS[how.layout])
    path = write_media(tmp_path / name, pictures=flash(2, REGULAR), sound_NC=sound_NC, options=how)
    reader, pictures, sounds = read(path)
    seen_s, heard_s = first_light(pictures), first_click(sounds)
    # Sound of a transport stream begins with some milliseconds of its codec.
    assert seen_s == pytest.approx(2, abs=0.03)
    assert heard_s == pytest.approx(seen_s, abs=0.002)
    assert reader.end_ns / 1e9 == pytest.approx(3, abs=0.06)
    assert not reader.damage


def test_a_variable_frame_rate_keeps_its_times(tmp_path, flash, read):
    times_s = [0, 0.04, 0.5, 0.54, 1.5, 2.0, 2.02, 2.9]
    path = write_media(tmp_path / "v.mp4", pictures=flash(2, times_s))
    _, pictures, _ = read(path)
    assert [round(picture.time_ns / 1e9, 6) for picture in pictures] == times_s
    assert [picture.rgb_HWC.mean() > 127 for picture in pictures] == [time_s >= 2 for time_s in times_s]


def test_late_sound_stays_late(tmp_path, flash, click, read, first_click):
    how = WriteOptions(sound_start_s=1.0)
    path = write_media(tmp_path / "l.mp4", pictures=flash(2, REGULAR), sound_NC=click(1, 3), options=how)
    reader, _, sounds = read(path)
    assert first_click(sounds) == pytest.approx(2, abs=0.002)
    assert sounds[0].start_ns / 1e9 == pytest.approx(1, abs=0.03)
    assert reader.end_ns / 1e9 == pytest.approx(4, abs=0.03)
    assert reader.picture_end_ns / 1e9 == pytest.approx(3)


@pytest.mark.parametrize("wanted", ["picture", "sound"])
def test_files_with_only_one_of_the_two(wanted, tmp_path, flash, click, read):
    parts = {"pictures": flash(1, REGULAR)} if wanted == "picture" else {"sound_NC": click(1, 3)}
    path = write_media(tmp_path / "one.mp4", **parts)
    _, pictures, sounds = read(path)
    info = probe(path)
    assert bool(pictures) == (info.picture is not None) == (wanted == "picture")
    assert bool(sounds) == (info.sound is not None) == (wanted == "sound")


@pytest.mark.parametrize(("rotation", "bright"), [(0, "left"), (90, "bottom"), (-90, "top"), (180, "right")])
def test_pictures_are_turned_upright(rotation, bright, tmp_path, read):
    rgb = np.zeros((48, 96, 3), np.uint8)
    rgb[:, :48] = 255
    how = WriteOptions(rotation=rotation)
    path = write_media(tmp_path / "r.mp4", pictures=[(time_s, rgb) for time_s in REGULAR[:5]], options=how)
    picture = read(path)[1][0].rgb_HWC.mean(axis=2)
    height, width = picture.shape
    assert (height > width) == (rotation in (90, -90))
    halves = {
        "left": picture[:, : width // 2],
        "right": picture[:, width // 2 :],
        "top": picture[: height // 2],
        "bottom": picture[height // 2 :],
    }
    assert max(halves, key=lambda name: halves[name].mean()) == bright


def test_odd_sizes_and_large_pictures(tmp_path, flash, read):
    how = WriteOptions(pixel_format="yuv444p")
    odd = write_media(tmp_path / "odd.mp4", pictures=flash(1, REGULAR[:5], size=(49, 65)), options=how)
    assert read(odd)[1][0].rgb_HWC.shape == (49, 65, 3)
    large = write_media(tmp_path / "large.mp4", pictures=flash(1, REGULAR[:3], size=(720, 1280)))
    assert read(large)[1][0].rgb_HWC.shape == (360, 640, 3)


def noise(length_s):
    random = np.random.default_rng(0)
    return [(time_s, random.integers(0, 255, (48, 64, 3), np.uint8)) for time_s in np.arange(length_s * 25) / 25]


def test_a_truncated_file_is_read_up_to_where_it_breaks_off(tmp_path, click, read):
    how = WriteOptions(codec_options={"g": "10", "threads": "1"}, container_options={"movflags": "faststart"})
    path = write_media(tmp_path / "t.mp4", pictures=noise(10), sound_NC=click(1, 10), options=how)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    reader, pictures, _ = read(path)
    assert 2 < reader.end_ns / 1e9 < 9
    assert len(pictures) > 25
    assert "breaks off" in reader.damage[-1][1]
    assert reader.damage[-1][0] == pytest.approx(reader.end_ns / 1e9, abs=0.01)


@pytest.mark.parametrize("name", ["d.mp4", "d.mkv", "d.ts"])
def test_a_damaged_stretch_is_left_out_and_named(name, tmp_path, read):
    how = WriteOptions(codec_options={"g": "10", "threads": "1"})
    path = write_media(tmp_path / name, pictures=noise(8), options=how)
    whole = len(read(path)[1])
    content = bytearray(path.read_bytes())
    quarter = len(content) // 4
    content[quarter * 2 : quarter * 3] = np.random.default_rng(1).integers(0, 255, quarter, np.uint8).tobytes()
    path.write_bytes(content)
    reader, pictures, _ = read(path)
    assert reader.damage
    assert all(3 < place_s < 7 for place_s, _ in reader.damage)
    assert whole / 2 < len(pictures) < whole * 0.9
    assert pictures[-1].time_ns > 7 * 10**9


def test_memory_does_not_hold_the_file(tmp_path, flash):
    path = write_media(tmp_path / "m.mp4", pictures=flash(1, REGULAR))
    reader = iter(Reader(path, pictures_hz=25))
    assert isinstance(next(reader), Picture)


REFUSED = {
    "empty.mp4": (b"", "an empty file"),
    "text.txt": (b"id,split\n" * 200, "neither pictures nor sound"),
    "text.mp4": (b"no media at all " * 100, "is none"),
    "noise.mp4": (np.random.default_rng(1).integers(0, 255, 20_000, np.uint8).tobytes(), "Expected"),
    "list.m3u8": (b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n/etc/passwd\n#EXT-X-ENDLIST\n", "Expected"),
    "concat.txt": (b"ffconcat version 1.0\nfile /etc/passwd\n", "Expected"),
    "huge_header.mp4": (b"\x00\x00\x00\x01ftyp" + (40 << 30).to_bytes(8, "big") + b"isom" * 4, "Expected"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_recording_is_refused(name, tmp_path):
    content, words = REFUSED[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        list(Reader(path, pictures_hz=8))


def test_other_refusals(tmp_path, flash, click):
    with pytest.raises(InputError, match="found nothing"):
        probe(tmp_path / "missing.mp4")
    with pytest.raises(InputError, match="found a folder"):
        probe(tmp_path)
    single = write_media(tmp_path / "single.mp4", pictures=flash(1, [0.0]))
    with pytest.raises(InputError, match="a single picture"):
        list(Reader(single, pictures_hz=8))
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "0" * 31 + "1", "encryption_kid": "0" * 31 + "2"}
    how = WriteOptions(container_options=key)
    locked = write_media(tmp_path / "locked.mp4", pictures=flash(1, REGULAR), sound_NC=click(1, 3), options=how)
    with pytest.raises(InputError, match="protected"):
        list(Reader(locked, pictures_hz=8))


def test_damaged_files_never_crash(tmp_path, flash, click):
    """Two hundred files with seeded damage: each is read in part or refused, and nothing else ever comes."""
    random = np.random.default_rng(7)
    originals = []
    for name, how in (("a.mp4", {}), ("b.mkv", {"sound_codec": "libopus"}), ("c.ts", {}), ("d.avi", PLAIN)):
        path = write_media(
            tmp_path / name,
            pictures=flash(0.5, REGULAR[:25], size=(32, 32)),
            sound_NC=click(0.5, 1),
            options=WriteOptions(**how),
        )
        originals.append(path)
    read_in_part = 0
    for number in range(200):
        original = originals[number % len(originals)]
        content = bytearray(original.read_bytes())
        for _ in range(int(random.integers(1, 12))):
            place, length = int(random.integers(0, len(content))), int(random.integers(1, 40))
            content[place : place + length] = random.integers(0, 255, length, np.uint8).tobytes()
        if number % 3 == 0:
            del content[int(random.integers(1, len(content))) :]
        path = tmp_path / f"damaged{original.suffix}"
        path.write_bytes(content)
        try:
            reader = Reader(path, pictures_hz=8)
            for piece in reader:
                assert piece.rgb_HWC.ndim == 3 if isinstance(piece, Picture) else np.isfinite(piece.samples_N).all()
            assert 0 < reader.end_ns < 3600 * 10**9
            read_in_part += 1
        except InputError:
            pass
    assert 50 < read_in_part < 200
