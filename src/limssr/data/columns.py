"""The columns of a stream: their order, their names and offsets that were subtracted from them.

Data that names its features is read by name, never by place.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from limssr.core.errors import InputError, unknown_name
from limssr.core.types import Modality, Sample

Unnamed = Literal["refuse", "by-place"]
"""What is done with data without names where the stream has names."""

# An offset is subtracted where float32 would lose more of a feature than this share of its range.
LOST_SHARE = 1e-3
NOISE = 1e-14
SHOWN = 6


@dataclass(frozen=True)
class Placed:
    """Values in the order of a stream's columns.

    Attributes:
        values: [T, D], what was subtracted from the stream subtracted.
        how: "same" order, "reordered", or taken "by place" because only one side has names.
    """

    values: np.ndarray
    how: Literal["same", "reordered", "by place"]


def place(
    values: np.ndarray, columns: Sequence[str] | None, modality: Modality, *, unnamed: Unnamed, where: str
) -> Placed:
    """Bring values into the form of a stream: its columns in its order, less its offsets.

    Args:
        values: [T, D] as the user gave it; another rank or width is left for `check_stream` to refuse.
        columns: Names of the columns of `values`; None where they have none.
        modality: The stream.
        unnamed: Whether values without names may be taken by place where the stream has names.
        where: Beginning of the messages.

    Raises:
        InputError: A column is missing, unknown or occurs twice, or there are no names where there must be.
    """
    if columns is not None:
        check_columns(columns, where)
    how: Literal["same", "reordered", "by place"] = "same"
    if modality.columns is None or columns is None:
        if modality.columns is not None and unnamed == "refuse":
            raise InputError(
                f"{where}: expected named columns ({shown(modality.columns)}), found values without names: give them "
                "the names that the stream was learnt or imported with, or say that their order is the same with "
                "--columns by-place (in Python columns='by-place')."
            )
        how = "same" if modality.columns is None and columns is None else "by place"
    elif tuple(columns) != modality.columns:
        _check_same_names(columns, modality.columns, where)
        order = {name: index for index, name in enumerate(columns)}
        values = values[:, [order[name] for name in modality.columns]]
        how = "reordered"
    return Placed(subtract(values, modality.offsets), how)


def check_columns(columns: Sequence[str], where: str) -> None:
    """Raise `InputError` unless every column has a name of its own."""
    seen: set[str] = set()
    for number, name in enumerate(columns, start=1):
        if not name:
            raise InputError(f"{where}: expected a name over every column, found none over column {number}: name it.")
        if name in seen:
            raise InputError(f"{where}: expected every column once, found '{name}' twice: rename or remove one.")
        seen.add(name)


def between(held: Modality, wanted: Modality, *, where: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    """How values of one stream become values of the same stream as a model knows it.

    Args:
        held: As a store has it.
        wanted: As the model learnt it.
        where: Beginning of the message.

    Returns:
        The order of the columns, and what is added afterwards; None where nothing is to be done.

    Raises:
        InputError: A column is missing or unknown.
    """
    order = added = None
    held_offsets = np.zeros(held.dim) if held.offsets is None else np.array(held.offsets)
    if held.columns is not None and wanted.columns is not None and held.columns != wanted.columns:
        _check_same_names(held.columns, wanted.columns, where)
        index = {name: number for number, name in enumerate(held.columns)}
        order = np.array([index[name] for name in wanted.columns])
        held_offsets = held_offsets[order]
    difference = held_offsets - (np.zeros(wanted.dim) if wanted.offsets is None else np.array(wanted.offsets))
    if difference.any():
        added = difference
    return order, added


def as_known(
    samples: Sequence[Sample],
    held: Mapping[str, Modality],
    known: Sequence[Modality],
    *,
    where: str,
    say: Callable[[str], None] | None = None,
) -> list[Sample]:
    """Samples of a store with their streams in the form that a model knows: order of columns and offsets.

    Args:
        samples: As the store has them.
        held: The streams of the store by name.
        known: The streams of the model that the store has.
        where: Beginning of the messages: the store.
        say: Told what was put right.

    Raises:
        InputError: A stream of another width, a column that is missing or unknown.
    """
    changes = {}
    for modality in known:
        if held[modality.name] != modality:
            raise InputError(
                f"{where} does not fit the model: expected stream '{modality.name}' to be {modality.dim} wide, found "
                f"{held[modality.name].dim}: give the features that the model was trained on."
            )
        order, added = between(held[modality.name], modality, where=f"{where}, stream '{modality.name}'")
        if order is not None or added is not None:
            changes[modality.name] = (order, added)
            if order is not None and say is not None:
                say(f"stream '{modality.name}': columns put into the order of the model, by their names")
    if not changes:
        return list(samples)
    return [
        replace(
            sample,
            streams={
                name: _changed(stream_TD, *changes[name]) if name in changes else stream_TD
                for name, stream_TD in sample.streams.items()
            },
        )
        for sample in samples
    ]


def _changed(stream_TD: np.ndarray, order: np.ndarray | None, added: np.ndarray | None) -> np.ndarray:
    ordered = stream_TD if order is None else stream_TD[:, order]
    return np.ascontiguousarray(ordered if added is None else ordered + added, dtype=np.float32)


def subtract(values: np.ndarray, offsets: Sequence[float] | None) -> np.ndarray:
    """Values less the offsets of their columns, computed in float64."""
    if offsets is None or values.ndim != 2 or values.shape[1] != len(offsets) or values.dtype.kind not in "fiu":
        return values
    return values.astype(np.float64) - np.array(offsets)


class Ranges:
    """How far each column varies, within one array and over all of them."""

    def __init__(self) -> None:
        self.low: np.ndarray | None = None
        self.high: np.ndarray | None = None
        # Of the array in which a column varies most, for each column.
        self.span: np.ndarray | None = None
        self.middle: np.ndarray | None = None

    def add(self, block: np.ndarray) -> None:
        """Look at an array [T, D]; one of another rank or no numbers, or float32 already, is passed over."""
        if (
            block.ndim != 2
            or block.dtype.kind not in "fiu"
            or block.dtype in (np.float32, np.float16)
            or not block.size
        ):
            return
        values = block.astype(np.float64)
        values = values[np.isfinite(values).all(axis=1)]
        if not len(values) or (self.low is not None and len(self.low) != values.shape[1]):
            return
        low, high = values.min(axis=0), values.max(axis=0)
        span, middle = high - low, low + (high - low) / 2
        if self.low is None or self.high is None or self.span is None or self.middle is None:
            self.low, self.high, self.span, self.middle = low, high, span, middle
            return
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        self.middle = np.where(span > self.span, middle, self.middle)
        self.span = np.maximum(self.span, span)

    def lost(self) -> np.ndarray:
        """[D]: whether float32 would lose the variation of a column.

        Variation within an array counts, for some arrays may hold zeros throughout; over all arrays where a column is
        constant in each.
        """
        if self.low is None or self.high is None or self.span is None:
            return np.zeros(0, dtype=bool)
        largest = np.maximum(np.abs(self.low), np.abs(self.high))
        # Below this bound a column only differs by the rounding of float64: it is constant.
        span = np.where(self.span > NOISE * largest, self.span, self.high - self.low)
        step = largest * float(np.finfo(np.float32).eps) / 2
        return (span > NOISE * largest) & (step > LOST_SHARE * span) & (largest < float(np.finfo(np.float32).max))


def find_offsets(blocks: Iterable[np.ndarray]) -> tuple[float, ...] | None:
    """What to subtract from each column so that float32 keeps it; None where float32 keeps all as they are.

    Args:
        blocks: Arrays [T, D] of one stream.
    """
    ranges = Ranges()
    for block in blocks:
        ranges.add(block)
    lost = ranges.lost()
    if ranges.middle is None or not lost.any():
        return None
    return tuple(float(value) if is_lost else 0.0 for value, is_lost in zip(ranges.middle, lost, strict=True))


def offset_words(stream: str, modality: Modality) -> str:
    """What a report says of offsets that were subtracted."""
    offsets = modality.offsets or ()
    names = modality.columns or [str(number) for number in range(1, modality.dim + 1)]
    told = [f"{name} {offset:.10g}" for name, offset in zip(names, offsets, strict=True) if offset]
    return (
        f"stream '{stream}': float32 cannot hold the variation of {shown(told)}: these offsets were subtracted first, "
        "and are subtracted from all that is scored"
    )


def shown(names: Sequence[str]) -> str:
    """The first of some names, and how many there are."""
    more = f", … ({len(names)} in all)" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _check_same_names(found: Sequence[str], expected: Sequence[str], where: str) -> None:
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    if unknown and missing:
        nearest = unknown_name("column", unknown[0], missing)
        raise InputError(
            f"{where}: expected the columns {shown(expected)}, found {shown(unknown)} and not {shown(missing)}. "
            f"{nearest}"
        )
    if missing:
        raise InputError(
            f"{where}: expected the columns {shown(expected)}, found none named {shown(missing)}: give every column."
        )
    if unknown:
        raise InputError(
            f"{where}: expected the columns {shown(expected)}, found also {shown(unknown)}: remove what is no feature."
        )
