"""Tables of names whose entries are imported on first use, so that listing the names is cheap."""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

T = TypeVar("T")


@dataclass(frozen=True)
class Where:
    """Where a row is defined.

    Attributes:
        module: Full name of the module.
        attribute: Name of the row in it.
    """

    module: str
    attribute: str


class LazyTable(Mapping[str, T], Generic[T]):
    """Name -> row, in the order given; a module is imported when its first row is read.

    Args:
        rows: Name -> where it is defined. A test loads every row, so a wrong entry does not wait for its user.
    """

    def __init__(self, rows: Mapping[str, Where]) -> None:
        self._rows = dict(rows)

    def __getitem__(self, name: str) -> T:
        where = self._rows[name]
        return cast("T", vars(importlib.import_module(where.module))[where.attribute])

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)
