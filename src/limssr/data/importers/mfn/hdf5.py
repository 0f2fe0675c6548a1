"""One plain array of numbers from an HDF5 file. The library that reads it is an optional extra.

HDF5 can point anywhere (links to other files, storage outside the file, virtual data sets) and can hold Python objects
by reference. Nothing of that is followed: an array is read if it lies in this file as numbers, and refused if not.
"""

from pathlib import Path
from typing import Any

import numpy as np

from limssr.core.errors import InputError, MissingExtraError, unknown_name
from limssr.core.reading.regular import Outside, open_regular

MAX_BYTES = 2**30
"""Of one data set; the released ones have a few hundred megabytes."""


def require_hdf5() -> Any:
    """The module h5py.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError(
            "Expected the package h5py, which reads HDF5 files, found none in this environment: install it with "
            "`pip install h5py`, or limssr together with it (the extra limssr[hdf5])."
        ) from error
    return h5py


def read_hdf5(path: Path, name: str) -> np.ndarray:
    """Read one array.

    Args:
        path: The file.
        name: Of the data set at the top of the file.

    Returns:
        The array as it is stored, of a float or integer type.

    Raises:
        MissingExtraError: h5py is not installed.
        InputError: Not a readable HDF5 file, no such data set, one that lies elsewhere, or one that holds no numbers.
    """
    h5py = require_hdf5()
    try:
        open_regular(Outside(path=path, what="a readable HDF5 file", remedy="fetch it again")).close()
        with h5py.File(path, "r") as file:
            if name not in file:
                raise InputError(f"{path}: {unknown_name('data set', name, sorted(file))}")
            _check_inside(h5py, file, name, path)
            return file[name][...]
    except InputError:
        raise
    # What h5py raises for damaged files is not documented; these are what it is seen to raise.
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise InputError(
            f"Expected a readable HDF5 file, found that {path} is not ({error}): fetch it again. Where a repository "
            "keeps large files elsewhere, a short text may stand in their place until they are fetched too."
        ) from error


def _check_inside(h5py: Any, file: Any, name: str, path: Path) -> None:
    """The data set lies in this file and holds numbers."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise InputError(f"{path}: expected the data set '{name}' in the file, found a link: it is not followed.")
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise InputError(f"{path}: expected '{name}' to be a data set, found a {type(found).__name__.lower()}.")
    if found.is_virtual or found.external:
        raise InputError(
            f"{path}: expected the values of '{name}' in the file itself, found that they lie in another one: copy "
            "them into this file."
        )
    if found.size * found.dtype.itemsize > MAX_BYTES:
        raise InputError(
            f"{path}: expected at most {MAX_BYTES:,} bytes of values in '{name}', found the shape {found.shape}: give "
            "the released file."
        )
    if found.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: expected numbers in '{name}', found the type {found.dtype}: objects, texts and records are never "
            "opened; store a float array."
        )
