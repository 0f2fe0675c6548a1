"""The blocks in README and docs run, the commands are ones that exist, the links lead somewhere."""

import re
import runpy
import shlex
from pathlib import Path

import pytest
import yaml

import build_site
from limssr.cli.parser import parse
from limssr.cli.table import all_verbs
from limssr.systems.table import SYSTEMS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def blocks(language):
    """(page, code) for every fenced block of a language."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
    return [(page, code) for page in PAGES for code in fence.findall(page.read_text(encoding="utf-8"))]


def named(page, number):
    return f"{page.relative_to(ROOT)}-{number}"


PYTHON = [
    pytest.param(code, id=named(page, number))
    for number, (page, code) in enumerate(blocks("python"))
    if page.parent.name != "tutorials"
]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
COMMANDS = [
    pytest.param(line.partition(" #")[0].strip(), id=named(page, number))
    for number, (page, line) in enumerate(
        (page, line)
        for page, code in blocks("bash")
        for line in code.replace("\\\n", " ").splitlines()
        if line.startswith("limssr ")
    )
]


@pytest.mark.parametrize("code", PYTHON)
def test_a_python_block_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(SYSTEMS, "_added", dict(SYSTEMS._added))  # a system that a block registers is forgotten
    exec(compile(code, "block", "exec"), {"__name__": "block"})


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_becomes_a_notebook_whose_blocks_are_cells(page):
    """`make docs` runs them from top to bottom; an error there is a fault of the site."""
    parts = [code for where, code in blocks("python") if where == page]
    assert len(parts) > 2
    for code in parts:
        compile(code, page.name, "exec")
    made = build_site.as_notebook(page.read_text(encoding="utf-8"))
    assert made.count("```{code-cell} python\n") == len(parts)
    assert "```python" not in made
    assert yaml.safe_load(made.split("---")[1])["kernelspec"]["name"] == "python3"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one_that_exists(command):
    verb = parse(shlex.split(command)[1:])
    assert callable(verb.run)


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    assert len(capsys.readouterr().out.splitlines()) >= 4


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_the_floor_plan_names_every_folder():
    plan = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "src" / "limssr"
    folders = [path.parent.relative_to(package).as_posix() for path in package.rglob("*/__init__.py")]
    systems = {path for path in folders if path.startswith("systems/") and path.count("/") > 1}  # one system each
    assert [folder for folder in folders if folder not in systems and f"`{folder}/`" not in plan] == []


TESTS_NAMED = sorted(
    {
        (page, file, name)
        for page in PAGES
        for file, name in re.findall(r"`((?:\w+/)test_\w+\.py)(?:::(\w+))?`", page.read_text(encoding="utf-8"))
    }
)


@pytest.mark.parametrize(("page", "file", "name"), TESTS_NAMED, ids=lambda value: getattr(value, "name", value))
def test_a_test_that_a_page_names_exists(page, file, name):
    path = ROOT / "tests" / file
    assert path.is_file(), f"{page} names {file}"
    assert not name or f"def {name}(" in path.read_text(encoding="utf-8"), f"{page} names {file}::{name}"


def test_every_page_is_in_the_index_once():
    docs = ROOT / "docs"
    links = re.findall(r"\]\(([^)#\s]+)", (docs / "index.md").read_text(encoding="utf-8"))
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")} - {"index.md"}
    assert sorted(links) == sorted(pages)


def test_the_index_is_in_the_order_of_a_reader():
    heads = re.findall(r"^## (.*)", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert heads == ["Get started", "Tutorials", "How to", "Concepts", "Reference", "Results", "Gallery", "Decisions"]


def test_readme_is_a_page_and_its_picture_small():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert pictures
    assert all((ROOT / picture).stat().st_size < 200_000 for picture in pictures)


def test_anchors_of_links_exist():
    for page in PAGES:
        for link, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" in link:
                continue
            target = (page.parent / link) if link else page
            heads = re.findall(r"^#+ (.*)", target.read_text(encoding="utf-8"), flags=re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in slugs, f"{page}: {link}#{anchor}"


def test_the_page_of_the_command_line_has_every_verb():
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    rows = " ".join(re.findall(r"^\| `limssr ([^`]+)`", text, flags=re.MULTILINE)).replace("\\|", " ")
    missing = [verb for verb in all_verbs() if not set(verb.split()) <= set(rows.split())]
    assert missing == []
