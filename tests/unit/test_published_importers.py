"""FS1000, Fis-V and RG in their published layouts, read back exactly; what is refused is in test_published_refusals."""

import json
import tracemalloc

import numpy as np
import pytest

from limssr.data.importers import IMPORTERS
from limssr.data.store.reader import FeatureStore

WIDTHS = (6, 5, 4)
SOURCES = ("fs1000", "fisv", "rg")


def check_equal(store, written, streams=("video", "audio", "flow")):
    store.verify()
    assert store.ids() == tuple(written.splits)
    names = [criterion.name for criterion in store.criteria]
    for sample in store.samples():
        assert sample.split == written.splits[sample.id]
        assert sample.group == ""
        np.testing.assert_array_equal(sample.scores, [written.scores[sample.id][name] for name in names])
        assert tuple(sample.streams) == streams
        for stream in streams:
            np.testing.assert_array_equal(sample.streams[stream], written.streams[sample.id][stream])


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("source", SOURCES)
def test_a_tree_is_read_exactly(tree, source, dtype):
    made = tree(source, dtype=dtype)
    steps = []
    report = made.read(progress=lambda done, total: steps.append((done, total)))
    store = FeatureStore.open(made.store)
    if source == "fs1000" and dtype == "float64":
        # The file's own precision is kept until after the mean: nearer than the mean of rounded values.
        for clip, streams in made.written.streams.items():
            given = np.load(made.root / "output_feature_fs1000_new" / f"{clip}.npy")
            streams["video"] = given.mean(axis=1).astype(np.float32)
    check_equal(store, made.written)
    assert steps == [(done, len(store)) for done in range(1, len(store) + 1)]
    assert report.num_samples == len(made.written.splits)
    assert report.splits["val"] == 0


@pytest.mark.parametrize(("protocol", "old_names"), [(2, False), (3, True), (5, False)])
@pytest.mark.parametrize("source", ["fisv", "rg"])
def test_dictionaries_of_every_numpy_are_read(tree, source, protocol, old_names):
    made = tree(source, protocol=protocol, old_names=old_names)
    made.read()
    check_equal(FeatureStore.open(made.store), made.written)


@pytest.mark.parametrize("source", SOURCES)
def test_published_widths_and_scales(tree, source):
    made = tree(source, widths=None, num_segments=(1, 3))
    report = made.read()
    store = FeatureStore.open(made.store)
    widths = {"fs1000": [768, 768, 1024]}.get(source, [1024, 768, 1024])
    assert [(stream.name, stream.dim) for stream in store.modalities] == list(
        zip(("video", "audio", "flow"), widths, strict=True)
    )
    highs = {
        "fs1000": {"TES": 130, "PCS": 60, "SS": 10, "TR": 10, "PE": 10, "CO": 10, "IN": 10},
        "fisv": {"TES": 45, "PCS": 40},
        "rg": {"Ball": 25, "Clubs": 25, "Hoop": 25, "Ribbon": 25},
    }[source]
    assert {criterion.name: (criterion.low, criterion.high) for criterion in store.criteria} == {
        name: (0, high) for name, high in highs.items()
    }
    assert not any("features a segment, published were" in note for note in report.notes)


def test_pcs_is_divided_by_the_factor_of_its_row(tree):
    made = tree("fs1000")
    row = (made.root / "train_fs1000_new.txt").read_text().split("\n")[2].split()
    assert float(row[8]) == 1.6
    report = made.read()
    sample = FeatureStore.open(made.store).sample(row[0])
    assert sample.scores[1] == float(row[2]) / 1.6
    assert sample.scores[0] == float(row[1])
    assert any("PCS was divided by the factor of its row (0.8 to 2)" in note for note in report.notes)


def test_a_routine_is_judged_on_its_own_apparatus_only(tree):
    made = tree("rg")
    made.read()
    for sample in FeatureStore.open(made.store).samples("test", criteria=["Hoop"]):
        assert np.isnan(sample.scores[0]) == (not sample.id.startswith("Hoop_"))


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("source", ["fisv", "rg"])
def test_a_header_is_detected_and_the_report_says_so(tree, source, header):
    made = tree(source, header=header)
    report = made.read()
    assert report.splits == {
        "train": len(made.written.splits) - report.splits["test"],
        "val": 0,
        "test": report.splits["test"],
    }
    assert report.num_samples == len(made.written.splits)
    decided = "header" if header else "no header"
    assert report.details["headers"] == {"train.txt": decided, "test.txt": decided}
    assert any(note.startswith(f"train.txt: {decided}, its first line") for note in report.notes)
    provenance = FeatureStore.open(made.store).info.provenance
    assert provenance["labels"]["train"]["header"] == decided
    assert len(provenance["labels"]["train"]["sha256"]) == 64


def test_only_one_of_two_files_has_a_header(tree):
    made = tree("rg")
    made.edit("test.txt", lambda lines: lines[1:])
    report = made.read()
    assert report.details["headers"] == {"train.txt": "header", "test.txt": "no header"}
    assert report.num_samples == len(made.written.splits)


def test_fs1000_has_no_header_to_tell(tree):
    made = tree("fs1000")
    made.edit("train_fs1000_new.txt", lambda lines: ["name TES PCS SS TR PE CO IN factor", *lines])
    assert "found 'factor'" in made.refused()


@pytest.mark.parametrize("source", SOURCES)
def test_streams_of_different_lengths_are_refused_or_cut(tree, source):
    made = tree(source, uneven=3)
    clip = next(clip for clip, split in made.written.splits.items() if split == "test")
    lengths = [made.written.streams[clip][stream].shape[0] for stream in ("video", "audio", "flow")]
    message = made.refused()
    assert f"{clip} (video {lengths[0]}, audio {lengths[0] + 1}, flow {lengths[0] + 2})" in message
    assert "3 (" in message
    assert "--align shortest" in message
    report = made.read(align="shortest")
    sample = FeatureStore.open(made.store).sample(clip)
    assert {stream.shape[0] for stream in sample.streams.values()} == {lengths[0]}
    np.testing.assert_array_equal(sample.streams["flow"], made.written.streams[clip]["flow"][: lengths[0]])
    cut = {"mode": "shortest", "samples": 3, "segments_cut": {"video": 0, "audio": 3, "flow": 6}, "longest_cut": 2}
    assert report.details["alignment"] == cut
    assert any("3 samples were cut to their shortest stream, by at most 2" in note for note in report.notes)
    assert FeatureStore.open(made.store).info.provenance["alignment"] == cut


def test_the_same_tree_gives_the_same_store(tree, layouts, tmp_path):
    made = tree("rg")
    first = made.read().fingerprint
    assert IMPORTERS["rg"](made.root, tmp_path / "again").fingerprint == first
    assert str(tmp_path) not in (made.store / "store.json").read_text()
    assert json.loads((made.store / "store.json").read_text())["name"] == "RG"


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("source", "stem", "header", "counts"),
    [("fisv", "FisV", "no header", (400, 100)), ("rg", "RG", "header", (800, 200))],
)
def test_the_real_label_files(layouts, shared, tmp_path, source, stem, header, counts):
    folder = shared / "data" / "official_labels"
    labels = (folder / f"{stem}_train.txt", folder / f"{stem}_test.txt")
    features = layouts.Features(widths=WIDTHS, num_segments=(3, 9), uneven=4)
    written = layouts.WRITERS[source](tmp_path / "root", labels=labels, features=features)
    report = IMPORTERS[source](tmp_path / "root", tmp_path / "store", align="shortest")
    assert (report.splits["train"], report.splits["test"]) == counts
    assert set(report.details["headers"].values()) == {header}
    assert not any("was published with" in note for note in report.notes)
    store = FeatureStore.open(tmp_path / "store")
    for sample in store.samples("test"):
        expected = list(written.scores[sample.id].values())
        np.testing.assert_array_equal(sample.scores, expected)
    if source == "rg":
        judged = np.isfinite([sample.scores for sample in store.samples("train")])
        assert judged.sum(axis=0).tolist() == [200] * 4
        assert judged.sum(axis=1).tolist() == [1] * 800


def test_memory_is_bounded_by_the_writer_and_not_by_the_files(layouts, tmp_path):
    """Arrays are views of the files: only the shard that is being written (64 MiB) is held."""
    features = layouts.Features(widths=(1024, 768, 1024), num_segments=(300, 300))
    layouts.write_fisv(tmp_path / "fisv", num_train=40, num_test=8, features=features)
    files = sum(path.stat().st_size for path in (tmp_path / "fisv" / "Fis-feature").iterdir())
    tracemalloc.start()
    try:
        report = IMPORTERS["fisv"](tmp_path / "fisv", tmp_path / "store")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.num_samples == 48
    assert files > 160e6
    assert peak < 100e6
