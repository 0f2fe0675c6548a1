"""Bodies of requests and answers, as the OpenAPI document describes them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Row = list[float | None] | None


class NamedArray(BaseModel):
    """A stream with names over its columns; they are put into the run's order."""

    model_config = ConfigDict(extra="forbid")
    columns: list[str]
    values: Any = Field(description="An array [segments, features].")


class SampleBody(BaseModel):
    """One performance: whichever streams there are."""

    model_config = ConfigDict(extra="forbid")
    id: Annotated[str, Field(max_length=1_000)] = "sample"
    streams: dict[str, Any] = Field(
        description="Stream -> array [segments, features], or {columns, values}. null: the stream is absent; a row "
        "that is null, or of nulls alone: the segment is missing."
    )


class AskBody(BaseModel):
    """What every request may say."""

    model_config = ConfigDict(extra="forbid")
    model: str | None = Field(default=None, description="Of /v1/models; may be left out where there is one.")
    streams: list[str] | None = Field(
        default=None, description="Use only these streams; without it all that are there."
    )
    interval: float | None = Field(
        default=None,
        description="Share of new scores that intervals are to cover. null: none; not given: 0.9 if the run can.",
    )
    columns: Literal["as-trained", "by-name", "by-place"] = "as-trained"


class ScoreBody(AskBody):
    """Samples to score."""

    samples: list[SampleBody] = Field(min_length=1)


class ExplainBody(AskBody):
    """One sample to explain."""

    sample: SampleBody
    windows: Annotated[int, Field(ge=1, le=100, description="Stretches to cut the performance into.")] = 20


class CriterionScore(BaseModel):
    """A score on its scale; null where nothing can be said."""

    score: float | None
    low: float | None = Field(description="Lower end of the interval.")
    high: float | None = Field(description="Upper end of the interval.")
    scale: tuple[float, float]
    unit: str


class SampleScores(BaseModel):
    """Scores of one sample."""

    id: str
    streams: list[str] = Field(description="That were used.")
    missing: list[str]
    segments: int
    scores: dict[str, CriterionScore]
    flags: list[str]


class ScoreAnswer(BaseModel):
    """What `POST /v1/score` answers."""

    model: str
    interval: float | None
    samples: list[SampleScores]
    notes: list[str]
    timings_ms: dict[str, float]


class ProblemAnswer(BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
