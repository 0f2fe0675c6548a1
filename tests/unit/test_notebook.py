"""Progress in a notebook: one display, rewritten."""

import sys
from types import SimpleNamespace

import pytest

from limssr.core.notebook import EVERY_S, LINES, NotebookReporter, in_notebook
from limssr.core.progress import LineReporter, epoch_line, make_reporter

RECORD = {"train_loss": 1.0, "val_loss": 0.5, "learning_rate": 1e-3, "seconds": 0.1}


@pytest.fixture
def pages():
    return []


@pytest.fixture
def reporter(pages):
    def show(page):
        pages.append([page])
        return pages[-1].append

    return NotebookReporter(epoch_line, show)


def test_a_long_training_is_one_display_of_a_few_lines(reporter, pages):
    reporter.start("training", 50, unit="epoch")
    for epoch in range(50):
        reporter.epoch({**RECORD, "epoch": epoch}, total=50, best_epoch=epoch)
        reporter.advance("training")
    reporter.finish()
    assert len(pages) == 1
    last = pages[0][-1]
    assert last.count("task loss") == LINES
    assert "epoch  50/50" in last
    assert "<progress" not in last
    assert "<progress" in pages[0][-3]


def test_small_steps_are_drawn_now_and_then(reporter, pages, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("limssr.core.notebook.time", SimpleNamespace(monotonic=lambda: clock[0]))
    reporter.start("reading", 1000, unit="sample")
    for _ in range(1000):
        clock[0] += EVERY_S / 100
        reporter.advance("reading")
    assert len(pages[0]) == pytest.approx(11, abs=1)
    assert "1000 samples" in pages[0][-1]


def test_what_is_said_is_no_html(reporter, pages):
    reporter.warn("a stream <script> & more")
    assert "&lt;script&gt; &amp; more" in pages[0][-1]
    assert "<script>" not in pages[0][-1]


def test_a_notebook_is_known_by_its_kernel(monkeypatch):
    assert not in_notebook()
    assert isinstance(make_reporter(), LineReporter)
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert in_notebook()
    assert isinstance(make_reporter(), NotebookReporter)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace()))  # a terminal
    assert not in_notebook()
