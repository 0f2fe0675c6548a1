"""What the texts of a stream are like: how long, how fast, in which scripts."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limssr.core.words import Words, num_words
from limssr.data.words.clock import last_moment

MAX_SCRIPTS = 4


@dataclass(frozen=True, kw_only=True)
class WordsSummary:
    """The texts of one stream.

    Attributes:
        view: That systems of numbers see.
        words: Shortest, median and longest text, in words between blanks.
        timed: Texts whose words have times.
        words_a_minute: Median over them; None where there are none.
        gaps: Gaps in recordings.
        scripts: Script of the letters -> share of all letters, the most frequent first.
    """

    view: str
    words: tuple[int, float, int]
    timed: int
    words_a_minute: float | None
    gaps: int
    scripts: dict[str, float]

    def told(self) -> str:
        """In a line."""
        short, median, long = self.words
        speed = "" if self.words_a_minute is None else f", {self.words_a_minute:.0f} words a minute"
        timed = f", {self.timed} texts with times{speed}" if self.timed else ", without times"
        gaps = f", {self.gaps} gaps" if self.gaps else ""
        scripts = ", ".join(f"{name} {share:.1%}" for name, share in self.scripts.items())
        return f"{short} to {long} words (median {median:g}){timed}{gaps}; letters: {scripts}; view {self.view}"


def describe_words(said: Sequence[Words], view: str) -> WordsSummary:
    """Count what the texts of a stream hold."""
    lengths = [num_words([words.text]) for words in said] or [0]
    rates = [
        count / (last_moment(words) / 60)
        for words, count in zip(said, lengths, strict=False)
        if words.times and last_moment(words) > 0
    ]
    return WordsSummary(
        view=view,
        words=(min(lengths), float(np.median(lengths)), max(lengths)),
        timed=sum(words.times is not None for words in said),
        words_a_minute=float(np.median(rates)) if rates else None,
        gaps=sum(piece is None for words in said for piece in words.pieces),
        scripts=_scripts(said),
    )


def _scripts(said: Sequence[Words]) -> dict[str, float]:
    signs: Counter[str] = Counter()
    for words in said:
        signs.update(words.text)
    letters: Counter[str] = Counter()
    for sign, count in signs.items():
        if unicodedata.category(sign)[0] == "L":
            # The first word of a letter's name is its script: LATIN SMALL LETTER A, CJK UNIFIED IDEOGRAPH-4E2D.
            letters[unicodedata.name(sign, "unnamed").split()[0].capitalize()] += count
    total = sum(letters.values())
    return {name: count / total for name, count in letters.most_common(MAX_SCRIPTS)}
