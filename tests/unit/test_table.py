import csv
import json
import math
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality
from limssr.data.importers import IMPORTERS
from limssr.data.importers.table.reading import Reading
from limssr.data.importers.table.table import import_table, read_manifest
from limssr.data.store.reader import FeatureStore

SPLITS = ("train", "train", "train", "val", "test", "test")


class Table:
    """A folder with six good samples of two streams, for tests to spoil."""

    def __init__(self, folder):
        self.folder = folder
        generator = np.random.default_rng(0)
        self.arrays = {
            (row, name): generator.normal(size=(3 + row, width)).astype(np.float32)
            for row in range(6)
            for name, width in (("video", 4), ("audio", 2))
        }
        self.rows = [
            {
                "id": f"s{row}",
                "split": split,
                "group": f"g{row}",
                "score:total": str(float(row)),
                "score:art": str(row / 10),
                "stream:video": f"v{row}.npy",
                "stream:audio": f"a{row}.npy",
            }
            for row, split in enumerate(SPLITS)
        ]
        for (row, name), array in self.arrays.items():
            np.save(folder / f"{name[0]}{row}.npy", array)

    def write(self, name="manifest.csv"):
        path = self.folder / name
        if name.endswith(".jsonl"):
            path.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
            return path
        with path.open("w", newline="") as file:
            columns = list(dict.fromkeys(column for row in self.rows for column in row))
            delimiter = "\t" if name.endswith(".tsv") else ","
            writer = csv.DictWriter(file, columns, restval="", delimiter=delimiter)
            writer.writeheader()
            writer.writerows(self.rows)
        return path

    def read(self, name="manifest.csv", **options):
        return import_table(self.write(name), self.folder / "store", **options)

    @property
    def store(self):
        return FeatureStore.open(self.folder / "store")


@pytest.fixture
def table(tmp_path):
    return Table(tmp_path)


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.tsv", "manifest.jsonl"])
def test_a_manifest_becomes_a_store(table, name):
    table.rows[1]["stream:audio"] = ""
    table.rows[2]["score:art"] = ""
    report = table.read(name, scales={"total": (0, 10), "art": (0, 1)}, units={"total": "marks"}, segment_s=0.5)
    store = table.store
    store.verify()
    assert store.modalities == (Modality("video", 4), Modality("audio", 2))
    assert store.criteria == (Criterion("total", 0.0, 10.0, "marks"), Criterion("art", 0.0, 1.0, "points"))
    assert (store.info.name, store.info.segment_s) == ("manifest", 0.5)
    for row in range(6):
        sample = store.sample(f"s{row}")
        np.testing.assert_array_equal(sample.streams["video"], table.arrays[row, "video"])
        assert ("audio" in sample.streams) == (row != 1)
        assert (sample.split, sample.group) == (SPLITS[row], f"g{row}")
        assert sample.scores[0] == row
    assert math.isnan(store.sample("s2").scores[1])
    assert report.num_samples == 6
    assert report.splits == {"train": 3, "val": 1, "test": 2}
    assert report.streams == {"video": 6, "audio": 5}
    assert report.notes == ()
    assert json.loads(json.dumps(report.to_dict()))["fingerprint"] == store.fingerprint


def test_numbers_and_null_in_json_lines(table):
    for row in table.rows:
        row["score:total"], row["id"] = float(row["score:total"]), int(row["id"][1:])
    table.rows[1]["stream:audio"] = None
    del table.rows[2]["stream:audio"]
    table.rows[0]["score:art"] = None
    table.read("manifest.jsonl")
    assert list(table.store.sample("1").streams) == list(table.store.sample("2").streams) == ["video"]
    assert math.isnan(table.store.sample("0").scores[1])


def test_the_same_table_elsewhere_gives_the_same_store(tmp_path):
    fingerprints = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        fingerprints.add(Table(tmp_path / name).read().fingerprint)
    assert len(fingerprints) == 1


def test_every_kind_of_array_file(table):
    video = table.arrays[0, "video"]
    np.savez(table.folder / "one.npz", video)
    np.savez(table.folder / "two.npz", video=table.arrays[1, "video"], other=np.zeros(3))
    np.savetxt(table.folder / "plain.csv", table.arrays[2, "video"], delimiter=",", fmt="%.9g")
    columns = {f"f{i}": column for i, column in enumerate(table.arrays[3, "video"].T)}
    pq.write_table(pa.table(columns), table.folder / "p.parquet")
    for row, cell in enumerate(("one.npz", "two.npz::video", "plain.csv", "p.parquet")):
        table.rows[row]["stream:video"] = cell
    with pytest.raises(InputError, match=r"named columns \(f0, f1, f2, f3\), found values without names"):
        table.read()
    table.read(reading=Reading(columns="by-place"))
    for row in range(4):
        np.testing.assert_array_equal(table.store.sample(f"s{row}").streams["video"], table.arrays[row, "video"])


HEADERS = {
    "words": ("x,y\n1,2\n3,4\n", "a header", [[1, 2], [3, 4]]),
    "words with a byte order mark": ("\ufeffx,y\n1,2\n3,4\n", "a header", [[1, 2], [3, 4]]),
    "running numbers": ("0,1\n1,2\n3,4\n", "a header", [[1, 2], [3, 4]]),
    "none": ("1,2\n3,4\n", "no header", [[1, 2], [3, 4]]),
    "none, not valid first": ("nan,\n1,2\n", "no header", [[np.nan, np.nan], [1, 2]]),
    "none, an empty line of cells": ("1,2\n,\n3,4\n\n", "no header", [[1, 2], [np.nan, np.nan], [3, 4]]),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_headers_of_csv_streams_are_found_and_reported(table, kind):
    text, decision, expected = HEADERS[kind]
    (table.folder / "stream.csv").write_text(text, encoding="utf-8")
    table.rows[0]["stream:audio"], table.rows[0]["stream:video"] = "stream.csv", ""
    report = table.read(reading=Reading(columns="by-place"))
    np.testing.assert_array_equal(table.store.sample("s0").streams["audio"], expected)
    assert f"stream 'audio': csv files read with {decision} line: 1" in report.notes


def test_an_empty_line_is_a_gap_in_a_stream_of_one_column(table):
    (table.folder / "stream.csv").write_text("x\n1\n\n3\n")
    for row in table.rows:
        row["stream:audio"] = ""
    table.rows[0] |= {"stream:audio": "stream.csv", "stream:video": ""}
    table.read()
    np.testing.assert_array_equal(table.store.sample("s0").streams["audio"], [[1], [np.nan], [3]])


def test_a_scale_that_nobody_declared_is_derived_and_reported(table):
    table.rows[0]["score:art"] = "-2"
    report = table.read()
    assert report.criteria == {"total": (0.0, 2.0), "art": (-2.0, 0.2)}
    assert "'total'" in report.notes[0]
    assert "0 to 2 was derived" in report.notes[0]
    assert "3 validation or test scores lie outside" in report.notes[0]
    assert table.store.info.derived_scales == ("art", "total")
    table.store.verify()


def test_progress_is_told(table):
    calls = []
    table.read(progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 6) for done in range(1, 7)]


def test_importers_are_found_by_name(table):
    report = IMPORTERS["table"](table.write(), table.folder / "store", scales={"total": (0, 9)})
    assert report.criteria["total"] == (0.0, 9.0)
    assert list(IMPORTERS) == ["fisv", "fs1000", "mfn", "percepiano", "rg", "table"]


def spoil_cell(row, column, value):
    return lambda table: table.rows[row].update({column: value})


def spoil_array(array, name="v1.npy"):
    return lambda table: np.save(table.folder / name, array)


def spoil_file(name, content):
    def spoil(table):
        (table.folder / name).write_bytes(content)
        table.rows[1]["stream:video"] = name

    return spoil


def everywhere(column, value):
    def spoil(table):
        for row in table.rows:
            row[column] = value

    return spoil


def without(column):
    def spoil(table):
        for row in table.rows:
            del row[column]

    return spoil


def pickled(table):
    np.save(table.folder / "v1.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


def pickled_in_npz(table):
    np.savez(table.folder / "v1.npz", np.array([{"a": 1}], dtype=object))
    table.rows[1]["stream:video"] = "v1.npz"


def two_arrays(table):
    np.savez(table.folder / "v1.npz", one=np.ones((4, 4)), two=np.ones((4, 4)))
    table.rows[1]["stream:video"] = "v1.npz"


def wrong_key(table):
    two_arrays(table)
    table.rows[1]["stream:video"] = "v1.npz::tow"


def text_in_parquet(table):
    pq.write_table(pa.table({"f0": ["a", "b"]}), table.folder / "v1.parquet")
    table.rows[1]["stream:video"] = "v1.parquet"


FULL = np.ones((4, 4), np.float32)
BAD = {
    "unknown column": (everywhere("streams:flow", ""), "Unknown column 'streams:flow'.*did you mean 'stream:NAME'"),
    "no id column": (without("id"), "expected a column 'id'"),
    "no score column": (
        lambda t: (without("score:total")(t), without("score:art")(t)),
        "expected a column 'score:NAME'",
    ),
    "no stream column": (
        lambda t: (without("stream:video")(t), without("stream:audio")(t)),
        "expected a column 'stream:NAME'",
    ),
    "no rows": (lambda t: t.rows.clear(), "expected a column 'id', found an empty file"),
    "an empty id": (spoil_cell(1, "id", ""), "line 3: expected an id"),
    "a repeated id": (spoil_cell(1, "id", "s0"), "occur once, found 's0'"),
    "an unknown split": (spoil_cell(1, "split", "tran"), "'tran'.*did you mean 'train'"),
    "no split": (spoil_cell(1, "split", ""), "'s1': expected a split"),
    "a group on two sides": (spoil_cell(1, "group", "g4"), "group 'g4' in train and test"),
    "a score that is no number": (spoil_cell(1, "score:total", "good"), "line 3.*'score:total', found 'good'"),
    "an infinite score": (spoil_cell(1, "score:total", "inf"), "found inf"),
    "constant scores": (everywhere("score:art", "0.5"), "'art'.*at least two different scores"),
    "no streams at all": (
        lambda t: t.rows[1].update({"stream:video": "", "stream:audio": ""}),
        "'s1'.*at least one stream",
    ),
    "a stream that nobody owns": (everywhere("stream:audio", ""), "with the stream 'audio', found only empty"),
    "a file that is not there": (
        spoil_cell(1, "stream:video", "x.npy"),
        "'s1', stream 'video': expected a readable .npy file at .*x.npy",
    ),
    "a folder": (spoil_cell(1, "stream:video", "folder.npy"), "found a folder"),
    "another kind of file": (spoil_cell(1, "stream:video", "v1.mat"), "file of kind .npy.*'v1.mat'"),
    "a key of no archive": (spoil_cell(1, "stream:video", "v1.npy::x"), "only after an .npz"),
    "a pickled array": (pickled, "'s1', stream 'video'.*pickled object.*can run code.*plain array"),
    "a pickled array in an archive": (pickled_in_npz, "pickled object"),
    "a bare pickle": (spoil_file("v1.npy", pickle.dumps({"a": 1})), "v1.npy"),
    "two arrays": (two_arrays, r"exactly one array.*one, two.*v1.npz::KEY"),
    "an unknown key": (wrong_key, "'tow'.*did you mean 'two'"),
    "a truncated npy": (
        spoil_file("cut.npy", b"\x93NUMPY\x01\x00v\x00{'descr'"),
        "cut.npy, found that it cannot be read",
    ),
    "a truncated npz": (spoil_file("cut.npz", b"PK\x03\x04rest"), "cut.npz"),
    "a broken parquet": (spoil_file("cut.parquet", b"PAR1PAR1"), "cut.parquet"),
    "text in a parquet": (text_in_parquet, "'f0' of type string.*numeric columns"),
    "text in a csv": (spoil_file("a.csv", b"1,2,3,4\n1,x,3,4\n"), "expected numbers.*'x' in line 2"),
    "ragged csv": (spoil_file("a.csv", b"1,2,3,4\n1,2,3\n"), "expected 4 cells.*found 3 in line 2"),
    "empty csv": (spoil_file("a.csv", b""), "at least one segment, found zero|width 4"),
    "csv that is no text": (spoil_file("a.csv", b"\xff\xfe\x00"), "a.csv, found that it is no text in UTF-8"),
    "NaN in part of a segment": (
        spoil_array(np.where(np.eye(4), np.nan, FULL)),
        "all NaN.*1 of 4 values NaN in segment 0",
    ),
    "Inf": (spoil_array(FULL * np.inf), "'s1', stream 'video'.*finite"),
    "width": (spoil_array(np.ones((4, 5))), "expected width 4, found 5"),
    "rank": (spoil_array(np.ones((4, 4, 2))), "expected rank 2"),
    "rank of the first file": (spoil_array(np.ones(4), "v0.npy"), r"\[segments, features\].*found shape \(4,\)"),
    "dtype": (spoil_array(FULL.astype(complex)), "type complex"),
    "zero segments": (spoil_array(np.ones((0, 4))), "found zero"),
    "different lengths": (spoil_array(np.ones((9, 4))), "'s1'.*video 9, audio 4"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_and_leaves_no_store(table, kind):
    spoil, message = BAD[kind]
    (table.folder / "folder.npy").mkdir()
    spoil(table)
    manifest = table.write()
    before = sorted(table.folder.iterdir())
    with pytest.raises(InputError, match=message) as caught:
        import_table(manifest, table.folder / "store")
    assert caught.value.exit_code == 2
    assert sorted(table.folder.iterdir()) == before


def test_a_score_outside_a_declared_scale_is_refused(table):
    with pytest.raises(InputError, match=r"'s5'.*scale 0 to 4, found 5"):
        table.read(scales={"total": (0, 4)})
    assert not (table.folder / "store").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": {"totl": (0, 1)}}, "did you mean 'total'"),
        ({"units": {"arts": "x"}}, "did you mean 'art'"),
        ({"scales": {"total": (5, 5)}}, "low < high"),
    ],
)
def test_wrong_options_are_refused(table, options, message):
    with pytest.raises(InputError, match=message):
        table.read(**options)
    assert not (table.folder / "store").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.xls", b"", r"manifest of kind .*save the sheet as .xlsx or .csv"),
        ("m.xlsx", b"PK", "m.xlsx, found that it cannot be read"),
        ("m.csv", b"\xff\xfe", "UTF-8"),
        ("m.csv", b"id,split,score:a,stream:v\n1,2\n", "line 2: expected 4 cells"),
        ("m.csv", b"id,id,split,score:a,stream:v\n", "'id' repeated"),
        ("m.csv", b"id,split,score:a,stream:v\n", "only column names"),
        ("m.csv", b"id,split,score:,stream:v\n", "Unknown column 'score:'"),
        ("m.jsonl", b"[1]\n", "JSON object, found list"),
        ("m.jsonl", b"{\n", "line 1: expected one JSON object"),
        ("m.jsonl", b'{"id": "a", "id": "b"}\n', "occurs twice"),
        ("m.jsonl", b'{"id": ["a"]}\n', "key 'id': expected text, a number or null"),
    ],
)
def test_a_bad_manifest_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        import_table(tmp_path / name, tmp_path / "store")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_manifest_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"m\.csv, found nothing"):
        import_table(tmp_path / "m.csv", tmp_path / "store")


MODALITIES = (Modality("audio", 2), Modality("video", 4))
CRITERIA = (Criterion("art", 0.0, 1.0), Criterion("total", 0.0, 10.0))


def test_new_samples_need_neither_split_nor_scores(table):
    for column in ("split", "group", "score:total", "score:art"):
        without(column)(table)
    table.rows[2]["stream:audio"] = ""
    samples = read_manifest(table.write(), modalities=MODALITIES, need_scores=False)
    assert [sample.id for sample in samples] == [f"s{row}" for row in range(6)]
    assert list(samples[0].streams) == ["audio", "video"]
    assert list(samples[2].streams) == ["video"]
    assert all(sample.scores.size == 0 and sample.split is None for sample in samples)


def test_scores_of_new_samples_are_read_in_the_order_of_the_criteria(table):
    table.rows[1]["score:art"] = ""
    samples = read_manifest(table.write(), modalities=MODALITIES, criteria=CRITERIA, need_scores=True)
    assert samples[2].scores.tolist() == [0.2, 2.0]
    assert math.isnan(samples[1].scores[0])
    assert samples[4].split == "test"
    without("score:art")(table)
    partly = read_manifest(table.write(), modalities=MODALITIES, criteria=CRITERIA, need_scores=False)
    assert math.isnan(partly[2].scores[0])
    assert partly[2].scores[1] == 2.0
    with pytest.raises(InputError, match="expected the columns score:art"):
        read_manifest(table.write(), modalities=MODALITIES, criteria=CRITERIA, need_scores=True)


def test_new_samples_with_other_streams_are_refused(table):
    with pytest.raises(InputError, match=r"column 'stream:video'.*'video'.*did you mean 'vido'"):
        read_manifest(table.write(), modalities=(Modality("vido", 4), Modality("audio", 2)), need_scores=False)
    with pytest.raises(InputError, match="expected width 3, found 2"):
        read_manifest(table.write(), modalities=(Modality("audio", 3), Modality("video", 4)), need_scores=False)
    table.rows[1]["id"] = "s0"
    with pytest.raises(InputError, match=r"line 3.*'s0' again"):
        read_manifest(table.write(), modalities=MODALITIES, need_scores=False)
