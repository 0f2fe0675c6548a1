"""The page of systems says what the systems declare."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_is_what_the_systems_declare():
    spec = importlib.util.spec_from_file_location("systems_page", ROOT / "tools" / "systems_page.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    page = tool.PAGE.read_text(encoding="utf-8")
    assert page == tool.written(page), "run: python tools/systems_page.py"
