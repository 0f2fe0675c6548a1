"""A pickle read as inert data: nothing that it names is imported, called or even looked up.

A pickle is a program for a small stack machine. This machine knows the instructions that build containers, numbers,
text and bytes, and writes down the rest: a name becomes a `Global`, a call becomes a `Call`. What they mean is decided
by who reads the result (`unpickle.py`); to this module they mean nothing. Every other instruction, and every name that
the reader did not ask for, is refused. Bytes are never copied: they are slices of the buffer that was given.
"""

import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Literal

from limssr.core.errors import InputError

PROTOCOLS = (2, 3, 4, 5)
# Longer text stays where it is until it is needed: the protocol 2 writes arrays as text.
MAX_TEXT_BYTES = 1024
# A dictionary entry with an array takes about 60. What is refused here would fill the memory with empty containers.
MAX_INSTRUCTIONS = 5_000_000
MAX_INTEGER_BYTES = 8
TRUSTED = "save it again as a dictionary of plain arrays, or get it from a source that you trust."
AGAIN = "fetch it again, or write it again."

Name = tuple[str, str]
Value = Any
"""None, bool, int, float, str, memoryview (bytes), list, tuple, or one of the classes below."""


@dataclass(frozen=True)
class Global:
    """A name, module and attribute, that stood in the stream."""

    module: str
    name: str

    @property
    def key(self) -> Name:
        """As the pair that was allowed."""
        return self.module, self.name


@dataclass(eq=False)
class Call:
    """A call that was written down and not made.

    Attributes:
        function: What would have been called.
        arguments: With which values.
        state: What would have been handed to the new object afterwards; None if nothing was.
        pairs: Items that would have been put into it.
    """

    function: Global
    arguments: tuple[Value, ...]
    state: Value = None
    pairs: list[tuple[Value, Value]] = field(default_factory=list)


@dataclass(eq=False)
class Table:
    """A dictionary: its pairs in order, keys of any type, none of them hashed or compared."""

    pairs: list[tuple[Value, Value]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class LongText:
    """UTF-8 text that is still in the file."""

    encoded: memoryview


@dataclass(frozen=True, eq=False)
class Persistent:
    """A reference to something outside the stream."""

    key: Value


def run(
    data: memoryview,
    *,
    allowed: Collection[Name],
    where: str,
    persistent: Literal["refuse", "keep"] = "refuse",
) -> Value:
    """Read a pickle of protocol 2 to 5 that fills a buffer.

    Args:
        data: From the first instruction to the last; a read-only view of bytes.
        allowed: Names (module, attribute) that may occur.
        where: Beginning of the messages, the file's name.
        persistent: Whether references to something outside become `Persistent` or are refused.

    Returns:
        The inert value: see `Value`. Payloads are slices of `data`.

    Raises:
        InputError: An instruction or a name that is not allowed, a stream that ends too early or too late, or one that
            makes no sense.
    """
    return _Interpreter(data, frozenset(allowed), where, persistent).run()


class _Interpreter:
    def __init__(self, data: memoryview, allowed: frozenset[Name], where: str, persistent: str) -> None:
        self.data, self.allowed, self.where, self.persistent = data, allowed, where, persistent
        self.at = 0
        self.stack: list[Value] = []
        self.marks: list[int] = []
        self.memo: dict[int, Value] = {}

    def run(self) -> Value:
        for _ in range(MAX_INSTRUCTIONS):
            code = self.take(1)[0]
            if code == STOP:
                return self.finished()
            step = STEPS.get(code)
            if step is None:
                raise self.refused_instruction(code)
            step(self)
        raise self.error(
            f"a pickle of at most {MAX_INSTRUCTIONS:,} instructions", "a longer one", f"split it, or {TRUSTED}"
        )

    def finished(self) -> Value:
        value = self.pop()
        if self.stack or self.marks:
            raise self.damaged("values left over at its end")
        if self.at != len(self.data):
            raise self.damaged(f"{len(self.data) - self.at:,} bytes behind its end")
        return value

    # Reading bytes.

    def take(self, count: int) -> memoryview:
        if count > len(self.data) - self.at:
            raise self.error(
                f"{count:,} bytes more",
                f"only {len(self.data) - self.at:,}",
                f"the file is truncated or damaged; {AGAIN}",
            )
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        found = bytes(self.data[self.at : self.at + MAX_TEXT_BYTES]).partition(b"\n")
        if not found[1]:
            raise self.damaged("a name without an end")
        self.at += len(found[0]) + 1
        return found[0].decode("utf-8", errors="backslashreplace")

    # The stack.

    def pop(self) -> Value:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.damaged("an instruction that lacks its values")
        return self.stack.pop()

    def top(self) -> Value:
        value = self.pop()
        self.stack.append(value)
        return value

    def pop_to_mark(self) -> list[Value]:
        if not self.marks:
            raise self.damaged("a group that never began")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    # Instructions that need more than a line.

    def protocol(self) -> None:
        version = self.number("<B")
        if version not in PROTOCOLS:
            raise self.error("a pickle of protocol 2 to 5", f"protocol {version}", TRUSTED)

    def frame(self) -> None:
        # Only a promise about the file; it is held against what is there and then forgotten.
        length = self.number("<Q")
        if length > len(self.data) - self.at:
            self.take(length)

    def text(self, form: str) -> None:
        encoded = self.take(self.number(form))
        self.stack.append(LongText(encoded) if len(encoded) > MAX_TEXT_BYTES else self.decoded(encoded))

    def decoded(self, encoded: memoryview) -> str:
        try:
            return bytes(encoded).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.damaged(f"text that is not UTF-8 ({error})") from error

    def integer(self) -> None:
        length = self.number("<B")
        if length > MAX_INTEGER_BYTES:
            raise self.error(f"whole numbers of at most {MAX_INTEGER_BYTES} bytes", f"one of {length}", TRUSTED)
        self.stack.append(int.from_bytes(self.take(length), "little", signed=True))

    def tuple_of(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(values)))

    def append(self, values: list[Value]) -> None:
        target = self.top()
        if not isinstance(target, list):
            raise self.damaged(f"values to append to {kind_of(target)}")
        target.extend(values)

    def set_items(self, values: list[Value]) -> None:
        target = self.top()
        if not isinstance(target, Table | Call):
            raise self.damaged(f"items to put into {kind_of(target)}")
        if len(values) % 2:
            raise self.damaged("a key without a value")
        target.pairs.extend(zip(values[::2], values[1::2], strict=True))

    def two(self) -> list[Value]:
        second, first = self.pop(), self.pop()
        return [first, second]

    def put(self, index: int) -> None:
        self.memo[index] = self.top()

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise self.damaged(f"a reference to value {index}, which does not exist")
        self.stack.append(self.memo[index])

    def named(self, module: Value, name: Value) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise self.error("a name made of text", f"one made of {kind_of(module)} and {kind_of(name)}", TRUSTED)
        if (module, name) not in self.allowed:
            raise self.refused_name(f"{module}.{name}")
        self.stack.append(Global(module, name))

    def reduce(self) -> None:
        function, arguments = self.two()
        if not (isinstance(function, Global) and isinstance(arguments, tuple)):
            raise self.error("a call of a NumPy name", f"a call of {kind_of(function)}", TRUSTED)
        self.stack.append(Call(function, arguments))

    def build(self) -> None:
        state, target = self.pop(), self.top()
        if not isinstance(target, Call) or target.state is not None:
            raise self.error("a state for a new array", f"a state for {kind_of(target)}", TRUSTED)
        target.state = state

    def outside(self) -> None:
        if self.persistent == "refuse":
            raise self.refused_instruction(ord("Q"))
        self.stack.append(Persistent(self.pop()))

    # Words.

    def error(self, expected: str, found: str, remedy: str) -> InputError:
        return InputError(
            f"{self.where}: expected {expected}, found {found} (byte {self.at:,} of the pickle): {remedy}"
        )

    def damaged(self, found: str) -> InputError:
        return self.error("a complete pickle", found, f"the file is damaged; {AGAIN}")

    def refused_name(self, name: str) -> InputError:
        return self.error(
            "nothing but arrays, dictionaries, lists and text",
            f"the name '{name}'",
            f"names can run code, so it was not looked up and nothing was run; {TRUSTED}",
        )

    def refused_instruction(self, code: int) -> InputError:
        name = REFUSED.get(code)
        if name is None:
            return self.damaged(f"the byte {code:#04x} where an instruction should be")
        about = ""
        if name == "INST":
            about = f" of the name '{self.line()}.{self.line()}'"
        elif name == "PERSID":
            about = f" '{self.line()}'"
        return self.error(
            "nothing but arrays, dictionaries, lists and text (protocol 2 to 5)",
            f"the pickle instruction {name}{about}",
            f"it is not carried out, nothing was run; {TRUSTED}",
        )


def kind_of(value: Value) -> str:
    """What a value is, in words for messages."""
    if isinstance(value, Global):
        return f"the name '{value.module}.{value.name}'"
    if isinstance(value, Call):
        return f"a call of '{value.function.module}.{value.function.name}'"
    if isinstance(value, bool | int | float):
        return f"the number {value}" if len(repr(value)) < 30 else "a number"
    if isinstance(value, str):
        return f"the text {value[:60]!r}"
    names = {memoryview: "bytes", LongText: "a long text", list: "a list", Table: "a dictionary", tuple: "a tuple"}
    return names.get(type(value), "nothing (None)" if value is None else "a reference to something outside")


STOP = ord(".")
Step = Callable[[_Interpreter], None]


def _push(make: Callable[[_Interpreter], Value]) -> Step:
    return lambda machine: machine.stack.append(make(machine))


def _sized(form: str) -> Step:
    return _push(lambda machine: machine.take(machine.number(form)))


# One entry an instruction, by its byte; the names are those of Python's documentation.
STEPS: dict[int, Step] = {
    0x80: _Interpreter.protocol,  # PROTO
    0x95: _Interpreter.frame,  # FRAME
    ord("N"): _push(lambda machine: None),  # NONE
    0x88: _push(lambda machine: True),  # NEWTRUE
    0x89: _push(lambda machine: False),  # NEWFALSE
    ord("K"): _push(lambda machine: machine.number("<B")),  # BININT1
    ord("M"): _push(lambda machine: machine.number("<H")),  # BININT2
    ord("J"): _push(lambda machine: machine.number("<i")),  # BININT
    ord("G"): _push(lambda machine: machine.number(">d")),  # BINFLOAT
    0x8A: _Interpreter.integer,  # LONG1
    ord("U"): _sized("<B"),  # SHORT_BINSTRING, Python 2's bytes
    ord("T"): _sized("<I"),  # BINSTRING; its length is signed, and a negative one is longer than any file
    ord("C"): _sized("<B"),  # SHORT_BINBYTES
    ord("B"): _sized("<I"),  # BINBYTES
    0x8E: _sized("<Q"),  # BINBYTES8
    0x96: _sized("<Q"),  # BYTEARRAY8
    0x8C: lambda machine: machine.text("<B"),  # SHORT_BINUNICODE
    ord("X"): lambda machine: machine.text("<I"),  # BINUNICODE
    0x8D: lambda machine: machine.text("<Q"),  # BINUNICODE8
    ord("]"): _push(lambda machine: []),  # EMPTY_LIST
    ord("}"): _push(lambda machine: Table()),  # EMPTY_DICT
    ord(")"): _push(lambda machine: ()),  # EMPTY_TUPLE
    0x85: lambda machine: machine.tuple_of(1),  # TUPLE1
    0x86: lambda machine: machine.tuple_of(2),  # TUPLE2
    0x87: lambda machine: machine.tuple_of(3),  # TUPLE3
    ord("t"): _push(lambda machine: tuple(machine.pop_to_mark())),  # TUPLE
    ord("("): lambda machine: machine.marks.append(len(machine.stack)),  # MARK
    ord("a"): lambda machine: machine.append([machine.pop()]),  # APPEND
    ord("e"): lambda machine: machine.append(machine.pop_to_mark()),  # APPENDS
    ord("s"): lambda machine: machine.set_items(machine.two()),  # SETITEM
    ord("u"): lambda machine: machine.set_items(machine.pop_to_mark()),  # SETITEMS
    0x94: lambda machine: machine.put(len(machine.memo)),  # MEMOIZE
    ord("q"): lambda machine: machine.put(machine.number("<B")),  # BINPUT
    ord("r"): lambda machine: machine.put(machine.number("<I")),  # LONG_BINPUT
    ord("h"): lambda machine: machine.get(machine.number("<B")),  # BINGET
    ord("j"): lambda machine: machine.get(machine.number("<I")),  # LONG_BINGET
    ord("c"): lambda machine: machine.named(machine.line(), machine.line()),  # GLOBAL
    0x93: lambda machine: machine.named(*machine.two()),  # STACK_GLOBAL
    ord("R"): _Interpreter.reduce,  # REDUCE
    ord("b"): _Interpreter.build,  # BUILD
    ord("Q"): _Interpreter.outside,  # BINPERSID
}
# Instructions that exist and are never carried out: they make objects, leave the stream, or belong to older protocols.
REFUSED = {
    ord("i"): "INST",
    ord("o"): "OBJ",
    0x81: "NEWOBJ",
    0x92: "NEWOBJ_EX",
    0x82: "EXT1",
    0x83: "EXT2",
    0x84: "EXT4",
    ord("P"): "PERSID",
    ord("Q"): "BINPERSID",
    0x97: "NEXT_BUFFER",
    0x98: "READONLY_BUFFER",
    0x8F: "EMPTY_SET",
    0x90: "ADDITEMS",
    0x91: "FROZENSET",
    0x8B: "LONG4",
    ord("0"): "POP",
    ord("1"): "POP_MARK",
    ord("2"): "DUP",
    ord("I"): "INT",
    ord("L"): "LONG",
    ord("F"): "FLOAT",
    ord("S"): "STRING",
    ord("V"): "UNICODE",
    ord("l"): "LIST",
    ord("d"): "DICT",
    ord("p"): "PUT",
    ord("g"): "GET",
}
