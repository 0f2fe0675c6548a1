import sys

from limssr.core import progress

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
