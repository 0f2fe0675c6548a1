"""What a run leaves behind whose training diverged twice: two files that say so, and no weights."""

import json
import shutil

import pytest

from limssr.core.errors import InputError
from limssr.core.progress import SilentReporter
from limssr.core.recipes import parse_config
from limssr.report import write_report
from limssr.runs import references
from limssr.runs.evaluate import evaluate_run
from limssr.runs.train import train_run
from limssr.studies.compare.run import CompareOptions, compare_runs
from limssr.training.divergence import DivergedTwice


class Warned(SilentReporter):
    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


def config_of(store, *, rate=1e-3, **evaluation):
    tree = {
        "data": {"store": str(store)},
        "model": {"system": "attention-mean", "hidden": 8, "dropout": 0.0, "output": "standardized"},
        "missing": {"dropout": "none"},
        "train": {"epochs": 6, "warmup_epochs": 0, "learning_rate": rate, "clip_norm": 1e6, "batch_size": 8},
        "evaluation": {"bootstrap": 0, **evaluation},
    }
    return parse_config(tree, where="test")


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {".lock"}


def test_nothing_half_written_is_left_and_the_message_says_what_is(store_path, tmp_path):
    out, config = tmp_path / "run", config_of(store_path, rate=1e6)
    with pytest.raises(InputError, match=r"run keeps config\.yaml and run\.json") as refused:
        train_run(config, out)
    assert refused.value.exit_code == 2
    assert "lower train.learning_rate" in str(refused.value)
    assert files(out) == {"config.yaml", "run.json"}
    document = json.loads((out / "run.json").read_text())
    assert document["status"] == "diverged"
    assert "also at a tenth of the learning rate" in document["reason"]
    with pytest.raises(InputError, match="trained model"):
        evaluate_run(out)
    with pytest.raises(InputError, match="status 'diverged'"):
        compare_runs(CompareOptions(runs=(str(out), str(out))))
    assert "This run is not finished (status: diverged)" in write_report(out).read_text()


def test_another_attempt_begins_anew(store_path, tmp_path):
    """Resumed, it does the same again; other settings need another folder."""
    out = tmp_path / "run"
    for _ in range(2):
        with pytest.raises(DivergedTwice):
            train_run(config_of(store_path, rate=1e6), out, resume="auto")
    assert files(out) == {"config.yaml", "run.json"}
    with pytest.raises(InputError, match=r"other values of train\.learning_rate"):
        train_run(config_of(store_path), out, resume="auto")
    shutil.rmtree(out)
    train_run(config_of(store_path), out)
    assert json.loads((out / "run.json").read_text())["status"] == "done"


def test_a_reference_that_diverges_does_not_end_the_run(store_path, tmp_path, monkeypatch):
    def diverges(*_, folder, **__):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "metrics.jsonl").write_text("{}\n")
        raise DivergedTwice("Expected a training loss that falls, found none.")

    monkeypatch.setattr(references, "fit", diverges)
    out, said = tmp_path / "run", Warned()
    train_run(config_of(store_path, references=["attention", "ridge"]), out, reporter=said)
    assert "reference attention is left out: Expected a training loss that falls, found none." in said.warnings
    document = json.loads((out / "run.json").read_text())
    assert document["status"] == "done"
    assert [one["name"] for one in document["references"]] == ["ridge"]
    assert list(document["references_left_out"]) == ["attention"]
    assert not (out / "references" / "attention").exists()
