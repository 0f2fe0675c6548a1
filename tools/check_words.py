"""Keep the prose plain: phrases that a reader stumbles over, and second words for things of the glossary, are refused.

python tools/check_words.py            checks the code and pages of the repository
python tools/check_words.py FILE ...   checks these files
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("src", "docs", "recipes", "examples", "tools")
PAGES = ("README.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml")
SUFFIXES = {".py", ".md", ".yaml", ".yml", ".j2", ".toml", ""}
EXEMPT = {"docs/labbook.md", "docs/glossary.md", "tools/check_words.py"}
"""The laboratory book is a record and stays as it was written; the glossary and this file name the words themselves."""

BANNED = {
    r"for good\b(?! (?:reason|measure|practice))": "say what does not change, such as: the same in every epoch",
    r"for ever\b": "say: always, or: without end",
    r"\bhears? of\b": "say: is told of",
    r"\bstands? beside\b|\bstanding beside\b": "say: is compared with, or: is next to",
    r"\b(?:can|could|cannot|can't) be had\b": "say: is (not) available, or: could (not) be loaded",
    r"\bwith its footnote\b": "say what the number comes with",
    r"\bis a way of\b": "say what it does",
    r"\b(?:its|their) rest\b": "say which parts are left",
    r"\bat hand\b": "say: available, given, or: on this machine",
    r"\bon the spot\b": "say: at once, or: when needed",
    r"\bhas no say\b|\bhave no say\b": "say: is ignored",
    r"\bby heart\b": "say: memorised",
    r"\bpeople's hands\b|\bin their hands\b": "say what is given",
    r"\brests? at\b": "say: keeps",
    r"\bwhat became of\b": "say: the outcome of",
    r"\bthe whole road\b|\bthe road of\b|\bthe road from\b|\bthe road to\b": "say: the way, or name the steps",
    r"\bits own door\b|\bthe door for\b": "say: the interface for",
    r"\bcomes? from nowhere\b": "say what is missing",
    r"\bmust not miss\b": "say: has to see",
}
"""Pattern -> what to write instead. Matched without regard to case and across line breaks."""
BREAK = re.compile(r"\n[ \t]*(?:# )?")


def problems(path: Path, name: str) -> Iterator[str]:
    """The banned phrases of one file, one line each."""
    text = path.read_text(encoding="utf-8")
    # A phrase may be broken over two lines, of a comment too.
    flat = BREAK.sub(" ", text)
    found = [(hit, advice) for pattern, advice in BANNED.items() for hit in re.finditer(pattern, flat, re.IGNORECASE)]
    if not found:
        return
    joined = BREAK.sub(lambda hit: " " + "\0" * (len(hit[0]) - 1), text)
    places = [place for place, sign in enumerate(joined) if sign != "\0"]
    for hit, advice in found:
        line = text.count("\n", 0, places[hit.start()]) + 1
        yield f"{name}:{line}: {hit[0]!r}: {advice}"


def checked_files() -> list[Path]:
    """Code and pages of the repository, without those that are exempt."""
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")) if path.is_file()]
    files += [ROOT / page for page in PAGES]
    return [path for path in files if path.suffix in SUFFIXES and path.relative_to(ROOT).as_posix() not in EXEMPT]


def main(arguments: list[str]) -> int:
    """Print every problem; 1 if there is one."""
    files = [Path(argument).resolve() for argument in arguments] or checked_files()
    found = []
    for path in files:
        name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)
        if name not in EXEMPT:
            found += list(problems(path, name))
    print("\n".join(found) if found else f"{len(files)} files in plain words")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
