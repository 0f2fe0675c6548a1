"""Predictions of another framework join a comparison: read, ranked, and refused with a reason."""

import csv

import numpy as np
import pytest

from limssr.core.errors import InputError
from limssr.studies.compare.numbers import INCOMPLETE
from limssr.studies.compare.predictions import read_answers
from limssr.studies.compare.run import CompareOptions, compare_runs
from limssr.studies.compare.write import to_document, to_markdown, to_text, write_comparison

FULL = "video+audio+flow"


@pytest.fixture
def run(scored_run):
    return scored_run("run", noise=2.0, references={"ridge": 3.0})


@pytest.fixture
def write(run, tmp_path):
    """`write("theirs.csv", subsets=("video+audio+flow",), change=...)`: what the run itself predicts, as a file."""

    def write(name, subsets=None, change=lambda lines: lines, delimiter=","):
        answers = read_answers(run)["attention"]
        head = ["id", *(["streams"] if subsets else []), *answers.criteria]
        lines = [head]
        for subset in subsets or (FULL,):
            s = answers.subsets.index(subset)
            for n, sample_id in enumerate(answers.ids):
                named = ["+".join(reversed(subset.split("+")))] if subsets else []
                lines.append([sample_id, *named, *map(repr, map(float, answers.predicted_SNC[s, n]))])
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file, delimiter=delimiter).writerows(change(lines))
        return tmp_path / name

    return write


def compared(run, *files, **options):
    return compare_runs(CompareOptions(runs=(str(run),), predictions=tuple(str(file) for file in files), **options))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_predictions_from_a_file_have_the_numbers_of_the_run_they_repeat(run, write, delimiter):
    found = compared(run, write("theirs.csv", delimiter=delimiter))
    mine, theirs = (found.scores.numbers[label, FULL, "spearman"] for label in ("attention", "theirs"))
    assert (theirs.value, theirs.low, theirs.high) == (mine.value, mine.low, mine.high)
    assert found.differences["theirs", FULL, "mse"].value == 0.0
    assert found.scores.numbers["theirs", INCOMPLETE, "spearman"].reason.startswith(
        "video: theirs.csv has no predictions"
    )
    assert any(banner.title == "Predictions of another framework" for banner in found.banners)
    assert found.costs["theirs"].reasons["macs"] == "predictions from a file, no model"


def test_every_subset_may_have_lines_of_its_own_and_files_of_one_label_are_seeds(run, write, tmp_path):
    subsets = read_answers(run)["attention"].subsets
    one, two = write("one.csv", subsets), write("two.csv", subsets)
    found = compared(run, f"other={one}", f"other={two}", order="score")
    row = next(row for row in found.rows if row.label == "other")
    assert row.seeds == (0, 1)
    for part in (INCOMPLETE, FULL, "audio"):
        assert found.scores.numbers["other", part, "mse"].value == pytest.approx(
            found.scores.numbers["attention", part, "mse"].value
        )
    assert "other" in found.ranking.labels
    files = write_comparison(found, tmp_path / "out", command="limssr compare")
    assert "predictions from a file" in (tmp_path / "out" / "compare.html").read_text()
    assert len(files) == 7
    assert to_document(found)["rows"][-1]["cost"]["trained"] is None
    assert "| other" in to_markdown(found)
    assert "other" in to_text(found)


def moved(lines, by):
    return [lines[0], *([one[0], *(str(float(x) * by) for x in one[1:])] for one in lines[1:])]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [line[:-1] for line in lines], "add difficulty"),
        (lambda lines: lines[:-2], r"found none for 2, such as"),
        (lambda lines: [*lines, ["stranger", "1", "1"]], "'stranger' in line 14"),
        (lambda lines: [*lines, lines[1]], "again in line 14"),
        (lambda lines: [*lines[:-1], [lines[-1][0], "1,5", "3"]], "found '1,5'"),
        (lambda lines: [*lines[:-1], [lines[-1][0], "nan", "3"]], "found 'nan'"),
        (lambda lines: [*lines[:-1], lines[-1][:2]], "make the table rectangular"),
        (lambda lines: lines[:1], "no line below the head"),
        (lambda lines: moved(lines, 1000.0), "undo the scaling"),
        (lambda lines: moved(lines, -1.0), "undo the scaling"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_the_reason(run, write, change, message):
    with pytest.raises(InputError, match=message):
        compared(run, write("theirs.csv", change=change))


def test_a_subset_nobody_is_scored_on_is_refused(run, write):
    def renamed(lines):
        return [lines[0], *([one[0], "video+radar", *one[2:]] for one in lines[1:])]

    with pytest.raises(InputError, match=r"found 'video\+radar' in line 2"):
        compared(run, write("theirs.csv", (FULL,), renamed))
    with pytest.raises(InputError, match="a label of its own"):
        compared(run, f"ridge={write('theirs.csv')}")
    with pytest.raises(InputError, match="file of predictions"):
        compared(run, "nowhere.csv")


def test_one_run_without_references_is_enough_beside_a_file(scored_run, write):
    alone = scored_run("alone", noise=2.0)
    found = compared(alone, write("theirs.csv"), references="without")
    assert [row.label for row in found.rows] == ["attention", "theirs"]
    assert np.isfinite(found.differences["theirs", FULL, "spearman"].value)
