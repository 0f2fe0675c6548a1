"""Build the site: the pages of docs/, the command line from the parser, the Python interface from docstrings.

python tools/build_site.py [OUT]

The pages are plain Markdown that reads well anywhere. They are copied, and what a site needs beside them is added to
the copy: the tree of contents from the lists of index.md, and the pages of reference. Warnings are errors: a link that
leads nowhere ends the build.
"""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from types import ModuleType

import limssr
from limssr.cli.parser import parse
from limssr.cli.table import VERBS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TUTORIALS = "tutorials"
NOTEBOOK = """---
jupytext:
  text_representation: {format_name: myst}
kernelspec: {name: python3, display_name: Python 3}
---
"""
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+\.md)(#[^)\s]*)?\)")
OUTSIDE = re.compile(r"\[([^\]]*)\]\((?:\.\./)+[^)\s]*\)")
COLUMNS = "80"


def staged(folder: Path) -> None:
    """The sources of the site, in a new folder."""
    shutil.copytree(DOCS, folder)
    for page in folder.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        # A link to a file of the checkout, such as ../CONTRIBUTING.md, leads out of the site.
        text = OUTSIDE.sub(partial(_inside, page.parent, folder), text)
        page.write_text(as_notebook(text) if page.parent.name == TUTORIALS else text, encoding="utf-8")
    (folder / "reference" / "command-line.md").write_text(command_line(), encoding="utf-8")
    (folder / "reference" / "python-api.md").write_text(python_api(), encoding="utf-8")
    index = folder / "index.md"
    more = (
        "* [Every verb and its options](reference/command-line.md)\n"
        "* [Every class and function](reference/python-api.md)\n"
    )
    text = index.read_text(encoding="utf-8").replace("## Reference\n\n", f"## Reference\n\n{more}")
    listed = {name for _, name, _ in LINK.findall(text)}
    pages = sorted(page.relative_to(folder).as_posix() for page in folder.rglob("*.md"))
    forgotten = [page for page in pages if page not in listed and page != "index.md"]
    if forgotten:
        raise SystemExit(f"Expected every page in docs/index.md, found none of: {', '.join(forgotten)}")
    index.write_text(text + contents(text), encoding="utf-8")


def as_notebook(text: str) -> str:
    """A page whose blocks of Python are cells: they are run when the site is built, and what they show stands below."""
    return NOTEBOOK + text.replace("```python\n", "```{code-cell} python\n")


def _inside(here: Path, folder: Path, found: re.Match[str]) -> str:
    """A link that stays within the site as it is; of any other its words."""
    target = found[0].rpartition("(")[2].rstrip(")").partition("#")[0]
    inside = (here / target).resolve().is_relative_to(folder.resolve())
    return found[0] if inside else found[1]


def contents(index: str) -> str:
    """Hidden trees of contents, one for each heading of the index."""
    parts = []
    for section in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        names = dict.fromkeys(name for _, name, _ in LINK.findall(section))
        parts.append("\n".join(["", "```{toctree}", ":hidden:", f":caption: {title}", "", *names, "```", ""]))
    return "\n".join(parts)


def command_line() -> str:
    """Every verb with the help that it prints."""
    os.environ["COLUMNS"] = COLUMNS
    parts = ["# Every verb and its options\n\nWhat `limssr VERB --help` prints.\n"]
    for group, verbs in VERBS.items():
        parts.append(f"\n## {group}\n")
        for words, entry in verbs.items():
            shown = io.StringIO()
            with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
                parse([*words.split(), "--help"])
            parts.append(f"\n### limssr {words}\n\n{entry.line[0].upper()}{entry.line[1:]}.\n")
            parts.append(f"\n```text\n{shown.getvalue().strip()}\n```\n")
    return "".join(parts)


def python_api() -> str:
    """Every public name with its docstring."""
    parts = ["# Every class and function\n\nNames that `import limssr` offers.\n"]
    for name in limssr.__all__:
        if name.startswith("_"):
            continue
        found = getattr(limssr, name)
        if isinstance(found, ModuleType):  # a package that can be called
            parts.append(f"\n## `limssr.{name}`\n\n```{{eval-rst}}\n.. automodule:: limssr.{name}\n```\n")
            continue
        kind = "autoclass" if isinstance(found, type) else "autofunction"
        # scikit-learn adds methods about routing of metadata, whose texts refer to its own site.
        hidden = "set_fit_request, set_predict_request, set_score_request, get_metadata_routing"
        members = f"\n   :members:\n   :exclude-members: {hidden}" if isinstance(found, type) else ""
        parts.append(f"\n## `limssr.{name}`\n\n```{{eval-rst}}\n.. {kind}:: limssr.{name}{members}\n```\n")
    return "".join(parts)


def build(out: Path) -> int:
    """Build into a folder; returns the exit code of Sphinx."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "docs"
        staged(source)
        words = ["-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(source), str(out)]
        return subprocess.run([sys.executable, *words], check=False).returncode


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist" / "site"
    code = build(place)
    print(f"{place / 'index.html'}" if code == 0 else "The site has faults; they stand above.")
    sys.exit(code)
