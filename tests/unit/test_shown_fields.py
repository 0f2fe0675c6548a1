"""Fields of a run folder that pages show, with values of other types."""

import json
import shutil
from pathlib import Path

import pytest

from limssr.core.errors import ArtifactError
from limssr.core.reading.records import EvaluationDocument, RunDocument, read_document
from limssr.report import write_report
from limssr.report.search_words import search_of


@pytest.mark.parametrize("wrong", [{"0": 0}, [1, 2], "text", -5, True], ids=str)
@pytest.mark.parametrize(
    "place",
    [
        ("evaluation.json", "full", "spearman_plain"), ("evaluation.json", "average_incomplete", "num_all"),
        ("evaluation.json", "average_incomplete", "passed_over"), ("evaluation.json", "min_samples"),
        ("evaluation.json", "num_groups"), ("evaluation.json", "scales"), ("run.json", "validation"),
        ("run.json", "hidden_values"), ("run.json", "started"), ("run.json", "references_left_out"),
        ("run.json", "environment", "packages"), ("run.json", "device", "name"),
    ],
    ids="/".join,
)  # fmt: skip
def test_every_field_that_a_page_shows_has_its_type(tmp_path, place, wrong):
    """The page either shows it or names the file: no value of another type gets as far as a number's format."""
    run = tmp_path / "run"
    shutil.copytree(Path(__file__).resolve().parents[1] / "fixtures" / "before_rooms" / "limssr-run", run)
    name, *keys = place
    document = json.loads((run / name).read_text())
    node = document
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = wrong
    (run / name).write_text(json.dumps(document))
    kind = EvaluationDocument if name == "evaluation.json" else RunDocument
    if (keys[-1], wrong) in (("started", "text"), ("spearman_plain", -5), ("name", "text")):  # of the right type
        assert read_document(run / name, kind, newest_version=99)
        write_report(run)
        return
    with pytest.raises(ArtifactError, match=keys[-1]):
        read_document(run / name, kind, newest_version=99)


@pytest.mark.parametrize("field", ["train_slots", "val_loss", "seconds"])
@pytest.mark.parametrize("value", [2**63, 10**30])
def test_whole_numbers_beyond_64_bits_are_refused_in_words(tmp_path, field, value):
    run = tmp_path / "run"
    shutil.copytree(Path(__file__).resolve().parents[1] / "fixtures" / "before_rooms" / "limssr-run", run)
    whole = (run / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in whole.splitlines()]
    for written, is_right in ((2**63 - 1, True), (value, False)):
        lines[0][field] = written
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        if is_right:
            write_report(run)
        else:
            with pytest.raises(ArtifactError, match=rf"{field}: .*beyond 64 bits"):
                write_report(run)


@pytest.mark.parametrize(
    "place", [("full", "spearman"), ("full", "mse"), ("average_incomplete", "spearman")], ids="/".join
)
def test_numbers_that_overflow_in_use_are_refused_in_words(tmp_path, place):
    run = tmp_path / "run"
    shutil.copytree(Path(__file__).resolve().parents[1] / "fixtures" / "before_rooms" / "limssr-run", run)
    document = json.loads((run / "evaluation.json").read_text())
    for written, is_right in ((1e38, True), (-1e308, False)):
        document[place[0]][place[1]] = written
        (run / "evaluation.json").write_text(json.dumps(document))
        if is_right:
            write_report(run)
        else:
            with pytest.raises(ArtifactError, match=f"{place[1]}: .*beyond 1e"):
                write_report(run)


SEARCH = {
    "leaderboard": [{"member": "ridge", "seconds": 1.5, "error": None, "behind": {"spearman": 0.0, "ci": [0.0, 0.0]}}],
    "weights": {"common": {"ridge": 1.0}, "by_streams": {}},
    "chosen": "ridge",
    "language_model_adds": {"spearman": None, "ci": None},
    "times_cheaper": None,
    "coverage": {"level": 0.9, "covered": 0.9, "width": 0.5},
    "warnings": ["few groups"],
}
SEARCH["leaderboard"][0] |= {"incomplete": {"spearman": 0.4, "ci": [0.3, 0.5]}, "full": {"spearman": None, "ci": None}}


@pytest.mark.parametrize("wrong", ["text", [0], {"a": None}, 1e308], ids=str)
@pytest.mark.parametrize(
    "place",
    [
        ("leaderboard", 0, "incomplete", "ci", 0), ("leaderboard", 0, "behind"), ("leaderboard",), ("chosen",),
        ("weights",), ("weights", "common", "ridge"), ("language_model_adds", "spearman"), ("times_cheaper",),
        ("coverage",), ("warnings",),
    ],
    ids=str,
)  # fmt: skip
def test_every_field_of_a_search_has_its_type(tmp_path, place, wrong):
    if (place, wrong) in ((("chosen",), "text"), (("chosen",), 1e308)):
        wrong = None
    document = {"format_version": 1, "auto": json.loads(json.dumps(SEARCH))}
    (tmp_path / "run.json").write_text(json.dumps(document))
    assert read_document(tmp_path / "run.json", RunDocument, newest_version=1) == document
    assert search_of(document)["rows"][0][:2] == ("ridge", "0.400 [0.300, 0.500]")
    node = document["auto"]
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = wrong
    (tmp_path / "run.json").write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=r"run\.json"):
        read_document(tmp_path / "run.json", RunDocument, newest_version=1)
