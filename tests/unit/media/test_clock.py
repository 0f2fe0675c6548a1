"""One clock: an event at second x lies in the segments that cover x, in every stream."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limssr.core.errors import InputError
from limssr.media.clock import NS, PRESETS, make_segments, parse_segments, rows_ns, to_ns
from limssr.media.encoders.contract import RowSession, Thinner
from limssr.media.sensors import SensorTable, array_segments, sensor_segments

segments_of_any_kind = st.sampled_from([*PRESETS.values(), make_segments(2.5), make_segments(3, 1), make_segments(0.2)])


def covering(segments, time_ns, number):
    """The definition, without any search."""
    return {k for k in range(number) if k * segments.stride_ns <= time_ns < k * segments.stride_ns + segments.length_ns}


@given(
    segments=segments_of_any_kind,
    rate_hz=st.sampled_from([Fraction(24), Fraction(25), Fraction(30_000, 1001), Fraction(60), Fraction(97, 10)]),
    sensor_hz=st.floats(3, 200),
    offset_s=st.floats(-2, 2),
    event=st.floats(0, 1, exclude_max=True),
    length_s=st.floats(4, 20),
)
def test_an_event_lies_in_the_segments_that_cover_it_in_every_stream(
    segments, rate_hz, sensor_hz, offset_s, event, length_s
):
    number = segments.upper_number(to_ns(length_s))
    pictures_ns = np.array([to_ns(Fraction(index) / rate_hz) for index in range(int(length_s * rate_hz))])
    session = RowSession.__new__(type("Rows", (RowSession,), {"add": lambda *_: None}))
    RowSession.__init__(session, ("maximum",))
    happened = int(event * len(pictures_ns))
    session.note(pictures_ns, (np.arange(len(pictures_ns)) == happened).astype(float)[:, None])
    seen = session.segments(segments, number)[:, 0]
    assert set(np.flatnonzero(seen == 1)) == covering(segments, pictures_ns[happened], number)

    rows = max(int(length_s * sensor_hz), 2)
    times_ns = rows_ns(rows, sensor_hz, to_ns(offset_s))
    happened = int(event * rows)
    readings = (np.arange(rows) == happened).astype(float)[:, None]
    table = SensorTable(columns=("push",), times_ns=times_ns, readings_NC=readings)
    felt = sensor_segments(table, segments, number)[:, 3]
    expected = covering(segments, times_ns[happened], number)
    valid = set(np.flatnonzero(~np.isnan(felt)))
    assert set(np.flatnonzero(felt == 1)) == expected & valid
    means = array_segments(readings, times_ns, segments, number)[:, 0]
    assert set(np.flatnonzero(means > 0)) == expected & valid


def test_a_picture_at_the_border_belongs_to_the_segment_that_begins_there():
    segments = PRESETS["rg"]
    times_ns = np.array([to_ns(Fraction(frame, 25)) for frame in range(32 * 3)])
    first_T, after_T = segments.bounds(times_ns, 3)
    assert list(first_T) == [0, 32, 64]
    assert list(after_T) == [32, 64, 96]


@pytest.mark.parametrize(
    ("text", "length_s", "stride_s"),
    [("rg", 1.28, 1.28), ("fisv", 1.28, 1.28), ("fs1000", 5, 2), ("2.5", 2.5, 2.5), ("5:2", 5, 2)],
)
def test_segments_are_read(text, length_s, stride_s):
    segments = parse_segments(text)
    assert (segments.length_s, segments.stride_s) == (length_s, stride_s)


@pytest.mark.parametrize("text", ["fs100", "", "0", "2:3", "-1", "1:0", "x:y", "nan", "5:2:1", "1e9", "1/0"])
def test_other_segments_are_refused(text):
    with pytest.raises(InputError):
        parse_segments(text)


def test_the_nearest_preset_is_named():
    with pytest.raises(InputError, match="did you mean 'fs1000'"):
        parse_segments("fs100")


@pytest.mark.parametrize(
    ("end_s", "expected"), [(0.1, 1), (5, 1), (5.9, 1), (6.0, 2), (7, 2), (7.9, 2), (8.0, 3), (25, 11)]
)
def test_the_last_segment_needs_half_of_what_it_adds(end_s, expected):
    assert PRESETS["fs1000"].number(to_ns(end_s)) == expected


def test_pictures_are_thinned_evenly():
    thinner = Thinner(8.0)
    kept = [frame for frame in range(50) if thinner.lets(frame * NS // 25)]
    assert len(kept) == 16
    assert max(np.diff(kept)) == 4
    assert min(np.diff(kept)) == 3
