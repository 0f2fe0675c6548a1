"""Sensor tables: a column of time and columns of readings, at any and also irregular rates -> segments.

The time column is recognised by its name and type: seconds (`time`, `t`, `time_s`, `seconds`, `timestamp`), thousandths
and finer (`time_ms`, `time_us`, `time_ns`), or time stamps (ISO, or Unix times). Each other column is a reading; an
empty cell is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa
from jaxtyping import Float32

from limssr.core.errors import InputError
from limssr.core.quoting import listed, shortened
from limssr.core.reading.regular import Outside, exists
from limssr.core.reading.tables import read_csv, read_parquet
from limssr.data.importers.table.roles import is_count_name, is_time_name, rising_whole, time_unit
from limssr.media.clock import NS, Segments, to_ns
from limssr.media.encoders.pooling import covered, pooled, statistic_names

# Numbers of seconds from here on (spring of 1973) are Unix times: no recording lasts three years.
FIRST_UNIX_NS = 10**8 * NS
SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
STATISTICS = ("mean", "deviation", "minimum", "maximum", "slope")
# Name of a time column -> nanoseconds of one unit.
UNITS = MappingProxyType(
    {
        **dict.fromkeys(("time", "t", "time_s", "seconds", "sec", "timestamp", "datetime"), NS),
        **dict.fromkeys(("time_ms", "t_ms", "timestamp_ms", "milliseconds", "ms"), 1_000_000),
        **dict.fromkeys(("time_us", "t_us", "timestamp_us", "microseconds"), 1_000),
        **dict.fromkeys(("time_ns", "t_ns", "timestamp_ns", "nanoseconds"), 1),
    }
)


@dataclass(frozen=True, kw_only=True)
class SensorTable:
    """A sensor's readings.

    Attributes:
        columns: Names of the C readings.
        times_ns: Ascending moments [N] on the recording's clock.
        readings_NC: NaN where there is no reading.
        from_first: Whether time stamps were counted from the first row, for want of an offset.
        began_ns: Then the time stamp of that row, since 1970.
        remarks: How the file was read, a few words each.
    """

    columns: tuple[str, ...]
    times_ns: np.ndarray
    readings_NC: np.ndarray
    from_first: bool = False
    began_ns: int = 0
    remarks: tuple[str, ...] = ()

    @property
    def end_ns(self) -> int:
        """The last moment, in whole nanoseconds, plus one."""
        return int(self.times_ns[-1]) + 1


def sensor_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """Names of the features of a segment, from the names of the readings."""
    return (*statistic_names(columns, STATISTICS), "count")


def read_sensor(path: Path, *, offset: str = "", where: str, keep: Sequence[str] = ()) -> SensorTable:
    """Read a sensor table.

    Args:
        path: .csv, .tsv, .txt or .parquet.
        offset: Where the table's second 0 lies on the recording's clock, in seconds; for a table with time stamps also
            the time stamp (ISO) at which the recording begins. Empty: 0, or for time stamps their first row.
        where: Beginning of the messages.
        keep: Columns that are readings though they count the rows, as in stores of older versions.

    Raises:
        InputError: No such table, no or several time columns, times that are missing or run backwards, text.
    """
    table, remarks = _read(path, where)
    name = _time_column(table.column_names, path, where)
    times_ns, is_date = _times(table.column(name), name, f"{where}: {path}, column '{name}'")
    counts = [column for column in table.column_names if column not in keep and _counts_rows(column, table)]
    remarks += tuple(f"index column '{column}' left out, for it counts the rows" for column in counts)
    columns = tuple(column for column in table.column_names if column not in (name, *counts))
    if not columns or not table.num_rows:
        raise InputError(f"{where}: expected readings beside the column '{name}' in {path}, found none: add them.")
    readings_NC = np.stack([_readings(table.column(column), column, path, where) for column in columns], axis=1)
    shift_ns, from_first = _shift(offset, times_ns, is_date, where)
    return SensorTable(
        columns=columns,
        times_ns=times_ns + shift_ns,
        readings_NC=readings_NC,
        from_first=from_first,
        began_ns=int(times_ns[0]) if from_first else 0,
        remarks=remarks,
    )


def on_one_clock(tables: Mapping[str, SensorTable], *, where: str) -> dict[str, SensorTable]:
    """Tables whose time stamps were counted from their first rows, counted from the earliest of these rows instead.

    Args:
        tables: Sensor -> its table of one performance.
        where: Beginning of the messages.

    Raises:
        InputError: A sensor begins when all others have ended: their clocks differ.
    """
    dated = {name: table for name, table in tables.items() if table.from_first}
    if len(dated) < 2:
        return dict(tables)
    began_ns = min(table.began_ns for table in dated.values())
    moved = {
        name: replace(table, times_ns=table.times_ns + (table.began_ns - began_ns)) for name, table in dated.items()
    }
    for name, table in moved.items():
        others = [other for other in moved if other != name]
        gap_ns = int(table.times_ns[0]) - max(int(moved[other].times_ns[-1]) for other in others)
        if gap_ns > 0:
            raise InputError(
                f"{where}: expected time stamps of one clock, found sensor '{name}' beginning {gap_ns / NS:.1f} s "
                f"after {' and '.join(others)} ended: correct the clock that is wrong, or say where it begins in the "
                f"column 'offset:{name}'."
            )
    return {**tables, **moved}


def num_readings(path: Path) -> int | None:
    """How many readings a table has beside one time column; None where it is no sensor table."""
    if path.suffix.lower() not in SUFFIXES:
        return None
    try:
        table, _ = _read(path, "table")
        _time_column(table.column_names, path, "table")
    except InputError:
        return None
    return table.num_columns - 1


def sensor_segments(table: SensorTable, segments: Segments, num_segments: int) -> Float32[np.ndarray, "T _"]:
    """Mean, deviation, minimum, maximum and slope a second of each reading, and how many rows there were.

    A segment is valid if each reading covers at least half of it, measured by that reading's usual distance in time.
    """
    num_columns = len(table.columns)
    values_TSC = np.empty((num_segments, len(STATISTICS), num_columns), np.float32)
    for column in range(num_columns):
        there_N = ~np.isnan(table.readings_NC[:, column])
        reading_N1 = table.readings_NC[there_N, column : column + 1]
        values_TSC[:, :, column] = pooled(
            table.times_ns[there_N], reading_N1, segments, num_segments, statistics=STATISTICS
        )
    first_T, after_T = segments.bounds(table.times_ns, num_segments)
    values_TD = np.concatenate(
        [values_TSC.reshape(num_segments, -1), (after_T - first_T)[:, None].astype(np.float32)], axis=1
    )
    values_TD[np.isnan(values_TD).any(axis=1)] = np.nan
    return values_TD


def array_segments(
    rows_NF: np.ndarray, times_ns: np.ndarray, segments: Segments, num_segments: int
) -> Float32[np.ndarray, "T F"]:
    """Mean of the rows of an array that comes at a rate of its own, over each segment."""
    there_N = ~np.isnan(rows_NF).all(axis=1)
    values_TF = pooled(times_ns[there_N], rows_NF[there_N], segments, num_segments, statistics=("mean",))
    values_TF[~covered(times_ns, segments, num_segments)] = np.nan
    return values_TF


def _read(path: Path, where: str) -> tuple[pa.Table, tuple[str, ...]]:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{where}: expected a table of kind {', '.join(SUFFIXES)}, found '{path.name}': convert it.")
    if not exists(path):
        raise InputError(
            f"{where}: expected a file at {path}, found nothing: check the path, or leave the cell empty where there "
            "was no sensor."
        )
    outside = Outside(path=path, what="a readable table", remedy="write it again", where=where)
    if suffix == ".parquet":
        return read_parquet(outside, with_times=True), ()
    return read_csv(outside)


def _time_column(names: Sequence[str], path: Path, where: str) -> str:
    found = [name for name in names if name.strip().lower() in UNITS]
    found = found or [name for name in names if is_time_name(name)]
    if len(found) != 1 or len(set(names)) < len(names):
        raise InputError(
            f"{where}: expected different names and exactly one time column ({', '.join(UNITS)}) in {path}, found "
            f"{listed(names, empty='no column')}: name the time column 'time_s', 'time_ms' or 'timestamp'."
        )
    return found[0]


def _counts_rows(name: str, table: pa.Table) -> bool:
    """Whether a column is an index that a table program wrote, and no reading."""
    column = table.column(name)
    return is_count_name(name) and pa.types.is_integer(column.type) and rising_whole(column.to_numpy())


def _times(column: pa.ChunkedArray, name: str, where: str) -> tuple[np.ndarray, bool]:
    """Nanoseconds, and whether they are time stamps, since 1970."""
    is_date = pa.types.is_timestamp(column.type)
    if not (is_date or pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise InputError(
            f"{where}: expected seconds or ISO time stamps, found cells of type {column.type}: write times such as "
            "12.34 or 2026-01-31T10:00:00.250Z in every row."
        )
    if column.null_count:
        raise InputError(f"{where}: expected a time in every row, found {column.null_count} empty: fill them in.")
    unit_ns = NS if is_date else _unit_ns(name, column)
    try:
        if is_date:
            times_ns = column.cast(pa.timestamp("ns")).cast(pa.int64()).to_numpy()
        elif pa.types.is_integer(column.type):
            whole = column.cast(pa.int64()).to_numpy()
            _check_times(whole, unit_ns, where)
            times_ns = whole * unit_ns
        else:
            seconds = column.to_numpy().astype(np.float64)
            _check_times(seconds, unit_ns, where)
            times_ns = np.rint(seconds * unit_ns).astype(np.int64)
    except pa.ArrowException as error:
        raise InputError(
            f"{where}: expected times within 140 years of 1970, found others ({shortened(str(error), 120)}): correct "
            "them."
        ) from None
    backwards = np.flatnonzero(np.diff(times_ns) < 0)
    if backwards.size:
        raise InputError(
            f"{where}: expected times that do not run backwards, found that row {int(backwards[0]) + 2} is earlier "
            "than the row before: sort the table, or split it where the clock was set."
        )
    return times_ns, is_date or bool(len(times_ns) and times_ns[0] >= FIRST_UNIX_NS)


def _unit_ns(name: str, column: pa.ChunkedArray) -> int:
    """Nanoseconds of one unit: as the name says; where it names none, Unix times are told by their size."""
    named = UNITS.get(name.strip().lower(), NS)
    if named != NS:
        return named
    return round(time_unit(name, column.to_numpy().astype(np.float64)) * NS)


def _check_times(times: np.ndarray, unit_ns: int, where: str) -> None:
    """Refuse what a clock in whole nanoseconds cannot hold."""
    if not np.abs(times.astype(np.float64)).max(initial=0.0) <= 2**62 / unit_ns:
        raise InputError(
            f"{where}: expected finite times within 140 years of 0, found some that are not: correct them, or name the "
            "column after its unit ('time_ms', 'time_us', 'time_ns')."
        )


def _readings(column: pa.ChunkedArray, name: str, path: Path, where: str) -> np.ndarray:
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise InputError(
            f"{where}: expected numbers in column '{name}' of {path}, found cells of type {kind}: remove the column or "
            "correct its cells."
        )
    values_N = column.cast(pa.float64()).to_numpy().astype(np.float64)
    if np.isinf(values_N).any():
        raise InputError(f"{where}: expected finite numbers in column '{name}' of {path}, found Inf: correct it.")
    return values_N


def _shift(offset: str, times_ns: np.ndarray, is_date: bool, where: str) -> tuple[int, bool]:
    """What to add to the table's times, and whether they were counted from the first row."""
    text = offset.strip()
    if not text:
        return (-int(times_ns[0]), True) if is_date else (0, False)
    try:
        shift_ns = to_ns(float(text))
        # What takes Unix times to the recording's clock was written out before they were counted from their first row.
        return (shift_ns - int(times_ns[0]) if is_date and abs(shift_ns) < FIRST_UNIX_NS else shift_ns), False
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or not is_date:
        raise InputError(
            f"{where}: expected an offset in seconds{' or an ISO time stamp' if is_date else ''}, found {text!r}: "
            "write where the table's second 0 lies on the recording's clock."
        )
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return -(elapsed.days * 86_400 + elapsed.seconds) * NS - elapsed.microseconds * 1_000, False
