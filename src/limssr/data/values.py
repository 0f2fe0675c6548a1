"""Turns one stream given as an array, tensor, table or nested list into an array and names of columns."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from limssr.core.errors import InputError
from limssr.data.validate import unmasked


@dataclass(frozen=True)
class Values:
    """What was read.

    Attributes:
        array: Of any type and rank; `check_sample` judges it. NaN where a mask was set.
        columns: Names of the columns; None where there are none, or only running numbers.
    """

    array: np.ndarray
    columns: tuple[str, ...] | None = None


def read_values(stream: Any, *, where: str) -> Values:
    """Read one stream.

    Args:
        stream: An array, a masked array, a tensor (on any device, with a gradient, bfloat16), a table of pandas, polars
            or pyarrow, a sparse matrix, or a nested list.
        where: Beginning of the messages ("Sample 3, stream 'audio'").

    Raises:
        InputError: Rows of different lengths, or a table that holds something else than numbers.
    """
    if hasattr(stream, "detach") and hasattr(stream, "numpy"):
        return Values(_from_tensor(stream))
    if hasattr(stream, "column_names") or (hasattr(stream, "to_numpy") and hasattr(stream, "columns")):
        return _from_table(stream, where)
    if hasattr(stream, "toarray"):
        return Values(np.asarray(stream.toarray()))
    if isinstance(stream, np.ndarray):
        return Values(unmasked(stream))
    try:
        return Values(unmasked(np.asarray(stream)))
    except (TypeError, ValueError) as error:
        lengths = sorted({len(row) for row in stream if hasattr(row, "__len__")}) if hasattr(stream, "__iter__") else []
        found = f"rows of {' and '.join(map(str, lengths[:4]))} values" if len(lengths) > 1 else f"{error}"
        raise InputError(
            f"{where}: expected an array [segments, features], found {found}: give every segment the same features."
        ) from error


def _from_tensor(tensor: Any) -> np.ndarray:
    tensor = tensor.detach().cpu()
    if tensor.dtype.is_floating_point and tensor.dtype.itemsize < 4:
        tensor = tensor.float()  # NumPy has no bfloat16
    return tensor.numpy()


def _from_table(table: Any, where: str) -> Values:
    names = list(table.column_names if hasattr(table, "column_names") else table.columns)
    try:
        if hasattr(table, "column_names"):  # pyarrow
            columns = [np.asarray(table.column(index).to_numpy()) for index in range(len(names))]
            array = np.stack(columns, axis=1) if columns else np.empty((table.num_rows, 0))
        elif hasattr(table, "dtypes") and hasattr(table, "index"):  # pandas: its missing values become NaN
            array = table.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            array = np.asarray(table.to_numpy())
        array = array.astype(np.float64) if array.dtype.kind == "O" else array
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{where}: expected a table of numbers, found a column that holds something else ({error}): keep one "
            "numeric column a feature."
        ) from error
    return Values(array, _names(names, where))


def _names(names: list[Any], where: str) -> tuple[str, ...] | None:
    """Names of text; running numbers are what tables give columns that have none."""
    if all(isinstance(name, int | np.integer) and not isinstance(name, bool) for name in names):
        return None
    found = tuple("/".join(map(str, name)) if isinstance(name, tuple) else str(name).strip() for name in names)
    for name in found:
        if name.lower() in ("index", "time", "timestamp", "unnamed: 0"):
            column = found.index(name)
            raise InputError(
                f"{where}: expected features alone, found a column '{name}' (number {column + 1}), which counts rows "
                "or time: drop it, or rename it if it is a feature."
            )
    return found
