"""From a table of recordings to a store: what is in it, what fails, what is kept, and that ways of working agree."""

import csv
import filecmp
import json

import numpy as np
import pytest

import limssr
from limssr.core.errors import InputError
from limssr.data.store.reader import FeatureStore
from limssr.media import work
from limssr.media.clock import parse_segments
from limssr.media.extract import ExtractOptions, extract
from limssr.media.manifest import load_recordings
from limssr.media.record import ExtractionRecord
from limssr.media.samples import read_recordings
from limssr.media.write import WriteOptions, write_media

COLUMNS = ("id", "split", "group", "score:total", "media:video", "sensor:wrist", "stream:notes", "rate:notes")
FAST = ("motion", "sound")


def options(**changes):
    return ExtractOptions(**{"segments": parse_segments("1"), "encoders": FAST, **changes})


def write_table(path, rows, columns=COLUMNS):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def worn(folder, *, late_s=2, groups=True):
    """A manifest of two sensors with time stamps and no splits; the second is switched on later."""
    rows = []
    for number in range(8):
        for name, first in (("wrist", 0), ("pulse", late_s)):
            lines = [f"2026-01-31 10:00:{second:02d};{second + number},5" for second in range(first, first + 12)]
            (folder / f"{name}{number}.csv").write_text("\n".join(["Timestamp;x", *lines]) + "\n")
        files = {f"sensor:{name}": f"{name}{number}.csv" for name in ("wrist", "pulse")}
        group = {"group": f"g{number // 2}"} if groups else {}
        rows.append({"id": f"r{number}", "score:total": str(number), **group, **files})
    columns = ("id", *(("group",) if groups else ()), "score:total", "sensor:wrist", "sensor:pulse")
    return write_table(folder / "worn.csv", rows, columns)


def test_sensors_of_one_performance_stay_in_step_and_are_divided(tmp_path):
    manifest = worn(tmp_path)
    report = extract(manifest, tmp_path / "store", options())
    store = FeatureStore.open(tmp_path / "store")
    sample = store.sample("r0")
    both = [sample.streams[name][:, 0] for name in ("wrist", "pulse")]
    assert np.isnan(both[1][:2]).all()  # it was not on yet
    np.testing.assert_array_equal(both[0][2:12], both[1][2:12])
    told = " ".join(report.imported.decisions)
    assert "divided 70/15/15 by 4 whole groups" in told
    assert "counted from the earliest first row of all sensors" in told
    assert "decimal commas read as decimal points: 8" in told
    sides = {store.sample(name).group: set() for split in ("train", "val", "test") for name in store.ids(split)}
    for split in ("train", "val", "test"):
        for name in store.ids(split):
            sides[store.sample(name).group].add(split)
    assert all(len(found) == 1 for found in sides.values())
    # New recordings are read as the store's were; those of older versions counted each sensor from its own first row.
    record = ExtractionRecord.from_dict(store.info.extraction)
    assert record.stamps == "shared"
    older = {key: value for key, value in store.info.extraction.items() if key != "stamps"}
    old = ExtractionRecord.from_dict(older)
    assert old.to_dict()["stamps"] == "own"
    for how, valid in ((record, False), (old, True)):
        read = read_recordings(manifest, how, store.modalities).samples[0]
        assert bool(np.isfinite(read.streams["pulse"][0]).all()) == valid


def test_samples_without_groups_are_divided_one_by_one(tmp_path):
    report = extract(worn(tmp_path, groups=False), tmp_path / "store", options())
    assert "sample by sample" in " ".join(report.imported.decisions)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(InputError, match="time stamps of one clock"):
        extract(worn(other, late_s=40), other / "store", options())


@pytest.fixture(scope="module")
def recordings(tmp_path_factory, flash, click):
    """Six recordings: one without sound, one that breaks off, sensors and arrays beside some."""
    folder = tmp_path_factory.mktemp("recordings")
    random = np.random.default_rng(0)
    rows = []
    for number, split in enumerate(("train", "train", "train", "val", "test", "test")):
        length_s = 4 + number % 2
        sound = None if number == 1 else click(2.2 + number / 100, length_s)
        how = WriteOptions(container_options={"movflags": "faststart"})
        path = folder / f"r{number}.mp4"
        lit = flash(2.2, np.arange(length_s * 25) / 25)
        pictures = [(time_s, rgb // 2 + random.integers(0, 50, rgb.shape, np.uint8)) for time_s, rgb in lit]
        write_media(path, pictures=pictures, sound_NC=sound, options=how)
        if number == 5:
            path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
        times = np.arange(0, length_s, 0.02)
        lines = "".join(f"{time:.2f},{np.sin(time):.5f},{random.normal():.5f}\n" for time in times)
        (folder / f"r{number}.csv").write_text("time_s,x,y\n" + lines)
        np.save(folder / f"r{number}.npy", np.arange(length_s * 10, dtype=np.float32)[:, None])
        rows.append(
            {
                "id": f"r{number}",
                "split": split,
                "group": f"g{number}",
                "score:total": str(number),
                "media:video": path.name,
                "sensor:wrist": f"r{number}.csv" if number != 2 else "",
                "stream:notes": f"r{number}.npy",
                "rate:notes": "10",
            }
        )
    return folder, rows


def same_bytes(one, two):
    compared = filecmp.dircmp(one, two)
    names = [path.relative_to(one) for path in sorted(one.rglob("*")) if path.is_file()]
    assert compared.left_only == compared.right_only == []
    return all((one / name).read_bytes() == (two / name).read_bytes() for name in names)


def test_everything_lies_on_one_clock(recordings, tmp_path):
    folder, rows = recordings
    table = write_table(folder / "all.csv", rows)
    report = extract(table, tmp_path / "store", options())
    store = FeatureStore.open(tmp_path / "store")
    store.verify()
    assert [modality.name for modality in store.modalities] == ["motion", "sound", "wrist", "notes"]
    assert store.info.segment_s == 1
    whole = store.sample("r0").streams
    assert {stream.shape[0] for stream in whole.values()} == {4}
    assert "sound" not in store.sample("r1").streams
    assert "wrist" not in store.sample("r2").streams
    # The flash and the click are in the third second, and so is the array's rising from 20 to 29.
    names = report.imported.streams
    assert names == {"motion": 6, "sound": 5, "wrist": 5, "notes": 6}
    columns = store.info.extraction["streams"]
    change = whole["motion"][:, columns["motion"]["columns"].index("change.maximum")]
    onset = whole["sound"][:, columns["sound"]["columns"].index("onset.maximum")]
    assert np.argmax(change) == np.argmax(onset) == 2
    np.testing.assert_allclose(whole["notes"][:, 0], [4.5, 14.5, 24.5, 34.5])
    assert whole["wrist"][1, 0] == pytest.approx(np.sin(np.arange(1, 2, 0.02)).mean(), abs=1e-4)
    assert list(report.damaged) == ["r5"]
    assert any("'r5' is damaged" in note for note in report.imported.notes)
    assert not report.failures


def test_serial_processes_and_cache_give_the_same_bytes(recordings, tmp_path, monkeypatch):
    folder, rows = recordings
    table = write_table(folder / "same.csv", rows)
    extract(table, tmp_path / "a" / "store", options())
    extract(table, tmp_path / "b" / "store", options(processes=2))
    assert same_bytes(tmp_path / "a" / "store", tmp_path / "b" / "store")

    def no_work(job, encoders):
        raise AssertionError(f"{job.path} was decoded again for {encoders}")

    monkeypatch.setattr(work, "_encode", no_work)
    extract(table, tmp_path / "a" / "again", options())
    assert same_bytes(tmp_path / "a" / "store", tmp_path / "a" / "again")


def test_a_stopped_extraction_goes_on_and_one_encoder_more_does_only_its_own_work(recordings, tmp_path, monkeypatch):
    folder, rows = recordings
    table = write_table(folder / "resume.csv", rows)
    real, done = work._encode, []

    def stop(job, encoders):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append((job.path.name, tuple(encoders)))
        return real(job, encoders)

    monkeypatch.setattr(work, "_encode", stop)
    with pytest.raises(KeyboardInterrupt):
        extract(table, tmp_path / "store", options(encoders=("motion",)))
    assert not (tmp_path / "store").exists()

    def count(job, encoders):
        done.append((job.path.name, tuple(encoders)))
        return real(job, encoders)

    monkeypatch.setattr(work, "_encode", count)
    extract(table, tmp_path / "store", options(encoders=("motion",), resume="auto"))
    assert done == [(f"r{number}.mp4", ("motion",)) for number in range(6)]
    done.clear()
    extract(table, tmp_path / "more", options())
    assert done == [(f"r{number}.mp4", ("sound",)) for number in range(6) if number != 1]
    extract(table, tmp_path / "store", options(encoders=("motion",), resume="auto"))
    with pytest.raises(InputError, match="extracted in the same way"):
        extract(table, tmp_path / "store", options(resume="auto"))
    with pytest.raises(InputError, match="does not exist"):
        extract(table, tmp_path / "store", options())


def test_what_is_cut_short_in_the_cache_is_made_again(recordings, tmp_path):
    folder, rows = recordings
    table = write_table(folder / "cut.csv", rows)
    extract(table, tmp_path / "store", options())
    for path in (tmp_path / ".extracted").iterdir():
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    extract(table, tmp_path / "again", options())
    assert same_bytes(tmp_path / "store", tmp_path / "again")


def test_failures_are_listed_and_the_rest_is_imported(recordings, tmp_path):
    folder, rows = recordings
    (folder / "broken.mp4").write_bytes(b"nothing" * 100)
    (folder / "backwards.csv").write_text("time_s,x,y\n1,0,0\n0,0,0\n")
    (folder / "other.csv").write_text("time_s,x,z\n0,0,0\n1,0,0\n2,0,0\n")
    (folder / "elsewhere.csv").write_text("time_s,x,y\n1000,0,0\n1001,0,0\n")
    bad = [
        {"media:video": "broken.mp4"},
        {"media:video": "missing.mp4"},
        {"media:video": "r0.mp4", "sensor:wrist": "backwards.csv"},
        {"media:video": "r0.mp4", "sensor:wrist": "other.csv"},
        {"media:video": "r0.mp4", "sensor:wrist": "elsewhere.csv"},
        {},
    ]
    words = ["is none", "found nothing", "run backwards", "expected the readings x, y", "fill no segment", "absent"]
    bad = [{"id": f"bad{number}", "split": "train", "score:total": "0", **row} for number, row in enumerate(bad)]
    table = write_table(folder / "some.csv", [*rows, *bad])
    report = extract(table, tmp_path / "store", options())
    assert set(report.failures) == {row["id"] for row in bad}
    for row, word in zip(bad, words, strict=True):
        assert word in report.failures[row["id"]]
    listed = list(csv.DictReader(report.failure_list.read_text().splitlines()))
    assert {row["id"] for row in listed} == set(report.failures)
    assert len(FeatureStore.open(tmp_path / "store")) == 6
    json.dumps(report.to_dict(), allow_nan=False)


def test_nothing_is_left_where_nothing_can_be_read(tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"nothing" * 100)
    rows = [
        {"id": f"{number}", "split": split, "score:total": str(number), "media:video": "x.mp4"}
        for number, split in enumerate(("train", "train", "val", "test"))
    ]
    for number, row in enumerate(rows):
        (tmp_path / f"{number}.mp4").write_bytes(b"nothing" * 100)
        row["media:video"] = f"{number}.mp4"
    table = write_table(tmp_path / "t.csv", rows, COLUMNS[:5])
    with pytest.raises(InputError, match="found none"):
        extract(table, tmp_path / "store", options())
    assert not (tmp_path / "store").exists()
    assert not list(tmp_path.glob(".store*"))


def test_columns_choose_their_encoder_and_several_are_told_apart(recordings, tmp_path):
    folder, rows = recordings
    columns = ("id", "split", "score:total", "media:sound", "offset:sound", "media:front", "media:side")
    shifted = [
        {
            "id": row["id"],
            "split": row["split"],
            "score:total": row["score:total"],
            "media:sound": "r0.mp4",
            "offset:sound": "1",
            "media:front": row["media:video"],
            "media:side": row["media:video"],
        }
        for row in rows
    ]
    for number, row in enumerate(shifted):
        row["media:sound"] = f"s{number}.mp4"
        (folder / row["media:sound"]).write_bytes((folder / "r0.mp4").read_bytes())
    table = write_table(folder / "many.csv", shifted, columns)
    extract(table, tmp_path / "store", options(encoders=("motion",)))
    store = FeatureStore.open(tmp_path / "store")
    assert [modality.name for modality in store.modalities] == ["sound", "front-motion", "side-motion"]
    onset = store.info.extraction["streams"]["sound"]["columns"].index("onset.maximum")
    sample = store.sample("r0").streams
    assert sample["sound"].shape[0] == 5
    assert np.isnan(sample["sound"][0]).all()
    assert np.nanargmax(sample["sound"][:, onset]) == 3
    assert np.isnan(sample["front-motion"][4]).all()


@pytest.mark.parametrize(
    ("columns", "rows", "words"),
    [
        ("id,split,score:total,media", "a,train,1,x.mp4", "Unknown column 'media'"),
        ("id,split,score:total,media:v,offset:w", "a,train,1,x.mp4,0", "beside a column media:w"),
        ("id,split,media:v", "a,train,x.mp4", "score:NAME"),
        ("id,split,score:total", "a,train,1", "media:NAME"),
        ("id,split,score:total,media:v", "a,train,1,x.mp4\na,train,2,y.mp4", "ids that occur once"),
        ("id,split,score:total,media:v", "a,train,1,x.mp4\nb,train,2,x.mp4", "one score and one split for a file"),
        ("id,split,score:total,media:v", "a,train,1,x.mp4\nb,test,1,./x.mp4", "one score and one split for a file"),
        ("id,split,score:total,media:v", "a,practice,1,x.mp4", "Unknown split"),
        ("id,split,score:total,media:v", "a,train,good,x.mp4", "a number or nothing"),
        ("id,split,score:total,stream:v,rate:v", "a,train,1,x.npy,fast", "rows a second"),
        ("id,split,score:total,media:v", "", "at least one performance"),
        ("id,split,score:total,media:v", ",train,1,x.mp4", "expected an id"),
    ],
)
def test_tables_that_are_refused(columns, rows, words, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f"{columns}\n{rows}\n")
    with pytest.raises(InputError, match=words):
        load_recordings(path, use="extract")


def test_contained(tmp_path):
    folder = tmp_path / "inside"
    folder.mkdir()
    path = folder / "t.csv"
    path.write_text("id,split,score:total,media:v\na,train,1,../x.mp4\n")
    load_recordings(path, use="extract")
    with pytest.raises(InputError, match="--contained"):
        load_recordings(path, use="extract", paths="contained")


def sensor_table(folder, *, split="", group=lambda number: f"g{number // 2}"):
    """Twenty performances of ten people, without a split unless one is given."""
    rows = []
    for number in range(20):
        values = "".join(f"{time / 10},{number + time}\n" for time in range(20))
        (folder / f"{number}.csv").write_text("time_s,x\n" + values)
        rows.append({"id": f"r{number}", "split": split, "group": group(number), "score:total": str(number % 7),
                     "sensor:wrist": f"{number}.csv"})  # fmt: skip
    columns = ["id", *(["split"] if split else []), "group", "score:total", "sensor:wrist"]
    kept = [{name: row[name] for name in columns} for row in rows]
    return write_table(folder / "table.csv", kept, columns)


def test_a_table_without_a_split_is_divided_by_whole_groups(tmp_path):
    table = sensor_table(tmp_path)
    report = extract(table, tmp_path / "store", options(split="60/20/20", seed=3))
    store = FeatureStore.open(tmp_path / "store")
    groups = {split: {store.sample(one).group for one in store.ids(split)} for split in ("train", "val", "test")}
    assert [len(found) for found in groups.values()] == [6, 2, 2]
    assert len(set.union(*groups.values())) == 10
    assert any("divided 60/20/20 by 10 whole groups, seed 3" in note for note in report.imported.notes)
    other = extract(table, tmp_path / "other", options())
    assert any("divided 70/15/15" in note and "no column 'split'" in note for note in other.imported.notes)
    again = extract(table, tmp_path / "store", options(split="60/20/20", seed=3, resume="auto"))
    assert again.imported.splits == report.imported.splits
    with pytest.raises(InputError):
        extract(table, tmp_path / "store", options(split="60/20/20", seed=4, resume="auto"))


def test_a_division_that_cannot_be_made_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(InputError, match="beside --split 80/20"):
        extract(sensor_table(tmp_path, split="train"), tmp_path / "store", options(split="80/20"))
    with pytest.raises(InputError, match="groups"):
        extract(sensor_table(tmp_path, group=lambda _: "one"), tmp_path / "store", options())
    assert not (tmp_path / "store").exists()


def test_python_does_what_the_verb_does(tmp_path):
    table = sensor_table(tmp_path)
    by_call = limssr.extract(
        table, tmp_path / "one", encoders="sound", segments="1", split="60/20/20", scales={"total": (0, 9)}
    )
    assert by_call.imported.streams == {"wrist": 20}
    asked = options(encoders=("sound",), split="60/20/20", scales={"total": (0, 9)})
    extract(table, tmp_path / "two", asked)
    assert same_bytes(tmp_path / "one", tmp_path / "two")
    assert not by_call.failures
    with pytest.raises(InputError, match="sound"):
        limssr.extract(table, tmp_path / "three", encoders="suond", show="nothing")
