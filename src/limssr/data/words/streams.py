"""Words beside the other streams of a performance: on its segments, and with their view in numbers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from limssr.core.types import Modality, Sample
from limssr.core.words import Words
from limssr.data.words.clock import heard, length, placed
from limssr.data.words.files import overlaps
from limssr.data.words.leaks import Leaks
from limssr.data.words.views import view

LOOKED_AT = 200
"""Texts of a stream in which the language is looked at."""


@dataclass(kw_only=True)
class WordStreams:
    """Streams of words of many performances, and what was decided on the way.

    Attributes:
        modalities: Of words.
        segment_s: From the start of a segment to the start of the next; None where segments have no times.
        criteria: Names of the scores, for the warning of words that speak them.
    """

    modalities: Sequence[Modality]
    segment_s: float | None = None
    criteria: Sequence[str] = ()
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _leaks: dict[str, Leaks] = field(default_factory=dict)
    _some: dict[str, list[str]] = field(default_factory=dict)

    def join(self, sample: Sample, words: Mapping[str, Words], *, where: str) -> Sample:
        """A sample with its words.

        Args:
            sample: With its other streams, of one length each; without any where words are all that it has.
            words: As read: without segments.
            where: Beginning of the messages.

        Raises:
            InputError: Times beyond what a performance may have.
        """
        arrays = {name: array for name, array in sample.streams.items() if array is not None}
        others = [len(array) for array in arrays.values() if np.ndim(array)]
        number = max(others, default=0) or max((self._length(one, where) for one in words.values()), default=1)
        said: dict[str, Words] = {}
        for modality in self.modalities:
            if modality.name not in words:
                continue
            said[modality.name] = found = self._placed(modality.name, words[modality.name], number)
            arrays[modality.name] = self._viewed(modality, found, number)
            self._look(modality.name, sample.id, found)
        return replace(sample, streams=arrays, words=said)

    def sentences(self, *, new: bool = False) -> list[str]:
        """What was decided and what should be known, a sentence each; of new samples what is said of them alone."""
        found = [f"stream '{name}': {what}: {count}" for (name, what), count in sorted(self._counts.items())]
        for modality in self.modalities:
            if texts := self._some.get(modality.name):
                name, remark = modality.words or "", view(modality.words or "").remark(texts)
                seen = f"stream '{modality.name}': words are kept as text; systems of numbers see view {name}"
                found += [] if new else [seen]
                found += [f"warning: stream '{modality.name}': {remark}"] if remark else []
            leaks = self._leaks.get(modality.name)
            if leaks and (sentence := leaks.sentence(modality.name)):
                found.append(sentence)
        return found

    def _length(self, words: Words, where: str) -> int:
        return 1 if words.times is None or self.segment_s is None else length(words, self.segment_s, where=where)

    def _placed(self, name: str, words: Words, number: int) -> Words:
        if words.times is None:
            return words
        if count := overlaps(words):
            self._counts[name, "words that begin before those before them have ended, kept as they are"] += count
        if self.segment_s is None:
            what = "texts with times, taken as a whole (a length of segments, --segment-s, puts them on segments)"
            self._counts[name, what] += 1
            return words
        found, left_out = placed(words, self.segment_s, number)
        if left_out:
            self._counts[name, "words that begin outside the performance, left out"] += left_out
        return found

    def _viewed(self, modality: Modality, words: Words, number: int) -> np.ndarray:
        seen = view(modality.words or "")
        if words.segments is None:
            return np.repeat(seen.of([words.text]), number, axis=0)
        values_TD = seen.of(words.by_segment(number))
        values_TD[~heard(words, self.segment_s, number)] = np.nan
        return values_TD

    def _look(self, name: str, sample_id: str, words: Words) -> None:
        self._leaks.setdefault(name, Leaks(self.criteria)).add(sample_id, [words.text])
        some = self._some.setdefault(name, [])
        if len(some) < LOOKED_AT:
            some.append(words.text[:1_000])


def words_modality(name: str, view_name: str) -> Modality:
    """A stream of words that is seen through a view.

    Raises:
        InputError: No such view, or its weights are not here.
    """
    seen = view(view_name)
    return Modality(name, seen.dim, words=seen.name)
