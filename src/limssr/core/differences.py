"""Where two configurations, or other trees of plain values, differ."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Difference(NamedTuple):
    """A key with two values.

    Attributes:
        key: Such as "train.epochs"; "" for two values that are no trees.
        first: None where the first tree lacks it.
        second: None where the second does.
    """

    key: str
    first: Any
    second: Any


def differences(first: Any, second: Any, key: str = "") -> Iterator[Difference]:
    """Every difference, in the order of the first tree, then what the second alone has.

    A subtree that only one of them has is one value, not one a key; a key that is absent equals one that is None.

    Args:
        first: Such as `config.model_dump(mode="json")`.
        second: The other.
        key: Where both stand in a larger tree.
    """
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for name in dict.fromkeys((*first, *second)):
            yield from differences(first.get(name), second.get(name), f"{key}.{name}".lstrip("."))
    elif first != second:
        yield Difference(key, first, second)
