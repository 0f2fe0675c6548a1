"""The reader of pickled NumPy files: reads what NumPy writes, refuses the rest by name, runs nothing."""

import pickle
import struct
import tracemalloc

import numpy as np
import pytest

from limssr.core.errors import InputError
from limssr.data.importers.pickles.arrays import read_array, read_arrays, read_form

ARRAYS = {
    "Ball_001": np.arange(12, dtype=np.float32).reshape(4, 3),
    "Ball_002": np.arange(15, dtype=np.float64).reshape(5, 3)[::2],
    "Ball_003": np.asfortranarray(np.arange(6, dtype=np.float16).reshape(2, 3)),
    "Ball_004": np.arange(24, dtype=">f4").reshape(2, 3, 4).transpose(1, 0, 2),
    "Ball_005": np.zeros((0, 3), dtype=np.int16),
    "Ball_006": np.random.default_rng(0).normal(size=(60, 9)).astype(np.float32),
}


def npy(pickled: bytes, shape: tuple[int, ...] = ()) -> bytes:
    """A NumPy header of an array of objects, and a pickle behind it."""
    header = f"{{'descr': '|O', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + pickled


@pytest.fixture
def opened(tmp_path):
    """Write bytes as an .npy file and read it."""

    def read(content: bytes):
        path = tmp_path / "features.npy"
        path.write_bytes(content)
        return read_arrays(path)

    return read


@pytest.mark.parametrize(
    ("protocol", "old_names"), [(2, False), (2, True), (3, False), (3, True), (4, False), (5, False)]
)
def test_what_numpy_writes_is_read_back(layouts, tmp_path, protocol, old_names):
    path = tmp_path / "features.npy"
    layouts.save_pickled(path, ARRAYS, protocol=protocol, old_names=old_names)
    arrays = read_arrays(path)
    assert arrays.ids() == tuple(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays.form(name).shape == arrays[name].shape == array.shape
        assert arrays.form(name).dtype == arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_np_save_itself_is_read_back(tmp_path):
    np.save(tmp_path / "a.npy", ARRAYS, allow_pickle=True)
    arrays = read_arrays(tmp_path / "a.npy")
    assert all(np.array_equal(arrays[name], array) for name, array in ARRAYS.items())
    assert not arrays["Ball_001"].flags.owndata
    assert not arrays["Ball_001"].flags.writeable


def test_lists_and_nested_dictionaries_are_flattened(layouts, tmp_path):
    one, two = ARRAYS["Ball_001"], ARRAYS["Ball_006"]
    layouts.save_pickled(tmp_path / "list.npy", [one, two])
    layouts.save_pickled(tmp_path / "nested.npy", {"a": {"x": one, "y": [two, one]}, "b": two})
    assert [array.shape for array in read_arrays(tmp_path / "list.npy").values()] == [one.shape, two.shape]
    nested = read_arrays(tmp_path / "nested.npy")
    assert nested.ids() == ("a/x", "a/y/0", "a/y/1", "b")
    np.testing.assert_array_equal(nested["a/y/0"], two)


def outer(content: bytes, *, shape: bytes = b")") -> bytes:
    """The array of objects that np.save pickles, around the instructions for its only value."""
    dtype = b"cnumpy\ndtype\nX\x02\x00\x00\x00O8\x89\x88\x87R"
    dtype += b"(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
    start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01" + shape
    return start + dtype + b"\x89]" + content + b"atb"


def test_python_2_values_come_out(opened):
    """Python 2 had no bytes: names, codes and values are its plain strings."""
    text = lambda value: b"U" + bytes([len(value)]) + value  # noqa: E731
    dtype = (
        b"cnumpy\ndtype\n"
        + text(b"f4")
        + b"\x89\x88\x87R(K\x03"
        + text(b"<")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    array += b"(K\x01K\x01K\x02\x86" + dtype + b"\x89" + text(struct.pack("<2f", 1.5, -2)) + b"tb"
    arrays = opened(npy(b"\x80\x02" + outer(b"}" + text(b"clip") + array + b"s") + b"."))
    np.testing.assert_array_equal(arrays["clip"], [[1.5, -2.0]])


class Evil:
    """Pickles as a call of os.system."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        import os

        return os.system, (self.command,)


def payloads(command: bytes) -> dict[str, tuple[bytes, str]]:
    """Name -> (a pickle that runs a command when it is unpickled, what its refusal must name)."""
    text = b"X" + struct.pack("<I", len(command)) + command
    short = lambda word: b"\x8c" + bytes([len(word)]) + word  # noqa: E731
    system = b"cposix\nsystem\n"
    evil = Evil(command.decode())
    return {
        "global and reduce": (b"\x80\x02" + system + text + b"\x85R.", "posix.system"),
        "protocol 0": (b"cposix\nsystem\n(S'" + command + b"'\ntR.", "posix.system"),
        "stack global": (b"\x80\x04" + short(b"posix") + short(b"system") + b"\x93" + text + b"\x85R.", "posix.system"),
        "inst": (b"\x80\x02(" + text + b"iposix\nsystem\n.", "INST of the name 'posix.system'"),
        "obj": (b"\x80\x02(" + system + text + b"o.", "posix.system"),
        "obj of a name that is allowed": (b"\x80\x02(cnumpy\nndarray\n" + text + b"o.", "OBJ"),
        "newobj": (b"\x80\x02cnumpy\nndarray\n" + text + b"\x85\x81.", "NEWOBJ"),
        "newobj of a class": (b"\x80\x02csubprocess\nPopen\n" + text + b"\x85\x81.", "subprocess.Popen"),
        "newobj_ex": (b"\x80\x04" + short(b"numpy") + short(b"ndarray") + b"\x93" + text + b"\x85}\x92.", "NEWOBJ_EX"),
        "build on a dictionary": (b"\x80\x02}}" + text + text + b"sb.", "a state for a dictionary"),
        "build on a name": (b"\x80\x02cnumpy\ndtype\n}" + text + text + b"sb.", "a state for the name 'numpy.dtype'"),
        "ext1": (b"\x80\x02\x82\x01" + text + b"\x85R.", "EXT1"),
        "ext4": (b"\x80\x02\x84\x01\x00\x00\x00" + text + b"\x85R.", "EXT4"),
        "persid": (b"\x80\x02P" + command + b"\n.", "PERSID"),
        "binpersid": (b"\x80\x02" + text + b"Q.", "BINPERSID"),
        "eval": (b"\x80\x02cbuiltins\neval\n" + text + b"\x85R.", "builtins.eval"),
        "getattr": (b"\x80\x02c__builtin__\ngetattr\n" + text + b"\x85R.", "__builtin__.getattr"),
        "a dotted name": (
            b"\x80\x04" + short(b"numpy") + short(b"ndarray.__class__") + b"\x93" + text + b"\x85R.",
            "ndarray.__class__",
        ),
        "inside an array of objects": (b"\x80\x02" + outer(system + text + b"\x85R") + b".", "posix.system"),
        "a name as a value": (b"\x80\x02" + outer(b"cnumpy\nndarray\n") + b".", "the name 'numpy.ndarray'"),
        "codecs called for more": (
            b"\x80\x02" + outer(b"c_codecs\nencode\n" + text + text + b"\x86R") + b".",
            "_codecs.encode",
        ),
        "dtype called with anything": (b"\x80\x02" + outer(b"cnumpy\ndtype\n" + text + b"\x85R") + b".", "numpy.dtype"),
        **{
            f"written by Python, protocol {protocol}": (pickle.dumps({"clip": evil}, protocol), "posix.system")
            for protocol in range(6)
        },
        "an array that Python wrote around it": (
            pickle.dumps(np.array({"clip": evil}, dtype=object), 4),
            "posix.system",
        ),
    }


@pytest.mark.parametrize("kind", payloads(b"true"))
def test_what_could_run_is_refused_by_name_and_does_not_run(opened, tmp_path, kind):
    touched = tmp_path / "touched"
    content, named = payloads(f"touch {touched}".encode())[kind]
    with pytest.raises(InputError) as refusal:
        opened(npy(content))
    # Protocol 0 of Python's own pickler names its memory before anything else.
    if kind != "written by Python, protocol 0":
        assert named in str(refusal.value)
    assert "features.npy" in str(refusal.value)
    assert not touched.exists()


def test_these_payloads_would_run_elsewhere(tmp_path):
    touched = tmp_path / "touched"
    ran = []
    for kind in ("global and reduce", "protocol 0", "stack global", "inst", "obj", "inside an array of objects"):
        pickle.loads(payloads(f"touch {touched}".encode())[kind][0])  # noqa: S301
        ran.append(touched.exists())
        touched.unlink()
    assert ran == [True] * 6


def text_array(shape: bytes = b"K\x01K\x02\x86", payload: bytes = b"C\x08" + bytes(8), code: bytes = b"f4") -> bytes:
    """Instructions for one array."""
    dtype = b"cnumpy\ndtype\nX" + struct.pack("<I", len(code)) + code
    dtype += b"\x89\x88\x87R(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01"
    return start + shape + dtype + b"\x89" + payload + b"tb"


CLIP = b"X\x04\x00\x00\x00clip"
HUGE = b"\x8a\x08" + struct.pack("<q", 2**40)
DAMAGED = {
    "nothing": (b"", "truncated"),
    "only the protocol": (b"\x80\x04", "truncated"),
    "huge bytes": (b"\x80\x03" + outer(b"}" + CLIP + b"\x8e" + struct.pack("<Q", 2**62) + b"s") + b".", "truncated"),
    "huge frame": (b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.", "truncated"),
    "huge shape": (b"\x80\x03" + outer(b"}" + CLIP + text_array(HUGE + HUGE + b"\x86") + b"s") + b".", "8 bytes where"),
    "negative shape": (
        b"\x80\x03" + outer(b"}" + CLIP + text_array(b"J\xff\xff\xff\xff\x85") + b"s") + b".",
        "whole numbers",
    ),
    "whole number without end": (b"\x80\x03\x8a\xff" + bytes(255) + b".", "whole numbers of at most"),
    "a list in itself": (b"\x80\x03" + outer(b"]q\x01h\x01a") + b".", "one list in two places"),
    "a dictionary in itself": (b"\x80\x03" + outer(b"}q\x01" + CLIP + b"h\x01s") + b".", "one list in two places"),
    "lists in lists": (b"\x80\x03" + outer(b"]" * 30000 + b"a" * 29999) + b".", "lists within lists"),
    "a list that grows": (
        b"\x80\x03" + outer(b"](]q\x00h\x00e") + b".",
        "two places",
    ),
    "memory that does not exist": (b"\x80\x03h\x07.", "a reference to value 7"),
    "no value": (b"\x80\x03R.", "lacks its values"),
    "no group": (b"\x80\x03t.", "a group that never began"),
    "two values": (b"\x80\x03NN.", "left over"),
    "something behind": (b"\x80\x03" + outer(b"}") + b".N", "1 bytes behind its end"),
    "no instruction": (b"\x80\x03\xfe.", "0xfe"),
    "protocol 6": (b"\x80\x06N.", "protocol 6"),
    "protocol 0": (b"(lp0\n.", "LIST"),
    "bytes from elsewhere": (b"\x80\x05\x97.", "NEXT_BUFFER"),
    "a set": (b"\x80\x04\x8f.", "EMPTY_SET"),
    "a number": (b"\x80\x03" + outer(b"}" + CLIP + b"K\x07s") + b".", "the number 7"),
    "a text": (b"\x80\x03" + outer(b"}" + CLIP + CLIP + b"s") + b".", "the text 'clip'"),
    "a number as a name": (b"\x80\x03" + outer(b"}K\x07" + text_array() + b"s") + b".", "names that are text"),
    "an array as a name": (
        b"\x80\x03" + outer(b"}" + text_array() + text_array() + b"s") + b".",
        "names that are text",
    ),
    "a name twice": (b"\x80\x03" + outer(b"}(" + (CLIP + text_array()) * 2 + b"u") + b".", "second time"),
    "no dictionary": (b"\x80\x03N.", "nothing (None)"),
    "an array of objects": (b"\x80\x03" + outer(b"}" + CLIP + outer(b"N") + b"s") + b".", "an array of objects"),
    "too few bytes": (
        b"\x80\x03" + outer(b"}" + CLIP + text_array(payload=b"C\x04" + bytes(4)) + b"s") + b".",
        "4 bytes where",
    ),
    "complex": (b"\x80\x03" + outer(b"}" + CLIP + text_array(code=b"c8") + b"s") + b".", "type <c8"),
    "text values": (b"\x80\x03" + outer(b"}" + CLIP + text_array(code=b"U1") + b"s") + b".", "type <U1"),
    "long floats": (b"\x80\x03" + outer(b"}" + CLIP + text_array(code=b"f16") + b"s") + b".", "type <f16"),
    "another header": (b"\x80\x03" + outer(b"}", shape=b"K\x05\x85") + b".", "no dictionary and no list"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_numpy_would_not_write_is_refused(opened, kind):
    content, named = DAMAGED[kind]
    with pytest.raises(InputError) as refusal:
        opened(npy(content))
    assert named in str(refusal.value)
    assert "features.npy" in str(refusal.value)


def test_records_are_refused(layouts, tmp_path):
    layouts.save_pickled(tmp_path / "a.npy", {"clip": np.zeros(3, dtype=[("x", "f4")])})
    with pytest.raises(InputError, match=r"records|type"):
        read_arrays(tmp_path / "a.npy")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_file_cut_anywhere_is_refused(layouts, opened, tmp_path, protocol):
    path = tmp_path / "whole.npy"
    layouts.save_pickled(path, {name: ARRAYS[name] for name in ("Ball_001", "Ball_003", "Ball_004")}, protocol=protocol)
    whole = path.read_bytes()
    for length in range(0, len(whole), 3):
        with pytest.raises(InputError):
            opened(whole[:length])


def test_a_flipped_byte_gives_arrays_or_a_clear_error(layouts, opened, tmp_path):
    path = tmp_path / "whole.npy"
    layouts.save_pickled(path, {"Ball_001": ARRAYS["Ball_001"], "Ball_003": ARRAYS["Ball_003"]})
    whole, rng = path.read_bytes(), np.random.default_rng(3)
    refused = 0
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= int(rng.integers(1, 256))
        try:
            for array in opened(bytes(changed)).values():
                assert array.dtype.kind in "iuf"
        except InputError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(("protocol", "arrays_in_memory"), [(2, 5), (3, 0.1), (4, 0.1), (5, 0.1)])
def test_memory_is_bounded_by_an_array_and_not_by_the_file(layouts, tmp_path, protocol, arrays_in_memory):
    content = {f"clip-{number}": np.full((500, 1024), number, dtype=np.float32) for number in range(30)}
    path, size = tmp_path / "large.npy", content["clip-0"].nbytes
    layouts.save_pickled(path, content, protocol=protocol)
    assert path.stat().st_size > 60e6
    del content
    tracemalloc.start()
    try:
        arrays = read_arrays(path)
        sums = [float(arrays[name][0, 0]) + arrays[name].shape[0] for name in arrays]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sums == [500 + number for number in range(30)]
    assert peak < max(arrays_in_memory * size, 200_000)


def test_an_unknown_name_has_its_nearest(tmp_path, layouts):
    layouts.save_pickled(tmp_path / "a.npy", ARRAYS)
    with pytest.raises(InputError, match="did you mean 'Ball_001'"):
        read_arrays(tmp_path / "a.npy")["Bal_001"]


class TestPlain:
    def test_numbers_are_read(self, tmp_path):
        np.save(tmp_path / "a.npy", ARRAYS["Ball_004"])
        assert read_form(tmp_path / "a.npy").shape == (3, 2, 4)
        np.testing.assert_array_equal(read_array(tmp_path / "a.npy"), ARRAYS["Ball_004"])

    @pytest.mark.parametrize("read", [read_array, read_form])
    def test_pickles_are_refused(self, tmp_path, read):
        np.save(tmp_path / "a.npy", ARRAYS, allow_pickle=True)
        with pytest.raises(InputError, match="found pickled objects"):
            read(tmp_path / "a.npy")

    @pytest.mark.parametrize("read", [read_array, read_form])
    @pytest.mark.parametrize(
        "array", [np.array(["a"]), np.ones(2, complex), np.ones(2, bool), np.zeros(2, [("x", "f4")])]
    )
    def test_other_types_are_refused(self, tmp_path, array, read):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(InputError, match="real numbers"):
            read(tmp_path / "a.npy")

    def test_a_truncated_or_longer_file_is_refused(self, tmp_path):
        path = tmp_path / "a.npy"
        np.save(path, ARRAYS["Ball_001"])
        whole = path.read_bytes()
        for content in (whole[:-1], whole + b"x", whole[:50], whole[:5], b"", b"no array at all"):
            path.write_bytes(content)
            with pytest.raises(InputError, match=r"a\.npy"):
                read_array(path)

    def test_a_declared_size_is_not_believed(self, tmp_path):
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 1000), }".ljust(117) + b"\n"
        (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(16))
        with pytest.raises(InputError, match="truncated"):
            read_array(tmp_path / "a.npy")

    @pytest.mark.parametrize("read", [read_array, read_arrays])
    def test_a_missing_file_is_named(self, tmp_path, read):
        with pytest.raises(InputError, match="found nothing"):
            read(tmp_path / "nowhere.npy")
        with pytest.raises(InputError, match="found a folder"):
            read(tmp_path)

    def test_one_array_is_no_dictionary(self, tmp_path):
        np.save(tmp_path / "a.npy", ARRAYS["Ball_001"])
        with pytest.raises(InputError, match="expected a dictionary of arrays"):
            read_arrays(tmp_path / "a.npy")
