"""Importers: from published or own files to a store. `IMPORTERS` lists them by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from limssr.core.errors import InputError
from limssr.core.lazy import LazyTable, PlugIns
from limssr.data.importers.report import ImportReport

__all__ = ["IMPORTERS", "OTHERS", "ImportReport"]


def _table(root: Path, store: Path, **options: Any) -> ImportReport:
    from limssr.data.importers.table.table import import_table

    return import_table(root, store, **options)


def _percepiano(root: Path, store: Path, **options: Any) -> ImportReport:
    # A MIDI library takes a second to load: only those who read MIDI wait for it.
    from limssr.data.importers.percepiano.percepiano import import_percepiano

    return ImportReport.of(store, details=import_percepiano(root, store, **options))


def _fs1000(root: Path, store: Path, **options: Any) -> ImportReport:
    from limssr.data.importers.skating.fs1000 import import_fs1000

    return import_fs1000(root, store, **options)


def _fisv(root: Path, store: Path, **options: Any) -> ImportReport:
    from limssr.data.importers.skating.fisv import import_fisv

    return import_fisv(root, store, **options)


def _rg(root: Path, store: Path, **options: Any) -> ImportReport:
    from limssr.data.importers.skating.rg import import_rg

    return import_rg(root, store, **options)


def _mfn(root: Path, store: Path, **options: Any) -> ImportReport:
    from limssr.data.importers.mfn.mfn import import_mfn

    return import_mfn(root, store, **options)


IMPORTERS: dict[str, Callable[..., ImportReport]] = {
    "fisv": _fisv,
    "fs1000": _fs1000,
    "mfn": _mfn,
    "percepiano": _percepiano,
    "rg": _rg,
    "table": _table,
}
"""Name of a source -> function(root, store, **options). `root` is a folder, or the manifest of a table."""


def _plugged(name: str, found: Any) -> Callable[..., ImportReport]:
    if not callable(found):
        raise InputError(f"Expected a function (root, store, *, progress) for the importer {name!r}, found {found!r}.")
    return cast("Callable[..., ImportReport]", found)


OTHERS: LazyTable[Callable[..., ImportReport]] = LazyTable({}, PlugIns(group="limssr.importers", made=_plugged))
"""Importers of installed packages: entry points `limssr.importers`, each a function (root, store, *, progress)."""
