"""Own tables: time columns, rates, and streams of different lengths."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from helpers.own_tables import NAMES, lines, npy
from limssr.core.errors import InputError
from limssr.data.importers.table.clock import aligned, pooled, timed
from limssr.data.importers.table.reading import Reading

TIMES = {
    "time": lambda k: f"{k * 0.02:.2f}",
    "timestamp_ms": lambda k: str(1000 + 20 * k),
    "time (s)": lambda k: f"{5 + k * 0.02:.2f}",
    "timestamp": lambda k: str(1_700_000_000_000 + 20 * k),
    "datetime": lambda k: (datetime(2024, 1, 1) + timedelta(seconds=0.02 * k)).isoformat(),
    "t": lambda k: f"{k * 0.02:.2f}",
}


@pytest.mark.parametrize("name", TIMES)
def test_a_time_column_is_no_feature_and_pools_a_fast_sensor(own, name):
    own.arrays = [np.repeat(array, 25, axis=0) for array in own.arrays]
    save = own.text(lambda array: lines([[name, *NAMES], *[[TIMES[name](k), *row] for k, row in enumerate(array)]]))
    report = own.read(save)
    own.expect()
    said = next(text for text in report.decisions if "0.02 s apart" in text)
    assert "each of which is a segment; --segment-s SECONDS" in said
    assert any("taken as the time" in text for text in report.decisions)
    report = own.read(save, "pooled", reading=Reading(segment_s=0.5))
    own.arrays = [array[::25] for array in own.arrays]
    own.expect("pooled")
    assert own.store("pooled").info.segment_s == 0.5
    assert any("averaged into segments of 0.5 s" in text for text in report.decisions)


@pytest.mark.parametrize("name", ["time", "timestamp_ms", "date_time"])
def test_times_that_do_not_rise_are_refused(own, name):
    make = lambda array: lines([[name, *NAMES], *[[str(-k), *row] for k, row in enumerate(array)]])  # noqa: E731
    if name == "date_time":
        own.read(own.text(make))
        assert own.store().modalities[0].dim == 5, "no name of a time"
        return
    with pytest.raises(InputError, match=f"times that rise in column '{name}'"):
        own.read(own.text(make))
    own.read(own.text(make), reading=Reading(time="none"))
    assert own.store().modalities[0].columns == (name, *NAMES)


def test_a_rate_pools_as_times_do(own):
    own.arrays = [np.repeat(array, 10, axis=0) for array in own.arrays]
    own.read(npy(own), reading=Reading(rates={"video": 20.0}, segment_s=0.5))
    own.arrays = [array[::10] for array in own.arrays]
    own.expect()
    for wrong, message in (({"vidoe": 20.0}, "did you mean 'video'"), ({"video": 0.0}, "rate above 0")):
        with pytest.raises(InputError, match=message):
            own.read(npy(own), "x", reading=Reading(rates=wrong, segment_s=0.5))
    with pytest.raises(InputError, match="--segment-s"):
        Reading(rates={"video": 20.0})


def test_pooling_knows_gaps_slow_streams_and_clocks():
    times = np.array([0.0, 0.1, 0.2, 0.3, 1.0, 1.1, 1.2, 1.3])
    fast = timed(np.arange(8.0)[:, None], times, None, where="x")
    slow = timed(np.array([[1.0], [2.0]]), np.array([0.0, 1.0]), None, where="x")
    assert fast is not None
    assert slow is not None
    found = pooled({"fast": fast, "slow": slow}, 0.4, where="x")
    np.testing.assert_allclose(found["fast"][:, 0], [1.5, np.nan, 4.5, 6.5][: len(found["fast"])])
    np.testing.assert_allclose(found["slow"][:, 0], [1, 1, 2, 2, 2])
    late = timed(np.ones((3, 1)), np.array([100.0, 100.1, 100.2]), None, where="x")
    assert late is not None
    with pytest.raises(InputError, match="one clock, found late beginning at 100 s"):
        pooled({"fast": fast, "late": late}, 0.4, where="x")
    with pytest.raises(InputError, match=r"stated 50 a second, found times that say 10"):
        timed(np.ones((3, 1)), np.array([0.0, 0.1, 0.2]), 50.0, where="x")


def test_resampling_keeps_the_mean_and_what_is_missing():
    array = np.arange(50.0)[:, None]
    array[10:20] = np.nan
    found, cut = aligned({"a": array, "b": np.ones((5, 2))}, "resample")
    np.testing.assert_allclose(found["a"][:, 0], [4.5, np.nan, 24.5, 34.5, 44.5])
    assert cut == 45
    third, _ = aligned({"a": np.array([[1.0], [2.0], [4.0]]), "b": np.ones((2, 1))}, "resample")
    np.testing.assert_allclose(third["a"][:, 0], [(1 + 0.5 * 2) / 1.5, (0.5 * 2 + 4) / 1.5])
    assert aligned({"a": array, "b": np.ones((5, 2))}, "shortest")[0]["a"].shape == (5, 1)
    assert aligned({"a": array}, "resample")[1] == 0


def uneven(own):
    save = npy(own)

    def audio(row, array):
        np.save(
            own.folder / f"a{row}.npy",
            np.ones((len(array) + (row > 2), 2)) * np.arange(len(array) + (row > 2))[:, None],
        )
        return f"a{row}.npy"

    return save, {"stream:audio": [audio(row, array) for row, array in enumerate(own.arrays)]}


def test_uneven_streams_are_refused_all_at_once_and_aligned_when_asked(own):
    save, more = uneven(own)
    with pytest.raises(InputError) as refusal:
        own.read(save, more=more)
    message = str(refusal.value)
    assert "3 of 6 samples" in message
    for part in ("'s3': video 8, audio 9", "'s5': video 10, audio 11", "--align shortest", "--align resample"):
        assert part in message
    assert not (own.folder / "store").exists()
    report = own.read(save, more=more, reading=Reading(align="shortest"))
    own.expect()
    assert any("in 3 samples, by up to 1 segments: their ends were cut" in text for text in report.decisions)
    report = own.read(save, "resampled", more=more, reading=Reading(align="resample"))
    assert own.store("resampled").sample("s5").num_segments == 10
    assert any("averaged to the shortest" in text for text in report.decisions)


@pytest.mark.parametrize(
    "document",
    [{"rates": "fast"}, {"rates": {"video": "x"}}, {"align": "both"}, {"speed": 3}, {"time": 3}, {"header": 1}],
)
def test_options_of_reading_from_elsewhere_are_checked(document):
    with pytest.raises(InputError):
        Reading.from_dict(document)
    assert Reading.from_dict(Reading(segment_s=0.5, rates={"a": 2.0}, header="none").to_dict()).rates == {"a": 2.0}
