"""What `limssr auto` keeps of its search in run.json, as anyone may hand it over."""

from pydantic import Field, model_validator

from limssr.core.reading.record_parts import Number, Record


class DifferenceRecord(Record):
    """A number with its interval; both are null where nothing could be measured."""

    spearman: Number | None
    ci: tuple[Number, Number] | None = Field(default=None, strict=False)


class CandidateRecord(Record):
    """A row of the leaderboard."""

    member: str
    seconds: Number
    incomplete: DifferenceRecord
    full: DifferenceRecord
    behind: DifferenceRecord
    error: Number | None = None


class WeightsRecord(Record):
    """How much each member counts."""

    common: dict[str, Number]
    by_streams: dict[str, dict[str, Number]] | None = None


class SearchCoverageRecord(Record):
    """How often intervals hold on held-out groups."""

    level: Number
    covered: Number | None = None
    width: Number | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> "SearchCoverageRecord":
        if (self.covered is None) != (self.width is None):
            raise ValueError("covered and width are known together, or neither is")
        return self


class SearchRecord(Record):
    """The whole search."""

    leaderboard: list[CandidateRecord]
    weights: WeightsRecord
    chosen: str
    language_model_adds: DifferenceRecord | None = None
    times_cheaper: Number | None = None
    left_out: dict[str, str] | None = None
    coverage: SearchCoverageRecord | None = None
    warnings: list[str] | None = None

    @model_validator(mode="after")
    def _someone_carries_the_score(self) -> "SearchRecord":
        if not self.weights.common:
            raise ValueError("weights name no member")
        return self
