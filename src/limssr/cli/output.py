"""The answer of a verb, printed as text for people or as exactly one JSON document on stdout."""

import codecs
import contextlib
import json
import math
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TextIO

from rich.console import Console, RenderableType

from limssr.core.errors import LimssrError

Format = Literal["text", "json"]
# Exit code: done in part, the rest is listed.
PARTIAL = 3


@dataclass(frozen=True)
class Answer:
    """What a verb found out.

    Attributes:
        document: For machines; printed by --json.
        lines: For people; strings or rich renderables, printed one below the other.
        exit_code: 0, or 3 where only a part could be done and the rest is listed.
    """

    document: Mapping[str, Any]
    lines: tuple[RenderableType, ...] = ()
    exit_code: int = 0


LOOKALIKES = {
    **dict.fromkeys("█▇▆▅▄▉▊▋▌", "#"),
    **dict.fromkeys("▃▂▁▍▎▏━─–—−", "-"),
    **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("“”", '"'),
    **{"·": ".", "•": "*", "×": "x", "…": "...", "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "±": "+-", "²": "2"},
}
"""What stands for a character where the terminal's encoding has none; others become question marks."""


def print_in_any_encoding(*streams: TextIO) -> None:
    """Let streams print what their encoding does not have as something that looks like it, instead of failing."""
    codecs.register_error("limssr-lookalikes", _lookalikes)
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)  # a stream that a program has put in place may have none
        if reconfigure is not None:
            reconfigure(errors="limssr-lookalikes")


def _lookalikes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unknown = error.object[error.start : error.end]
    return "".join(LOOKALIKES.get(character, "?") for character in unknown), error.end


@contextlib.contextmanager
def reserved_stdout(form: Format) -> Iterator[TextIO]:
    """Yield the real stdout; under "json" whatever else anyone prints meanwhile goes to stderr."""
    stdout = sys.stdout
    if form == "text":
        yield stdout
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield stdout


def print_answer(answer: Answer, form: Format, stdout: TextIO) -> None:
    """Write the whole answer to `stdout`."""
    if form == "json":
        _print_json(answer.document, stdout)
        return
    console = Console(file=stdout, highlight=False)
    with console.capture() as captured:
        for line in answer.lines:
            if isinstance(line, str):
                # Lines in a pipe are not folded, so that a program can read them.
                console.print(line, markup=False, soft_wrap=not console.is_terminal)
            else:
                console.print(line)
    # Written here and not by rich, which ends the process where a pipe's reader has gone.
    stdout.write(captured.get())
    stdout.flush()


def print_error(error: BaseException, exit_code: int, *, form: Format, stdout: TextIO, trace: bool) -> None:
    """Say what went wrong on stderr, and under "json" also as the one document on stdout."""
    if trace:
        traceback.print_exception(error, file=sys.stderr)
    kind = type(error).__name__
    message = str(error) if isinstance(error, LimssrError) else f"{kind}: {error}".rstrip(": ")
    print(f"limssr: {message}", file=sys.stderr)  # noqa: T201
    if form == "json":
        _print_json({"error": {"kind": kind, "message": message, "exit_code": exit_code}}, stdout)


def _print_json(document: Mapping[str, Any], stdout: TextIO) -> None:
    # Escapes keep every character of a document where the encoding could not.
    is_unicode = (getattr(stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    json.dump(_plain(document), stdout, indent=2, ensure_ascii=not is_unicode, allow_nan=False)
    stdout.write("\n")
    stdout.flush()


def _plain(value: Any) -> Any:
    """Containers and numbers that JSON knows; NaN and infinity, which it does not know, become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
