"""What `limssr explain` writes, as anyone may hand it over."""

from limssr.core.reading.record_parts import Number, Record


class FigureRecord(Record):
    """A figure of `limssr explain`."""

    name: str
    words: str


class StreamShareRecord(Record):
    """What a stream adds to scores."""

    share: Number | None = None


class ContributionsRecord(Record):
    """What streams add to scores."""

    streams: dict[str, StreamShareRecord]


class ExplainDocument(Record):
    """explain/explain.json, as far as the report reads it."""

    format_version: int
    split: str | None = None
    figures: list[FigureRecord]
    contributions: ContributionsRecord | None = None
    not_applicable: dict[str, str] | None = None
    notes: list[str] | None = None
