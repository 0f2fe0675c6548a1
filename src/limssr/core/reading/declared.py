"""How much an array file or a table unpacks to, from what it says of itself, before any value is read."""

import pyarrow.parquet as pq

from limssr.core.reading.arrays import opened_archive, read_form
from limssr.core.reading.regular import Outside, open_regular


def declared_bytes(outside: Outside) -> int:
    """Bytes that a .npy, .npz or .parquet file has in memory; 0 for other kinds, which unpack to what they are.

    An archive whose members are longer than it says cannot be read past what it says.

    Raises:
        InputError: No such file, or one of another kind than its ending.
    """
    suffix = outside.path.suffix.lower()
    if suffix == ".npy":
        with open_regular(outside) as file:
            return read_form(file, outside).num_bytes
    if suffix == ".npz":
        with opened_archive(outside) as archive:
            return sum(info.file_size for info in archive.infolist())
    if suffix == ".parquet":
        with open_regular(outside) as file:
            try:
                about = pq.ParquetFile(file).metadata
            except Exception as error:  # thrift and Arrow have errors of many kinds
                raise outside.unreadable(error) from None
            values = max(about.num_rows, 0) * max(about.num_columns, 1) * 8
            return max(values, *(about.row_group(n).total_byte_size for n in range(about.num_row_groups)), 0)
    return 0
