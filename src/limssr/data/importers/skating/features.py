"""Feature files of one stream: one .npy file for each clip, or dictionaries of many clips."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from limssr.core.errors import InputError
from limssr.data.importers.pickles.arrays import PickledArrays, read_array, read_arrays, read_form


class StreamSource(Protocol):
    """The features of one stream.

    Attributes:
        ids: Every clip that it holds.
        names: Its files or folder, below the root.
    """

    ids: Collection[str]
    names: Sequence[str]

    def shape(self, clip: str) -> tuple[int, int]:
        """(T, D) of a clip, without reading its values."""
        ...

    def read(self, clip: str) -> np.ndarray:
        """The features [T, D] of a clip, of any real type."""
        ...


class ClipFolder:
    """A folder with `ID.npy` for every clip.

    Args:
        folder: The folder.
        parts: "average": files hold [T, k, D], of which the mean over k is taken; "none": they hold [T, D].

    Raises:
        InputError: A file of another rank, pickled or damaged.
    """

    def __init__(self, folder: Path, *, parts: Literal["average", "none"] = "none") -> None:
        self._folder, self._parts = folder, parts
        self.ids: Collection[str] = frozenset(path.stem for path in folder.glob("*.npy"))
        self.names: Sequence[str] = (folder.name,)

    def shape(self, clip: str) -> tuple[int, int]:
        """(T, D) of a clip, from its file's header."""
        path = self._path(clip)
        shape = read_form(path).shape
        if self._parts == "none":
            return _rank_2(shape, str(path))
        if len(shape) != 3 or shape[1] == 0:
            raise InputError(
                f"{path}: expected [segments, parts, features], found shape {shape}: the published files hold several "
                "vectors a segment, whose mean is taken here."
            )
        return shape[0], shape[2]

    def read(self, clip: str) -> np.ndarray:
        """The features [T, D] of a clip."""
        array = read_array(self._path(clip))
        if self._parts == "none":
            return array
        # Said here: the mean of both infinities is NaN, which would be taken for something else.
        if np.isinf(array).any():
            raise InputError(f"{self._path(clip)}: expected finite values, found infinite ones: fetch the file again.")
        nan_T = np.isnan(array).all(axis=(1, 2))
        partial_T = np.isnan(array).any(axis=(1, 2)) & ~nan_T
        if partial_T.any():
            raise InputError(
                f"{self._path(clip)}: expected segments that are all NaN (not valid) or without NaN, found NaN in a "
                f"part of segment {int(np.flatnonzero(partial_T)[0])}: fill it in, or make the whole segment NaN."
            )
        # float16 sums overflow; wider types keep their own precision, as in the published code.
        wide = array.astype(np.float32) if array.dtype.itemsize < 4 else array
        return wide.mean(axis=1)

    def _path(self, clip: str) -> Path:
        return self._folder / f"{clip}.npy"


class Dictionaries:
    """One or several `.npy` files that each hold a dictionary clip -> [T, D].

    Args:
        folder: Where the files are.
        files: File name -> beginning of the ids that belong in it; other ids in it are not looked at.

    Raises:
        InputError: A file that holds anything else, or is damaged.
    """

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self.names: Sequence[str] = tuple(f"{folder.name}/{name}" for name in files)
        self._holder: dict[str, PickledArrays] = {}
        for name, beginning in files.items():
            arrays = read_arrays(folder / name)
            self._holder |= {clip: arrays for clip in arrays.ids() if clip.startswith(beginning)}
        self.ids: Collection[str] = self._holder.keys()

    def shape(self, clip: str) -> tuple[int, int]:
        """(T, D) of a clip, from the dictionary's structure."""
        arrays = self._holder[clip]
        return _rank_2(arrays.form(clip).shape, f"{arrays.path}, '{clip}'")

    def read(self, clip: str) -> np.ndarray:
        """The features [T, D] of a clip."""
        return self._holder[clip][clip]


def _rank_2(shape: tuple[int, ...], where: str) -> tuple[int, int]:
    if len(shape) != 2:
        raise InputError(f"{where}: expected [segments, features], found shape {shape}: give one vector a segment.")
    return shape[0], shape[1]
