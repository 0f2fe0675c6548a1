"""Samples of a JSON body: checked as arrays from Python are, with the same sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel

from limssr.core.errors import InputError, unknown_name
from limssr.core.reading.documents import parse_json
from limssr.core.reading.fields import checked
from limssr.core.reading.regular import Outside
from limssr.core.types import Sample
from limssr.core.words import Words
from limssr.data.columns import Unnamed, place
from limssr.data.validate import check_sample
from limssr.data.words.given import is_words, read_words
from limssr.data.words.streams import WordStreams
from limssr.serve.problems import Problem
from limssr.serve.schema import NamedArray, SampleBody
from limssr.serve.served import Served

BODY = Outside(
    path=Path("the body of the request"), what="a JSON document as /openapi.json describes it", remedy="correct it"
)
Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much one request may hold."""

    max_segments: int
    max_samples: int

    def check_segments(self, number: int, where: str) -> None:
        """Raise `Problem` 413 for a longer sample."""
        if number > self.max_segments:
            raise Problem(
                413,
                f"{where}: expected at most {self.max_segments:,} segments, found {number:,}: send a shorter one, or "
                "ask whoever runs the server for a higher bound.",
            )

    def check_samples(self, number: int) -> None:
        """Raise `Problem` 413 for more samples."""
        if number > self.max_samples:
            raise Problem(
                413,
                f"Expected at most {self.max_samples:,} samples in a request, found {number:,}: send several requests.",
            )


def read_body(content: bytes, model: type[Body]) -> Body:
    """A JSON body.

    Raises:
        Problem: 400 where it is no JSON, 422 where it is another document.
    """
    try:
        document = parse_json(content, BODY)
    except InputError as error:
        raise Problem(400, str(error)) from None
    return checked(model, document, BODY)


def samples_of(
    bodies: Sequence[SampleBody], served: Served, bounds: Bounds, *, columns: str, only: Sequence[str] | None
) -> tuple[list[Sample], list[str]]:
    """Checked samples, and what was decided on the way.

    Args:
        bodies: As they were sent.
        served: The run that is to score them.
        bounds: How much there may be.
        columns: "by-place" also takes arrays without names where the run's streams have names.
        only: Use only these streams; None: all.

    Raises:
        InputError: Something in a sample is not right, in the words of `limssr predict`.
        Problem: Too much of it.
    """
    bounds.check_samples(len(bodies))
    how = served.reading.columns if columns == "as-trained" else columns
    unnamed: Unnamed = "by-place" if how == "by-place" else "refuse"
    known = {modality.name: modality for modality in served.found.modalities}
    texts = WordStreams(
        modalities=[one for one in served.found.modalities if one.words], segment_s=served.reading.segment_s
    )
    samples, notes, seen = [], [], set()
    for body in bodies:
        if body.id in seen:
            raise InputError(f"Expected ids that occur once, found '{body.id}' again: rename it.")
        seen.add(body.id)
        arrays, words = {}, {}
        for name, given in body.streams.items():
            where = f"Sample '{body.id}', stream '{name}'"
            if given is None:
                continue
            if name in known and known[name].words:
                words[name] = _words(given, where)
                continue
            names, values = _parts(given, where)
            array = read_array(values, where)
            bounds.check_segments(len(array), where)
            if name in known:
                placed = place(array, names, known[name], unnamed=unnamed, where=where)
                array = placed.values
                if placed.how == "reordered":
                    notes.append(f"stream '{name}': columns put into the order of the model, by their names")
            arrays[name] = array
        sample = texts.join(Sample(body.id, arrays), words, where=f"Sample '{body.id}'")
        samples.append(check_sample(sample, served.found.modalities, (), scores="optional"))
    return restricted(samples, served, only), list(dict.fromkeys(notes))


def restricted(samples: Sequence[Sample], served: Served, only: Sequence[str] | None) -> list[Sample]:
    """Samples with some of their streams; one may have none left, and gets no score.

    Raises:
        InputError: The run knows no stream of that name.
    """
    if only is None:
        return list(samples)
    for name in only:
        if name not in served.names:
            raise unknown_name("stream", name, list(served.names))
    return [sample.restricted_to(tuple(only)) for sample in samples]


def _words(given: Any, where: str) -> Words:
    """Text, or a list of [start, end, word]."""
    pieces = (
        [tuple(piece) if isinstance(piece, list) else piece for piece in given] if isinstance(given, list) else given
    )
    if not is_words(pieces):
        raise InputError(f"{where}: expected words, as in training, found {type(given).__name__}.")
    return read_words(pieces, where=where)


def _parts(given: Any, where: str) -> tuple[tuple[str, ...] | None, Any]:
    if not isinstance(given, Mapping):
        return None, given
    outside = Outside(path=BODY.path, what="{columns, values}", remedy="give an array, or both of these", where=where)
    named = checked(NamedArray, given, outside)
    if isinstance(named.values, list):
        for row in named.values:
            if isinstance(row, list) and len(row) != len(named.columns):
                raise InputError(
                    f"{where}: expected {len(named.columns)} values a segment, as there are names of columns, found "
                    f"{len(row)}: give each column its name."
                )
    return tuple(named.columns), named.values


def read_array(values: Any, where: str) -> np.ndarray:
    """Nested lists as an array; null is NaN."""
    if not isinstance(values, list):
        raise InputError(f"{where}: expected an array [segments, features], found {type(values).__name__}.")
    width = max((len(row) for row in values if isinstance(row, list)), default=0)
    rows = [[None] * width if row is None else row for row in values]
    lengths = sorted({len(row) for row in rows if isinstance(row, list)})
    if len(lengths) > 1:
        raise InputError(
            f"{where}: expected an array [segments, features], found rows of {' and '.join(map(str, lengths[:4]))} "
            "values: give every segment the same features."
        )
    for row in rows:
        for value in row if isinstance(row, list) else (row,):
            if not (value is None or (isinstance(value, int | float) and not isinstance(value, bool))):
                found = type(value).__name__
                raise InputError(f"{where}: expected rank 2, [segments, features], of numbers, found a {found} in it.")
    try:
        return np.array(rows, dtype=np.float64) if rows else np.empty((0, 0))
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{where}: expected an array [segments, features] of numbers, found another ({error})."
        ) from None
