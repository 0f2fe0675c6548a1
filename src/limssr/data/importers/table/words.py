"""The `text:NAME` columns of a manifest: words in the cells, or files of words."""

from collections import Counter

from limssr.core.errors import InputError
from limssr.core.words import Words
from limssr.data.groups import is_missing
from limssr.data.importers.table.manifest import TEXT_PREFIX, Manifest, text_cell
from limssr.data.importers.table.reading import Reading
from limssr.data.words.clean import cleaned, kept
from limssr.data.words.files import is_path, read_cell


class WordCells:
    """Reads the words of one row after the other.

    Args:
        table: The manifest.
        reading: How texts are read.
        names: The streams to read.
    """

    def __init__(self, table: Manifest, reading: Reading, names: tuple[str, ...]) -> None:
        self.table, self.names = table, names
        self._clean = cleaned if reading.markup == "remove" else kept
        self._how: Counter[tuple[str, str]] = Counter()

    def check(self) -> None:
        """Refuse a column without any words.

        Raises:
            InputError: There is one.
        """
        for name in self.names:
            if all(is_missing(row.get(TEXT_PREFIX + name)) for row in self.table.rows):
                raise InputError(
                    f"{self.table.path}: expected at least one sample with the stream '{name}', found only empty "
                    f"cells: remove the column '{TEXT_PREFIX}{name}' or fill it in."
                )

    def read(self, row: int) -> dict[str, Words]:
        """The words of a row; a stream with an empty cell is not there.

        Raises:
            InputError: See `limssr.data.words.files.read_cell`.
        """
        found = {}
        for name in self.names:
            given = self.table.rows[row].get(TEXT_PREFIX + name)
            if given is None or given == "" or is_missing(given):
                continue
            cell, folder = str(given), self.table.path.parent
            where = f"{self.table.where(row)}: sample '{text_cell(self.table.rows[row], 'id')}', stream '{name}'"
            self._how[name, "cells that name files" if is_path(cell, folder) else "cells that hold the words"] += 1
            found[name] = read_cell(cell, folder, where=where, clean=self._clean)
        return found

    def sentences(self) -> list[str]:
        """How cells were taken, where a column has both kinds."""
        kinds = Counter(name for name, _ in self._how)
        return [f"stream '{name}': {how}: {n}" for (name, how), n in sorted(self._how.items()) if kinds[name] > 1]
