"""Trackers are told what stands in metrics.jsonl, and nobody is told anything unasked."""

import json
import sys
import types

import pytest

from limssr.core.config import RunConfig
from limssr.core.errors import InputError, MissingExtraError
from limssr.core.progress import SilentReporter
from limssr.runs import tracking
from limssr.runs.tracking import TrackedReporter, scores_to_track

EPOCHS = [{"epoch": n, "train_loss": 2.0 - n, "val_loss": None, "stage": "all", "seconds": 0.5} for n in range(3)]


def trained(reporter, out, *, done):
    """What the loop tells a reporter, with some epochs behind it."""
    reporter.note("device cpu")
    (out / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in EPOCHS[:done]))
    reporter.start("training", 3, done, unit="epoch")
    for record in EPOCHS[done:]:
        reporter.epoch(record, total=3, best_epoch=0)
        reporter.advance("training")
    reporter.finish()
    reporter.start("attention: training", 3)


def test_tensorboard_is_told_every_epoch_once_after_an_interruption_too(tmp_path):
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for done in (0, 2):
        reporter = TrackedReporter(SilentReporter(), "tensorboard", tmp_path, RunConfig())
        trained(reporter, tmp_path, done=done)
        reporter.close({"test/full/mse": 3.0})
    found = loader.EventAccumulator(str(tmp_path / tracking.FOLDER)).Reload()
    assert set(found.Tags()["scalars"]) == {"train_loss", "seconds", "test/full/mse"}
    assert [(one.step, one.value) for one in found.Scalars("train_loss")] == [(0, 2.0), (1, 1.0), (2, 0.0)]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_others_are_told_the_settings_and_every_epoch(name, tmp_path, monkeypatch):
    told = []
    fake = types.ModuleType(name)
    run = types.SimpleNamespace(
        config=types.SimpleNamespace(update=lambda values, **_: told.append(("settings", values))),
        log=lambda values, step=None, **_: told.append((step, values)),
        finish=lambda: told.append(("finish", None)),
    )
    fake.init = lambda **options: told.append(("init", options)) or run
    fake.config = run.config
    fake.set_experiment = lambda **_: types.SimpleNamespace(experiment_id="1")
    fake.start_run = lambda **options: told.append(("init", options)) or run
    fake.log_params = lambda values: told.append(("settings", dict(values)))
    fake.log_metrics = lambda values, step=None: told.append((step, values))
    fake.end_run = run.finish
    fake.create_experiment = lambda **_: "1"
    fake.search_experiments = lambda **_: []
    fake.get_experiment_by_name = lambda _: None
    fake.utils = types.SimpleNamespace(
        validation=types.SimpleNamespace(MAX_PARAM_VAL_LENGTH=500, MAX_PARAMS_TAGS_PER_BATCH=100)
    )
    fake.__spec__ = types.SimpleNamespace(name=name)
    monkeypatch.setitem(sys.modules, name, fake)
    reporter = TrackedReporter(SilentReporter(), name, tmp_path, RunConfig())
    assert told == [], "not before training begins"
    trained(reporter, tmp_path, done=1)
    reporter.close({"test/full/mse": 3.0})
    assert told[0][0] == "init"
    settings = {key: value for kind, values in told if kind == "settings" for key, value in values.items()}
    assert settings["train.batch_size"] == 8
    numbers = [(step, values) for step, values in told if isinstance(step, int)]
    assert [step for step, _ in numbers] == [0, 1, 2, RunConfig().train.epochs]
    assert numbers[1][1] == {"train_loss": 1.0, "seconds": 0.5}
    assert told[-1][0] == "finish"


def test_a_tracker_that_is_not_there_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="pip install wandb"):
        TrackedReporter(SilentReporter(), "wandb", tmp_path, RunConfig())
    with pytest.raises(InputError, match="tensorboard"):
        tracking.check_tracker("tensorbord")
    assert list(tmp_path.iterdir()) == []


def test_scores_of_the_test_split_are_numbers():
    document = {"average_incomplete": {"spearman": 0.5, "mse": None}, "full": None}
    assert scores_to_track(document) == {"test/incomplete/spearman": 0.5}
