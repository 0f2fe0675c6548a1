"""Tables of names whose entries are imported on first use, so that listing the names is cheap."""

import importlib
import importlib.metadata
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from limssr.core.errors import InputError

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


@dataclass(frozen=True, kw_only=True)
class PlugIns:
    """Rows that installed packages bring along.

    Attributes:
        group: Their entry-point group, such as "limssr.systems".
        made: (name, what the entry point names) -> row; refuses what is none with an InputError.
    """

    group: str
    made: Callable[[str, Any], Any]


class LazyTable(Mapping[str, T], Generic[T]):
    """Name -> row, in the order given; a module is imported when its first row is read.

    Args:
        rows: Name -> where it is defined. A test loads every row, so a wrong entry does not wait for its user.
        plug_ins: Rows of installed packages, behind the others. Their names are listed without importing them.
    """

    def __init__(self, rows: Mapping[str, Where], plug_ins: PlugIns | None = None) -> None:
        self._rows = dict(rows)
        self._added: dict[str, T] = {}
        self._plug_ins = plug_ins
        self._installed: dict[str, importlib.metadata.EntryPoint] | None = None

    def __getitem__(self, name: str) -> T:
        if name in self._rows:
            where = self._rows[name]
            return cast("T", vars(importlib.import_module(where.module))[where.attribute])
        if name not in self._added and name in self._entry_points():
            self._added[name] = self._loaded(name)
        return self._added[name]

    def __contains__(self, name: object) -> bool:
        return name in self._rows or name in self._added or name in self._entry_points()

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._rows, *self._entry_points(), *self._added)))

    def __len__(self) -> int:
        return len(list(iter(self)))

    @property
    def built_in(self) -> tuple[str, ...]:
        """The names that limssr itself brings."""
        return tuple(self._rows)

    @property
    def of_this_process(self) -> tuple[str, ...]:
        """Names that were added here: another process does not know them."""
        return tuple(name for name in self._added if name not in self._entry_points())

    def add(self, name: str, row: T) -> None:
        """Add a row, or replace one that was added before.

        Raises:
            InputError: The name is one of limssr's own, or of an installed package.
        """
        if name in self._rows or name in self._entry_points():
            raise InputError(f"Expected a name that is not taken, found {name!r}: choose another one.")
        self._added[name] = row

    def _entry_points(self) -> dict[str, importlib.metadata.EntryPoint]:
        if self._installed is None:
            self._installed = {}
            group = self._plug_ins.group if self._plug_ins else None
            for entry in importlib.metadata.entry_points(group=group) if group else ():
                if entry.name in self._rows or entry.name in self._installed:
                    # Nobody may replace a system of the tables by installing a package.
                    warnings.warn(f"{group}: {entry.value} is left out, the name {entry.name} is taken", stacklevel=2)
                else:
                    self._installed[entry.name] = entry
        return self._installed

    def _loaded(self, name: str) -> T:
        entry = self._entry_points()[name]
        try:
            found = entry.load()
        except Exception as error:  # code of others: whatever it raises, the person needs to know whose it is
            raise InputError(
                f"Expected {entry.value} to load for {name!r}, found {type(error).__name__}: {error}. It comes from an "
                "installed package: mend or remove that."
            ) from error
        return cast("T", cast("PlugIns", self._plug_ins).made(name, found))
