"""Own tables: columns by name, headers, separators, words for missing, spreadsheets. What is decided is said."""

import csv
import json

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.own_tables import NAMES, SPLITS, lines, new_samples, npy
from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.importers.table.files import read_stream
from limssr.data.importers.table.manifest import load_manifest
from limssr.data.importers.table.reading import Reading
from limssr.data.importers.table.scales import scale_notes
from limssr.data.importers.table.table import import_table
from limssr.media.manifest import load_recordings


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


@pytest.mark.parametrize(("name", "separator"), [("m.csv", ","), ("m.csv", ";"), ("m.tsv", "\t")])
def test_columns_that_hold_nothing_are_no_columns(tmp_path, name, separator):
    lines = [["id", "", "score:a", "", "stream:v", ""], ["x", "", "1", " ", "v.npy", ""], ["y", "", "2", "", "", ""]]
    (tmp_path / name).write_text("\n".join(separator.join(line) for line in lines))
    found = load_manifest(tmp_path / name, use="import")
    assert found.rows == ({"id": "x", "score:a": "1", "stream:v": "v.npy"}, {"id": "y", "score:a": "2", "stream:v": ""})


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ("Athlete", "Unknown column 'Athlete'.*rename the column, or remove it"),
        ("", "A column without a name has cells.*rename the column, or remove it"),
        ("score", "Unknown column 'score'.*did you mean 'score:NAME'.*If not, remove"),
    ],
)
def test_a_column_of_remarks_is_refused_with_what_to_do(tmp_path, column, told):
    (tmp_path / "m.csv").write_text(f"id,{column},score:a,stream:v\nx,good,1,v.npy\n")
    with pytest.raises(InputError, match=told):
        load_manifest(tmp_path / "m.csv", use="import")
    (tmp_path / "r.csv").write_text(f"id,{column},score:a,sensor:v\nx,good,1,v.csv\n")
    with pytest.raises(InputError, match=told):
        load_recordings(tmp_path / "r.csv", use="extract")


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ([3, 4, 5, 6, 5, 4, 3, 999], "1 scores lie far from the others (999; half of all are between 3"),
        ([-99, 3, 4, 5, 6, 5, 4, 3, -99, np.nan], "2 scores lie far from the others (-99, -99;"),
        ([0.1, 0.2, 0.3, 0.4, 0.3, 0.2, 0.1, 45], "(45;"),
        ([0, 0, 0, 1, 0, 0, 0, 0], ""),  # most are the same: nothing is far
        ([1, 2, 3, 4, 5, 6, 7, 15], ""),
        ([3, 4, 5, 999], ""),  # too few to know what is usual
    ],
)
def test_scores_far_from_all_others_are_said(scores, told):
    light = [Sample(str(n), {}, np.array([score], float), "", "train") for n, score in enumerate(scores)]
    notes = scale_notes([Criterion("total", 0.0, 10.0)], [], light)
    assert len(notes) == bool(told)
    assert told in "".join(notes)
