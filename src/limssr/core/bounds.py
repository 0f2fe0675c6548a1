"""What a key of a recipe may hold: sizes, counts, names and paths, each with its bounds."""

import os
from typing import Annotated

from pydantic import AfterValidator, Field

from limssr.core.reading.documents import is_text

# Bounds are far above what anyone trains and far below what fills a machine before the first step.
MAX_SIZE = 8_192
"""Of a width, a rank, or a number of tokens."""
MAX_COUNT = 1_000_000
"""Of epochs, samples of a batch, segments."""
MAX_TOGETHER = 131_072
"""Width of all members of an ensemble side by side."""
MAX_SEED = 2**32 - 1
MAX_FILE_NAME_BYTES = 200
MAX_PART_BYTES = 255
"""Of a name in a path; no file system has longer ones."""


def _is_name(value: str) -> str:
    # It becomes the name of a folder, with a few letters more while that is written.
    if (
        not is_text(value)
        or "\0" in value
        or max(len(part.encode()) for part in value.split("/")) > MAX_FILE_NAME_BYTES
    ):
        raise ValueError(f"a name of at most {MAX_FILE_NAME_BYTES} bytes is needed, as it names a folder")
    return value


def _is_path(value: str) -> str:
    if not is_text(value) or "\0" in value or any(len(os.fsencode(part)) > MAX_PART_BYTES for part in value.split("/")):
        raise ValueError(f"a path is needed, whose names have at most {MAX_PART_BYTES} bytes")
    return value


def _is_option(value: bool | int | float | str | None) -> bool | int | float | str | None:
    if isinstance(value, int | float) and not abs(value) <= MAX_COUNT:
        raise ValueError(f"a number between {-MAX_COUNT:,} and {MAX_COUNT:,} is needed")
    return value


DropoutRate = Annotated[float, Field(ge=0.0, lt=1.0)]
Size = Annotated[int, Field(ge=1, le=MAX_SIZE)]
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Rate = Annotated[float, Field(gt=0.0)]
Weight = Annotated[float, Field(ge=0.0, le=1e6)]
Name = Annotated[str, AfterValidator(_is_name), Field(max_length=2_000)]
Option = Annotated[bool | int | float | str | None, AfterValidator(_is_option)]

PathText = Annotated[str, AfterValidator(os.path.expanduser), AfterValidator(_is_path)]
"""A path, or a name that may be one; what begins with ~/ leads home."""
