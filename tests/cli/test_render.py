"""The tables that people see, as they come out of a pipe."""

import io
import json

import pytest
from rich.console import Console

from limssr.cli.output import Answer, print_answer
from limssr.cli.text import evaluation_lines, rows_table
from limssr.data.missing import subsets
from limssr.report.columns import Columns
from limssr.report.text import same_words


def document(streams: tuple[str, ...], systems: tuple[str, ...]) -> dict:
    def scored(start: float) -> dict:
        found = [
            {"streams": list(names), "num_samples": 270, "spearman": start + number / 1000,
             "spearman_ci": [0.123, 0.456], "mse": 0.0109, "pearson": 0.5, "mae": 0.08, "relative_l2": 3.0}
            for number, names in enumerate(subsets(streams))
        ]  # fmt: skip
        part = {"spearman": start + 0.1, "mse": 0.0109}
        return {"subsets": found, "average_incomplete": part, "full": part}

    around = {"split": "test", "selection": "val", "availability": None}
    return {**around, **scored(0.5), "systems": {name: scored(0.5) for name in systems}}


def shown(found: dict) -> str:
    out = io.StringIO()
    print_answer(Answer(found, evaluation_lines(found)), "text", out)
    json.dumps(found)
    return out.getvalue()


@pytest.mark.parametrize("streams", [("timing", "dynamics", "pedal"), ("a", "b", "c", "d")])
def test_no_number_is_cut_in_a_pipe(streams: tuple[str, ...]) -> None:
    systems = (
        "limssr",
        "ridge",
        "extra-trees",
        "extra-trees-repeated",
        "extra-trees-complete",
        "attention",
        "statistics",
    )
    text = shown(document(streams, systems))
    assert "…" not in text
    assert "[0.123, 0.456]" in text
    for number in range(len(subsets(streams))):
        assert text.count(f"{0.5 + number / 1000:.3f}") >= (len(systems) if number < 6 else 1)
    assert text.count("0.0109") >= 2 * len(systems)


def without_average(part: dict) -> dict:
    """The average of a system that has three of six subsets."""
    six, three = dict.fromkeys(part, 6), dict.fromkeys(part, 3)
    return {**dict.fromkeys(part), "partial": dict(part), "num_partial": three, "num_subsets": six, "left_out": []}


def test_an_average_that_lacks_subsets_is_not_a_number() -> None:
    found = document(("timing", "dynamics", "pedal"), ())
    found["average_incomplete"] = without_average({"spearman": 0.377, "mse": 0.0138})
    line = "Mean of the incomplete subsets: Spearman n/a (0.377 over 3 of 6), MSE n/a (0.0138 over 3 of 6)"
    assert line in shown(found).splitlines()


def test_an_average_that_lacks_subsets_is_not_a_number_beside_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    found = document(("timing", "dynamics", "pedal"), ("gdlt", "ridge"))
    found["systems"]["gdlt"]["average_incomplete"] = without_average({"spearman": 0.377, "mse": 0.0138})
    lines = shown(found).splitlines()
    at = next(number for number, line in enumerate(lines) if line.strip().startswith("gdlt"))
    assert lines[at].split().count("n/a") == 2
    assert lines[at + 1].split() == ["(0.377", "over", "3", "of", "6)", "(0.0138", "over", "3", "of", "6)"]


def test_subsets_that_read_the_same_are_named() -> None:
    found = document(("audio", "video", "text"), ("limssr", "ridge", "ridge-complete"))
    reason = "no training sample had text"
    left_out = [
        {"streams": ["text"], "same_as": [], "reason": reason},
        {"streams": ["audio", "text"], "same_as": ["audio"], "reason": reason},
    ]
    for name in ("limssr", "ridge"):
        systems = found["systems"]
        systems[name]["average_incomplete"] = {**systems[name]["average_incomplete"], "left_out": left_out}
    words = "text is nothing, audio+text is audio: no training sample had text"
    assert f"Left out of the mean of the incomplete subsets (limssr, ridge): {words}." in shown(found)
    found["systems"].pop("ridge-complete")
    assert f"Left out of the mean of the incomplete subsets: {words}." in shown(found)


def test_many_subsets_that_read_the_same_are_not_all_named() -> None:
    one = {"streams": ["a", "text"], "same_as": ["a"], "reason": "no training sample had text"}
    assert same_words({"left_out": [one] * 15}).endswith("a+text is a and 7 more: no training sample had text")
    assert same_words({"spearman": 0.5}) == ""


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("streams", [("video",), ("timing", "dynamics", "pedal"), tuple("abcde")])
@pytest.mark.parametrize("num_systems", [1, 2, 9])
def test_tables_fit_the_terminal(
    monkeypatch: pytest.MonkeyPatch, width: int, streams: tuple[str, ...], num_systems: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    names = ("limssr", "ridge", "extra-trees", "extra-trees-imputed", "extra-trees-repeated", "extra-trees-complete")
    systems = (*names, "attention", "statistics", "random-backbone")[:num_systems]
    found = document(streams, systems)
    text = shown(found)
    tables = [line for line in text.splitlines() if line.startswith("  ")]
    assert max(map(len, tables)) <= width
    assert "…" not in text
    # every number of every system is there, and every table names its rows
    for number in range(len(subsets(streams))):
        assert text.count(f"{0.5 + number / 1000:.3f}") >= (num_systems if number < len(subsets(streams)) - 1 else 1)
    assert text.count("[0.123, 0.456]") == len(subsets(streams))


@pytest.mark.parametrize("num_criteria", [1, 7, 19])
def test_predictions_of_many_criteria_fit_and_lose_nothing(monkeypatch: pytest.MonkeyPatch, num_criteria: int) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    criteria = [f"criterion-{number}" for number in range(num_criteria)]
    rows = [{"id": f"clip-{row}", **dict.fromkeys(criteria, row + 0.25)} for row in range(3)]
    out = io.StringIO()
    print_answer(Answer({}, (rows_table(rows),)), "text", out)
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert out.getvalue().count("1.250") == num_criteria
    assert all(name in out.getvalue() for name in criteria)


def test_lines_in_a_pipe_are_not_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = io.StringIO()
    print_answer(Answer({}, ("word " * 40,)), "text", out)
    assert len(out.getvalue().splitlines()) == 1


def test_systems_are_rows_while_the_subsets_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    lines = shown(document(("timing", "dynamics", "pedal"), ("limssr", "ridge"))).splitlines()
    row = next(line for line in lines if line.strip().startswith("ridge"))
    assert len(row.split()) == 1 + 6 + 4


@pytest.mark.parametrize("label", ["acc + gyro", "acc + gyro + magnetometer", "magnetometer + gyro"])
@pytest.mark.parametrize("extra", range(14))
def test_the_first_column_is_not_squeezed_to_a_few_letters(label: str, extra: int) -> None:
    table = Columns("streams", "samples", "Spearman", "interval", "MSE")
    table.add_row(label, "8", "-0.123", "[-1.000, 1.000]" + "9" * extra, "12345.123")
    out = io.StringIO()
    Console(width=80, file=out).print(table)
    first = [line[:40].split("   ")[0].strip() for line in out.getvalue().splitlines() if line.strip()]
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert all(len(word) >= 3 for word in " ".join(first).replace("+", " ").split())


def test_a_number_that_is_not_there_has_its_reason() -> None:
    found = document(("acc", "gyro"), ("limssr",))
    found["full"] = {"spearman": None, "mse": 1.0, "reasons": {"spearman": "8 judged samples, 10 are needed"}}
    assert "No Spearman with all streams: 8 judged samples, 10 are needed." in " ".join(shown(found).split())


@pytest.mark.parametrize(
    ("resample", "count", "told"), [("groups", 2, True), ("groups", 6, False), ("samples", 2, False)]
)
def test_few_groups_are_said_to_be_few(resample: str, count: int, told: bool) -> None:
    found = {**document(("acc", "gyro"), ("limssr",)), "resample": resample, "num_groups": count}
    assert ("There are only 2 groups" in " ".join(shown(found).split())) == told
