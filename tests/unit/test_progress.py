import sys

import pytest

from limssr.core import progress
from limssr.core.recipes import parse_config
from limssr.systems.build import build_model
from limssr.training.loop import fit

RECORD = {"epoch": 0, "train_loss": 1.0, "val_loss": 0.5, "learning_rate": 1e-3, "seconds": 2.0}


def test_lines_go_to_stderr_and_stdout_stays_free(capsys):
    reporter = progress.LineReporter()
    reporter.start("training", 3)
    reporter.note("begins")
    reporter.warn("careful")
    reporter.epoch(RECORD, total=3, best_epoch=0)
    reporter.advance("training")
    reporter.finish()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[:2] == ["begins", "warning: careful"]
    assert "1/3" in err
    assert "best so far" in err


def test_bars_go_to_stderr_and_stdout_stays_free(capsys):
    reporter = progress.TerminalReporter()
    reporter.start("training", 3, 1)
    reporter.epoch(RECORD, total=3, best_epoch=None)
    reporter.advance("training")
    reporter.warn("[careful]")
    reporter.finish()
    reporter.finish()
    out, err = capsys.readouterr()
    assert out == ""
    assert "1/3" in err
    assert "best so far" not in err
    assert "warning: [careful]" in err


def test_the_silent_one_is_silent(capsys):
    reporter = progress.SilentReporter()
    reporter.start("training", 3)
    reporter.note("begins")
    reporter.warn("careful")
    reporter.epoch(RECORD, total=3, best_epoch=0)
    reporter.advance("training")
    reporter.finish()
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_bars_and_a_pipe_gets_lines(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert isinstance(progress.make_reporter(), progress.TerminalReporter)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert isinstance(progress.make_reporter(), progress.LineReporter)


def test_an_epoch_without_validation_has_no_validation_number():
    line = progress.epoch_line({**RECORD, "val_loss": None}, total=3, best_epoch=None)
    assert "val" not in line


def test_quantities_of_different_units_are_told_apart():
    record = {**RECORD, "train_loss": 10.32, "train_task": 0.91, "val_loss": 0.88}
    line = progress.epoch_line(record, total=3, best_epoch=None)
    assert "task loss: training 0.91000, validation 0.88000" in line
    assert "all terms, weighted: 10.32000" in line
    alone = progress.epoch_line({**record, "train_loss": 0.91}, total=3, best_epoch=None)
    assert "all terms" not in alone
    staged = progress.epoch_line({**record, "stage": "ensemble"}, total=3, best_epoch=None)
    assert "ensemble" in staged


@pytest.mark.parametrize("first", [0, 4])
def test_a_long_first_epoch_says_how_far_it_is_and_how_long_it_will_take(first, capsys, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    reporter = progress.NamedReporter(progress.LineReporter(), "attention")
    reporter.start("training", 12, first, unit="epoch")
    for step in range(101):
        reporter.within("training", step, 400)
        now[0] += 1.0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3  # every half minute
    assert lines[0].startswith(f"attention: training: 8 % of epoch {first + 1}/12, at most ")
    minutes = (12 - first) * 400 / 60
    assert lines[-1].endswith(f"{minutes - 1.5:.0f} min left")


def test_a_bar_moves_within_an_epoch_and_knows_the_time_left(monkeypatch):
    reporter = progress.TerminalReporter()
    reporter.start("training", 12, 3, unit="epoch")
    assert reporter._progress is not None
    task = reporter._progress.tasks[0]
    places = []
    for step in range(5):
        reporter.within("training, ensemble", step, 5)
        places.append(task.completed)
    assert places == sorted(places)
    assert (places[0], int(places[-1])) == (3, 3)
    assert task.description == "training, ensemble"
    assert task.fields["unit"] == "epochs"
    reporter.advance("training")
    assert task.completed == 4
    reporter.finish()


def test_a_training_reports_every_batch_with_its_stage(world):
    heard = []

    class Hears(progress.SilentReporter):
        def within(self, what, done, total):
            heard.append((what, done, total))

    tree = {
        "model": {"system": "statistics", "hidden": 8},
        "train": {"epochs": 1, "warmup_epochs": 0, "batch_size": 8},
    }
    config = parse_config(tree, where="test")
    train = [sample for sample in world.samples if sample.split == "train"]
    val = [sample for sample in world.samples if sample.split == "val"]
    model = build_model(config.model, world.modalities, world.criteria, seed=0)
    fit(model, train, val, config=config, reporter=Hears())
    assert [done for _, done, _ in heard] == list(range(len(heard)))
    assert {total for _, _, total in heard} == {len(heard)}
    assert all(what.startswith("training") for what, _, _ in heard)


def test_a_log_hears_of_long_work_now_and_then(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    reporter = progress.LineReporter()
    reporter.start("decoding", 10, unit="file")
    for _ in range(10):
        clock[0] += 0.6 * progress.QUIET_S
        reporter.advance("decoding")
    reporter.finish()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4  # after the 2nd, 4th, 6th and 8th; the end says itself
    assert lines[0].startswith("decoding: 2 of 10 files, at most ")


def test_a_log_of_short_work_stays_empty(capsys):
    reporter = progress.LineReporter()
    reporter.start("reading", 100)
    for _ in range(100):
        reporter.advance("reading")
    assert capsys.readouterr().err == ""
