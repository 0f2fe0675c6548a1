"""What a column is: a feature, the time of its row, or a count of the rows. Only features are learnt from."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limssr.core.errors import InputError

_UNITS = {
    "s": 1.0,
    "sec": 1.0,
    "secs": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "ms": 1e-3,
    "msec": 1e-3,
    "millis": 1e-3,
    "milliseconds": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "microseconds": 1e-6,
    "ns": 1e-9,
    "nanoseconds": 1e-9,
    "min": 60.0,
    "minutes": 60.0,
}
_TIME = re.compile(
    r"(?:(?:time|timestamps?|date|datetime|pts|t|elapsed|elapsed[ _]time|time[ _]?stamp|unix[ _]?time|local[ _]?time)"
    rf"(?:[ _\-.]?[\[(]?({'|'.join(_UNITS)})[\])]?)?|(seconds|secs|sec|ms|milliseconds))"
)
_COUNTS = ("", "index", "idx", "unnamed: 0", "row", "row number", "rownames", "frame", "frames", "frame_id", "frame id")
_COUNTS = (*_COUNTS, "frame_number", "frame number", "frame_index", "frame_idx", "frame index", "sample_number", "nr")
# A name that a feature may have too: such a column is a time only where its values say so as well.
_WEAK = ("t", "sec", "secs", "seconds", "ms", "date", "elapsed")
# Unix times by their size: seconds below the first bound, then milliseconds, microseconds, nanoseconds.
_EPOCHS = ((1e11, 1.0), (1e14, 1e-3), (1e17, 1e-6), (float("inf"), 1e-9))


@dataclass(frozen=True)
class Features:
    """A table without the columns that are no features.

    Attributes:
        array: [T, D].
        columns: D names; None where there are none.
        times: [T] seconds, None where the table has no time column.
        remarks: What was set aside, each a few words.
    """

    array: np.ndarray
    columns: tuple[str, ...] | None
    times: np.ndarray | None
    remarks: tuple[str, ...]


def is_time_name(name: str) -> bool:
    """Whether a column of this name tells the time of its rows."""
    return bool(_TIME.fullmatch(name.strip().lower()))


def is_count_name(name: str) -> bool:
    """Whether a column of this name counts its rows, as table programs write it."""
    return name.strip().lower() in _COUNTS or re.fullmatch(r"__index_level_\d+__", name) is not None


def separate(
    array: np.ndarray,
    columns: Sequence[str] | None,
    *,
    time: str | None,
    index: Sequence[str] = (),
    dates: int | None = None,
    where: str,
) -> Features:
    """Set time and counts aside.

    Args:
        array: [T, D].
        columns: D names; None where there are none.
        time: Name of the time column; "none": there is none; None: found by its name and its values.
        index: Names that the file itself marks as an index of the rows.
        dates: The column that held times of the calendar.
        where: Beginning of the messages.

    Raises:
        InputError: A time column that does not rise, or that is not there; a column without a name; a first column
            without a name that counts.
    """
    if columns is None:
        _check_first_column(array, time, where)
        return Features(array, None, None, ())
    time_at = dates if dates is not None else _time_column(array, columns, time, where)
    if dates is not None and not _rises(array[:, dates]):
        raise InputError(
            f"{where}: expected times that rise in column '{columns[dates]}', found others: sort the rows."
        )
    remarks, dropped = [], set()
    times = None
    if time_at is not None:
        dropped.add(time_at)
        unit = 1.0 if dates is not None else time_unit(columns[time_at], array[:, time_at])
        times = array[:, time_at] * unit
        told = {1.0: "seconds", 1e-3: "milliseconds", 1e-6: "microseconds", 1e-9: "nanoseconds", 60.0: "minutes"}
        remarks.append(f"column '{columns[time_at]}' taken as the time in {told[unit]}, not as a feature")
    for number, name in enumerate(columns):
        if number == time_at or not (is_count_name(name) or name in index):
            continue
        if name in index or rising_whole(array[:, number]):
            dropped.add(number)
            remarks.append(f"index column '{name}' left out, for it counts the rows")
        elif not name:
            raise InputError(
                f"{where}: expected a name over every column, found none over column {number + 1}, which is no index "
                "of the rows either: name it if it is a feature, or remove it."
            )
    kept = [number for number in range(len(columns)) if number not in dropped]
    names = [columns[number] for number in kept]
    running = names == [str(number) for number in range(len(names))]
    return Features(array[:, kept], None if running else tuple(names), times, tuple(remarks))


def rising_whole(values: np.ndarray) -> bool:
    """Whether values are whole numbers that rise from row to row."""
    whole = np.isfinite(values).all() and (values == np.round(values)).all()
    return bool(whole and (np.diff(values) > 0).all())


def _time_column(array: np.ndarray, columns: Sequence[str], time: str | None, where: str) -> int | None:
    if time == "none":
        return None
    if time is not None:
        if time not in columns:
            raise InputError(
                f"{where}: expected the time column '{time}', found the columns {', '.join(columns)}: name "
                "another with --time, or none."
            )
        found = [list(columns).index(time)]
    else:
        found = [number for number, name in enumerate(columns) if is_time_name(name)]
    rising = [number for number in found if _rises(array[:, number])]
    for number in found:
        name = columns[number].strip().lower()
        if number not in rising and (time is not None or name not in _WEAK):
            raise InputError(
                f"{where}: expected times that rise in column '{columns[number]}', found others: sort the rows, or "
                "rename the column if it is a feature (--time none says that no column is the time)."
            )
    if len(rising) > 1:
        raise InputError(
            f"{where}: expected one column of times, found {' and '.join(columns[number] for number in rising)}: say "
            "which with --time NAME; remove the other, or rename it if it is a feature."
        )
    return rising[0] if rising else None


def _rises(values: np.ndarray) -> bool:
    return bool(
        np.isfinite(values).all() and (np.diff(values) >= 0).all() and (len(values) < 2 or values[-1] > values[0])
    )


def time_unit(name: str, values: np.ndarray) -> float:
    """How many seconds one unit of a time column is: by its name, else by the size that Unix times have.

    Args:
        name: Of the column.
        values: Its times.
    """
    match = _TIME.fullmatch(name.strip().lower())
    unit = (match.group(1) or match.group(2)) if match else None
    if unit is not None:
        return _UNITS[unit]
    largest = float(np.abs(values).max(initial=0.0))
    if largest < 1e9 or not np.isfinite(largest):
        return 1.0  # infinite times are refused where they are used
    return next(seconds for bound, seconds in _EPOCHS if largest < bound)


def counting_step(array: np.ndarray) -> float | None:
    """By how much the first column rises from row to row, as an index or a time does; None where it does not."""
    if array.ndim != 2 or array.dtype.kind not in "fiu" or array.shape[1] < 2 or array.shape[0] < 4:
        return None
    if not np.isfinite(array[:, 0]).all():
        return None
    steps = np.diff(array[:, 0].astype(np.float64))
    if steps[0] <= 0 or not np.allclose(steps, steps[0], rtol=1e-5, atol=0):
        return None
    rest = array[:, 1:].astype(np.float64)
    others = np.diff(np.where(np.isfinite(rest), rest, 0.0), axis=0)
    if np.allclose(others, others[0], rtol=1e-5, atol=0):
        return None  # every column is a straight line: that is made-up data
    return float(steps[0])


def _check_first_column(array: np.ndarray, time: str | None, where: str) -> None:
    step = None if time == "none" else counting_step(array)
    if step is not None:
        raise InputError(
            f"{where}: expected features, found a first column without a name that rises by {step:g} from row to row, "
            "as an index or a time does: remove it or name it ('index', 'time_s'); --time none says that it is a "
            "feature."
        )
