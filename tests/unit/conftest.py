"""Fixtures of the unit tests."""

import pytest

from helpers.own_tables import Own
from limssr.core.errors import InputError
from limssr.data.importers import IMPORTERS

SMALL = {"fs1000": {}, "fisv": {}, "rg": {"num_train": 6, "num_test": 3}}


@pytest.fixture
def tree(layouts, tmp_path):
    """`tree("rg", uneven=2)` writes a small published tree: `.written`, `.read()`, `.refused()`, `.edit()`."""

    class Tree:
        def __init__(self, source, *, header=None, **features):
            self.source, self.root, self.store = source, tmp_path / source, tmp_path / "store"
            self.folder = {"fisv": "Fis-feature", "rg": "RG-feature"}.get(source)
            options = SMALL[source] | ({} if header is None else {"header": header})
            given = layouts.Features(**{"widths": (6, 5, 4), **features})
            self.written = layouts.WRITERS[source](self.root, **options, features=given)

        def read(self, **options):
            return IMPORTERS[self.source](self.root, self.store, **options)

        def refused(self, **options):
            """The message, after a check that nothing was left behind."""
            with pytest.raises(InputError) as refusal:
                self.read(**options)
            assert sorted(path.name for path in tmp_path.iterdir()) == [self.source]
            assert refusal.value.exit_code == 2
            return str(refusal.value)

        def edit(self, name, change):
            lines = (self.root / name).read_text().splitlines()
            (self.root / name).write_text("".join(f"{line}\n" for line in change(lines)))

    return Tree


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setenv("LIMSSR_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    folder.mkdir()
    return Own(folder)
