"""Reads NumPy files, with or without pickles, without running anything in them.

`np.save` of a dictionary writes a pickle behind a NumPy header. `read_arrays` reads it through `interpreter.py` and
knows the few names that NumPy writes for an array; it never hands a byte of the file to Python's unpickler. Arrays are
views of the file, which is mapped into memory: what is not looked at is not read.
"""

import math
import mmap
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from limssr.core.errors import InputError, unknown_name
from limssr.core.reading.arrays import ArrayForm, read_header
from limssr.core.reading.regular import Outside, open_regular
from limssr.data.importers.pickles.interpreter import (
    AGAIN,
    MAX_TEXT_BYTES,
    TRUSTED,
    Call,
    Global,
    LongText,
    Name,
    Table,
    Value,
    kind_of,
    run,
)

Role = Literal["new array", "array class", "type", "bytes from text", "no bytes", "array of buffer"]
NUMPY_NAMES: dict[Name, Role] = {
    # NumPy 2 renamed `numpy.core`; Python 2 called its builtins otherwise.
    ("numpy.core.multiarray", "_reconstruct"): "new array",
    ("numpy._core.multiarray", "_reconstruct"): "new array",
    ("numpy", "ndarray"): "array class",
    ("numpy", "dtype"): "type",
    ("_codecs", "encode"): "bytes from text",
    ("__builtin__", "bytes"): "no bytes",
    ("builtins", "bytes"): "no bytes",
    ("numpy.core.numeric", "_frombuffer"): "array of buffer",
    ("numpy._core.numeric", "_frombuffer"): "array of buffer",
}
"""Every name that may occur in a file, and what it means here."""

PLAIN_TYPE = re.compile(r"[iu][1248]|f[248]")
OBJECT_TYPE = re.compile(r"O[48]?")
MAX_DEPTH = 16
MAX_RANK = 32
# Between the names of a nested array: "clip-1/0".
LEVEL_MARK = "/"


@dataclass(frozen=True)
class _Leaf:
    """An array that has not been made yet; `payload` is its bytes, or protocol 2's text for them."""

    form: ArrayForm
    order: Literal["C", "F"]
    payload: memoryview | LongText | str
    axes: tuple[int, ...] | None = None

    @property
    def num_bytes(self) -> int:
        return math.prod(self.form.shape) * self.form.dtype.itemsize


class PickledArrays(Mapping[str, np.ndarray]):
    """Arrays by name; each is made when it is asked for, as a read-only view of the file where the format allows.

    The protocols 3 to 5 hold bytes, which are viewed. Protocol 2 holds text, which is decoded: one array at a time.
    Nested dictionaries and lists are flattened: `clip/part`, `clip/0`.
    """

    def __init__(self, path: Path, leaves: dict[str, _Leaf]) -> None:
        self.path = path
        self._leaves = leaves

    def ids(self) -> tuple[str, ...]:
        """The names, in the file's order."""
        return tuple(self._leaves)

    def form(self, name: str) -> ArrayForm:
        """Shape and type of an array, without reading it.

        Raises:
            InputError: No such name; the message has the nearest one.
        """
        return self._leaf(name).form

    def __getitem__(self, name: str) -> np.ndarray:
        leaf = self._leaf(name)
        content = _content(leaf, f"{self.path}, array '{name}'")
        # With axes, `shape` is that of the bytes and the array's own comes from moving them (order K of protocol 5).
        array = np.frombuffer(content, dtype=leaf.form.dtype)
        if leaf.axes is None:
            return array.reshape(leaf.form.shape, order=leaf.order)
        stored = [0] * len(leaf.axes)
        for axis, source in enumerate(leaf.axes):
            stored[source] = leaf.form.shape[axis]
        return array.reshape(stored).transpose(leaf.axes)

    def __iter__(self) -> Iterator[str]:
        return iter(self._leaves)

    def __len__(self) -> int:
        return len(self._leaves)

    def __contains__(self, name: object) -> bool:
        return name in self._leaves

    def _leaf(self, name: str) -> _Leaf:
        if name not in self._leaves:
            raise InputError(f"{self.path}: {unknown_name('array', name, tuple(self._leaves))}")
        return self._leaves[name]


def read_arrays(path: Path | str) -> PickledArrays:
    """Open an `.npy` file that holds a dictionary (or a list) of arrays.

    Args:
        path: What `np.save` writes of a dictionary id -> array, of nested dictionaries and lists of arrays, or of a
            list of arrays of different lengths; by any version of NumPy.

    Returns:
        The arrays by name. The whole structure has been checked, the values have not been read.

    Raises:
        InputError: Anything else, by name: other objects, other types of arrays, a truncated file.
    """
    path = Path(path)
    with _opened(path) as file:
        shape, dtype = _read_header(path, file)
        if not dtype.hasobject or dtype.names:
            raise InputError(
                f"{path}: expected a dictionary of arrays, found one array of type {dtype} with shape {shape}: "
                "give the file that holds all samples."
            )
        start = file.tell()
        # The map outlives the file object and lives as long as an array does.
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    content = run(data[start:], allowed=NUMPY_NAMES, where=str(path))
    leaves: dict[str, _Leaf] = {}
    _Flattening(str(path), leaves).add_outer(content, shape)
    return PickledArrays(path, leaves)


def read_form(path: Path | str) -> ArrayForm:
    """Shape and type of a plain `.npy` file, from its header; also holds the header against the file's size.

    Raises:
        InputError: The file is missing, truncated or pickled, or is no array of real numbers.
    """
    path = Path(path)
    with _opened(path) as file:
        return _plain_form(path, file)


def read_array(path: Path | str) -> np.ndarray:
    """Read a plain `.npy` file, one array of numbers.

    Raises:
        InputError: The file is missing, truncated or pickled, or is no array of real numbers.
    """
    path = Path(path)
    with _opened(path) as file:
        _plain_form(path, file)
        file.seek(0)
        try:
            return np.lib.format.read_array(file, allow_pickle=False)
        except (ValueError, OSError) as error:
            raise InputError(
                f"{path}: expected a readable NumPy file, found that it is not ({error}): {AGAIN}"
            ) from None


def _opened(path: Path) -> BinaryIO:
    return open_regular(Outside(path=path, what="an .npy file", remedy="check the path, or fetch the file"))


def _read_header(path: Path, file: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    header = read_header(file, Outside(path=path, what="a NumPy file (.npy, version 1 or 2)", remedy=AGAIN.rstrip(".")))
    return header.shape, header.dtype


def _plain_form(path: Path, file: BinaryIO) -> ArrayForm:
    shape, dtype = _read_header(path, file)
    if dtype.hasobject:
        raise InputError(
            f"{path}: expected a plain array of numbers, found pickled objects: save the array again as float32 "
            "(np.save of a numeric array)."
        )
    if not PLAIN_TYPE.fullmatch(dtype.str[1:]):
        raise InputError(
            f"{path}: expected an array of real numbers of at most 8 bytes, found type {dtype}: convert it to float32."
        )
    stored, declared = path.stat().st_size - file.tell(), math.prod(shape) * dtype.itemsize
    if min((*shape, 0)) < 0 or stored != declared:
        raise InputError(
            f"{path}: expected {declared:,} bytes of values for shape {shape}, found {stored:,}: the file is "
            f"truncated or damaged; {AGAIN}"
        )
    return ArrayForm(shape, dtype)


@dataclass
class _Flattening:
    """From an inert value to arrays by name; everything that is no array in a dictionary or list is refused."""

    where: str
    leaves: dict[str, _Leaf]

    def __post_init__(self) -> None:
        self._seen: set[int] = set()

    def add_outer(self, content: Value, shape: tuple[int, ...]) -> None:
        """The array of objects that np.save pickles: no axis for a dictionary, one for a list of arrays."""
        role = NUMPY_NAMES.get(content.function.key) if isinstance(content, Call) else None
        if role != "new array":
            raise self.refused("the file", content)
        declared, dtype, _, items = self._parts(content, "the file")
        if not OBJECT_TYPE.fullmatch(dtype) or not isinstance(items, list) or declared != shape or len(shape) > 1:
            raise self.broken("the file", "no dictionary and no list of arrays")
        if len(items) != math.prod(shape):
            raise self.broken("the file", f"{len(items)} values where its header says {math.prod(shape)}")
        if shape == ():
            self.add(items[0], "", 0)
        else:
            self.add(items, "", 0)

    def add(self, value: Value, name: str, depth: int) -> None:
        if isinstance(value, Call):
            if name in self.leaves:
                raise self.broken(f"'{name}'", "the name a second time")
            self.leaves[name] = self.leaf(value, f"'{name}'")
            return
        if not isinstance(value, Table | list | tuple):
            raise self.refused(f"'{name}'" if name else "the file", value)
        # One list in two places is a loop, or grows without end when it is laid out.
        if depth > MAX_DEPTH or id(value) in self._seen:
            raise self.broken(f"'{name}'", "lists within lists without end, or one list in two places")
        self._seen.add(id(value))
        pairs = value.pairs if isinstance(value, Table) else [(str(at), item) for at, item in enumerate(value)]
        for key, item in pairs:
            text = _text(key)
            if text is None:
                raise InputError(
                    f"{self.where}: expected names that are text, found {kind_of(key)}: save the arrays again under "
                    "text."
                )
            self.add(item, f"{name}{LEVEL_MARK}{text}" if name else text, depth + 1)

    def leaf(self, call: Call, place: str) -> _Leaf:
        role = NUMPY_NAMES[call.function.key]
        if role not in ("new array", "array of buffer") or call.pairs:
            raise self.refused(place, call)
        shape, code, order, payload = self._parts(call, place) if role == "new array" else self._of_buffer(call, place)
        if OBJECT_TYPE.fullmatch(code):
            raise self.refused(place, "an array of objects")
        if not PLAIN_TYPE.fullmatch(code.lstrip("<>=|")):
            raise self.refused(place, f"an array of type {code}")
        axes = None
        if role == "array of buffer" and order == "K":
            axes = self._axes(call, place, len(shape))
            shape = tuple(shape[axis] for axis in axes)
        dtype = np.dtype(code.replace("|", "="))
        leaf = _Leaf(ArrayForm(shape, dtype), "F" if order == "F" else "C", payload, axes)
        if isinstance(payload, memoryview) and len(payload) != leaf.num_bytes:
            raise self.broken(place, f"{len(payload):,} bytes where shape {shape} of {dtype} needs {leaf.num_bytes:,}")
        return leaf

    def _parts(self, call: Call, place: str) -> tuple[tuple[int, ...], str, str, Any]:
        """Shape, type, order and content of an array that is made empty and then filled (protocols 2 to 4)."""
        arguments, state = call.arguments, call.state
        right = (
            len(arguments) == 3
            and isinstance(arguments[0], Global)
            and NUMPY_NAMES[arguments[0].key] == "array class"
            and isinstance(state, tuple)
            and len(state) == 5
            and isinstance(state[3], bool)
        )
        if not right:
            raise self.broken(place, "an array that NumPy would not write")
        content = state[4] if isinstance(state[4], list) else self._payload(state[4], place)
        return self._shape(state[1], place), self._type(state[2], place), "F" if state[3] else "C", content

    def _of_buffer(self, call: Call, place: str) -> tuple[tuple[int, ...], str, str, Any]:
        """Shape, type, order and content of an array that is made of its bytes (protocol 5)."""
        if len(call.arguments) not in (4, 5) or call.state is not None:
            raise self.broken(place, "an array that NumPy would not write")
        payload, dtype, shape, order = call.arguments[:4]
        text = _text(order)
        if text not in ("C", "F", "K") or (text == "K") != (len(call.arguments) == 5):
            raise self.broken(place, f"the order of axes {kind_of(order)}")
        return self._shape(shape, place), self._type(dtype, place), text, self._payload(payload, place)

    def _axes(self, call: Call, place: str, rank: int) -> tuple[int, ...]:
        axes = self._shape(call.arguments[4], place)
        if sorted(axes) != list(range(rank)):
            raise self.broken(place, f"the order of axes {axes}")
        return axes

    def _payload(self, value: Value, place: str) -> memoryview | LongText | str:
        if isinstance(value, memoryview):
            return value
        if isinstance(value, Call) and value.state is None and not value.pairs:
            role, arguments = NUMPY_NAMES[value.function.key], value.arguments
            if role == "no bytes" and not arguments:
                return memoryview(b"")
            encoded = role == "bytes from text" and len(arguments) == 2 and arguments[1] in ("latin1", "latin-1")
            if encoded and isinstance(arguments[0], LongText | str):
                return arguments[0]
        raise self.refused(place, value, expected="the bytes of an array")

    def _shape(self, value: Value, place: str) -> tuple[int, ...]:
        if not isinstance(value, tuple) or len(value) > MAX_RANK:
            raise self.broken(place, f"{kind_of(value)} as a shape")
        if not all(type(size) is int and size >= 0 for size in value):
            raise self.broken(place, "a shape that does not hold whole numbers from 0")
        return value

    def _type(self, value: Value, place: str) -> str:
        """The code of a type with its byte order ("<f4"); "O8" for objects."""
        if not (isinstance(value, Call) and NUMPY_NAMES[value.function.key] == "type" and value.arguments):
            raise self.broken(place, f"{kind_of(value)} as a type")
        code, state = _text(value.arguments[0]), value.state
        if code is None or not isinstance(state, tuple) or len(state) < 5:
            raise self.broken(place, "a type that NumPy would not write")
        if any(part is not None for part in state[2:5]):
            raise self.refused(place, "an array of records (a type with fields)")
        if OBJECT_TYPE.fullmatch(code):
            return code
        order = _text(state[1])
        if order not in ("<", ">", "=", "|"):
            raise self.broken(place, f"{kind_of(state[1])} as a byte order")
        return order + code

    def refused(self, place: str, value: Value, expected: str = "an array of real numbers") -> InputError:
        found = value if isinstance(value, str) and value.startswith("an array of ") else kind_of(value)
        return InputError(f"{self.where}, {place}: expected {expected}, found {found}: {TRUSTED}")

    def broken(self, place: str, found: str) -> InputError:
        return InputError(f"{self.where}, {place}: expected an array as NumPy writes it, found {found}: {AGAIN}")


def _content(leaf: _Leaf, where: str) -> memoryview | bytes:
    if isinstance(leaf.payload, memoryview):
        return leaf.payload
    try:
        text = str(leaf.payload.encoded, "utf-8") if isinstance(leaf.payload, LongText) else leaf.payload
        content = text.encode("latin-1")
    except UnicodeError as error:
        raise InputError(
            f"{where}: expected bytes written as text, found text that is not ({error}): {AGAIN}"
        ) from None
    if len(content) != leaf.num_bytes:
        raise InputError(f"{where}: expected {leaf.num_bytes:,} bytes, found {len(content):,}: {AGAIN}")
    return content


def _text(value: Value) -> str | None:
    """Text, also where Python 2 wrote it as bytes; None for everything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, memoryview) and len(value) <= MAX_TEXT_BYTES:
        content = bytes(value)
        return content.decode("ascii") if content.isascii() else None
    return None
