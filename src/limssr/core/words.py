"""The words of a stream of language: text with times, in pieces, on the segments of a performance."""

from collections.abc import Sequence
from dataclasses import dataclass

GAP = None
"""The text of a piece that says that nothing was recorded there."""


@dataclass(frozen=True)
class Words:
    """What was said or written in one stream of a performance.

    Attributes:
        pieces: Texts in their order: words, lines of a subtitle, or the whole text as one piece. None: a gap in the
            recording, where words may have been said that nobody wrote down.
        times: Start and end of each piece in seconds; None where the text has no times.
        segments: The segment that each piece begins in; None: the text is of the whole performance, and every part of
            the performance has all of it.
    """

    pieces: tuple[str | None, ...]
    times: tuple[tuple[float, float], ...] | None = None
    segments: tuple[int, ...] | None = None

    @property
    def text(self) -> str:
        """All of it, with blanks between the pieces."""
        return " ".join(piece for piece in self.pieces if piece)

    def by_segment(self, num_segments: int) -> list[str]:
        """The text of each of T segments; text of the whole performance stands in the first alone."""
        if self.segments is None:
            return [self.text, *[""] * (num_segments - 1)]
        found: list[list[str]] = [[] for _ in range(num_segments)]
        for piece, segment in zip(self.pieces, self.segments, strict=True):
            if piece and segment < num_segments:
                found[segment].append(piece)
        return [" ".join(pieces) for pieces in found]

    def part(self, start: int, num_segments: int) -> "Words":
        """The words of some segments, counted from the first of them."""
        if self.segments is None:
            return self
        kept = [n for n, segment in enumerate(self.segments) if start <= segment < start + num_segments]
        return Words(
            tuple(self.pieces[n] for n in kept),
            None if self.times is None else tuple(self.times[n] for n in kept),
            tuple(self.segments[n] - start for n in kept),
        )

    def without(self, begin: int, end: int) -> "Words":
        """The words but for those of some segments; text of the whole performance stays as it is."""
        if self.segments is None:
            return self
        kept = [n for n, segment in enumerate(self.segments) if not begin <= segment < end]
        return Words(
            tuple(self.pieces[n] for n in kept),
            None if self.times is None else tuple(self.times[n] for n in kept),
            tuple(self.segments[n] for n in kept),
        )

    @classmethod
    def whole(cls, text: str) -> "Words":
        """One text of a whole performance."""
        return cls((text,))


def num_words(texts: Sequence[str]) -> int:
    """Words as blanks divide them."""
    return sum(len(text.split()) for text in texts)
