"""ICT-MMMO and POM as released with the Memory Fusion Network: what zeros and missing files mean, what is refused."""

import sys

import h5py
import numpy as np
import pytest

from limssr.core.errors import InputError, MissingExtraError
from limssr.data.importers import IMPORTERS
from limssr.data.importers.mfn.hdf5 import read_hdf5
from limssr.data.importers.mfn.steps import cut_clip
from limssr.data.store.reader import FeatureStore


@pytest.fixture
def release(layouts, tmp_path):
    """`release.files` may be changed before `.read()` and `.refused()`."""

    class Release:
        def __init__(self):
            self.dataset, self.root, self.store = "mmmo", tmp_path / "MFN", tmp_path / "store"
            self.files = layouts.mfn_files()

        def choose(self, dataset):
            self.dataset, self.files = dataset, layouts.mfn_files(dataset)

        def path(self, name):
            return self.root / "new_data" / self.dataset / f"{name}.h5"

        def write(self):
            layouts.write_mfn(self.root, self.files, self.dataset)

        def read(self, **options):
            self.write()
            report = IMPORTERS["mfn"](self.root, self.store, dataset=self.dataset, **options)
            store = FeatureStore.open(self.store)
            store.verify()
            return report, store

        def refused(self, kind=InputError):
            with pytest.raises(kind) as refusal:
                IMPORTERS["mfn"](self.root, self.store, dataset=self.dataset)
            assert not self.store.exists()
            assert [path.name for path in tmp_path.iterdir()] in (["MFN"], [])
            return str(refusal.value)

    return Release()


def has_gap(stream_TD):
    """Whether a segment between the first and the last valid one is missing."""
    valid = np.flatnonzero(np.isfinite(stream_TD).all(axis=1))
    return len(valid) < valid[-1] - valid[0] + 1


def float32(array):
    return array.astype(np.float32)


def test_every_row_becomes_a_clip_of_its_split(release):
    steps = []
    report, store = release.read(progress=lambda *counts: steps.append(counts))
    assert report.splits == {"train": 6, "val": 3, "test": 4}
    assert [(one.name, one.dim) for one in store.modalities] == [("audio", 4), ("video", 3), ("text", 2)]
    assert steps == [(done, 13) for done in range(1, 14)]
    for split, name in (("train", "train"), ("val", "valid"), ("test", "test")):
        for row, sample in enumerate(store.samples(split)):
            assert sample.id == f"{name}-{row:04d}"
            assert sample.scores.tolist() == [release.files[f"y_{name}"][row]]
            for stream, file in (("audio", "audio_{}"), ("video", "video_{}"), ("text", "text_{}_emb")):
                np.testing.assert_array_equal(
                    sample.streams[stream], float32(release.files[file.format(name)][row]), strict=True
                )


def test_a_file_that_is_not_there_is_a_stream_that_no_clip_of_the_split_has(release):
    del release.files["text_train_emb"]
    report, store = release.read()
    assert report.streams == {"audio": 13, "video": 13, "text": 7}
    assert all(tuple(sample.streams) == ("audio", "video") for sample in store.samples("train"))
    assert all(tuple(sample.streams) == ("audio", "video", "text") for sample in store.samples("val"))
    assert "no file of text for train: the stream is absent from these clips" in report.notes
    assert report.details["splits"]["train"]["streams"]["text"] == {
        "file": "not there",
        "absent_clips": 6,
        "clips_with_missing_segments": 0,
        "missing_segments": 0,
    }


def test_a_stream_without_any_file_is_not_in_the_store(release):
    for split in ("train", "valid", "test"):
        del release.files[f"text_{split}_emb"]
    report, store = release.read()
    assert [one.name for one in store.modalities] == ["audio", "video"]
    assert "no file of text in any split: the store has no such stream" in report.notes


def test_empty_audio_in_front_and_behind_is_padding(release):
    for name in ("audio_test", "video_test", "text_test_emb"):
        release.files[name][0, :2] = 0
        release.files[name][1, 4:] = 0
        release.files[name][2, [0, 3, 4]] = 0
    report, store = release.read()
    used = [slice(2, 5), slice(0, 4), slice(1, 3), slice(0, 5)]
    for row, sample in enumerate(store.samples("test")):
        assert sample.num_segments == used[row].stop - used[row].start
        for stream, name in (("audio", "audio_test"), ("video", "video_test"), ("text", "text_test_emb")):
            np.testing.assert_array_equal(sample.streams[stream], float32(release.files[name][row, used[row]]))
    counts = report.details["splits"]["test"]
    assert counts["clips_padded"] == {"in_front": 2, "behind": 2, "both": 1}
    assert counts["steps_in_use"] == {"min": 2, "median": 3.5, "max": 5}


def test_an_empty_step_beside_filled_audio_is_a_missing_segment(release):
    release.files["video_train"][3, [0, 2]] = 0
    release.files["text_train_emb"][3, 4] = 0
    report, store = release.read()
    sample = store.sample("train-0003")
    assert np.isnan(sample.streams["video"]).all(axis=1).tolist() == [True, False, True, False, False]
    assert np.isnan(sample.streams["text"]).all(axis=1).tolist() == [False, False, False, False, True]
    assert np.isfinite(sample.streams["audio"]).all()
    video = report.details["splits"]["train"]["streams"]["video"]
    assert (video["clips_with_missing_segments"], video["missing_segments"], video["absent_clips"]) == (1, 2, 0)
    assert "video is missing in segments of clips that have it: train 2, val 0, test 0" in report.notes


def test_an_empty_step_between_filled_ones_is_missing_in_all_streams(release):
    for name in ("audio_train", "video_train", "text_train_emb"):
        release.files[name][1, 2] = 0
    sample = release.read()[1].sample("train-0001")
    assert sample.num_segments == 5
    for stream_TD in sample.streams.values():
        assert np.isnan(stream_TD).all(axis=1).tolist() == [False, False, True, False, False]


def test_a_stream_that_is_empty_throughout_is_absent(release):
    release.files["video_valid"][1] = 0
    report, store = release.read()
    assert tuple(store.sample("valid-0001").streams) == ("audio", "text")
    assert report.details["splits"]["val"]["streams"]["video"]["absent_clips"] == 1
    assert report.details["splits"]["val"]["streams"]["video"]["missing_segments"] == 0
    assert "video is zero throughout, so absent, in clips: train 0, val 1, test 0" in report.notes


def test_a_zero_among_other_values_is_a_value():
    audio_TD = np.array([[0.0, 1.0], [0.0, 0.0], [2.0, 0.0]])
    clip = cut_clip({"audio": audio_TD}, where="here")
    np.testing.assert_array_equal(clip.streams["audio"], [[0, 1], [np.nan, np.nan], [2, 0]])
    assert audio_TD[1].tolist() == [0, 0]


def test_pom_has_seventeen_criteria_whose_names_are_marked_unverified(release):
    release.choose("pom")
    report, store = release.read()
    scales = {one.name: (one.low, one.high) for one in store.criteria}
    assert len(scales) == 17
    assert list(scales)[14] == "sentiment"
    assert [name for name, (_, high) in scales.items() if high == 5] == list(scales)[8:14]
    assert scales["reserved"] == (0, 5)
    assert {low for name, (low, _) in scales.items() if name != "reserved"} == {1}
    assert "unverified" in store.info.provenance["criteria"]
    assert any("unverified" in note for note in report.notes)
    np.testing.assert_array_equal(store.sample("test-0002").scores, release.files["y_test"][2])


def test_provenance_leads_back_to_the_files(release):
    store = release.read()[1]
    provenance = store.info.provenance
    assert (provenance["importer"], provenance["dataset"]) == ("mfn", "mmmo")
    assert len(provenance["layout_of_commit"]) == 40
    assert len(provenance["files"]) == 12
    assert provenance["files"]["audio_valid.h5"]["shape"] == [3, 5, 4]
    assert len(provenance["files"]["y_test.h5"]["sha256"]) == 64


def test_counts_that_differ_from_the_release_are_told(release):
    notes = release.read()[0].notes
    assert "split 'test': ICT-MMMO was released with 80 clips" in notes


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["audio_train", "text_test_emb", "y_valid"])
def test_nan_and_infinity_are_refused(release, name, value):
    release.files[name].flat[3 if name != "y_valid" else 1] = value
    release.write()
    message = release.refused()
    assert f"{name}.h5" in message
    assert "found 1 that are NaN or infinite" in message


def test_a_value_too_large_for_the_store_is_refused(release):
    release.files["audio_train"][0, 0, 0] = 1e300
    release.write()
    assert "'train-0000', stream 'audio'" in release.refused()


def changed(name, change):
    def apply(release):
        release.files[name] = change(release.files[name])

    return apply


def without_audio(release):
    release.files["audio_test"][2] = 0


def video_after_the_end(release):
    release.files["audio_test"][2, 3:] = 0


def same_clip(release):
    release.files["audio_test"][1] = release.files["audio_train"][4]


REFUSED = {
    "rows": (changed("video_train", lambda array: array[:-1]), "expected 6 clips of 5 steps"),
    "steps": (changed("text_valid_emb", lambda array: array[:, :-1]), "found 3 of 4"),
    "rank": (changed("video_train", lambda array: array[0]), "expected [clips, steps, features]"),
    "no clips": (changed("audio_valid", lambda array: array[:0]), "expected [clips, steps, features]"),
    "width": (changed("video_valid", lambda array: array[..., :2]), "train 3, val 2, test 3"),
    "scores": (changed("y_train", lambda array: np.stack([array] * 2, axis=1)), "found shape (6, 2)"),
    "scale": (changed("y_test", lambda array: array + 5), "expected a score of 'sentiment' on its scale 1 to 5"),
    "texts": (changed("audio_train", lambda array: array.astype("S8")), "expected numbers in 'd1'"),
    "complex": (changed("audio_train", lambda array: array.astype(complex)), "expected numbers in 'd1'"),
    "no audio": (without_audio, "clip 2 of test: expected at least one step of audio"),
    "video goes on": (video_after_the_end, "clip 2 of test: expected video to be zero where audio"),
    "leak": (same_clip, "found the same audio in train-0004 and test-0001"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_files_that_do_not_fit_are_refused(release, change, message):
    change(release)
    release.write()
    assert message in release.refused()


@pytest.mark.parametrize("name", ["audio_valid", "y_test"])
def test_audio_and_scores_must_be_there(release, name):
    del release.files[name]
    release.write()
    assert f"not there: {name}.h5" in release.refused()


def test_the_folder_inside_is_pointed_out(release):
    release.write()
    release.root = release.root / "new_data"
    assert f"did you mean {release.root.parent}?" in release.refused()


def test_an_unknown_data_set_names_the_nearest(release):
    release.write()
    release.dataset = "mmo"
    assert "did you mean 'mmmo'?" in release.refused()


def test_an_existing_store_is_left_alone(release):
    release.read()
    with pytest.raises(InputError, match="does not exist for the new store"):
        release.read()


def test_the_extra_is_named_where_it_is_missing(release, monkeypatch):
    release.write()
    monkeypatch.setitem(sys.modules, "h5py", None)
    message = release.refused(MissingExtraError)
    assert "pip install h5py" in message
    assert "limssr[hdf5]" in message


class TestHdf5:
    """Only numbers that lie in the file itself are read."""

    @pytest.mark.parametrize(
        "content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"\x89HDF\r\n\x1a\n" + bytes(100)]
    )
    def test_a_file_of_another_kind(self, tmp_path, content):
        (tmp_path / "file.h5").write_bytes(content)
        with pytest.raises(InputError, match="Expected a readable HDF5 file"):
            read_hdf5(tmp_path / "file.h5", "d1")

    def test_a_cut_file(self, tmp_path):
        with h5py.File(tmp_path / "file.h5", "w") as file:
            file["d1"] = np.ones((100, 10))
        whole = (tmp_path / "file.h5").read_bytes()
        (tmp_path / "file.h5").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match="Expected a readable HDF5 file"):
            read_hdf5(tmp_path / "file.h5", "d1")

    def test_another_name(self, tmp_path):
        with h5py.File(tmp_path / "file.h5", "w") as file:
            file["d2"] = np.ones(3)
        with pytest.raises(InputError, match="did you mean 'd2'"):
            read_hdf5(tmp_path / "file.h5", "d1")

    @pytest.mark.parametrize("kind", [h5py.string_dtype(), h5py.vlen_dtype(np.float64), h5py.ref_dtype])
    def test_objects(self, tmp_path, kind):
        with h5py.File(tmp_path / "file.h5", "w") as file:
            file.create_dataset("d1", shape=(2,), dtype=kind)
        with pytest.raises(InputError, match="expected numbers in 'd1', found the type object"):
            read_hdf5(tmp_path / "file.h5", "d1")

    def test_a_group(self, tmp_path):
        with h5py.File(tmp_path / "file.h5", "w") as file:
            file.create_group("d1")
        with pytest.raises(InputError, match="found a group"):
            read_hdf5(tmp_path / "file.h5", "d1")

    @pytest.mark.parametrize("kind", ["external link", "soft link", "external storage", "virtual"])
    def test_values_that_lie_elsewhere(self, tmp_path, kind):
        with h5py.File(tmp_path / "other.h5", "w") as file:
            file["d1"] = np.ones(3)
        with h5py.File(tmp_path / "file.h5", "w") as file:
            if kind == "external link":
                file["d1"] = h5py.ExternalLink("other.h5", "/d1")
            elif kind == "soft link":
                file["d2"], file["d1"] = np.ones(3), h5py.SoftLink("/d2")
            elif kind == "external storage":
                file.create_dataset("d1", data=np.ones(3), external=[(str(tmp_path / "raw"), 0, 24)])
            else:
                layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
                layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "d1", shape=(3,))
                file.create_virtual_dataset("d1", layout)
        with pytest.raises(InputError, match="found a link" if "link" in kind else "lie in another one"):
            read_hdf5(tmp_path / "file.h5", "d1")


@pytest.fixture(scope="module")
def root(shared):
    root = shared / "data" / "mfn"
    if not (root / "new_data").is_dir():
        pytest.skip(f"real data not found: no folder {root / 'new_data'}")
    return root


@pytest.mark.realdata
class TestRelease:
    """The published files themselves."""

    def test_mmmo(self, root, tmp_path):
        report = IMPORTERS["mfn"](root, tmp_path / "store")
        store = FeatureStore.open(tmp_path / "store")
        store.verify()
        assert report.splits == {"train": 220, "val": 40, "test": 80}
        assert report.streams == {"audio": 340, "video": 340, "text": 120}
        assert [(one.name, one.dim) for one in store.modalities] == [("audio", 74), ("video", 36), ("text", 300)]
        assert not any("text" in sample.streams for sample in store.samples("train"))
        counts = report.details["splits"]
        assert counts["train"]["clips_padded"] == {"in_front": 30, "behind": 57, "both": 1}
        assert {split: of["steps_in_use"]["min"] for split, of in counts.items()} == {"train": 3, "val": 11, "test": 2}
        assert {of["steps_in_use"]["median"] for of in counts.values()} == {20}
        video = {split: of["streams"]["video"]["clips_with_missing_segments"] for split, of in counts.items()}
        assert video == {"train": 189, "val": 34, "test": 62}
        # Of these, some lack video only before its first or behind its last filled step.
        assert {split: sum(has_gap(one.streams["video"]) for one in store.samples(split)) for split in counts} == {
            "train": 183,
            "val": 33,
            "test": 60,
        }
        assert not any(of["streams"]["video"]["absent_clips"] for of in counts.values())
        scores = np.array([sample.scores[0] for sample in store.samples("train")])
        assert ((scores == 1).sum(), (scores == 5).sum(), len(set(scores))) == (32, 52, 9)

    def test_pom(self, root, tmp_path):
        report = IMPORTERS["mfn"](root, tmp_path / "store", dataset="pom")
        store = FeatureStore.open(tmp_path / "store")
        store.verify()
        assert report.splits == {"train": 600, "val": 100, "test": 203}
        assert [(one.name, one.dim) for one in store.modalities] == [("audio", 43), ("video", 41)]
        counts = report.details["splits"]
        absent = {split: of["streams"]["video"]["absent_clips"] for split, of in counts.items()}
        assert absent == {"train": 322, "val": 48, "test": 116}
        whole = {
            split: of["clips"] - absent[split] - of["streams"]["video"]["clips_with_missing_segments"]
            for split, of in counts.items()
        }
        assert whole == {"train": 79, "val": 15, "test": 22}
        assert counts["train"]["clips_padded"]["in_front"] == 502
        assert counts["train"]["steps_in_use"]["min"] == 1
        assert {split: of["steps_in_use"]["median"] for split, of in counts.items()} == {
            "train": 13,
            "val": 15,
            "test": 13,
        }
        # In one clip four steps between filled ones are empty: they are missing, not padding.
        assert counts["test"]["streams"]["audio"]["missing_segments"] == 4
        scores_NC = np.stack([sample.scores for sample in store.samples()])
        deviation_C = scores_NC.std(axis=0)
        assert store.criteria[int(deviation_C.argmax())].name == "sentiment"
        assert scores_NC.min() == pytest.approx(2 / 3)
