"""What records of several files have in common: numbers, and parts that more than one of them holds."""

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MAX_NUMBER = 1e100
"""Of a record: far beyond float32 and its square, and small enough that sums and products of it are finite."""


def _of_a_size(value: Any) -> Any:
    """Refuse whole numbers that no array holds, those of Python have no end, and numbers that overflow in use."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("a whole number beyond 64 bits")
    if isinstance(value, float) and MAX_NUMBER < abs(value) < math.inf:
        raise ValueError(f"a number beyond {MAX_NUMBER:g}")
    return value


Number = Annotated[float, BeforeValidator(_of_a_size), Field(allow_inf_nan=False)]
Counts = dict[str, Annotated[int, Field(ge=0)]]


class Record(BaseModel):
    """A part of a file that limssr wrote; keys that newer versions add are let through."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)


class AvailabilityRecord(Record):
    """How data was made incomplete."""

    source: str | None = None
    rate: Number | None = None
    pattern: str | None = None
    splits: list[str] | None = None


class ValidationRecord(Record):
    """How validation was held out."""

    num_samples: int = Field(ge=0)
    num_groups: int = Field(ge=0)
    folds: int | None = None
    fold: int | None = None


class SubsetOutRecord(Record):
    """A subset that an average is not over."""

    streams: list[str]
    reason: str


class SameSubsetRecord(SubsetOutRecord):
    """A subset that reads what another one reads."""

    same_as: list[str]


class DeviceRecord(Record):
    """What trained a run."""

    name: str | None = None
    reason: str | None = None


class EnvironmentRecord(Record):
    """Versions and machine of a run; other keys are shown as they are."""

    limssr: str | None = None
    packages: dict[str, str | None] | None = None
