"""A manifest of six samples of one stream, to be written in as many ways as people write tables."""

import csv

import numpy as np

from limssr.data.importers.table.table import import_table, read_manifest
from limssr.data.store.reader import FeatureStore

GENERATOR = np.random.default_rng(0)
SPLITS = ("train",) * 4 + ("val", "test")
NAMES = ["a", "b", "c", "d"]


def lines(rows, separator=",", decimal="."):
    return "".join(
        separator.join(cell if isinstance(cell, str) else f"{cell:.3f}".replace(".", decimal) for cell in row) + "\n"
        for row in rows
    )


class Own:
    """A folder with a manifest of six samples of one stream of four features, to be written in many ways."""

    def __init__(self, folder):
        self.folder = folder
        self.arrays = [GENERATOR.normal(size=(5 + row, 4)).round(3) for row in range(6)]
        self.files = {}

    def write(self, save, name="manifest.csv", splits=SPLITS, **more):
        rows = []
        for row, array in enumerate(self.arrays):
            cells = {"id": f"s{row}", "split": splits[row], "score:total": float(row), "stream:video": save(row, array)}
            cells |= {column: values[row] for column, values in more.items()}
            rows.append({column: cell for column, cell in cells.items() if cell is not None})
        path = self.folder / name
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(column for row in rows for column in row)), restval="")
            writer.writeheader()
            writer.writerows(rows)
        return path

    def text(self, make, ending=".csv"):
        def save(row, array):
            path = self.folder / f"v{row}{ending}"
            path.write_text(make(array) if make.__code__.co_argcount == 1 else make(array, row))
            return path.name

        return save

    def read(self, save, name="store", **options):
        more = options.pop("more", {})
        return import_table(self.write(save, **more), self.folder / name, **options)

    def store(self, name="store"):
        return FeatureStore.open(self.folder / name)

    def expect(self, name="store", atol=1e-6):
        for row, array in enumerate(self.arrays):
            found = self.store(name).sample(f"s{row}").streams["video"]
            np.testing.assert_allclose(found, array, atol=atol)


def npy(own):
    def save(row, array):
        np.save(own.folder / f"v{row}.npy", array)
        return f"v{row}.npy"

    return save


def new_samples(own, save, modality, **options):
    decisions = []
    path = own.write(save, "new.csv")
    return read_manifest(path, modalities=(modality,), need_scores=False, say=decisions.append, **options), decisions


def npy_of(own, row):
    np.save(own.folder / f"a{row}.npy", GENERATOR.normal(size=(5 + row, 2)))
    return f"a{row}.npy"
