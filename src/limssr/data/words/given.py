"""Words from a caller: a text, or a list of (start, end, word)."""

from collections.abc import Sequence
from typing import Any

from limssr.core.errors import InputError
from limssr.core.quoting import quoted
from limssr.core.words import Words
from limssr.data.words.clean import cleaned
from limssr.data.words.files import Piece, timed, whole


def is_words(stream: Any) -> bool:
    """Whether a stream is given as words: a text, or a sequence whose first entry is (start, end, text)."""
    if isinstance(stream, str):
        return True
    if not isinstance(stream, list | tuple) or not stream:
        return False
    first = stream[0]
    return isinstance(first, list | tuple) and len(first) == 3 and (first[2] is None or isinstance(first[2], str))


def read_words(stream: str | Sequence[Any], *, where: str) -> Words:
    """Words as `is_words` knows them.

    Raises:
        InputError: An entry that is no (start, end, word), and what `limssr.data.words.files` refuses.
    """
    if isinstance(stream, str):
        return whole(stream, where=where, clean=cleaned)
    pieces: list[Piece] = []
    for number, entry in enumerate(stream, start=1):
        try:
            start, end, word = entry
            if not (word is None or isinstance(word, str)):
                raise TypeError(word)
            pieces.append((float(start), float(end), word))
        except (TypeError, ValueError):
            raise InputError(
                f"{where}: expected entries of (start, end, word) in seconds, found {quoted(entry)} as entry {number}: "
                "correct it."
            ) from None
    return timed(pieces, where=where, clean=cleaned)
