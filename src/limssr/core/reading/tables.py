"""Reads Parquet and typed CSV from outside: how much there is is checked before values are read."""

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from limssr.core.errors import ResourceError
from limssr.core.quoting import shortened
from limssr.core.reading.regular import Outside, open_regular, read_bytes

MAX_VALUES = 2**26
"""Rows times columns of one table."""
MAX_TABLE_BYTES = 2**29
MAX_COLUMNS = 65_536
MAX_CSV_BYTES = 2**30
_SEPARATORS = {b",": "commas", b";": "semicolons", b"\t": "tabs"}
_QUOTED = re.compile(rb'"[^"]*"')
_DECIMAL_COMMA = re.compile(rb"(?:^|[;\t])[+-]?\d+,\d+(?:[eE][+-]?\d+)?\r?(?=[;\t]|$)", re.MULTILINE)
SIMPLE = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
TEXT = (pa.types.is_string, pa.types.is_large_string)


def read_parquet(
    outside: Outside, *, columns: Sequence[str] | None = None, numbers_only: bool = False, with_times: bool = False
) -> pa.Table:
    """A Parquet file of numbers and texts.

    Args:
        outside: The file.
        columns: Only these, in this order; None: all.
        numbers_only: Whether a column of texts is refused.
        with_times: Whether columns of times of the calendar are read beside numbers.

    Raises:
        InputError: No such file, no Parquet, damaged, columns of other types or lacking, or too large.
        ResourceError: The machine has no memory left for it.
    """
    with open_regular(outside) as file:
        try:
            # Texts stay in a dictionary, so that a page of bytes cannot become gigabytes of the same text.
            schema = pq.read_schema(file)
            texts = [field.name for field in schema if any(is_text(field.type) for is_text in TEXT)]
            # In this thread alone: one of Arrow's own that holds the file when Python ends ends the process badly.
            opened = pq.ParquetFile(file, read_dictionary=texts, pre_buffer=False)
            _check(opened, schema, outside, numbers_only=numbers_only, with_times=with_times)
            lacking = [name for name in columns or () if schema.names.count(name) != 1]
            if lacking:
                raise outside.refused(f"no column '{shortened(lacking[0])}', or several")
            table = opened.read(columns=None if columns is None else list(columns), use_threads=False)
            table.validate(full=True)
            return _decoded(table.select(columns) if columns is not None else table, outside)
        except pa.ArrowMemoryError as error:
            raise ResourceError(
                f"{outside.path}: expected memory for this table, found none ({error}): end what else uses it."
            ) from None
        except MemoryError:
            raise
        except Exception as error:  # thrift, compression and Arrow have errors of many kinds
            raise outside.unreadable(error) from None


def read_csv(outside: Outside) -> tuple[pa.Table, tuple[str, ...]]:
    """A text table with a header, its columns as numbers, moments (ISO), or texts, whatever all their cells are.

    Cells are separated by what the first line has most of: commas, semicolons or tabs. Without commas between cells,
    decimals may have one.

    Args:
        outside: The file.

    Returns:
        The table, and what was decided, a few words each.

    Raises:
        InputError: No such file, no such table, or too large.
    """
    content = read_bytes(outside, limit=MAX_CSV_BYTES)
    first = content[: content.find(b"\n") % (len(content) + 1)]
    unquoted = _QUOTED.sub(b"", first)
    separator = max(_SEPARATORS, key=unquoted.count)
    columns = first.count(separator) + 1
    if columns > MAX_COLUMNS or columns * (content.count(b"\n") + 1) > MAX_VALUES:
        raise outside.refused(f"{columns:,} columns or more than {MAX_VALUES:,} values")
    remarks = () if separator == b"," else (f"cells separated by {_SEPARATORS[separator]}",)
    decimal = "," if separator != b"," and _DECIMAL_COMMA.search(content) else "."
    remarks += ("decimal commas read as decimal points",) if decimal == "," else ()
    parse = pa_csv.ParseOptions(delimiter=separator.decode())
    convert = pa_csv.ConvertOptions(timestamp_parsers=[pa_csv.ISO8601], strings_can_be_null=True, decimal_point=decimal)
    try:
        return pa_csv.read_csv(pa.BufferReader(content), parse_options=parse, convert_options=convert), remarks
    except (ValueError, pa.ArrowException) as error:
        raise outside.unreadable(error) from None


def _check(
    opened: pq.ParquetFile, schema: pa.Schema, outside: Outside, *, numbers_only: bool, with_times: bool
) -> None:
    about = opened.metadata
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    if about.num_columns > MAX_COLUMNS or about.num_rows * max(about.num_columns, 1) > MAX_VALUES:
        raise outside.refused(
            f"{about.num_rows:,} rows of {about.num_columns:,} columns, where at most {MAX_VALUES:,} values are read"
        )
    if about.num_rows < 0 or sum(group.num_rows for group in groups) != about.num_rows:
        raise outside.refused("parts with other numbers of rows than the whole")
    if sum(max(group.total_byte_size, 0) for group in groups) > MAX_TABLE_BYTES:
        raise outside.refused(f"more than {MAX_TABLE_BYTES:,} bytes of values")
    kinds = SIMPLE if numbers_only else (*SIMPLE, *TEXT, pa.types.is_null)
    kinds = (*kinds, pa.types.is_timestamp) if with_times else kinds
    for field in schema:
        if not any(is_kind(field.type) for is_kind in kinds):
            what = "numeric columns" if numbers_only else "columns of numbers and texts"
            raise outside.refused(
                f"the column '{shortened(field.name)}' of type {shortened(str(field.type))}, where only {what} are read"
            )


def _decoded(table: pa.Table, outside: Outside) -> pa.Table:
    """The table with its texts as texts, if they are not too long when each is written out."""
    total = 0
    for number, field in enumerate(table.schema):
        if not pa.types.is_dictionary(field.type):
            continue
        column = table.column(number)
        for chunk in column.chunks:
            lengths = pc.binary_length(chunk.dictionary).take(chunk.indices)  # type: ignore[attr-defined]
            total += pc.sum(lengths).as_py() or 0  # type: ignore[attr-defined]
        if total > MAX_TABLE_BYTES:
            raise outside.refused(f"more than {MAX_TABLE_BYTES:,} bytes of text")
        table = table.set_column(
            number, pa.field(field.name, field.type.value_type), column.cast(field.type.value_type)
        )
    return table
