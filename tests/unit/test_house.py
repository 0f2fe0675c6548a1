"""The plan of the house: every import runs from an upper room to a lower one, and no circle is left.

`ROOMS` is the only place where the order is written; docs/architecture.md shows the same list.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "limssr"
ROOMS = (
    "cli",
    "serve",
    "studies",
    "testing",
    "estimator",
    "explain",
    "runs",
    "training",
    "systems",
    "model",
    "report",
    "evaluation",
    "nn",
    "media",
    "data",
    "core",
)
"""From top to bottom; a room imports only from rooms below it."""
MAX_ENTRIES = 18
"""Fourteen folders, `estimator`, `testing`, `__init__` and `__main__`; `py.typed` is a mark for type checkers."""


def _modules() -> dict[str, Path]:
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        names[".".join(parts).removesuffix(".__init__")] = path
    return names


def _imported(path: Path, modules: dict[str, Path]) -> Iterator[tuple[int, str]]:
    """Line and name of every module of ours that a file imports, wherever the statement stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield node.lineno, inner if inner in modules else node.module


def _room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


MODULES = _modules()
EDGES = [(module, line, found) for module, path in MODULES.items() for line, found in _imported(path, MODULES)]


def test_there_are_few_doors():
    entries = [path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.rglob("*.py"))]
    assert len(entries) <= MAX_ENTRIES, sorted(entries)


def test_every_file_stands_in_a_room_that_the_plan_knows():
    assert {_room(module) for module in MODULES} - {"", "__main__"} <= set(ROOMS)


def test_imports_run_downwards():
    order = {room: place for place, room in enumerate(ROOMS)}
    upwards = [
        f"{MODULES[module].relative_to(ROOT)}:{line} imports {found}"
        for module, line, found in EDGES
        if _room(module) in order and _room(found) in order and order[_room(found)] < order[_room(module)]
    ]
    assert not upwards, "\n".join(upwards)


def test_no_two_files_import_each_other_in_a_circle():
    # A folder's __init__ offers names of the files in it: that is not a circle.
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for module, _, found in EDGES:
        if not module.startswith(found + ".") and module != found:
            graph[module].add(found)
    assert not _circle(graph)


def _circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one circle, or none."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for found in sorted(graph[module]):
            if circle := walk(found, [*path, module]):
                return circle
        done.add(module)
        return []

    return next((circle for module in sorted(graph) if (circle := walk(module, []))), [])


def test_a_circle_is_seen():
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]
    assert not _circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})


@pytest.mark.parametrize("page", ["docs/architecture.md"])
def test_the_page_shows_the_same_order(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    shown = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", text, re.MULTILINE)
    assert shown == [room for room in ROOMS if room in {_room(module) for module in MODULES}]
