"""Reads the words of a stream: plain text, subtitles (.srt, .vtt), tables of words with times (.json, .csv, .tsv)."""

import csv
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from limssr.core.errors import InputError
from limssr.core.quoting import quoted, shortened
from limssr.core.reading.documents import is_text, parse_json
from limssr.core.reading.regular import Outside, exists, read_text
from limssr.core.words import Words
from limssr.data.words.names import MAX_CELL

SUFFIXES = (".txt", ".srt", ".vtt", ".json", ".csv", ".tsv")
MAX_FILE_BYTES = 2**24
MAX_PATH = 1_024
MAX_PIECES = 500_000
TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{2})[.,](\d{1,3})"
CUE = re.compile(rf"\s*{TIME}\s*-->\s*{TIME}(?:\s.*)?")
STARTS, ENDS, TEXTS = ("start", "start_s", "begin", "from"), ("end", "end_s", "to"), ("word", "words", "text")
Clean = Callable[[str], str]
Piece = tuple[float, float, str | None]


def is_path(cell: str, folder: Path) -> bool:
    """Whether a cell names a file and does not hold the words themselves.

    It does where it ends like one of the files that are read, on one line, and either has no blanks or such a file is
    there.
    """
    name = cell.strip()
    if "\n" in name or len(name) > MAX_PATH or Path(name).suffix.lower() not in SUFFIXES:
        return False
    return not any(sign.isspace() for sign in name) or exists(folder / name)


def read_cell(cell: str, folder: Path, *, where: str, clean: Clean) -> Words:
    """The words that a cell holds, or that the file it names holds.

    Args:
        cell: Not empty.
        folder: That paths are relative to.
        where: Beginning of the messages.
        clean: What is done to each text (`limssr.data.words.clean`).

    Raises:
        InputError: No such file, binary or in another encoding, no words, times that run backwards, a subtitle without
            times, or more than `MAX_CELL` letters.
    """
    if is_path(cell, folder):
        return _read_file(folder / Path(cell.strip()).expanduser(), where=where, clean=clean)
    return whole(cell, where=where, clean=clean)


def whole(text: str, *, where: str, clean: Clean) -> Words:
    """One text without times.

    Raises:
        InputError: Too long, or no text.
    """
    if len(text) > MAX_CELL:
        raise InputError(
            f"{where}: expected at most {MAX_CELL:,} letters, found {len(text):,}: give the text of one performance, "
            "or a file of words with times."
        )
    if not is_text(text):
        raise InputError(f"{where}: expected text, found half a surrogate pair in {quoted(text)}: correct it.")
    found = clean(text)
    if not found:
        raise InputError(
            f"{where}: expected words, found {quoted(text)}: write them, or leave the cell empty where there are none."
        )
    return Words.whole(found)


def timed(pieces: Sequence[Piece], *, where: str, clean: Clean) -> Words:
    """Words with times.

    Args:
        pieces: Start and end in seconds, and the text; None or an empty text: a gap in the recording.
        where: Beginning of the messages.
        clean: See `read_cell`.

    Raises:
        InputError: No pieces, times that are no numbers or run backwards, or too long.
    """
    if not pieces:
        raise InputError(f"{where}: expected words with times, found none: leave the stream out where there are none.")
    if len(pieces) > MAX_PIECES or sum(len(text or "") for _, _, text in pieces) > MAX_CELL:
        raise InputError(
            f"{where}: expected at most {MAX_PIECES:,} words and {MAX_CELL:,} letters, found {len(pieces):,} words and "
            f"{sum(len(text or '') for _, _, text in pieces):,} letters: give the text of one performance."
        )
    before = -math.inf
    for number, (start, end, text) in enumerate(pieces, start=1):
        if not (math.isfinite(start) and math.isfinite(end)):
            raise InputError(f"{where}: expected times in seconds, found {start} to {end} in entry {number}: correct.")
        if end < start or start < before:
            than = f"after an entry that begins at {before:g} s" if start < before else ""
            raise InputError(
                f"{where}: expected times that run forwards, found {start:g} to {end:g} s in entry {number} {than}"
                f"{'' if not text else ' (' + quoted(text) + ')'}: sort the entries by their start, and give each an "
                "end that is not before it."
            )
        if text is not None and not is_text(text):
            raise InputError(f"{where}: expected text, found half a surrogate pair in {quoted(text)}: correct it.")
        before = start
    texts = tuple((clean(text) or None) if text is not None else None for _, _, text in pieces)
    if not any(texts):
        raise InputError(f"{where}: expected words, found only empty entries: leave the stream out where it is absent.")
    return Words(texts, tuple((float(start), float(end)) for start, end, _ in pieces))


def overlaps(words: Words) -> int:
    """How many pieces begin before the one before them has ended."""
    times = words.times or ()
    return sum(second[0] < first[1] - 1e-6 for first, second in itertools.pairwise(times))


def _read_file(path: Path, *, where: str, clean: Clean) -> Words:
    remedy = "save it as text in UTF-8, correct the path, or leave the cell empty where there are no words"
    outside = Outside(path=path, what="a text in UTF-8", where=where, remedy=remedy)
    text = read_text(outside, limit=MAX_FILE_BYTES)
    if "\0" in text:
        raise outside.refused("bytes that are no text")
    suffix, about = path.suffix.lower(), f"{where}: {path}"
    if suffix == ".txt":
        if not clean(text):
            raise outside.refused("an empty text")
        return whole(text, where=about, clean=clean)
    if suffix in (".srt", ".vtt"):
        return timed(_cues(text, outside), where=about, clean=clean)
    pieces = _json_pieces(text, outside) if suffix == ".json" else _table_pieces(text, outside)
    return timed(pieces, where=about, clean=clean)


def _cues(text: str, outside: Outside) -> list[Piece]:
    """The cues of a subtitle file: a line of times, and the lines under it up to an empty one."""
    found: list[Piece] = []
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        match = CUE.fullmatch(lines[number])
        number += 1
        if match is None:
            continue
        spoken = []
        while number < len(lines) and lines[number].strip() and not CUE.fullmatch(lines[number]):
            spoken.append(lines[number])
            number += 1
        words = " ".join(spoken).strip()
        if words:  # a cue that shows nothing is silence
            found.append((_seconds(match.groups()[:4]), _seconds(match.groups()[4:]), words))
    if not found:
        outside = replace(outside, what="subtitles", remedy="give each text its times, or save it as .txt without any")
        raise outside.refused("no line of times with words under it, such as 00:01:02,500 --> 00:01:04,000")
    return found


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, thousandths = parts
    return (
        int(hours or 0) * 3600
        + int(minutes or 0) * 60
        + int(seconds or 0)
        + int((thousandths or "0").ljust(3, "0")) / 1000
    )


def _json_pieces(text: str, outside: Outside) -> list[Piece]:
    """A list of words with times, also under `words` or `segments` as programs that write down speech give it."""
    document = parse_json(text, outside)
    if isinstance(document, Mapping):
        document = document.get("words") or document.get("segments")
    if not isinstance(document, list):
        raise outside.refused("JSON without a list of words (entries of start, end and word)")
    inner = [entry.get("words") if isinstance(entry, Mapping) else None for entry in document]
    if document and all(isinstance(words, list) and words for words in inner):
        document = [word for words in inner for word in words or ()]
    return [_entry(entry, number, outside) for number, entry in enumerate(document, start=1)]


def _entry(entry: Any, number: int, outside: Outside) -> Piece:
    if isinstance(entry, Mapping):
        entry = [_first(entry, STARTS), _first(entry, ENDS), _first(entry, TEXTS)]
    if not isinstance(entry, list | tuple) or len(entry) != 3:
        raise outside.refused(f"entry {number} without start, end and word ({quoted(entry)})")
    start, end, text = entry
    numbers = all(isinstance(time, int | float) and not isinstance(time, bool) for time in (start, end))
    if not numbers or not (text is None or isinstance(text, str)):
        raise outside.refused(f"entry {number} with other values than two times in seconds and a text")
    return float(start), float(end), text


def _first(entry: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((entry[name] for name in names if name in entry), None)


def _table_pieces(text: str, outside: Outside) -> list[Piece]:
    """A table with a column of starts, one of ends and one of words; an empty word is a gap."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max("\t;,", key=first.count)
    try:
        rows = list(csv.reader(text.splitlines(keepends=True), delimiter=separator))
    except csv.Error as error:
        raise outside.unreadable(error) from None
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    names = [cell.strip().lower() for cell in rows[0]] if rows else []
    places = [next((names.index(name) for name in wanted if name in names), None) for wanted in (STARTS, ENDS, TEXTS)]
    if any(place is None for place in places):
        raise outside.refused(
            f"the columns {shortened(', '.join(names)) or '(none)'}, where start, end and word belong"
        )
    found: list[Piece] = []
    for number, row in enumerate(rows[1:], start=2):
        try:
            start, end, word = (row[place] for place in places if place is not None)
            found.append((float(start), float(end), word.strip() or None))
        except (IndexError, ValueError):
            raise outside.refused(f"line {number} without two times in seconds and a word") from None
    return found
