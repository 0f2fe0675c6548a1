"""Sensor tables: every form of time, irregular rates, gaps, and what is refused."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limssr.core.errors import InputError
from limssr.media.assemble import assemble
from limssr.media.clock import make_segments, parse_segments
from limssr.media.manifest import Recording, Source
from limssr.media.record import StreamRecord
from limssr.media.sensors import on_one_clock, read_sensor, sensor_columns, sensor_segments

SECONDS = make_segments(1)


def written(path, text):
    path.write_text(text)
    return path


def ramp(header, times):
    return header + "".join(f"{time},{2 * index}\n" for index, time in enumerate(times))


@pytest.mark.parametrize(
    ("header", "times"),
    [
        ("time_s,force\n", ["0", "0.5", "1", "1.5"]),
        ("t,force\n", ["0.0", "0.50", "1.0", "1.5"]),
        ("time_ms,force\n", ["0", "500", "1000", "1500"]),
        ("Timestamp_us,force\n", ["0", "500000", "1000000", "1500000"]),
        ("time_ns,force\n", ["0", "500000000", "1000000000", "1500000000"]),
        ("timestamp,force\n", [f"2026-01-31T10:00:0{second}Z" for second in ("0.0", "0.5", "1.0", "1.5")]),
        ("datetime,force\n", [f"2026-01-31 10:00:0{second}" for second in ("0.000", "0.500", "1.000", "1.500")]),
    ],
)
def test_every_form_of_time(header, times, tmp_path):
    table = read_sensor(written(tmp_path / "s.csv", ramp(header, times)), where="here")
    assert list(table.times_ns) == [0, 500_000_000, 1_000_000_000, 1_500_000_000]
    assert table.columns == ("force",)
    assert table.from_first == (header[:9] in ("timestamp", "datetime,"))
    segments_TD = sensor_segments(table, SECONDS, 2)
    assert dict(zip(sensor_columns(table.columns), segments_TD[1], strict=True)) == {
        "force.mean": 5,
        "force.deviation": 1,
        "force.minimum": 4,
        "force.maximum": 6,
        "force.slope": 4,
        "count": 2,
    }


@pytest.mark.parametrize(
    ("text", "remarks"),
    [
        ("time_s;x;y\n0,5;1,25;3\n1,0;-2,5e1;\n", ("cells separated by semicolons", "decimal commas")),
        ("time_s;x;y\r\n0.5;1.25;3\r\n1.0;-25;\r\n", ("cells separated by semicolons",)),
        ("time_s\tx\ty\n0,5\t1,25\t3\n1,0\t-25\t\n", ("cells separated by tabs", "decimal commas")),
        ('time_s,x,"y"\n0.5,1.25,3\n1.0,-25,\n', ()),
    ],
)
def test_tables_as_they_are_written_elsewhere(text, remarks, tmp_path):
    for name in ("s.csv", "s.txt"):
        table = read_sensor(written(tmp_path / name, text), where="here")
        assert table.columns == ("x", "y")
        assert list(table.times_ns) == [500_000_000, 1_000_000_000]
        np.testing.assert_array_equal(table.readings_NC, [[1.25, 3], [-25, np.nan]])
        assert len(table.remarks) == len(remarks)
        assert all(one.startswith(told) for one, told in zip(table.remarks, remarks, strict=True))


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "frame", "index"])
def test_an_index_is_no_reading(name, tmp_path):
    path = written(tmp_path / "s.csv", f"{name},time_s,x\n0,0.5,7\n1,1.0,3\n2,1.5,4\n")
    table = read_sensor(path, where="here")
    assert table.columns == ("x",)
    assert table.remarks == (f"index column '{name}' left out, for it counts the rows",)
    # Stores of older versions have it as a reading, and go on reading it.
    assert read_sensor(path, where="here", keep=(name, "x")).columns == (name, "x")
    jumps = written(tmp_path / "j.csv", f"{name or 'nr'},time_s,x\n4,0.5,7\n1,1.0,3\n2,1.5,4\n")
    assert len(read_sensor(jumps, where="here").columns) == 2


@pytest.mark.parametrize("readings", [("frame", "x"), ("x",)])
def test_a_sensor_is_read_as_its_store_was(readings, tmp_path):
    written(tmp_path / "s.csv", "frame,time_s,x\n0,0.1,7\n1,0.5,3\n2,0.9,4\n")
    source = Source(kind="sensor", name="wrist", cell="s.csv", folder=tmp_path)
    row = Recording(id="a", sources=(source,), scores_C=np.empty(0), group="", split=None, where="here")
    stream = StreamRecord(name="wrist", source="sensor:wrist", columns=sensor_columns(readings))
    found = assemble(row, {}, [stream], SECONDS).sample.streams["wrist"]
    assert found.shape == (1, 5 * len(readings) + 1)


def test_a_thousands_separator_is_no_decimal(tmp_path):
    with pytest.raises(InputError, match="expected numbers in column 'x'"):
        read_sensor(written(tmp_path / "s.csv", "time_s;x\n0,5;1.234,5\n"), where="here")


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("timestamp", ["1700000000", "1700000000.5", "1700000001"]),
        ("time_ms", ["1700000000000", "1700000000500", "1700000001000"]),
        ("timestamp", ["1700000000000", "1700000000500", "1700000001000"]),
        ("Time [us]", ["1700000000000000", "1700000000500000", "1700000001000000"]),
    ],
)
def test_unix_times_are_time_stamps(name, times, tmp_path):
    path = written(tmp_path / "s.csv", ramp(f"{name},force\n", times))
    table = read_sensor(path, where="here")
    assert table.from_first
    assert list(table.times_ns) == [0, 500_000_000, 1_000_000_000]
    assert table.began_ns == 1_700_000_000 * 10**9
    dated = read_sensor(path, offset="2023-11-14T22:13:19Z", where="here")  # a second before
    assert list(dated.times_ns) == [1_000_000_000, 1_500_000_000, 2_000_000_000]
    # What older manifests had to say.
    assert list(read_sensor(path, offset="-1699999999", where="here").times_ns) == list(dated.times_ns)


def test_sensors_with_time_stamps_are_on_one_clock(tmp_path):
    first = written(tmp_path / "a.csv", ramp("time,x\n", [f"2026-01-31T10:00:0{second}Z" for second in range(6)]))
    later = written(tmp_path / "b.csv", ramp("timestamp,y\n", [str(1769853602 + second) for second in range(3)]))
    plain = written(tmp_path / "c.csv", ramp("time_s,z\n", ["0", "1"]))
    tables = {path.stem: read_sensor(path, where="here") for path in (first, later, plain)}
    found = on_one_clock(tables, where="here")
    assert [one.times_ns[0] // 10**9 for one in found.values()] == [0, 2, 0]
    assert on_one_clock({"b": tables["b"], "c": tables["c"]}, where="here")["b"].times_ns[0] == 0
    wrong = written(tmp_path / "d.csv", ramp("time,x\n", ["2026-01-31T11:00:00Z", "2026-01-31T11:00:01Z"]))
    with pytest.raises(InputError, match=r"sensor 'd' beginning 3595\.0 s after a ended"):
        on_one_clock({"a": tables["a"], "d": read_sensor(wrong, where="here")}, where="here")


def test_offsets(tmp_path):
    plain = written(tmp_path / "s.csv", ramp("time_s,force\n", ["0", "0.5"]))
    assert list(read_sensor(plain, offset="-0.25", where="here").times_ns) == [-250_000_000, 250_000_000]
    dated = written(tmp_path / "d.csv", ramp("time,force\n", ["2026-01-31T10:00:03Z", "2026-01-31T10:00:04.5Z"]))
    found = read_sensor(dated, offset="2026-01-31T11:00:02.5+01:00", where="here")
    assert list(found.times_ns) == [500_000_000, 2_000_000_000]
    assert not found.from_first
    with pytest.raises(InputError, match="an offset in seconds"):
        read_sensor(plain, offset="2026-01-31T10:00:00Z", where="here")


def test_parquet_and_typed_times(tmp_path):
    times = pa.array([0, 1_000], pa.timestamp("ms"))
    pq.write_table(pa.table({"time": times, "x": [1.0, None], "y": [3, 4]}), tmp_path / "s.parquet")
    table = read_sensor(tmp_path / "s.parquet", where="here")
    assert list(table.times_ns) == [0, 1_000_000_000]
    np.testing.assert_array_equal(table.readings_NC, [[1, 3], [np.nan, 4]])


def test_a_gap_is_segments_that_are_not_valid(tmp_path):
    times = [f"{time:.2f}" for time in np.arange(0, 10, 0.05) if not 3.2 < time < 6.4]
    table = read_sensor(written(tmp_path / "s.csv", ramp("time_s,force\n", times)), where="here")
    valid = ~np.isnan(sensor_segments(table, SECONDS, 12)).any(axis=1)
    assert list(np.flatnonzero(~valid)) == [3, 4, 5, 10, 11]


def test_readings_at_different_rates_share_a_table(tmp_path):
    lines = [f"{index / 10},{index},{index if index % 10 == 0 else ''}" for index in range(40)]
    table = read_sensor(written(tmp_path / "s.csv", "time_s,fast,slow\n" + "\n".join(lines) + "\n"), where="here")
    segments_TD = sensor_segments(table, SECONDS, 4)
    assert not np.isnan(segments_TD).any()
    assert list(segments_TD[:, 1]) == [0, 10, 20, 30]


def test_irregular_times_overlapping_segments(tmp_path):
    random = np.random.default_rng(3)
    times = np.sort(random.uniform(0, 20, 400))
    path = written(tmp_path / "s.csv", ramp("time_s,force\n", [f"{time:.6f}" for time in times]))
    table = read_sensor(path, where="here")
    segments = parse_segments("5:2")
    found = sensor_segments(table, segments, 8)
    for number in range(8):
        inside = (table.times_ns >= number * 2e9) & (table.times_ns < number * 2e9 + 5e9)
        values = table.readings_NC[inside, 0]
        assert found[number, 0] == pytest.approx(values.mean(), rel=1e-5)
        assert found[number, 5] == inside.sum()
        slope = np.polyfit(table.times_ns[inside] / 1e9, values, 1)[0]
        assert found[number, 4] == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("force\n1\n", "exactly one time column"),
        ("time_s,time_ms,force\n0,0,1\n", "exactly one time column"),
        ("time_s\n0\n", "expected readings"),
        ("time_s,force\n", "found"),
        ("time_s,force\n0,1\n2,1\n1,1\n", "row 3 is earlier"),
        ("time_s,force\n0,1\n,1\n", "a time in every row"),
        ("time_s,force\nnoon,1\n", "expected seconds or ISO"),
        ("time,force\n0,1\n1e500,1\n", "finite times"),
        ("Time [min],force\n1e308,1\n", "finite times"),
        ("time_s,force\n0,hard\n", "expected numbers in column 'force'"),
        ("time_s,force\n0,inf\n", "finite numbers"),
        ("time_s,force\n0,1,2\n", "readable table"),
        ("", "readable table"),
    ],
)
def test_what_is_refused(text, words, tmp_path):
    with pytest.raises(InputError, match=words):
        read_sensor(written(tmp_path / "s.csv", text), where="here")


def test_no_such_file_and_no_such_kind(tmp_path):
    with pytest.raises(InputError, match="found nothing"):
        read_sensor(tmp_path / "s.csv", where="here")
    with pytest.raises(InputError, match=r"\.csv, \.tsv, \.txt, \.parquet"):
        read_sensor(written(tmp_path / "s.xlsx", "x"), where="here")


@pytest.mark.parametrize("name", ["s.csv", "s.tsv", "s.parquet"])
def test_a_pipe_or_a_device_is_no_table(name, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="found a pipe"):
        read_sensor(tmp_path / name, where="here")
    (tmp_path / f"other-{name}").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="found a device"):
        read_sensor(tmp_path / f"other-{name}", where="here")


@pytest.mark.parametrize(
    ("header", "times"),
    [
        ("time_s", ["0", "1" + 11 * "0"]),  # microseconds, named as seconds: beyond nanoseconds in 64 bits
        ("time_ns", ["0", str(2**63)]),
        ("time_s", ["0.5", "1e300"]),
        ("timestamp", ["2026-01-31T10:00:00", "3026-01-31T10:00:00"]),
    ],
)
def test_times_that_no_clock_holds_are_refused_and_never_wrapped(header, times, tmp_path):
    with pytest.raises(InputError, match=r"140 years|seconds or ISO time stamps"):
        read_sensor(written(tmp_path / "s.csv", ramp(f"{header},force\n", times)), where="here")


def test_messages_about_many_columns_are_short(tmp_path):
    names = ",".join(f"column{n}" for n in range(5_000))
    with pytest.raises(InputError, match="exactly one time column") as refused:
        read_sensor(written(tmp_path / "s.csv", f"{names}\n{','.join(5_000 * '1')}\n"), where="here")
    assert len(str(refused.value)) < 2_000
    with pytest.raises(InputError, match="100,001 columns"):
        read_sensor(written(tmp_path / "t.csv", f"t{100_000 * ',a'}\n"), where="here")
