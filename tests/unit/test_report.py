import json
import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limssr.core.config import EvalConfig, RunConfig
from limssr.core.errors import ArtifactError
from limssr.core.recipes import dump_config
from limssr.core.types import Criterion, Sample
from limssr.evaluation.evaluate import evaluate
from limssr.report import write_report
from limssr.report.run_tables import build_heat_map, build_subset_table, number
from limssr.report.run_words import summary_of
from limssr.report.runfolder import RunFolder, read_run_folder

NAMES = ("timing", "dynamics")
CRITERIA = (Criterion("touch <soft>", 0.0, 10.0, "points"), Criterion("drama", 0.0, 10.0, "points"))


class Noisy:
    """Truth plus noise; a smaller one is a better system."""

    def __init__(self, samples, noise, *, gap=None):
        self.truth = {sample.id: sample.scores for sample in samples}
        self.noise, self.gap = noise, gap

    def score(self, samples):
        rng = np.random.default_rng(len(samples[0].streams))
        truth_NC = np.stack([self.truth[sample.id] for sample in samples])
        return truth_NC + self.noise * rng.normal(size=truth_NC.shape)

    def why_no_prediction(self, streams):
        return None


class Silent(Noisy):
    def score(self, samples):
        return np.full((len(samples), 2), np.nan)

    def why_no_prediction(self, streams):
        return "4 training samples own these streams"


def run_document(**changes):
    document = {
        "format_version": 1,
        "name": "half-missing <b>",
        "seed": 42,
        "status": "done",
        "selection": "val",
        "availability": {"rate": 0.5, "pattern": "independent", "seed": 0, "splits": ["train", "val"]},
        "dropout": "per_sample",
        "store": {"path": "/somewhere/private/store", "name": "world", "segment_s": 0.5, "fingerprint": "abc123"},
        "system": "limssr",
        "modalities": list(NAMES),
        "criteria": [vars(criterion) for criterion in CRITERIA],
        "num_samples": {"train": 50, "test": 40},
        "owned_streams": {"train": {"timing": 20, "timing+dynamics": 30}, "test": {"timing+dynamics": 40}},
        "parameters": {"total": 1_500_000, "trained": 2_000},
        "environment": {"python": "3.11.2", "packages": {"torch": "2.13.0"}},
        "timings": {"training_s": 75.0},
        "best_epoch": 1,
        "epochs_run": 3,
        "learned": {"role_weights": [0.7, 0.3], "reliabilities": {"timing": 0.64, "dynamics": 0.7}, "mix": 0.71},
        "references": [
            {"name": "ridge", "summary": "ridge, per subset", "trained_on": "available"},
            {"name": "upper", "summary": "saw everything", "trained_on": "complete"},
            {"name": "silent", "summary": "too little data", "trained_on": "available"},
        ],
    }
    return {**document, **changes}


@pytest.fixture
def run_dir(tmp_path):
    rng = np.random.default_rng(0)
    samples = [
        Sample(f"s{n}", {name: np.zeros((3, 2), np.float32) for name in NAMES}, rng.uniform(0, 10, 2), split="test")
        for n in range(40)
    ]
    scorers = {
        "limssr": Noisy(samples, 2.0),
        "ridge": Noisy(samples, 2.2),
        "upper": Noisy(samples, 0.1),
        "silent": Silent(samples, 0.0),
    }
    config = EvalConfig(bootstrap=50)
    found = {name: evaluate(scorer, samples, NAMES, CRITERIA, config=config) for name, scorer in scorers.items()}
    folder = tmp_path / "my-run"
    folder.mkdir()
    document = {"format_version": 1, **found["limssr"].to_dict()}
    document["systems"] = {name: evaluation.to_dict() for name, evaluation in found.items()}
    (folder / "evaluation.json").write_text(json.dumps(document))
    tables = [evaluation.to_predictions(name) for name, evaluation in found.items()]
    pq.write_table(pa.concat_tables(tables), folder / "predictions.parquet")
    (folder / "run.json").write_text(json.dumps(run_document()))
    (folder / "config.yaml").write_text(dump_config(RunConfig(evaluation=EvalConfig(confidence=0.9))))
    lines = [
        {"epoch": epoch, "train_task": 1 / (epoch + 1), "train_consistency": 0.1, "train_slots": 0.0, "val_loss": 0.5}
        for epoch in range(3)
    ]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return folder


class Page(HTMLParser):
    """What a browser would load, which images lack a text, and whether tags are balanced."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, text):
        super().__init__()
        self.loads, self.images, self.open, self.ids, self.anchors = [], [], [], set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(values)
        if "id" in values:
            self.ids.add(values["id"])
        for key in ("src", "href", "data", "srcset"):
            target = values.get(key, "")
            if target.startswith("#"):
                self.anchors.add(target[1:])
            elif target and not target.startswith("data:image/"):
                self.loads.append(target)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def written(folder):
    return write_report(folder).read_text(encoding="utf-8")


def test_the_page_loads_nothing_and_every_image_has_a_text(run_dir):
    text = written(run_dir)
    page = Page(text)
    assert page.loads == []
    assert "@import" not in text
    assert "url(" not in text
    assert page.open == []
    assert page.anchors <= page.ids
    assert len(page.images) == 3 + 2  # a scatter a subset, two kinds of curves
    assert all(len(image["alt"]) > 40 for image in page.images)


def test_names_from_the_data_are_text_and_not_markup(run_dir):
    text = written(run_dir)
    assert "half-missing &lt;b&gt;" in text
    assert "touch &lt;soft&gt;" in text
    assert "<soft>" not in text


def test_paths_of_the_machine_stay_out(run_dir):
    text = written(run_dir)
    assert "/somewhere/private" not in text
    assert str(run_dir.parent) not in text


def test_the_same_folder_gives_the_same_page(run_dir):
    assert written(run_dir) == written(run_dir)


@pytest.mark.parametrize(("auto", "count"), [(None, 50), ({"warnings": []}, 62)])
def test_a_search_learns_from_validation_too(auto, count):
    run = run_document(num_samples={"train": 50, "val": 12, "test": 40}, auto=auto)
    folder = RunFolder(
        name="run", run=run, config={}, config_text="", history=(), evaluation=None, predictions=None, missing={}
    )
    assert f"was trained on {count} performances" in summary_of(folder)[0]


def test_what_was_run_is_said_in_words(run_dir):
    text = written(run_dir)
    for expected in (
        "limssr was trained on 50 performances of the data set “world” to predict 2 scores from 2 streams",
        "30 of 50 training performances own all streams",
        "on average over the 2 incomplete subsets",
        "ridge, reaches",
        "lowest validation loss",
        "epoch 2 of 3",
        "its 90 % interval",
        "limssr train my-run/config.yaml --out my-run-again",
        "torch 2.13.0",
        "path 1: 0.710",
        "silent, timing: 4 training samples own these streams",
    ):
        assert expected in text, expected


def test_standing_of_systems(run_dir):
    table = build_subset_table(read_run_folder(run_dir))
    assert [column.name for column in table.columns] == ["limssr", "ridge", "upper", "silent"]
    assert [column.upper_mark for column in table.columns] == [False, False, True, False]
    assert [row.kind for row in table.rows] == ["subset", "subset", "average", "full"]
    for row in table.rows:
        own, ridge, upper, silent = row.cells
        assert (own.standing, ridge.standing) == ("best", "open")
        assert upper.standing == ""
        assert float(upper.text) > float(own.text)
        assert (silent.text, silent.point) == ("n/a", None)
        assert silent.reason == "4 training samples own these streams"
        assert 0 <= own.low <= own.point <= own.high <= 100


def test_a_clearly_worse_system_is_not_shaded(run_dir):
    document = json.loads((run_dir / "evaluation.json").read_text())
    ridge = document["systems"]["ridge"]
    for part in [*ridge["subsets"], ridge["average_incomplete"]]:
        part["spearman"], part["spearman_ci"] = 0.1, [0.0, 0.2]
    (run_dir / "evaluation.json").write_text(json.dumps(document))
    table = build_subset_table(read_run_folder(run_dir))
    assert {row.cells[1].standing for row in table.rows} == {""}
    assert "the intervals do not overlap" in written(run_dir)


def with_averages(run_dir, **changes):
    """Change the averages of systems in the run folder: name -> keys."""
    document = json.loads((run_dir / "evaluation.json").read_text())
    for name, keys in changes.items():
        document["systems"][name]["average_incomplete"] |= keys
    (run_dir / "evaluation.json").write_text(json.dumps(document))


def lacking(value):
    """What an average says that lacks one of two subsets."""
    reasons = {"spearman": "dynamics: reads timing alone"}
    counts = {"num_partial": {"spearman": 1}, "num_subsets": {"spearman": 2}}
    return {"spearman": None, "spearman_ci": [None, None], "reasons": reasons, "partial": {"spearman": value}, **counts}


def test_an_average_that_lacks_subsets_is_not_a_number(run_dir):
    with_averages(run_dir, limssr=lacking(0.377))
    text = written(run_dir)
    shown = "n/a (0.377 over 1 of 2)"
    assert f"is {shown} on average over the 2 incomplete subsets of streams and 0." in text
    assert re.search(r'<div class="value">n/a</div>\s*<div class="note">\(0.377 over 1 of 2\)</div>', text)
    assert f"<td>{shown}</td>" in text
    cell = build_subset_table(read_run_folder(run_dir)).rows[-2].cells[0]
    assert (cell.text, cell.interval) == ("n/a", "0.377 over 1 of 2")
    assert cell.reason == "dynamics: reads timing alone"
    # What cannot be ranked by the average is ranked with all streams.
    best = json.loads((run_dir / "evaluation.json").read_text())["systems"]["ridge"]["full"]["spearman"]
    assert f"ridge, reaches {best:.3f} with all streams;" in text


def test_a_reference_without_an_average_is_not_the_best(run_dir):
    assert "ridge, reaches" in written(run_dir)
    with_averages(run_dir, ridge=lacking(0.999))
    assert "ridge, reaches" not in written(run_dir)
    row = build_subset_table(read_run_folder(run_dir)).rows[-2]
    assert [cell.standing for cell in row.cells] == ["best", "", "", ""]


def test_subsets_that_read_the_same_are_told(run_dir):
    left_out = [{"streams": ["dynamics"], "same_as": [], "reason": "no training sample had dynamics"}]
    once = {"num_subsets": {"spearman": 1}, "left_out": left_out}
    with_averages(run_dir, limssr=once, ridge=once)
    text = written(run_dir)
    assert "on average over the 1 incomplete subset of streams" in text
    assert "than another one: dynamics is nothing: no training sample had dynamics." in text
    row = build_subset_table(read_run_folder(run_dir)).rows[-2]
    assert row.label == "average of 1 incomplete subset"
    assert [cell.reason for cell in row.cells[:3]] == ["", "", "over 2 incomplete subsets"]


def test_a_run_of_an_older_version_keeps_its_page(run_dir):
    text = written(run_dir)
    document = json.loads((run_dir / "evaluation.json").read_text())
    for part in (document, *document["systems"].values()):
        for key in ("partial", "num_partial", "num_subsets", "left_out"):
            del part["average_incomplete"][key]
    (run_dir / "evaluation.json").write_text(json.dumps(document))
    assert written(run_dir) == text


def test_heat_map_is_sorted_and_readable():
    subsets = [
        {"streams": ["a"], "per_criterion": {"x": {"spearman": 0.1}, "y": {"spearman": 0.8}, "z": {"spearman": None}}},
        {"streams": ["b"], "per_criterion": {"x": {"spearman": -0.2}, "y": {"spearman": 0.6}, "z": {"spearman": None}}},
    ]
    heat = build_heat_map({"criteria": ["x", "y", "z"], "subsets": subsets})
    assert [row["name"] for row in heat["rows"]] == ["y", "x", "z"]
    assert [cell["text"] for row in heat["rows"] for cell in row["cells"]] == [
        "0.80",
        "0.60",
        "0.10",
        "−0.20",
        "n/a",
        "n/a",
    ]
    styles = [cell["style"] for step in (*heat["rows"], {"cells": heat["legend"]}) for cell in step["cells"]]
    assert min(contrast(style) for style in styles) > 4.0


def contrast(style):
    """WCAG contrast of a cell's text and ground."""

    def luminance(text):
        if text.startswith("rgb"):
            channels = [int(value) for value in re.findall(r"\d+", text)]
        else:
            digits = text[1:] if len(text) == 7 else "".join(2 * digit for digit in text[1:])
            channels = [int(digits[at : at + 2], 16) for at in (0, 2, 4)]
        linear = [c / 255 / 12.92 if c / 255 <= 0.03928 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    ground, ink = (part.split(":")[1] for part in style.split(";"))
    bright, dark = sorted((luminance(ground), luminance(ink)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({"selection": "test"}, "The epoch was chosen on the test split"),
        ({"status": "running"}, "This run is not finished (status: running)"),
        (
            {"availability": None, "owned_streams": {"train": {"timing+dynamics": 50}}, "dropout": "per_batch"},
            "Trained on complete data",
        ),
        ({"owned_streams": {"test": {"timing": 3, "timing+dynamics": 37}}}, "The test split is incomplete, too"),
        ({"trained_on": "complete"}, "Trained on complete data"),
        (
            {"hidden_values": ["generation"], "owned_streams": {"train": {"timing": 20, "timing+dynamics": 30}}},
            "Re-masked targets",
        ),
    ],
)
def test_banners(run_dir, changes, title):
    assert title not in written(run_dir)
    (run_dir / "run.json").write_text(json.dumps(run_document(**changes)))
    assert title in written(run_dir)


@pytest.mark.parametrize("name", ["config.yaml", "metrics.jsonl", "evaluation.json", "predictions.parquet"])
def test_a_missing_file_is_named(run_dir, name):
    assert "is not in the run folder" not in written(run_dir)
    (run_dir / name).unlink()
    assert f"{name} is not in the run folder" in written(run_dir)


def test_run_json_alone_is_enough(tmp_path):
    (tmp_path / "run.json").write_text('{"format_version": 1}')
    page = Page(written(tmp_path))
    assert page.images == []
    assert page.open == []


def test_one_stream_and_one_criterion(run_dir):
    document = json.loads((run_dir / "evaluation.json").read_text())
    del document["systems"]
    document["criteria"] = ["drama"]
    document["subsets"] = document["subsets"][:1]
    document["average_incomplete"] = {"spearman": None, "mse": None}
    (run_dir / "evaluation.json").write_text(json.dumps(document))
    (run_dir / "run.json").write_text(
        json.dumps(run_document(modalities=["timing"], criteria=[vars(CRITERIA[1])], references=[]))
    )
    text = written(run_dir)
    assert "There is one criterion, drama" in text
    assert "incomplete subsets" not in text


@pytest.mark.parametrize("name", ["config.yaml", "metrics.jsonl", "evaluation.json", "predictions.parquet", "run.json"])
def test_a_damaged_file_is_an_error_that_names_it(run_dir, name):
    (run_dir / name).write_text('{"a": [1, ')
    with pytest.raises(ArtifactError, match=name):
        write_report(run_dir)


def test_no_run_and_a_newer_run(tmp_path):
    with pytest.raises(ArtifactError, match=r"run\.json"):
        write_report(tmp_path)
    (tmp_path / "run.json").write_text('{"format_version": 99}')
    with pytest.raises(ArtifactError, match="99"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_numbers_for_people():
    assert number(None) == "n/a"
    assert number(float("nan"), 2) == "n/a"
    assert number(-0.123, 2) == "−0.12"
    assert number(1234.56) == "1235"
