"""The prompts of all patterns of streams as token ids, without an entry for each of 2^M - 1 patterns."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from limssr.core.config import PromptConfig
from limssr.data.missing import MAX_ALL_STREAMS
from limssr.model.layout import Pattern
from limssr.model.prompt import prompt_text

WORD = re.compile(r"\s*\S+|\s+")
"""A word of a prompt with the blanks in front of it, as tokenizers that split text into words have it."""
MAX_KEPT = 4_096
"""Prompts that are kept once they were put together."""

PromptIds = Mapping[Pattern, Sequence[int]]


def prompt_ids(config: PromptConfig, names: Sequence[str], encode: Callable[[str], list[int]] | None) -> PromptIds:
    """Pattern -> token ids of its prompt.

    Up to `MAX_ALL_STREAMS` streams every prompt is encoded as a whole. With more, each word is encoded once and a
    prompt is put together when it is asked for, so that time and memory grow in proportion to M.

    Args:
        config: Variant, parts and subject.
        names: The M streams, in order.
        encode: Text -> token ids; None: prompts are empty.
    """
    if len(names) <= MAX_ALL_STREAMS:
        texts = {pattern: "" if encode is None else prompt_text(config, names, pattern) for pattern in patterns(names)}
        return {pattern: encode(text) if encode is not None and text else [] for pattern, text in texts.items()}
    if encode is None:
        return PromptsOfWords(PromptConfig(variant="none"), names, {})
    texts = (prompt_text(config, names, pattern) for pattern in _every_word(len(names)))
    return PromptsOfWords(config, names, {word: encode(word) for word in _words_of(texts)})


def patterns(names: Sequence[str]) -> Iterator[Pattern]:
    """All 2^M - 1 patterns in which some stream is present, one after another."""
    return (pattern for pattern in itertools.product((False, True), repeat=len(names)) if any(pattern))


def tokens_of(prompts: PromptIds) -> set[int]:
    """Every token that some prompt has."""
    lists = prompts.ids_of_word.values() if isinstance(prompts, PromptsOfWords) else prompts.values()
    return {token for ids in lists for token in ids}


def renumbered(prompts: PromptIds, number_of: Mapping[int, int]) -> PromptIds:
    """The same prompts with other numbers for their tokens."""
    if isinstance(prompts, PromptsOfWords):
        ids_of_word = {word: [number_of[token] for token in ids] for word, ids in prompts.ids_of_word.items()}
        return PromptsOfWords(prompts.config, prompts.names, ids_of_word)
    return {pattern: [number_of[token] for token in ids] for pattern, ids in prompts.items()}


class PromptsOfWords(Mapping[Pattern, Sequence[int]]):
    """Prompts that are put together from the ids of their words when they are asked for.

    Args:
        config: Variant, parts and subject.
        names: The M streams, in order.
        ids_of_word: Of every word that some prompt has.
    """

    def __init__(self, config: PromptConfig, names: Sequence[str], ids_of_word: Mapping[str, Sequence[int]]) -> None:
        self.config, self.names, self.ids_of_word = config, tuple(names), dict(ids_of_word)
        self._kept: dict[Pattern, Sequence[int]] = {}

    def __getitem__(self, pattern: Pattern) -> Sequence[int]:
        """Token ids of one prompt."""
        if len(pattern) != len(self.names) or not any(pattern):
            raise KeyError(pattern)
        if pattern not in self._kept:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            words = _words(prompt_text(self.config, self.names, pattern))
            self._kept[pattern] = [token for word in words for token in self.ids_of_word[word]]
        return self._kept[pattern]

    def __iter__(self) -> Iterator[Pattern]:
        return patterns(self.names)

    def __len__(self) -> int:
        return 2 ** len(self.names) - 1


def _words_of(texts: Iterable[str]) -> list[str]:
    return sorted({word for text in texts for word in _words(text)})


def _words(text: str) -> list[str]:
    return WORD.findall(text)


def _every_word(num: int) -> Iterator[Pattern]:
    """Patterns in whose prompts every word occurs that is in any prompt, about 6 M of them.

    How a name is written depends on whether it is the first or the last of those listed with it, and on whether there
    are one, two or more: one, two and three neighbours in a circle have all of that, and so has all but these.
    """
    yield (True,) * num
    for first, size in itertools.product(range(num), (1, 2, 3)):
        chosen = {(first + step) % num for step in range(size)}
        yield tuple(place in chosen for place in range(num))
        yield tuple(place not in chosen for place in range(num))
