"""Warns of words that speak the score: a number beside a word such as "points"."""

import re
from collections.abc import Iterable, Sequence

from limssr.core.quoting import shortened

SCORE_WORDS = (
    "score", "scores", "scored", "scoring", "point", "points", "mark", "marks", "grade", "graded", "rating", "rated",
    "out of", "total", "deduction",
)  # fmt: skip
NEAR = 30
"""Letters between a number and such a word."""


class Leaks:
    """Counts texts of a stream with a number near a score word.

    Args:
        criteria: Names of the scores, which count as such words too.
    """

    def __init__(self, criteria: Sequence[str]) -> None:
        names = [re.escape(name.replace("_", " ").replace("-", " ").lower()) for name in criteria if len(name) > 1]
        words = "|".join(sorted({*SCORE_WORDS, *names}, key=len, reverse=True))
        number = r"\d+(?:[.,]\d+)?"
        between = rf"[^\n]{{0,{NEAR}}}?"
        self._pattern = re.compile(rf"\b(?:{words})\b{between}(?<!\d){number}|{number}{between}\b(?:{words})\b")
        self._found = 0
        self._first = ""

    def add(self, sample: str, texts: Iterable[str]) -> None:
        """Look at the texts of a sample."""
        match = next((found for text in texts if (found := self._pattern.search(text.lower()))), None)
        if match is not None:
            self._found += 1
            self._first = self._first or f"'{shortened(match[0])}' in '{shortened(sample)}'"

    def sentence(self, stream: str) -> str | None:
        """What is said; None where nothing was found."""
        if not self._found:
            return None
        return (
            f"warning: stream '{stream}': {self._found} samples have a number beside a score word, such as "
            f"{self._first}: words that speak the score are read off and not judged; take them out if they do"
        )
