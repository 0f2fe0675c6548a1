"""Where the segments of a live performance come from: lines of JSON, a sample of a store, a recording."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from limssr.core.errors import InputError, unknown_name
from limssr.core.reading.documents import parse_json
from limssr.core.reading.regular import Outside
from limssr.core.types import Sample
from limssr.data.columns import as_known
from limssr.data.store.reader import FeatureStore
from limssr.media.samples import read_recordings
from limssr.runs.folder import read_run
from limssr.runs.load import Loaded
from limssr.runs.prediction.recordings import extraction_of

MAX_LINE = 16 * 2**20
"""Characters of one line."""
DEFAULT_SEGMENT_S = 1.0
"""Where a store does not say how long its segments are."""

Streams = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Played:
    """A performance that is known whole, to be played as if it were going on.

    Attributes:
        sample: The performance.
        segment_s: Seconds of a segment.
        note: What should be known of it.
    """

    sample: Sample
    segment_s: float
    note: str = ""

    def segments(self, speed: float) -> Iterator[Streams]:
        """Segment by segment; `speed` 1 is real time, 2 twice as fast, 0 as fast as they are taken."""
        begun = time.perf_counter()
        for t in range(self.sample.num_segments):
            if speed > 0:
                # A segment is known when it is over.
                time.sleep(max(0.0, begun + (t + 1) * self.segment_s / speed - time.perf_counter()))
            yield {name: array[t : t + 1] for name, array in self.sample.streams.items()}


def from_store(store: Path, sample_id: str | None, found: Loaded) -> Played:
    """A sample of a store, with those of its streams that the run knows.

    Raises:
        InputError: No such sample, or none of its streams is known.
        ArtifactError: The store is damaged.
    """
    opened = FeatureStore.open(store)
    ids = list(opened.ids())
    if sample_id is None:
        tests = list(opened.ids("test"))
        sample_id = (tests or ids)[0]
    if sample_id not in ids:
        raise unknown_name("sample", sample_id, ids)
    held = {one.name: one for one in opened.modalities}
    known = [one for one in found.modalities if one.name in held]
    sample = opened.sample(sample_id).restricted_to(tuple(one.name for one in known))
    if not sample.streams:
        raise InputError(f"Expected a stream that the run knows in sample '{sample_id}' of {store}, found none.")
    placed = as_known([sample], held, known, where=str(store))[0]
    return Played(sample=placed, segment_s=opened.info.segment_s or DEFAULT_SEGMENT_S)


def from_recording(recording: Path, run: Path, found: Loaded) -> Played:
    """A recording, with the features of the run's encoders. They are computed before it is played.

    Raises:
        InputError: The run was not made from recordings, or this one cannot be read.
    """
    record = extraction_of(run)
    read = read_recordings(recording, record, found.modalities)
    if not read.samples:
        raise InputError(f"Expected a recording that can be read at {recording}, found none.")
    taken = sum(read.read_s.values())
    segment_s = read_segment_s(run)
    whole_s = read.samples[0].num_segments * segment_s
    note = f"its features took {taken:.1f} s for {whole_s:.1f} s of recording, before it was played"
    return Played(sample=read.samples[0], segment_s=segment_s, note=note)


def read_segment_s(run: Path) -> float:
    """Seconds of a segment of the run's store."""
    return float(read_run(run).document["store"].get("segment_s") or DEFAULT_SEGMENT_S)


def from_lines(lines: TextIO) -> Iterator[Streams]:
    """One JSON object a line: stream -> row of the next segment, or rows of several; null where it is missing.

    Raises:
        InputError: A line that is too long, no JSON, or no object; the message has its number.
    """
    number = 0
    while line := lines.readline(MAX_LINE + 1):
        number += 1
        outside = Outside(
            path=Path(f"line {number}"), what="a JSON object with an array for each stream", remedy="correct the line"
        )
        if len(line) > MAX_LINE:
            raise outside.refused(f"more than {MAX_LINE:,} characters")
        if not line.strip():
            continue
        document = parse_json(line, outside)
        if not isinstance(document, Mapping):
            raise outside.refused("something else")
        try:
            yield {name: _rows(value) for name, value in document.items() if value is not None}
        except (TypeError, ValueError) as error:
            raise outside.refused(f"an array that is none ({error})") from None


def _rows(value: Any) -> np.ndarray:
    rows = value if isinstance(value, list) and value and isinstance(value[0], list | None) else [value]
    width = max((len(row) for row in rows if isinstance(row, list)), default=0)
    found = np.array([[None] * width if row is None else row for row in rows])
    if found.dtype.kind == "O":
        found = found.astype(np.float64)
    return found
