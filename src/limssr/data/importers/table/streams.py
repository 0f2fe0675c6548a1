"""The streams of a manifest, sample by sample: read, put into one form, and what was decided on the way."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from limssr.core.errors import InputError
from limssr.core.types import Modality
from limssr.data.columns import Ranges, check_columns, find_offsets, offset_words, place, shown
from limssr.data.importers.table.clock import aligned, period_of, pooled, timed
from limssr.data.importers.table.files import StreamFile, read_stream
from limssr.data.importers.table.manifest import STREAM_PREFIX, Manifest, text_cell
from limssr.data.importers.table.reading import Reading
from limssr.data.store.observed import one_value

# Files of a stream that are looked at before the first is written: for names, widths and offsets.
LOOKED_AT = 8
SHOWN = 5
# Rows a second above which a segment is likely to be meant to hold many of them.
FAST_HZ = 4.0


class StreamReader:
    """Reads the streams of one row after the other.

    Args:
        table: The manifest.
        reading: How tables are read.
        modalities: The streams in the form they get; other streams of the manifest are not read.
        strict: Whether files must all have names, or all have none. False where the stream comes from elsewhere.
    """

    def __init__(
        self, table: Manifest, reading: Reading, modalities: Sequence[Modality], *, strict: bool = False
    ) -> None:
        self.table = table
        self.reading = reading
        self.modalities = tuple(modalities)
        self._strict = strict
        self._remarks: Counter[tuple[str, str]] = Counter()
        self._lengths: dict[str, dict[str, int]] = {}
        self._shortened: list[int] = []
        self._periods: dict[str, list[float]] = defaultdict(list)
        self._emptied: Counter[str] = Counter()
        self._ranges = {modality.name: Ranges() for modality in modalities}
        self._unread: list[str] = [name for name in table.streams if name not in self._ranges]

    @classmethod
    def of(cls, table: Manifest, reading: Reading) -> "StreamReader":
        """A reader that takes the form of each stream from its first files.

        Raises:
            InputError: A stream that no sample has, or a first file that is no array [segments, features].
        """
        return cls(table, reading, [_modality(table, name, reading) for name in table.streams], strict=True)

    def read(self, row: int) -> dict[str, np.ndarray] | None:
        """The streams of a row; None where their lengths differ, which `check_lengths` refuses for all rows at once.

        Raises:
            InputError: A file that cannot be read, or does not fit the stream.
        """
        found = {}
        for modality in self.modalities:
            cell = text_cell(self.table.rows[row], STREAM_PREFIX + modality.name)
            if cell:
                file = read_stream(
                    cell, self.table.path.parent, where=_where(self.table, row, modality.name), reading=self.reading
                )
                found[modality.name] = self._placed(row, modality, file)
        streams = {
            name: array for name, array in self._in_segments(row, found).items() if not self._is_empty(name, array)
        }
        if not streams:
            return {}
        streams, cut = aligned(streams, self.reading.align)
        if cut:
            self._shortened.append(cut)
        end = max((_end(array) for array in streams.values()), default=0)
        lengths = {name: min(len(array), end) if array.ndim else 0 for name, array in streams.items()}
        # What is no array [segments, features] is refused by the check of its sample, in better words.
        whole = all(array.ndim == 2 and array.size for array in streams.values())
        if whole and len(set(lengths.values())) > 1:
            self._lengths[text_cell(self.table.rows[row], "id")] = lengths
            return None
        for name, array in streams.items():
            self._ranges[name].add(array)
        return streams

    def check_lengths(self) -> None:
        """Refuse all samples whose streams differ in length, with what can be done.

        Raises:
            InputError: There are such samples.
        """
        if not self._lengths:
            return
        told = [
            f"'{sample_id}': {', '.join(f'{name} {length}' for name, length in lengths.items())}"
            for sample_id, lengths in list(self._lengths.items())[:SHOWN]
        ]
        more = f" and {len(self._lengths) - SHOWN} more" if len(self._lengths) > SHOWN else ""
        fast = [name for name, periods in self._periods.items() if periods]
        pool = (
            f" Streams with times ({', '.join(fast)}) are pooled into segments with --segment-s SECONDS."
            if fast and self.reading.segment_s is None
            else " Fast sensors are pooled into segments with --segment-s SECONDS and a time column or --rate NAME=HZ."
        )
        raise InputError(
            f"{self.table.path}: expected streams of the same number of segments, found {len(self._lengths)} of "
            f"{len(self.table.rows)} samples where they differ ({'; '.join(told)}{more}): --align shortest cuts the "
            f"ends, --align resample averages each stream to the length of the shortest.{pool}"
        )

    def sentences(self) -> list[str]:
        """What was decided, for the report."""
        found = [f"stream '{stream}': {words}: {count}" for (stream, words), count in sorted(self._remarks.items())]
        found += [f"stream '{name}' is not known to the model and was not read" for name in self._unread]
        for modality in self.modalities:
            if modality.offsets is not None and self._strict:
                found.append(offset_words(modality.name, modality))
            elif self._strict and (lost := self._ranges[modality.name].lost()).any():
                names = modality.columns or [str(number) for number in range(1, modality.dim + 1)]
                told = shown([name for name, is_lost in zip(names, lost, strict=True) if is_lost])
                found.append(f"stream '{modality.name}': float32 cannot hold the variation of {told}; it was rounded")
        for name, periods in self._periods.items():
            found.append(self._time_words(name, float(np.median(periods))))
        for name, count in self._emptied.items():
            found.append(f"stream '{name}': {count} samples held nothing but zeros: imported as absent")
        if self._shortened:
            how = "their ends were cut" if self.reading.align == "shortest" else "all were averaged to the shortest"
            found.append(
                f"streams of different lengths in {len(self._shortened)} samples, by up to {max(self._shortened)} "
                f"segments: {how}"
            )
        return found

    def _time_words(self, name: str, period: float) -> str:
        rate = 1 / period if period else 0.0
        segment_s = self.reading.segment_s
        if segment_s is not None:
            return f"stream '{name}': rows {period:.4g} s apart were averaged into segments of {segment_s:g} s"
        hint = "; --segment-s SECONDS averages them" if rate > FAST_HZ else ""
        return f"stream '{name}': rows {period:.4g} s apart, each of which is a segment{hint}"

    def _placed(self, row: int, modality: Modality, file: StreamFile) -> StreamFile:
        where = _where(self.table, row, modality.name)
        if file.header:
            words = f"csv files read with {'a' if file.header == 'header' else 'no'} header line"
            self._remarks[modality.name, words] += 1
        for remark in file.remarks:
            self._remarks[modality.name, remark] += 1
        by_place = self.reading.columns == "by-place"
        if self._strict and not by_place and modality.columns is None and file.columns is not None:
            raise InputError(
                f"{where}: expected columns without names, as the first files of this stream have them, found "
                f"{shown(file.columns)}: give all files names, or say that the order is the same with "
                "--columns by-place."
            )
        columns = None if by_place else file.columns
        placed = place(file.array, columns, modality, unnamed=self.reading.unnamed, where=where)
        if placed.how == "reordered":
            self._remarks[modality.name, "columns put into the order of the stream, by their names"] += 1
        elif placed.how == "by place":
            which = "columns taken by place, for only the stream has names"
            if modality.columns is None:
                which = "columns taken by place, for the model learnt them without names"
            self._remarks[modality.name, which] += 1
        return StreamFile(placed.values, modality.columns, file.times)

    def _in_segments(self, row: int, files: dict[str, StreamFile]) -> dict[str, np.ndarray]:
        where = f"{self.table.where(row)}: sample '{text_cell(self.table.rows[row], 'id')}'"
        clocked = {}
        for name, file in files.items():
            if one := timed(file.array, file.times, self.reading.rates.get(name), where=f"{where}, stream '{name}'"):
                clocked[name] = one
                if len(one.times) > 1:
                    self._periods[name].append(period_of(one.times))
        arrays = {name: file.array for name, file in files.items()}
        if self.reading.segment_s is not None and clocked:
            arrays |= pooled(clocked, self.reading.segment_s, where=where)
        return arrays

    def _is_empty(self, name: str, array: np.ndarray) -> bool:
        """Whether a stream of zeros is to be absent."""
        if self.reading.zeros == "keep" or array.ndim != 2 or not array.size or array.dtype.kind not in "fiu":
            return False
        empty = one_value(array) == 0
        self._emptied[name] += empty
        return empty


def _modality(table: Manifest, name: str, reading: Reading) -> Modality:
    """A stream as its first files have it: `StoreWriter` holds all others against it."""
    rows = [row for row, cells in enumerate(table.rows) if text_cell(cells, STREAM_PREFIX + name)]
    if not rows:
        raise InputError(
            f"{table.path}: expected at least one sample with the stream '{name}', found only empty cells: "
            f"remove the column '{STREAM_PREFIX}{name}' or fill it in."
        )
    step = max(1, len(rows) // LOOKED_AT)
    first = _read(table, rows[0], name, reading)
    if first.array.ndim != 2 or 0 in first.array.shape:
        raise InputError(
            f"{_where(table, rows[0], name)}: expected an array [segments, features] that is not empty, found shape "
            f"{first.array.shape}: give one feature vector a segment."
        )
    files = [first]
    if first.array.dtype not in (np.float16, np.float32) or first.columns is None:
        files += [_read(table, row, name, reading) for row in rows[step::step][: LOOKED_AT - 1]]
    columns = None
    if reading.columns == "by-name":
        columns = next((file.columns for file in files if file.columns is not None), None)
    plain = Modality(name, int(first.array.shape[1]), columns)
    if columns is not None:
        check_columns(columns, _where(table, rows[0], name))
    alike = [
        file for file in files if file.columns is None or columns is None or sorted(file.columns) == sorted(columns)
    ]
    blocks = [
        place(file.array, None if columns is None else file.columns, plain, unnamed="by-place", where=name).values
        for file in alike
    ]
    return Modality(name, plain.dim, columns, find_offsets(blocks))


def _read(table: Manifest, row: int, name: str, reading: Reading) -> StreamFile:
    cell = text_cell(table.rows[row], STREAM_PREFIX + name)
    return read_stream(cell, table.path.parent, where=_where(table, row, name), reading=reading)


def _where(table: Manifest, row: int, stream: str) -> str:
    return f"{table.where(row)}: sample '{text_cell(table.rows[row], 'id')}', stream '{stream}'"


def _end(array: np.ndarray) -> int:
    """Segments up to the last valid one, as a sample keeps them; all rows where that cannot be said."""
    if array.ndim != 2 or not array.size or array.dtype.kind != "f":
        return len(array) if array.ndim else 0
    valid = np.flatnonzero(~np.isnan(array).all(axis=1))
    return int(valid[-1]) + 1 if valid.size else len(array)
