"""Own tables: splits, groups, copies, padding, streams of one value, and new samples."""

from types import SimpleNamespace

import numpy as np
import pytest

from helpers.own_tables import GENERATOR, NAMES, SPLITS, lines, new_samples, npy, npy_of
from limssr.core.config import RunConfig
from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality
from limssr.data.importers.table.reading import Reading
from limssr.data.importers.table.table import import_table, read_manifest
from limssr.data.inspect import describe_store
from limssr.data.resplit import split_data
from limssr.data.store.reader import FeatureStore
from limssr.runs.data import load_split


@pytest.mark.parametrize("offset", [1e8, 1.7e9])
def test_offsets_are_subtracted_on_import_and_when_scoring(own, offset):
    own.arrays = [array + np.array([offset, 0, 0, 0]) for array in own.arrays]
    report = own.read(npy(own))
    modality = own.store().modalities[0]
    assert modality.offsets is not None
    assert any("float32 cannot hold" in text for text in report.decisions)
    first = own.store().sample("s0").streams["video"]
    np.testing.assert_allclose(first.astype(float) + np.array(modality.offsets), own.arrays[0], atol=1e-6)
    samples, _ = new_samples(own, npy(own), modality)
    np.testing.assert_array_equal(samples[0].streams["video"], first)
    own.store().verify()


def test_streams_of_one_value_are_pointed_out(own):
    for row in (1, 3):
        own.arrays[row][:] = 0
    own.arrays[4][:] = -1
    report = own.read(npy(own))
    assert any("2 of the 6 samples that own it hold nothing but zeros" in text for text in report.decisions)
    assert any("1 of the 6 samples that own it hold nothing but -1" in text for text in report.decisions)
    assert any("nothing but zeros" in text for text in own.store().info.decisions)
    assert any("nothing but zeros" in text for text in describe_store(own.store()).decisions)
    more = {"stream:audio": [npy_of(own, row) for row in range(6)]}
    own.read(npy(own), "absent", reading=Reading(zeros="absent"), more=more)
    assert list(own.store("absent").sample("s1").streams) == ["audio"]
    assert list(own.store("absent").sample("s4").streams) == ["video", "audio"]


def test_padding_is_cut_and_said(own):
    whole = list(own.arrays)
    own.arrays = [np.concatenate([array, np.full((9 - row, 4), np.nan)]) for row, array in enumerate(own.arrays)]
    report = own.read(npy(own))
    own.arrays = whole
    own.expect()
    assert any("6 samples ended with segments that no stream has, up to 9" in text for text in report.decisions)


@pytest.mark.parametrize("kind", ["train and test", "train and validation", "two of three"])
def test_the_same_recording_in_two_splits_is_refused(own, kind):
    where = {"train and test": (0, 5), "train and validation": (1, 4), "two of three": (4, 5)}[kind]
    own.arrays[where[1]] = own.arrays[where[0]].copy()
    with pytest.raises(InputError, match=rf"'s{where[0]}' \(\w+\) = 's{where[1]}' \(\w+\).*--copies keep"):
        own.read(npy(own))
    report = own.read(npy(own), copies="keep")
    assert any("identical features under other ids in two splits: 1 pairs" in text for text in report.decisions)


def test_one_stream_in_common_is_said_and_not_refused(own):
    np.save(own.folder / "piece.npy", np.arange(80.0).reshape(20, 4))
    own.arrays = [GENERATOR.normal(size=(20, 4)) for _ in range(6)]
    report = own.read(npy(own), more={"stream:notes": ["piece.npy"] * 6})
    assert any("one identical stream of several in two splits" in text for text in report.decisions)
    own.arrays[1] = own.arrays[0]
    report = own.read(npy(own), "within")
    assert any("identical features under other ids in one split: 1 pairs" in text for text in report.decisions)


@pytest.mark.parametrize("splits", [("train",) * 4 + ("test",) * 2, ("test",) * 6, ("train",) * 6])
def test_any_splits_can_be_imported(own, splits):
    report = own.read(npy(own), more={"splits": splits})
    assert report.splits == {split: splits.count(split) for split in ("train", "val", "test")}
    assert any("no validation split" in text for text in report.decisions) == ("train" in splits)
    assert any("no training split" in text for text in report.decisions) == ("train" not in splits)


def test_a_manifest_without_splits_is_divided_and_says_so(own):
    own.arrays = [GENERATOR.normal(size=(4, 4)) for _ in range(40)]
    more = {"splits": (None,) * 40, "group": [f"g{row // 2}" for row in range(40)]}
    report = own.read(npy(own), more=more)
    assert report.splits == {"train": 28, "val": 6, "test": 6}
    said = "divided 70/15/15 by 20 whole groups, seed 0: train 28, val 6, test 6; the manifest has no column 'split'"
    assert any(said in text for text in report.decisions)
    store = own.store()
    assert len({(store.sample(name).group, store.sample(name).split) for name in store.ids()}) == 20
    other = own.read(npy(own), "other", more=more, split="80/20", seed=3)
    assert other.splits["val"] == 0
    with pytest.raises(InputError, match="no column 'split' beside --split 70/15/15"):
        own.read(npy(own), "x", more={"splits": SPLITS * 7}, split="70/15/15")


@pytest.mark.parametrize("source", ["store", "manifest.csv"])
def test_a_store_or_a_manifest_is_divided_anew(own, source):
    own.arrays = [GENERATOR.normal(size=(4, 4)) for _ in range(40)]
    more = {"splits": ("train",) * 40, "group": [str(float(row // 2)) for row in range(40)]}
    own.read(npy(own), more=more)
    divided = split_data(own.folder / source, "50/25/25", seed=1)
    assert divided.splits == {"train": 20, "val": 10, "test": 10}
    path = divided.out
    if source == "store":
        new = FeatureStore.open(path)
        assert new.info.provenance["split"] == {"shares": "50/25/25", "seed": 1}
        np.testing.assert_array_equal(new.sample("s3").streams["video"], own.store().sample("s3").streams["video"])
    else:
        import_table(path, own.folder / "again")
        new = FeatureStore.open(own.folder / "again")
    assert {split: len(new.ids(split)) for split in ("train", "val", "test")} == divided.splits
    assert len({(new.sample(name).group, new.sample(name).split) for name in new.ids()}) == 20
    for wrong, message in (
        (lambda: split_data(own.folder / source, "50/25/25"), "does not exist"),
        (lambda: split_data(own.folder / source, "50/25"), "such as 70/15/15"),
        (lambda: split_data(own.folder / "none", "80/20"), "found nothing"),
    ):
        with pytest.raises(InputError, match=message):
            wrong()


@pytest.mark.parametrize("name", ["id", "streams"])
def test_reserved_criteria_are_refused_before_a_file_is_read(own, name):
    path = own.write(lambda row, array: "nowhere.npy")
    path.write_text(path.read_text().replace("score:total", f"score:{name}"))
    with pytest.raises(InputError, match=f"found '{name}': rename it"):
        import_table(path, own.folder / "store")


def test_new_samples_without_a_known_stream_stay_in_the_table(own):
    path = own.write(npy(own), "new.csv", **{"stream:motion": ["v0.npy"] * 6})
    text = path.read_text().replace("v2.npy,v0.npy", ",v0.npy")
    path.write_text(text)
    decisions = []
    samples = read_manifest(
        path,
        modalities=(Modality("video", 4),),
        criteria=(Criterion("total", 0, 10),),
        need_scores=True,
        say=decisions.append,
    )
    assert [bool(sample.streams) for sample in samples] == [True, True, False, True, True, True]
    assert any("stream 'motion' is not known to the model" in text for text in decisions)
    with pytest.raises(InputError, match="did you mean 'vidio'"):
        read_manifest(path, modalities=(Modality("vidio", 4), Modality("motion", 4)), need_scores=False)


def test_a_path_may_begin_at_home(own, monkeypatch):
    monkeypatch.setenv("HOME", str(own.folder))
    own.read(lambda row, array: "~/" + npy(own)(row, array))
    own.expect()


def test_a_store_of_test_samples_alone_fits_a_model_by_names_and_scale(own):
    own.read(own.text(lambda array: lines([NAMES, *array])), scales={"total": (0, 10)})
    model = SimpleNamespace(modalities=own.store().modalities, criteria=own.store().criteria)
    turned = own.text(lambda array: lines([NAMES[::-1], *array[:, ::-1]]))
    own.read(turned, "later", more={"splits": ("test",) * 6})
    config = RunConfig()
    _, samples = load_split(model, config, "test", store=own.folder / "later", incomplete=False)
    assert len(samples) == 6
    for sample, array in zip(samples, own.arrays, strict=True):
        np.testing.assert_allclose(sample.streams["video"], array, atol=1e-6)
    # A declared scale that differs is another question.
    own.read(turned, "other", more={"splits": ("test",) * 6}, scales={"total": (0, 20)})
    with pytest.raises(InputError, match="does not fit the model"):
        load_split(model, config, "test", store=own.folder / "other", incomplete=False)
    own.read(own.text(lambda array: lines([["a", "b", "c", "e"], *array])), "wrong", more={"splits": ("test",) * 6})
    with pytest.raises(InputError, match="found e and not d"):
        load_split(model, config, "test", store=own.folder / "wrong", incomplete=False)
