"""The view `hashed`: how often words and pairs of words occur, folded into a fixed number of columns.

Weinberger and others, 2009 ("Feature hashing for large scale multitask learning"): each word or pair is added to one
column with one sign, both decided by its hash, so that inner products are kept in expectation. Nothing is fitted and no
weights are needed: the same text gives the same numbers everywhere, in every language.
"""

import itertools
import math
import re
import zlib
from collections import Counter

import numpy as np

BUCKETS = 512
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]|[^\W_]+(?:['\u2019][^\W_]+)*")
"""A word; in scripts that put no blanks between words, a character."""
SENTENCE = re.compile(r"[.!?\u3002\uff01\uff1f]+")
SURFACE = (
    "words",
    "sentences",
    "words_a_sentence",
    "letters_a_word",
    "different_words",
    "questions",
    "exclamations",
    "commas",
    "digits",
)
"""Numbers about the form of a text, in front of the columns of any view."""


def surface(text: str) -> np.ndarray:
    """The form of a text [9]: see `SURFACE`; lengths and counts as log(1 + n), the others as shares."""
    words = WORD.findall(text.lower())
    sentences = max(1, sum(bool(part.strip()) for part in SENTENCE.split(text)))
    number = max(1, len(words))
    found = (
        math.log1p(len(words)),
        math.log1p(sentences if words else 0),
        math.log1p(len(words) / sentences),
        sum(map(len, words)) / number,
        len(set(words)) / number,
        math.log1p(text.count("?")),
        math.log1p(text.count("!")),
        math.log1p(text.count(",")),
        math.log1p(sum(word.isdigit() for word in words)),
    )
    return np.array(found, dtype=np.float32)


def hashed(text: str) -> np.ndarray:
    """Words and pairs of a text in `BUCKETS` columns, float32 of length 1; zeros for a text without words."""
    words = WORD.findall(text.lower())
    counts = Counter(words)
    counts.update(f"{first} {second}" for first, second in itertools.pairwise(words))
    columns = np.zeros(BUCKETS)
    for gram, count in counts.items():
        found = zlib.crc32(gram.encode("utf-8", "surrogatepass"))
        columns[(found >> 1) % BUCKETS] += (1.0 + math.log(count)) * (1.0 if found & 1 else -1.0)
    length = float(np.linalg.norm(columns))
    return (columns / length if length else columns).astype(np.float32)
