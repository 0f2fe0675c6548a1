"""The table of encoders in the docs is the one of `limssr extract --list`."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_shows_the_encoders_that_there_are():
    spec = importlib.util.spec_from_file_location("write_encoders", ROOT / "tools" / "write_encoders.py")
    assert spec
    assert spec.loader
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    text = (ROOT / "docs" / "recordings.md").read_text(encoding="utf-8")
    assert tool.page(text) == text, "run tools/write_encoders.py"
    assert "`motion`" in text
