"""Short quotations of values for error messages."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

MAX_QUOTED = 80
"""Characters of a value that a message repeats."""
MAX_LISTED = 20
"""Names of a list that a message repeats."""
MAX_MESSAGE = 4_000
"""Characters of a whole message."""
LEFT_OUT = " … "


def shortened(text: str, limit: int = MAX_QUOTED) -> str:
    """The text, or its beginning and its end where it is longer than `limit`."""
    if len(text) <= limit:
        return text
    tail = limit // 4
    return f"{text[: limit - tail - len(LEFT_OUT)]}{LEFT_OUT}{text[-tail:]}"


def quoted(value: Any) -> str:
    """A value as Python writes it, shortened; a container by its kind and size, as its text may be endless."""
    if isinstance(value, str):
        return repr(shortened(value))
    if isinstance(value, bool | float | None):
        return repr(value)
    if isinstance(value, int):
        # Python refuses to write whole numbers of thousands of digits.
        return repr(value) if abs(value) < 10**40 else f"a whole number of {value.bit_length()} bits"
    try:
        return f"{type(value).__name__} of {len(value)}"
    except TypeError:
        return f"something of type {type(value).__name__}"


def listed(names: Iterable[Any], *, empty: str = "(none)") -> str:
    """Names with commas between them, the first of many, each shortened."""
    names = list(names)
    shown = [shortened(str(name)) for name in islice(names, MAX_LISTED)]
    more = [f"and {len(names) - MAX_LISTED:,} more"] if len(names) > MAX_LISTED else []
    return ", ".join([*shown, *more]) or empty
