"""Own tables: columns by name, headers, times, separators, lengths, splits, copies. What is decided is said."""

import csv
import json
from datetime import datetime, timedelta

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality
from limssr.data.importers.table.clock import aligned, pooled, timed
from limssr.data.importers.table.files import read_stream
from limssr.data.importers.table.reading import Reading
from limssr.data.importers.table.table import import_table, read_manifest
from limssr.data.inspect import describe_store
from limssr.data.resplit import split_data
from limssr.data.store.reader import FeatureStore

GENERATOR = np.random.default_rng(0)
SPLITS = ("train",) * 4 + ("val", "test")


def lines(rows, separator=",", decimal="."):
    return "".join(
        separator.join(cell if isinstance(cell, str) else f"{cell:.3f}".replace(".", decimal) for cell in row) + "\n"
        for row in rows
    )


class Own:
    """A folder with a manifest of six samples of one stream of four features, to be written in many ways."""

    def __init__(self, folder):
        self.folder = folder
        self.arrays = [GENERATOR.normal(size=(5 + row, 4)).round(3) for row in range(6)]
        self.files = {}

    def write(self, save, name="manifest.csv", splits=SPLITS, **more):
        rows = []
        for row, array in enumerate(self.arrays):
            cells = {"id": f"s{row}", "split": splits[row], "score:total": float(row), "stream:video": save(row, array)}
            cells |= {column: values[row] for column, values in more.items()}
            rows.append({column: cell for column, cell in cells.items() if cell is not None})
        path = self.folder / name
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(column for row in rows for column in row)), restval="")
            writer.writeheader()
            writer.writerows(rows)
        return path

    def text(self, make, ending=".csv"):
        def save(row, array):
            path = self.folder / f"v{row}{ending}"
            path.write_text(make(array) if make.__code__.co_argcount == 1 else make(array, row))
            return path.name

        return save

    def read(self, save, name="store", **options):
        more = options.pop("more", {})
        return import_table(self.write(save, **more), self.folder / name, **options)

    def store(self, name="store"):
        return FeatureStore.open(self.folder / name)

    def expect(self, name="store", atol=1e-6):
        for row, array in enumerate(self.arrays):
            found = self.store(name).sample(f"s{row}").streams["video"]
            np.testing.assert_allclose(found, array, atol=atol)


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setenv("LIMSSR_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    folder.mkdir()
    return Own(folder)


def npy(own):
    def save(row, array):
        np.save(own.folder / f"v{row}.npy", array)
        return f"v{row}.npy"

    return save


NAMES = ["a", "b", "c", "d"]


def ordered_csv(array, row):
    order = [2, 0, 3, 1] if row % 2 else [0, 1, 2, 3]
    return lines([[NAMES[k] for k in order], *array[:, order]])


def test_columns_in_another_order_are_put_right_and_said(own):
    report = own.read(own.text(ordered_csv))
    own.expect()
    assert own.store().modalities[0].columns == tuple(NAMES)
    assert "stream 'video': columns put into the order of the stream, by their names: 3" in report.decisions
    assert report.to_dict()["decisions"] == report.to_dict()["notes"]


def test_parquet_columns_in_another_order_too(own):
    def save(row, array):
        order = [3, 2, 1, 0] if row else [0, 1, 2, 3]
        pq.write_table(pa.table({NAMES[k]: array[:, k] for k in order}), own.folder / f"v{row}.parquet")
        return f"v{row}.parquet"

    own.read(save)
    own.expect()
    own.read(save, "places", reading=Reading(columns="by-place"))
    with pytest.raises(AssertionError):
        own.expect("places")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda array, row: lines([["a", "b", "c", "x" if row == 3 else "d"], *array]), r"'s3'.*found x and not d"),
        (lambda array, row: lines([NAMES, *array] if row != 4 else array), r"'s4'.*values without names.*by-place"),
        (lambda array, row: lines(array if row != 2 else [NAMES, *array]), r"(?s)named|without names"),
        (lambda array, row: lines([["a", "b", "c", "a"], *array]), r"'a' twice"),
    ],
)
def test_columns_that_contradict_each_other_are_refused(own, make, message):
    with pytest.raises(InputError, match=message):
        own.read(own.text(make))
    assert not (own.folder / "store").exists()


def new_samples(own, save, modality, **options):
    decisions = []
    path = own.write(save, "new.csv")
    return read_manifest(path, modalities=(modality,), need_scores=False, say=decisions.append, **options), decisions


def test_new_samples_are_read_by_name_too(own):
    own.read(own.text(ordered_csv))
    modality = own.store().modalities[0]
    samples, decisions = new_samples(own, own.text(lambda array: lines([NAMES[::-1], *array[:, ::-1]])), modality)
    for sample, array in zip(samples, own.arrays, strict=True):
        np.testing.assert_allclose(sample.streams["video"], array, atol=1e-6)
    assert any("columns put into the order of the stream" in text for text in decisions)
    with pytest.raises(InputError, match="without names"):
        new_samples(own, npy(own), modality)
    samples, decisions = new_samples(own, npy(own), modality, reading=Reading(columns="by-place"))
    assert len(samples) == 6
    # A model that learnt without names reads names by place, and says so.
    _, decisions = new_samples(own, own.text(ordered_csv), Modality("video", 4))
    assert any("the model learnt them without names" in text for text in decisions)


AMBIGUOUS = {
    "1 to D": ["1", "2", "3", "4"],
    "from 5": ["5", "6", "7", "8"],
    "frequencies": ["100", "200", "400", "800"],
    "third octaves": ["31.5", "63", "126", "252"],
    "made unique by a merge": ["0", "1", "0.1", "1.1"],
    "years": ["2019", "2020", "2021", "2022"],
    "some of 0 to D": ["0", "1", "3", "4"],
}


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_a_first_line_of_numbers_that_look_like_names_is_for_a_person_to_say(own, kind):
    save = own.text(lambda array: lines([AMBIGUOUS[kind], *array]))
    with pytest.raises(InputError, match=r"clearly names or clearly a segment.*--header first-line or --header none"):
        own.read(save)
    own.read(save, reading=Reading(header="first-line"))
    own.expect()
    assert own.store().modalities[0].columns == tuple(AMBIGUOUS[kind])
    own.read(save, "none", reading=Reading(header="none"))
    assert own.store("none").sample("s0").num_segments == 6
    assert own.store().info.reading == {"header": "first-line"}


@pytest.mark.parametrize("first", [["1", "0"], ["0", "0"], ["5", "5"], ["0.1", "0.2"], ["-1", "3.5"], ["7", "2"]])
def test_a_first_segment_stays_a_segment(own, first):
    (own.folder / "x.csv").write_text(lines([first, ["0.5", "0.25"], ["0.125", "0.75"]]))
    found = read_stream("x.csv", own.folder, where="x")
    assert found.header == "no header"
    np.testing.assert_array_equal(found.array[0], [float(cell) for cell in first])


@pytest.mark.parametrize("word", ["", "NaN", "NA", "N/A", "null", "None", "<NA>", "#N/A"])
def test_words_for_missing_in_a_first_row_are_a_segment(own, word):
    own.arrays = [np.concatenate([np.full((1, 4), np.nan), array]) for array in own.arrays]
    save = own.text(lambda array: lines([[word] * 4 if np.isnan(row[0]) else row for row in array]))
    report = own.read(save)
    own.expect()
    assert any("words such as NA read as missing" in text for text in report.decisions) == (word not in ("", "NaN"))


def test_the_index_of_a_table_program_is_no_feature(own):
    index = {
        "pandas": lambda array: lines([["", *NAMES], *[[str(k), *row] for k, row in enumerate(array)]]),
        "unnamed": lambda array: lines([["", "0", "1", "2", "3"], *[[str(k), *row] for k, row in enumerate(array)]]),
        "read twice": lambda array: lines(
            [["Unnamed: 0", *NAMES], *[[str(2 * k), *row] for k, row in enumerate(array)]]
        ),
        "R": lambda array: lines([NAMES, *[[str(k + 1), *row] for k, row in enumerate(array)]]),
        "frames": lambda array: lines([["frame", *NAMES], *[[str(k + 7), *row] for k, row in enumerate(array)]]),
    }
    for name, make in index.items():
        report = own.read(own.text(make), name)
        own.expect(name)
        assert any("left out, for it counts the rows: 6" in text for text in report.decisions), name


def test_the_index_that_pandas_marked_in_parquet_is_no_feature(own):
    def save(row, array):
        table = pa.table({name: array[:, k] for k, name in enumerate(NAMES)} | {"key": np.arange(len(array)) * 3})
        table = table.replace_schema_metadata({"pandas": json.dumps({"index_columns": ["key"]})})
        pq.write_table(table, own.folder / f"v{row}.parquet")
        return f"v{row}.parquet"

    report = own.read(save)
    own.expect()
    assert "stream 'video': index column 'key' left out, for it counts the rows: 6" in report.decisions


@pytest.mark.parametrize("header", [None, ["", *NAMES]])
def test_a_first_column_that_counts_without_a_name_is_refused_or_an_index(own, header):
    first = [[k * 0.02, *row] for k, row in enumerate(own.arrays[0])]
    (own.folder / "x.csv").write_text(lines([header, *first] if header else first))
    with pytest.raises(InputError, match=r"rises by 0.02|none over column 1"):
        read_stream("x.csv", own.folder, where="x")
    if header is None:
        assert read_stream("x.csv", own.folder, where="x", reading=Reading(time="none")).array.shape[1] == 5
    np.save(own.folder / "x.npy", np.array(first))
    assert "is it an index or a time" in read_stream("x.npy", own.folder, where="x").remarks[0]


TIMES = {
    "time": lambda k: f"{k * 0.02:.2f}",
    "timestamp_ms": lambda k: str(1000 + 20 * k),
    "time (s)": lambda k: f"{5 + k * 0.02:.2f}",
    "timestamp": lambda k: str(1_700_000_000_000 + 20 * k),
    "datetime": lambda k: (datetime(2024, 1, 1) + timedelta(seconds=0.02 * k)).isoformat(),
    "t": lambda k: f"{k * 0.02:.2f}",
}


@pytest.mark.parametrize("name", TIMES)
def test_a_time_column_is_no_feature_and_pools_a_fast_sensor(own, name):
    own.arrays = [np.repeat(array, 25, axis=0) for array in own.arrays]
    save = own.text(lambda array: lines([[name, *NAMES], *[[TIMES[name](k), *row] for k, row in enumerate(array)]]))
    report = own.read(save)
    own.expect()
    said = next(text for text in report.decisions if "0.02 s apart" in text)
    assert "each of which is a segment; --segment-s SECONDS" in said
    assert any("taken as the time" in text for text in report.decisions)
    report = own.read(save, "pooled", reading=Reading(segment_s=0.5))
    own.arrays = [array[::25] for array in own.arrays]
    own.expect("pooled")
    assert own.store("pooled").info.segment_s == 0.5
    assert any("averaged into segments of 0.5 s" in text for text in report.decisions)


@pytest.mark.parametrize("name", ["time", "timestamp_ms", "date_time"])
def test_times_that_do_not_rise_are_refused(own, name):
    make = lambda array: lines([[name, *NAMES], *[[str(-k), *row] for k, row in enumerate(array)]])  # noqa: E731
    if name == "date_time":
        own.read(own.text(make))
        assert own.store().modalities[0].dim == 5, "no name of a time"
        return
    with pytest.raises(InputError, match=f"times that rise in column '{name}'"):
        own.read(own.text(make))
    own.read(own.text(make), reading=Reading(time="none"))
    assert own.store().modalities[0].columns == (name, *NAMES)


def test_a_rate_pools_as_times_do(own):
    own.arrays = [np.repeat(array, 10, axis=0) for array in own.arrays]
    own.read(npy(own), reading=Reading(rates={"video": 20.0}, segment_s=0.5))
    own.arrays = [array[::10] for array in own.arrays]
    own.expect()
    for wrong, message in (({"vidoe": 20.0}, "did you mean 'video'"), ({"video": 0.0}, "rate above 0")):
        with pytest.raises(InputError, match=message):
            own.read(npy(own), "x", reading=Reading(rates=wrong, segment_s=0.5))
    with pytest.raises(InputError, match="--segment-s"):
        Reading(rates={"video": 20.0})


def test_pooling_knows_gaps_slow_streams_and_clocks():
    times = np.array([0.0, 0.1, 0.2, 0.3, 1.0, 1.1, 1.2, 1.3])
    fast = timed(np.arange(8.0)[:, None], times, None, where="x")
    slow = timed(np.array([[1.0], [2.0]]), np.array([0.0, 1.0]), None, where="x")
    assert fast is not None
    assert slow is not None
    found = pooled({"fast": fast, "slow": slow}, 0.4, where="x")
    np.testing.assert_allclose(found["fast"][:, 0], [1.5, np.nan, 4.5, 6.5][: len(found["fast"])])
    np.testing.assert_allclose(found["slow"][:, 0], [1, 1, 2, 2, 2])
    late = timed(np.ones((3, 1)), np.array([100.0, 100.1, 100.2]), None, where="x")
    assert late is not None
    with pytest.raises(InputError, match="one clock, found late beginning at 100 s"):
        pooled({"fast": fast, "late": late}, 0.4, where="x")
    with pytest.raises(InputError, match=r"stated 50 a second, found times that say 10"):
        timed(np.ones((3, 1)), np.array([0.0, 0.1, 0.2]), 50.0, where="x")


def test_resampling_keeps_the_mean_and_what_is_missing():
    array = np.arange(50.0)[:, None]
    array[10:20] = np.nan
    found, cut = aligned({"a": array, "b": np.ones((5, 2))}, "resample")
    np.testing.assert_allclose(found["a"][:, 0], [4.5, np.nan, 24.5, 34.5, 44.5])
    assert cut == 45
    third, _ = aligned({"a": np.array([[1.0], [2.0], [4.0]]), "b": np.ones((2, 1))}, "resample")
    np.testing.assert_allclose(third["a"][:, 0], [(1 + 0.5 * 2) / 1.5, (0.5 * 2 + 4) / 1.5])
    assert aligned({"a": array, "b": np.ones((5, 2))}, "shortest")[0]["a"].shape == (5, 1)
    assert aligned({"a": array}, "resample")[1] == 0


def uneven(own):
    save = npy(own)

    def audio(row, array):
        np.save(
            own.folder / f"a{row}.npy",
            np.ones((len(array) + (row > 2), 2)) * np.arange(len(array) + (row > 2))[:, None],
        )
        return f"a{row}.npy"

    return save, {"stream:audio": [audio(row, array) for row, array in enumerate(own.arrays)]}


def test_uneven_streams_are_refused_all_at_once_and_aligned_when_asked(own):
    save, more = uneven(own)
    with pytest.raises(InputError) as refusal:
        own.read(save, more=more)
    message = str(refusal.value)
    assert "3 of 6 samples" in message
    for part in ("'s3': video 8, audio 9", "'s5': video 10, audio 11", "--align shortest", "--align resample"):
        assert part in message
    assert not (own.folder / "store").exists()
    report = own.read(save, more=more, reading=Reading(align="shortest"))
    own.expect()
    assert any("in 3 samples, by up to 1 segments: their ends were cut" in text for text in report.decisions)
    report = own.read(save, "resampled", more=more, reading=Reading(align="resample"))
    assert own.store("resampled").sample("s5").num_segments == 10
    assert any("averaged to the shortest" in text for text in report.decisions)


@pytest.mark.parametrize(
    ("make", "ending", "said"),
    [
        (lambda array: lines([NAMES, *array], ";", ","), ".csv", "decimal commas"),
        (lambda array: lines([NAMES, *array], ";"), ".csv", "separated by semicolons"),
        (lambda array: lines([NAMES, *array], "\t", ","), ".tsv", "decimal commas"),
        (lambda array: lines(array, " "), ".txt", "separated by blanks"),
        (
            lambda array: lines([[f'"{v:.3f}"'.replace(".", ",") for v in row] for row in array]),
            ".csv",
            "decimal commas",
        ),
    ],
)
def test_tables_of_other_countries_are_read_and_said(own, make, ending, said):
    report = own.read(own.text(make, ending))
    own.expect()
    assert any(said in text for text in report.decisions)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n1_5,2\n", "expected numbers .*found '1_5' in line 2"),
        ("a,b\n1_5,2\n", "expected numbers .*found '1_5' in line 2"),
        ("0,05\n-0,731\n1,203\n", "looks like decimal commas .'0,05'"),
        ("1,5;2.5\n", "one way to write decimals"),
        ("a,b\n1,2\n1,2,3\n", "decimal commas need semicolons"),
        ("a,b\n1,0x10\n", "found '0x10'"),
        ("a,b\n1,12%\n", "found '12%'"),
    ],
)
def test_cells_that_are_no_plain_numbers_are_refused(own, text, message):
    (own.folder / "x.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_stream("x.csv", own.folder, where="x")


def test_whole_numbers_in_two_columns_stay_two_columns(own):
    (own.folder / "x.csv").write_text("640,480\n320,200\n101,7\n")
    assert read_stream("x.csv", own.folder, where="x").array.shape == (3, 2)


def manifest_text(own, separator, score, ids=range(6)):
    head = ["id", "split", "score:total", "stream:video"]
    rows = [[f"s{row}", SPLITS[row], score(row), f"v{row}.npy"] for row in ids]
    return "".join(separator.join(row) + "\n" for row in [head, *rows])


@pytest.mark.parametrize(("separator", "decimal"), [(";", ","), (";", "."), ("\t", ","), (",", ".")])
def test_manifests_of_spreadsheets_are_read(own, separator, decimal):
    own.write(npy(own))
    path = own.folder / "m.csv"
    path.write_text(manifest_text(own, separator, lambda row: f"{row}{decimal}5"))
    report = import_table(path, own.folder / "store")
    assert own.store().sample("s3").scores[0] == 3.5
    assert any("decimal commas" in text for text in report.decisions) == (decimal == ",")


@pytest.mark.parametrize("word", ["NA", "NaN", "null", "None", ""])
def test_words_for_missing_mean_not_judged_and_absent(own, word):
    own.write(npy(own))
    path = own.folder / "m.csv"
    text = manifest_text(own, ",", lambda row: word if row == 1 else str(row))
    path.write_text(text.replace("v2.npy", f"v2.npy,{word}").replace("stream:video", "stream:video,stream:audio"))
    path.write_text(
        "\n".join(line + ",v0.npy" * (line.count(",") == 3) for line in path.read_text().splitlines()) + "\n"
    )
    own.arrays[:] = [own.arrays[0]] * 6
    own.write(npy(own))
    import_table(path, own.folder / "store", copies="keep")
    assert np.isnan(own.store().sample("s1").scores[0])
    assert list(own.store().sample("s2").streams) == ["video"]


@pytest.mark.parametrize("score", ["0_7", "1,5", "seven", "1e"])
def test_scores_that_are_no_plain_numbers_are_refused(own, score):
    own.write(npy(own))
    (own.folder / "m.jsonl").write_text(
        "".join(
            json.dumps({"id": f"s{row}", "split": SPLITS[row], "score:total": score, "stream:video": f"v{row}.npy"})
            + "\n"
            for row in range(6)
        )
    )
    with pytest.raises(InputError, match="'score:total', found"):
        import_table(own.folder / "m.jsonl", own.folder / "store")


def test_spreadsheets_are_read(own):
    own.write(npy(own))

    def save(row, array):
        book = openpyxl.Workbook()
        for line in [["time", *NAMES], *[[k * 0.5, *map(float, values)] for k, values in enumerate(array)]]:
            book.active.append(line)
        book.save(own.folder / f"v{row}.xlsx")
        return f"v{row}.xlsx"

    manifest = openpyxl.Workbook()
    for row in csv.reader(own.write(save).read_text().splitlines()):
        manifest.active.append([float(cell) if cell.replace(".", "").isdigit() else cell for cell in row])
    manifest.save(own.folder / "m.xlsx")
    report = import_table(own.folder / "m.xlsx", own.folder / "store")
    own.expect()
    assert any("column 'time' taken as the time" in text for text in report.decisions)
    two = openpyxl.Workbook()
    two.active.append([1.5, 2.5])
    two.create_sheet("more").append([3.5])
    two.save(own.folder / "two.xlsx")
    with pytest.raises(InputError, match=r"2 sheets.*two\.xlsx::SHEET"):
        read_stream("two.xlsx", own.folder, where="x")
    assert read_stream("two.xlsx::more", own.folder, where="x").array.tolist() == [[3.5]]
    with pytest.raises(InputError, match="did you mean 'more'"):
        read_stream("two.xlsx::mor", own.folder, where="x")
    with pytest.raises(InputError, match=r"save the sheet as \.xlsx or \.csv"):
        read_stream("old.xls", own.folder, where="x")


def test_without_openpyxl_the_extra_is_named(own, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "openpyxl", None)
    (own.folder / "x.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"limssr\[excel\]"):
        read_stream("x.xlsx", own.folder, where="x")


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


def npy_of(own, row):
    np.save(own.folder / f"a{row}.npy", GENERATOR.normal(size=(5 + row, 2)))
    return f"a{row}.npy"


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
