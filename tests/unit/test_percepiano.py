"""The PercePiano importer: on a small made-up checkout, and on the shared part of the real one where it lies ready."""

import json
from collections import defaultdict
from pathlib import Path

import mido
import numpy as np
import pytest

from limssr.core.errors import InputError
from limssr.data.importers.percepiano.passages import Clip
from limssr.data.importers.percepiano.percepiano import (
    LABELS,
    PERFORMANCES,
    SCORES,
    PercePiano,
    import_percepiano,
    read_percepiano,
    split_of,
)
from limssr.data.importers.percepiano.streams import MODALITIES, Performance, num_windows, read_midi, streams_of

Note = tuple[float, float, int, int]  # onset and duration in seconds, pitch, velocity
Control = tuple[float, int, int]  # time in seconds, number, value


def write_midi(path: Path, notes: list[Note], controls: tuple[Control, ...] = ()) -> None:
    """A file with 1000 ticks a second."""
    messages = []
    for onset_s, duration_s, pitch, velocity in notes:
        messages.append((onset_s, mido.Message("note_on", note=pitch, velocity=velocity)))
        messages.append((onset_s + duration_s, mido.Message("note_off", note=pitch)))
    for at_s, number, value in controls:
        messages.append((at_s, mido.Message("control_change", control=number, value=value)))
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=1_000_000)])
    now = 0
    for at_s, message in sorted(messages, key=lambda pair: pair[0]):
        track.append(message.copy(time=round(at_s * 1000) - now))
        now = round(at_s * 1000)
    path.parent.mkdir(parents=True, exist_ok=True)
    mido.MidiFile(ticks_per_beat=1000, tracks=[track]).save(path)


def melody(seed: int, num_notes: int = 40) -> list[int]:
    return [int(pitch) for pitch in np.random.default_rng(seed).integers(40, 90, num_notes)]


def played(pitches: list[int], seed: int) -> list[Note]:
    """One take: everything but the pitches is the player's own."""
    rng = np.random.default_rng(seed)
    onsets_s = np.cumsum(rng.uniform(0.1, 0.3, len(pitches)))
    return [(float(at), 0.05, pitch, int(rng.integers(30, 100))) for at, pitch in zip(onsets_s, pitches, strict=True)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Piece A in 8 bars, its segments 2 and 3 again as segment 1 of 16 bars; piece B, whose segment 4 returns as 7."""
    root = tmp_path / "checkout"
    first, second, third, other = melody(1), melody(2), melody(3), melody(4)
    segments = {
        "A_mv1_8bars_{}_1": first,
        "A_mv1_8bars_{}_2": second,
        "A_mv1_8bars_{}_3": third,
        "B_no.3_4bars_{}_04": other,
        "B_no.3_4bars_{}_07": other,
    }
    labels = {}
    for index, (name, pitches) in enumerate(segments.items()):
        for take, player in enumerate(("3", "Score")):
            clip_id = name.format(player)
            write_midi(root / PERFORMANCES / f"{clip_id}.mid", played(pitches, 10 * index + take))
            labels[clip_id] = [0.5] * 19 + [7]
        printed = [(index * 0.25, 0.2, pitch, 64) for index, pitch in enumerate(pitches)]
        write_midi(root / SCORES / f"{name.format('Score')}.mid", printed)
    # Player 3's takes of 2 and 3, one after the other.
    longer = played(second, 10) + [(onset + 20.0, *rest) for onset, *rest in played(third, 20)]
    write_midi(root / PERFORMANCES / "A_mv1_16bars_3_1.mid", longer)
    labels["A_mv1_16bars_3_1"] = [0.25] * 19 + [7]
    (root / LABELS).parent.mkdir(parents=True)
    (root / LABELS).write_text(json.dumps(labels))
    return root


def samples_of(data: PercePiano) -> dict:
    return {sample.id: sample for sample in data.samples}


def test_reads_streams_and_scores(root: Path) -> None:
    seen = []
    data = read_percepiano(root, progress=lambda done, total: seen.append((done, total)))
    assert [m.name for m in data.modalities] == ["timing", "dynamics", "pedal", "keys", "score"]
    assert len(data.criteria) == 19
    assert seen[-1] == (11, 11)
    sample = samples_of(data)["A_mv1_8bars_3_1"]
    assert list(sample.streams) == [m.name for m in data.modalities]
    for modality in data.modalities:
        stream = sample.streams[modality.name]
        assert stream.dtype == np.float32
        assert stream.shape == (sample.num_segments, modality.dim)
        np.testing.assert_array_equal(np.isnan(stream).any(axis=1), np.isnan(stream).all(axis=1))
    silent = np.isnan(sample.streams["keys"]).all(axis=1)
    for name in ("timing", "dynamics"):
        np.testing.assert_array_equal(np.isnan(sample.streams[name]).all(axis=1), silent)
    for name in ("pedal", "score"):
        assert np.isfinite(sample.streams[name]).all()


def test_player_code_is_no_target(root: Path) -> None:
    """The 20th number (7 in every label here, far off the scale) must not be anywhere in the scores."""
    for sample in read_percepiano(root).samples:
        assert sample.scores.shape == (19,)
        assert sample.scores.max() <= 0.5


def test_passages_follow_recordings_and_returns(root: Path) -> None:
    groups = {sample_id: sample.group for sample_id, sample in samples_of(read_percepiano(root)).items()}
    assert groups["A_mv1_8bars_3_1"] == "A_mv1/8bars/01"
    # The 16-bar cut joins segments 2 and 3 by the recording alone: it has no score file.
    assert groups["A_mv1_8bars_3_2"] == groups["A_mv1_8bars_3_3"] == groups["A_mv1_16bars_3_1"] == "A_mv1/8bars/02"
    # A returning passage is joined by its printed notes.
    assert groups["B_no.3_4bars_3_04"] == groups["B_no.3_4bars_Score_07"] == "B_no.3/4bars/04"
    assert len(set(groups.values())) == 3


def test_samples_of_a_passage_share_a_split(root: Path) -> None:
    for sample in read_percepiano(root).samples:
        assert sample.split == split_of(sample.group)


def test_split_is_the_documented_hash() -> None:
    # Hashes worked out apart from the code: sha256sum, then `mod 100` in bc.
    assert split_of("Schubert_D960_mv2/8bars/01") == "test"
    assert split_of("Beethoven_WoO80_var17/8bars/11") == "val"
    assert split_of("Schubert_D960_mv3/8bars/09") == "train"
    splits = [split_of(str(number)) for number in range(4000)]
    assert splits.count("test") / 4000 == pytest.approx(0.2, abs=0.03)
    assert splits.count("val") / 4000 == pytest.approx(0.1, abs=0.03)


def test_file_without_label_is_reported(root: Path) -> None:
    labels = json.loads((root / LABELS).read_text())
    del labels["B_no.3_4bars_Score_07"]
    (root / LABELS).write_text(json.dumps(labels))
    data = read_percepiano(root)
    assert data.report["performances_without_label"] == ["B_no.3_4bars_Score_07"]
    assert "B_no.3_4bars_Score_07" not in samples_of(data)


def test_missing_score_leaves_the_stream_out(root: Path) -> None:
    (root / SCORES / "A_mv1_8bars_Score_1.mid").unlink()
    data = read_percepiano(root)
    assert "score" not in samples_of(data)["A_mv1_8bars_3_1"].streams
    assert data.report["samples_without_score"] == ["A_mv1_16bars_3_1", "A_mv1_8bars_3_1", "A_mv1_8bars_Score_1"]


def test_blank_before_a_name_and_foreign_files(root: Path) -> None:
    path = root / PERFORMANCES / "A_mv1_8bars_3_1.mid"
    path.rename(path.with_name(" " + path.name))
    write_midi(root / SCORES / "whole_work.mid", played(melody(9), 9))
    assert "A_mv1_8bars_3_1" in samples_of(read_percepiano(root))


def test_label_without_file_is_refused(root: Path) -> None:
    (root / PERFORMANCES / "A_mv1_8bars_3_1.mid").unlink()
    with pytest.raises(InputError, match="A_mv1_8bars_3_1"):
        read_percepiano(root)


def test_wrong_root_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="virtuoso/data/all_2rounds"):
        read_percepiano(tmp_path)


def test_two_files_of_one_id_are_refused(root: Path) -> None:
    path = root / PERFORMANCES / "A_mv1_8bars_3_1.mid"
    path.with_name(" " + path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="Two files"):
        read_percepiano(root)


@pytest.mark.parametrize(
    "content",
    [b"", b"not a MIDI file", b"MThd\x00\x00\x00\x06\x00\x00\x00\x01\x03\xe8MTrk\x00\x00"],
    ids=["empty", "text", "cut"],
)
def test_damaged_midi_is_refused_by_name(root: Path, content: bytes) -> None:
    (root / PERFORMANCES / "A_mv1_8bars_3_1.mid").write_bytes(content)
    with pytest.raises(InputError, match="A_mv1_8bars_3_1"):
        read_percepiano(root)


@pytest.mark.parametrize("numbers", [[0.5] * 19, [0.5] * 21, "text", [None] * 20], ids=["19", "21", "text", "null"])
def test_unusable_label_is_refused(root: Path, numbers: object) -> None:
    """Without the check a file of another version would shift or leak columns."""
    labels = json.loads((root / LABELS).read_text()) | {"A_mv1_8bars_3_1": numbers}
    (root / LABELS).write_text(json.dumps(labels))
    with pytest.raises(InputError, match="expected 20 numbers"):
        read_percepiano(root)


def test_writes_a_store(root: Path, tmp_path: Path) -> None:
    store = pytest.importorskip("limssr.data.store.reader", reason="the store is not part of this checkout")
    # One passage more on each side of the split, and ratings that differ.
    labels = json.loads((root / LABELS).read_text())
    for number in range(10, 40):
        clip_id = f"C_4bars_3_{number}"
        write_midi(root / PERFORMANCES / f"{clip_id}.mid", played(melody(number), number))
        labels[clip_id] = [0.5] * 19 + [7]
    rng = np.random.default_rng(0)
    (root / LABELS).write_text(json.dumps({key: [*rng.uniform(0.2, 0.9, 19).tolist(), 7] for key in labels}))
    report = import_percepiano(root, tmp_path / "store")
    opened = store.FeatureStore.open(tmp_path / "store")
    assert len(opened) == report["samples"] == 41
    expected = samples_of(read_percepiano(root))["A_mv1_16bars_3_1"]
    written = opened.sample("A_mv1_16bars_3_1")
    assert (written.group, written.split) == (expected.group, expected.split)
    np.testing.assert_array_equal(written.streams["timing"], expected.streams["timing"])


def test_names_are_split_from_the_right() -> None:
    clip = Clip.parse("Schubert_D935_no.3_4bars_Score2_09")
    assert (clip.piece, clip.bars, clip.player, clip.number) == ("Schubert_D935_no.3", 4, "Score2", 9)
    assert clip.is_rendering
    assert clip.segment == Clip.parse("Schubert_D935_no.3_4bars_7_9").segment


def test_stream_values_by_hand(tmp_path: Path) -> None:
    """Two notes of a chord, a pause, one note; the pedal is down from the start and lifted at 1.5 s."""
    path = tmp_path / "clip.mid"
    write_midi(
        path,
        [(0.5, 0.4, 50, 40), (0.51, 0.4, 74, 60), (2.5, 0.2, 60, 80)],
        ((0.6, 64, 127), (1.6, 64, 0), (2.4, 67, 127)),
    )
    performance = read_midi(path)
    assert performance.span_s == pytest.approx(2.0)
    assert num_windows(performance, 0.5) == 4
    streams = streams_of(performance, printed=None)
    assert list(streams) == ["timing", "dynamics", "pedal", "keys"]
    articulation = np.log(0.4 / (np.array([0.01, 1.99]) + 0.03) + 0.01).mean()
    np.testing.assert_allclose(
        streams["timing"][0], [4.0, 1.0, 0.99, 0.4, 0.0, articulation, 0.5], rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(streams["dynamics"][0], [50, 10, 40, 60, 10, 1])
    np.testing.assert_allclose(streams["keys"][0], [2, 62, 12, 50, 74, 1, 0.5, 0.5])
    # The last note has a duration, but no next onset and therefore no articulation.
    np.testing.assert_allclose(streams["timing"][3], [2.0, 0, 0, 0.2, 0, 0, 0], atol=1e-5)
    for name in ("timing", "dynamics", "keys"):
        assert np.isnan(streams[name][1:3]).all()
    # Held before its first event; lifted at 1.6 s, before the second of the third window's eight points.
    np.testing.assert_allclose(streams["pedal"][:, 0], [1, 1, 2 / 8, 0], atol=1e-6)
    np.testing.assert_allclose(streams["pedal"][:, 2], [1, 1, 2 / 8, 0], atol=1e-6)
    np.testing.assert_allclose(streams["pedal"][:, 3], [1, 0, 1, 0])
    np.testing.assert_allclose(streams["pedal"][:, 4], 1)


def test_score_stream_has_the_performances_length(root: Path) -> None:
    performance = read_midi(root / PERFORMANCES / "A_mv1_8bars_3_1.mid")
    printed = read_midi(root / SCORES / "A_mv1_8bars_Score_1.mid")
    score = streams_of(performance, printed)["score"]
    assert len(score) == num_windows(performance, 0.5)
    np.testing.assert_allclose(score[:, 7], printed.span_s / performance.span_s, rtol=1e-5)
    assert score[:, 0].sum() == len(printed.pitch)


def test_restruck_and_unreleased_keys_are_kept(tmp_path: Path) -> None:
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=1_000_000)])
    for ticks, kind, velocity in [(0, "note_on", 50), (500, "note_on", 70), (500, "note_off", 0), (1000, "note_on", 0)]:
        track.append(mido.Message(kind, note=60, velocity=velocity, time=ticks))
    track.append(mido.Message("note_on", note=64, velocity=90, time=0))
    track.append(mido.MetaMessage("end_of_track", time=1000))
    path = tmp_path / "odd.mid"
    mido.MidiFile(ticks_per_beat=1000, tracks=[track]).save(path)
    performance = read_midi(path)
    np.testing.assert_allclose(performance.onset_s, [0, 0.5, 2.0])
    np.testing.assert_allclose(performance.duration_s, [1.0, 1.5, 1.0])


@pytest.fixture(scope="module")
def real(shared: Path) -> tuple[Path, PercePiano]:
    root = shared / "data" / "percepiano"
    if not (root / PERFORMANCES).is_dir():
        pytest.skip(f"no part of PercePiano at {root}")
    return root, read_percepiano(root)


def test_real_counts(real: tuple[Path, PercePiano]) -> None:
    _, data = real
    assert len(data.samples) == 1015
    assert len(data.report["performances_without_label"]) == 12
    assert data.report["samples_without_score"] == []
    assert data.report["segments"]["min"] == 9
    assert data.report["segments"]["max"] == 170
    scores = np.stack([sample.scores for sample in data.samples])
    assert scores.min() >= 1 / 7 - 1e-9
    assert scores.max() <= 1
    assert data.modalities == MODALITIES


def shared_takes(clips: list[tuple[str, Performance]], num_notes: int = 8, tolerance_s: float = 0.004) -> set:
    """Pairs of clips in which a run of equal pitches has the same relative onsets (velocities are not looked at)."""
    places = defaultdict(list)
    for clip_id, notes in clips:
        pitches = notes.pitch.astype(int).tolist()
        for start in range(len(pitches) - num_notes + 1):
            places[tuple(pitches[start : start + num_notes])].append(
                (clip_id, notes.onset_s[start : start + num_notes])
            )
    pairs = set()
    for found in places.values():
        if len({clip_id for clip_id, _ in found}) > 1:
            onsets_s = np.stack([onset_s - onset_s[0] for _, onset_s in found])
            apart_s = np.abs(onsets_s[:, None] - onsets_s[None]).max(-1)
            for one, other in np.argwhere(apart_s < tolerance_s):
                pairs.add((found[one][0], found[other][0]))
    return {(one, other) for one, other in pairs if one < other}


def test_no_playing_stands_on_two_sides(real: tuple[Path, PercePiano]) -> None:
    """Takes are recognised by their onsets, which the grouping never looks at."""
    root, data = real
    samples = samples_of(data)
    clips_of_player = defaultdict(list)
    for sample_id in samples:
        clip = Clip.parse(sample_id)
        if not clip.is_rendering:
            notes = read_midi(root / PERFORMANCES / f"{sample_id}.mid")
            clips_of_player[clip.piece, clip.player].append((sample_id, notes))
    pairs = {pair for clips in clips_of_player.values() for pair in shared_takes(clips)}
    # 16-bar clips overlap their 8-bar neighbours, so a detector that finds none is broken.
    assert len(pairs) > 100
    for one, other in pairs:
        assert samples[one].split == samples[other].split
        assert samples[one].group == samples[other].group


def test_cuts_are_joined_where_their_numbers_are_shifted(real: tuple[Path, PercePiano]) -> None:
    """Of the second movement, segment 4 of the 16-bar cut is 6 and 7 of the 8-bar cut (not 7 and 8)."""
    groups = {sample.id: sample.group for sample in real[1].samples}
    assert groups["Schubert_D960_mv2_16bars_0_04"] == groups["Schubert_D960_mv2_8bars_0_06"]
    assert groups["Schubert_D960_mv2_16bars_0_04"] == groups["Schubert_D960_mv2_8bars_0_07"]
    assert groups["Schubert_D960_mv2_16bars_0_04"] != groups["Schubert_D960_mv2_8bars_0_08"]
