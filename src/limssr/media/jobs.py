"""From rows to jobs: one a file, shared by all rows and columns that name it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limssr.core.errors import InputError
from limssr.media.assemble import offset_ns
from limssr.media.clock import Segments
from limssr.media.executors import Outcome
from limssr.media.manifest import Recording, Source
from limssr.media.record import StreamRecord
from limssr.media.work import FileResult, Job, encode_file


def media_job(
    row: Recording, source: Source, streams: Sequence[StreamRecord], segments: Segments, *, cache: Path | None
) -> Job:
    """What is to be done with a media file of a row.

    Raises:
        InputError: Its offset is no number.
    """
    wanted = [stream.encoder for stream in streams if stream.kind == "media" and stream.column == source.name]
    return Job(
        path=source.path,
        encoders=tuple(encoder for encoder in wanted if encoder is not None),
        segments=segments,
        offset_ns=offset_ns(source, where=row.where),
        cache=cache,
    )


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """All jobs, and which rows wait for which.

    Attributes:
        jobs: Each once.
        of_row: Row -> column -> index of its job.
    """

    jobs: tuple[Job, ...]
    of_row: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(
        cls,
        rows: Sequence[Recording],
        streams: Sequence[StreamRecord],
        segments: Segments,
        *,
        cache: Path,
        failures: dict[str, str],
    ) -> "Jobs":
        """The jobs of the rows that have not failed; rows whose offsets are wrong are added to the failures."""
        jobs: dict[Job, int] = {}
        of_row: dict[str, dict[str, int]] = {}
        for row in rows:
            if row.id in failures:
                continue
            try:
                wanted = {
                    source.name: media_job(row, source, streams, segments, cache=cache)
                    for source in row.of_kind("media")
                }
            except InputError as error:
                failures[row.id] = str(error)
                continue
            of_row[row.id] = {name: jobs.setdefault(job, len(jobs)) for name, job in wanted.items()}
        return cls(jobs=tuple(jobs), of_row=of_row)

    def failed(self, outcomes: Mapping[int, Outcome]) -> Iterator[tuple[str, str]]:
        """Rows whose files could not be read, and why."""
        for row, columns in self.of_row.items():
            reasons = [outcomes[index].reason for index in columns.values()]
            if any(reasons):
                yield row, next(reason for reason in reasons if reason)

    def damage(self, row: Recording, outcomes: Mapping[int, Outcome]) -> list[tuple[float, str]]:
        """What was wrong with the files of a row that could be read in part."""
        return [place for index in self.of_row.get(row.id, {}).values() for place in outcomes[index].damage]

    def encoders_with_values(self, failures: Mapping[str, str]) -> set[tuple[str, str]]:
        """(column, encoder) of which at least one recording has a valid segment."""
        found: set[tuple[str, str]] = set()
        for row, columns in self.of_row.items():
            if row in failures:
                continue
            for column, index in columns.items():
                job = self.jobs[index]
                if any((column, encoder) not in found for encoder in job.encoders):
                    values = encode_file(job).values
                    found |= {(column, name) for name, array in values.items() if not np.isnan(array).all()}
        return found

    def results(self, row: Recording) -> dict[str, FileResult]:
        """What the files of a row gave, from the cache."""
        return {column: encode_file(self.jobs[index]) for column, index in self.of_row[row.id].items()}
