"""The list of performances that a person reads."""

import csv
import io

import numpy as np
import pyarrow as pa
import pytest

from limssr.report.performances import MAX_SHOWN, as_csv, as_table, performances
from limssr.report.runfolder import RunFolder

CRITERIA = [{"name": "jump", "low": 0.0, "high": 10.0}, {"name": "total", "low": 0.0, "high": 1000.0}]


def folder_of(rows):
    table = pa.table(
        {
            key: pa.array([row[key] for row in rows], kind)
            for key, kind in (
                ("id", pa.string()),
                ("streams", pa.string()),
                ("criterion", pa.string()),
                ("score", pa.float64()),
                ("prediction", pa.float64()),
            )
        }
    )
    empty = {"name": "run", "config": {}, "config_text": "", "history": [], "evaluation": None, "missing": {}}
    return RunFolder(run={"criteria": CRITERIA}, predictions=table, **empty)


def rows_of(name, streams, *pairs):
    return [
        {"id": name, "streams": streams, "criterion": criterion["name"], "score": given, "prediction": predicted}
        for criterion, (given, predicted) in zip(CRITERIA, pairs, strict=True)
    ]


ROWS = [
    *rows_of("one", "video", (1.0, 9.0), (1.0, 2.0)),
    *rows_of("one", "video+audio", (1.0, 1.5), (100.0, 300.0)),
    *rows_of("=two, three", "audio", (5.0, 9.0), (None, 7.0)),
    *rows_of("none", "audio", (None, 3.0), (4.0, float("nan"))),
]


def test_each_is_there_once_scored_from_all_that_it_owns():
    found = performances(folder_of(ROWS))
    assert [(one.id, one.streams) for one in found] == [
        ("one", "video+audio"),
        ("=two, three", "audio"),
        ("none", "audio"),
    ]
    assert [one.worst for one in found] == pytest.approx([0.2, 0.4, -1.0])


def test_the_file_has_given_predicted_and_error_of_each_criterion():
    lines = list(csv.DictReader(io.StringIO(as_csv(performances(folder_of(ROWS))).decode())))
    assert lines[0] == {
        "id": "one", "streams": "video+audio", "jump given": "1", "jump predicted": "1.5", "jump error": "0.5",
        "total given": "100", "total predicted": "300", "total error": "200",
    }  # fmt: skip
    assert (lines[1]["id"], lines[1]["total given"], lines[1]["total error"]) == ("=two, three", "", "")
    assert (lines[2]["jump given"], lines[2]["total predicted"]) == ("", "")


def test_the_page_shows_the_largest_errors_first_and_says_how_many_there_are():
    table = as_table(performances(folder_of(ROWS)))
    assert [row["id"] for row in table["rows"]] == ["=two, three", "one", "none"]
    assert (table["num"], table["shown"]) == (3, 3)
    assert table["rows"][0]["cells"][:3] == ["5.00", "9.00", "4.00"]
    many = [row for n in range(70) for row in rows_of(f"s{n}", "audio", (0.0, n / 10), (0.0, np.nan))]
    table = as_table(performances(folder_of(many)))
    assert (len(table["rows"]), table["num"], table["rows"][0]["id"]) == (MAX_SHOWN, 70, "s69")
    assert as_table([]) is None
