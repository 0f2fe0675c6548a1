"""FS1000, Fis-V and RG: what is missing or wrong is refused by name, and nothing is left behind."""

import numpy as np
import pytest

from limssr.core.errors import InputError
from limssr.data.store.reader import FeatureStore

LABELS = {"fs1000": "train_fs1000_new.txt", "fisv": "train.txt", "rg": "train.txt"}
TEST_LABELS = {"fs1000": "val_fs1000_new.txt", "fisv": "test.txt", "rg": "test.txt"}
SOURCES = ("fs1000", "fisv", "rg")


def test_missing_features_are_listed_and_so_is_the_reverse(tree, layouts):
    made = tree("fs1000")
    first, second, third, *_ = made.written.splits
    folders = layouts.FS1000_FOLDERS
    for folder in folders.values():
        (made.root / folder / f"{first}.npy").unlink()
    (made.root / folders["audio"] / f"{second}.npy").unlink()
    (made.root / folders["flow"] / f"{third}.npy").rename(made.root / folders["flow"] / "unknown.npy")
    message = made.refused()
    assert f"video: 1 ({first}); audio: 2 ({first}, {second}); flow: 2 ({first}, {third})" in message
    assert "Features without a label: flow: 1 (unknown)" in message
    assert "--allow-missing" in message
    report = made.read(missing="allow")
    store = FeatureStore.open(made.store)
    assert first not in store.ids()
    assert tuple(store.sample(second).streams) == ("video", "flow")
    assert tuple(store.sample(third).streams) == ("video", "audio")
    assert report.details["left_out"] == [first]
    assert report.details["features_without_label"] == {"flow": ["unknown"]}
    assert report.details["labels_without_features"]["audio"] == [first, second]
    assert any(note.startswith("left out") for note in report.notes)


def test_missing_entries_of_dictionaries_are_listed(tree, layouts):
    made = tree("rg")
    kept = {clip: made.written.streams[clip]["audio"] for clip in made.written.splits if clip.startswith("Hoop")}
    lost = [kept.popitem()[0] for _ in range(2)]
    kept["Hoop_999"] = next(iter(kept.values()))
    layouts.save_pickled(made.root / "RG-feature" / "Hoop_audio_AST.npy", kept)
    message = made.refused()
    assert "audio: 2 (" in message
    assert all(clip in message for clip in lost)
    assert "Features without a label: audio: 1 (Hoop_999)" in message
    made.read(missing="allow")
    assert tuple(FeatureStore.open(made.store).sample(lost[0]).streams) == ("video", "flow")


def test_features_without_a_label_are_only_reported(tree):
    made = tree("fisv")
    made.edit("train.txt", lambda lines: lines[2:])
    report = made.read()
    assert report.splits["train"] == 38
    assert any("features without a label, not imported: video: 2 (1, 2)" in note for note in report.notes)


def test_long_lists_are_cut_and_counted(tree):
    made = tree("fs1000")
    for path in (made.root / "ast_feature_fs1000_new").glob("*.npy"):
        path.unlink()
    message = made.refused()
    assert "audio: 52 (" in message
    assert message.count("_clip_") == 10


def swapped(column, value):
    """Replace a column of the second line."""

    def change(lines):
        cells = lines[1].split()
        cells[column] = value
        return [lines[0], " ".join(cells), *lines[2:]]

    return change


@pytest.mark.parametrize("source", SOURCES)
class TestLabels:
    def test_an_id_in_two_splits(self, tree, source):
        made = tree(source)
        line = (made.root / LABELS[source]).read_text().splitlines()[3]
        made.edit(TEST_LABELS[source], lambda lines: [*lines, line])
        message = made.refused()
        assert "in two splits (train and test)" in message
        assert f"'{line.split()[0]}'" in message

    def test_an_id_twice(self, tree, source):
        made = tree(source)
        made.edit(LABELS[source], lambda lines: [*lines, lines[3]])
        assert "in one split" in made.refused()

    def test_too_few_columns(self, tree, source):
        made = tree(source)
        made.edit(LABELS[source], lambda lines: [*lines[:4], lines[4].rsplit(None, 1)[0], *lines[5:]])
        message = made.refused()
        assert f"{LABELS[source]}, line 5" in message
        assert "columns" in message

    @pytest.mark.parametrize("cell", ["nan", "inf", "much", "1e999"])
    def test_a_score_that_is_none(self, tree, source, cell):
        made = tree(source)
        made.edit(LABELS[source], swapped(3 if source == "rg" else 2, cell))
        message = made.refused()
        assert f"found '{cell}'" in message
        assert "line 2" in message

    def test_a_score_beyond_the_scale(self, tree, source):
        made = tree(source)
        made.edit(LABELS[source], swapped(3 if source == "rg" else 2, "131"))
        assert "on its scale 0 to" in made.refused()

    def test_no_labels(self, tree, source):
        made = tree(source)
        (made.root / LABELS[source]).write_text("\n \n")
        assert "found none" in made.refused()

    def test_not_text(self, tree, source):
        made = tree(source)
        (made.root / LABELS[source]).write_bytes(b"\xff\xfe\x00")
        assert "Expected a text file" in made.refused()

    def test_blank_lines_windows_line_ends_and_further_columns_are_read(self, tree, source):
        made = tree(source)
        made.edit(LABELS[source], lambda lines: [f"{line} extra\r" for line in lines] + ["", "  "])
        report = made.read()
        assert report.num_samples == len(made.written.splits)
        assert any("rows have further columns" in note for note in report.notes)


@pytest.mark.parametrize("source", SOURCES)
class TestTrees:
    def test_nothing_there(self, tree, source, tmp_path):
        made = tree(source)
        made.root = tmp_path / "nowhere"
        assert "found nothing" in made.refused()

    def test_the_folder_above(self, tree, source, tmp_path):
        made = tree(source)
        outer = made.root / "outer"
        outer.mkdir()
        name = {"fs1000": "FS1000", "fisv": "Fis-V", "rg": "RG"}[source]
        (outer / name).mkdir()
        made.root = outer
        message = made.refused()
        assert f"did you mean {outer / name}?" in message
        assert LABELS[source] in message

    def test_half_of_the_files(self, tree, source):
        made = tree(source)
        if source == "fs1000":
            folder = made.root / "i3d_avg_clip8_5s_fs1000"
            folder.rename(made.root / "elsewhere")
            expected = ["i3d_avg_clip8_5s_fs1000/", "(1 missing)"]
        else:
            gone = sorted(made.root.glob("*/*.npy"))[::2]
            for path in gone:
                path.unlink()
            expected = [path.name for path in gone] + [f"({len(gone)} missing)"]
        for missing in ("refuse", "allow"):
            message = made.refused(missing=missing)
            assert all(part in message for part in expected)

    def test_unknown_options(self, tree, source):
        made = tree(source)
        assert "did you mean 'shortest'" in made.refused(align="shorter")

    def test_the_store_exists(self, tree, source):
        made = tree(source)
        made.read()
        with pytest.raises(InputError, match="found something"):
            made.read()


def put(layouts, made, clip, stream, array):
    """Replace one array of a tree."""
    belongs = clip.partition("_")[0] if made.source == "rg" else "FISV"
    if made.source == "fs1000":
        np.save(made.root / layouts.FS1000_FOLDERS[stream] / f"{clip}.npy", array)
        return
    path = made.root / made.folder / f"{belongs}_{layouts.FILE_ENDINGS[stream]}.npy"
    content = np.load(path, allow_pickle=True).item()
    layouts.save_pickled(path, content | {clip: array})


@pytest.mark.parametrize("source", SOURCES)
class TestFeatures:
    @pytest.mark.parametrize(
        ("array", "named"),
        [
            (np.zeros((7, 9), np.float32), "(9)"),
            (np.zeros((0, 5), np.float32), "empty array"),
            (np.zeros(5, np.float32), "found shape (5,)"),
            (np.zeros((2, 3, 5), np.float32), "found shape (2, 3, 5)"),
            (np.full((2, 5), np.inf, np.float32), "expected finite values"),
            (np.where(np.arange(10).reshape(2, 5) == 3, np.nan, 1), "1 of 5 values NaN"),
            (np.zeros((2, 5), complex), "complex128|<c16"),
            (np.array([["a"] * 5]), "<U1"),
        ],
        ids=["width", "empty", "rank 1", "rank 3", "infinite", "partly NaN", "complex", "text"],
    )
    def test_an_array_that_is_wrong(self, tree, layouts, source, array, named):
        made = tree(source)
        clip = list(made.written.splits)[4]
        put(layouts, made, clip, "audio", array)
        message = made.refused(align="shortest")
        assert any(part in message for part in named.split("|"))
        assert clip in message

    def test_a_segment_of_nan_is_not_valid(self, tree, layouts, source):
        made = tree(source)
        clip = list(made.written.splits)[4]
        array = made.written.streams[clip]["audio"].copy()
        array[1] = np.nan
        put(layouts, made, clip, "audio", array)
        made.read()
        store = FeatureStore.open(made.store)
        np.testing.assert_array_equal(store.sample(clip).streams["audio"], array)
        row = store.ids().index(clip)
        assert store.index.column("valid:audio")[row].as_py() == array.shape[0] - 1

    def test_a_file_that_is_cut(self, tree, source):
        made = tree(source)
        path = sorted(made.root.glob("*/*.npy"))[0]
        path.write_bytes(path.read_bytes()[:-9])
        assert "truncated" in made.refused()

    def test_a_file_that_would_run(self, tree, source, tmp_path):
        made = tree(source)
        path, touched = sorted(made.root.glob("*/*.npy"))[0], tmp_path / "touched"
        header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117) + b"\n"
        command = f"touch {touched}".encode()
        run = b"\x80\x04cposix\nsystem\n\x8c" + bytes([len(command)]) + command + b"\x85R."
        path.write_bytes(b"\x93NUMPY\x01\x00" + bytes([len(header), 0]) + header + run)
        message = made.refused()
        assert "pickled objects" in message if source == "fs1000" else "posix.system" in message
        assert not touched.exists()


class TestParts:
    def replace(self, made, array):
        clip = list(made.written.splits)[4]
        np.save(made.root / "output_feature_fs1000_new" / f"{clip}.npy", array)
        return clip

    @pytest.mark.parametrize("shape", [(7, 6), (7, 0, 6), (7, 2, 3, 6)])
    def test_video_without_parts_is_refused(self, tree, shape):
        made = tree("fs1000")
        self.replace(made, np.zeros(shape, np.float32))
        assert "[segments, parts, features]" in made.refused(align="shortest")

    def test_nan_in_some_parts_is_refused(self, tree):
        made = tree("fs1000")
        array = np.zeros((40, 3, 6), np.float32)
        array[2, 1] = np.nan
        self.replace(made, array)
        assert "part of segment 2" in made.refused(align="shortest")

    def test_both_infinities_are_refused_as_such(self, tree):
        made = tree("fs1000")
        array = np.zeros((40, 3, 6), np.float32)
        array[2, 0, 1], array[2, 1, 1] = np.inf, -np.inf
        self.replace(made, array)
        assert "expected finite values" in made.refused(align="shortest")

    def test_nan_in_all_parts_is_a_segment_that_is_not_valid(self, tree):
        made = tree("fs1000")
        clip = list(made.written.splits)[4]
        length = made.written.streams[clip]["video"].shape[0]
        array = np.ones((length, 2, 6), np.float32)
        array[1] = np.nan
        self.replace(made, array)
        made.read()
        video = FeatureStore.open(made.store).sample(clip).streams["video"]
        assert np.isnan(video[1]).all()
        assert np.isfinite(np.delete(video, 1, axis=0)).all()

    @pytest.mark.parametrize("factor", ["0", "-1.6"])
    def test_a_factor_must_be_positive(self, tree, factor):
        made = tree("fs1000")
        made.edit("train_fs1000_new.txt", swapped(8, factor))
        assert "factor above 0" in made.refused()


def test_an_unknown_apparatus_is_refused(tree):
    made = tree("rg")
    made.edit("train.txt", swapped(0, "Rope_001"))
    assert "found 'Rope_001'" in made.refused()
