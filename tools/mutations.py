"""Seeded damage to files: bytes that flip, end early or repeat, values of another type, and what is no file at all."""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

Change = Callable[[random.Random, Path], str]
"""Damages a file in place and says how."""

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -(10**30), 0.5, 1e30, 1e308, -1e-308),
    *("", " ", "x", "x" * 5_000, "a/b", "../../etc/passwd", "/dev/zero", "{0}", "{task:>2000000000}", "%s", "nan"),
    *("é" * 300, "1e5", "2024-99-99", "null", "\n", "a\tb", "*", "&a", "!!int x", "~", "-"),
    *([], {}, [[]], [None], [1, "a"], {"a": None}, {"": {}}, [0] * 2_000, {str(n): n for n in range(500)}),
)
"""What is put where something else belongs."""
TEXTS = (
    *("", "\0", "\ufeff", "[", "{", '"', "---\n", "null", "[]", "{}", "true", "1", "NaN", "[" * 10_000, "{a: " * 500),
    *('{"a":' * 5_000, "a: &a [*a]", "9" * 6_000, "\\ud800", '"\\ud800"', "!!python/object:os.system x", "\x1b[2J"),
)
"""Whole contents of a file, or parts that are put into it."""


def flip(draw: random.Random, path: Path) -> str:
    """Flip a few bits."""
    content = bytearray(path.read_bytes())
    places = [draw.randrange(len(content)) for _ in range(draw.choice((1, 1, 2, 8)))] if content else []
    for place in places:
        content[place] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    return f"bits flipped at {places}"


def cut(draw: random.Random, path: Path) -> str:
    """End the file early."""
    content = path.read_bytes()
    length = draw.choice((0, 1, 8, len(content) // 2, max(0, len(content) - 1), draw.randrange(len(content) + 1)))
    path.write_bytes(content[:length])
    return f"cut to {length} bytes"


def splice(draw: random.Random, path: Path) -> str:
    """Put something in, take something out, repeat a part, or overwrite one."""
    content = path.read_bytes()
    start = draw.randrange(len(content) + 1)
    length = draw.choice((1, 4, 8, 64, 512))
    part = draw.choice((b"\0" * length, b"\xff" * length, content[start : start + length] * draw.choice((2, 50)),
                        draw.randbytes(length), draw.choice(TEXTS).encode("utf-8", "surrogatepass")))  # fmt: skip
    end = draw.choice((start, start + len(part), start + length))
    path.write_bytes(content[:start] + part + content[end:])
    return f"bytes {start} to {end} became {part[:20]!r} ({len(part)} bytes)"


def whole(draw: random.Random, path: Path) -> str:
    """Another content altogether."""
    content = draw.choice((*(text.encode("utf-8", "surrogatepass") for text in TEXTS), draw.randbytes(300)))
    path.write_bytes(content)
    return f"content became {content[:20]!r}"


def no_file(draw: random.Random, path: Path) -> str:
    """Something else under the name of the file."""
    path.unlink()
    kind = draw.choice(("nothing", "pipe", "device", "endless device", "folder", "loop", "sparse"))
    if kind == "pipe":
        os.mkfifo(path)
    elif kind in ("device", "endless device"):
        path.symlink_to("/dev/null" if kind == "device" else "/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(2**36)
    return f"became {kind}"


def revalue(draw: random.Random, path: Path) -> str:
    """A value of another type, a key that is missing or renamed, somewhere in a JSON or YAML document."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    at = draw.randrange(len(lines))
    document = yaml.safe_load(lines[at]) if path.suffix == ".yaml" else json.loads(lines[at])
    holders = list(_holders(document))
    if not holders:
        return whole(draw, path)
    told = _change(draw, *draw.choice(holders))
    dumped = yaml.safe_dump(document) if path.suffix == ".yaml" else json.dumps(document)
    path.write_text("\n".join([*lines[:at], dumped, *lines[at + 1 :]]), encoding="utf-8")
    return told


def _change(draw: random.Random, holder: Any, key: Any) -> str:
    how = draw.choice(("odd", "odd", "odd", "gone", "twice", "renamed"))
    if how == "gone" or (how == "renamed" and isinstance(holder, list)):
        del holder[key]
    elif how == "twice" and isinstance(holder, list):
        holder.append(holder[key])
    elif how == "renamed":
        holder[f"{key}x"] = holder.pop(key)
    else:
        holder[key] = draw.choice(ODD)
        return f"{key!r} became {holder[key]!r:.60}"
    return f"{key!r} {how}"


def _holders(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield value, key
            yield from _holders(item)


BYTES: tuple[Change, ...] = (flip, flip, cut, splice, splice, whole, no_file)
DOCUMENT: tuple[Change, ...] = (revalue, revalue, revalue, revalue, revalue, *BYTES)


def changes_for(path: Path) -> tuple[Change, ...]:
    """The kinds of damage that a file of this name can suffer, the likelier ones more often."""
    return DOCUMENT if path.suffix in (".json", ".yaml", ".jsonl") else BYTES


def sign(store: Path) -> None:
    """Make sizes and hashes in store.json right again, as other software would write them."""
    if not _is_small(store / "store.json"):
        return
    try:
        header = json.loads((store / "store.json").read_text(encoding="utf-8"))
        for name in header["files"]:
            content = (store / name).read_bytes() if _is_small(store / name) else b""
            header["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (store / "store.json").write_text(json.dumps(header), encoding="utf-8")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return  # what is too damaged to be signed is tried as it is


def _is_small(path: Path) -> bool:
    return path.is_file() and path.stat().st_size < 2**26


def remove(path: Path) -> None:
    """Take a case away, whatever it has become."""
    shutil.rmtree(path, ignore_errors=True)
