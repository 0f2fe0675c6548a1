import numpy as np
import pyarrow as pa
import pytest

from limssr.core.errors import ArtifactError
from limssr.core.types import Criterion
from limssr.evaluation.conformal import errors_of
from limssr.evaluation.intervals import coverage, errors_from_table, errors_to_table, intervals

STREAMS, TOTAL = ("video", "audio"), Criterion("total", 0.0, 10.0)


def predictions(seed, num, *, start=0, deviation=1.0):
    generator, rows = np.random.default_rng(seed), []
    for n in range(num):
        score = generator.uniform(3.0, 7.0)
        for shown, times in (("video", 2.0), ("audio", 1.5), ("video+audio", 1.0)):
            found = score + deviation * times * generator.normal() / 2
            row = {"id": f"s{start + n}", "streams": shown, "criterion": "total", "score": score}
            rows.append({**row, "prediction": found})
    return pa.Table.from_pylist(rows)


@pytest.fixture(scope="module")
def errors():
    return errors_of(predictions(0, 200), STREAMS, ["total"], groups={f"s{n}": f"g{n // 4}" for n in range(150)})


def test_intervals_lie_around_the_score_and_within_the_scale(errors):
    scores = np.array([[5.0], [0.2], [9.9], [-3.0], [np.nan]])
    found = intervals(errors, ["video+audio"] * 5, scores, [TOTAL], level=0.9)
    half = 5.0 - found.low_NC[0, 0]
    assert found.high_NC[0, 0] - 5.0 == pytest.approx(half)
    assert 0.5 < half < 1.2  # 1.645 times a deviation of one half
    assert found.low_NC[1:4, 0].tolist() == [0.0, pytest.approx(9.9 - half), 0.0]
    assert found.high_NC[1:4, 0].tolist() == [pytest.approx(0.2 + half), 10.0, pytest.approx(half)]
    assert np.isnan(found.low_NC[4, 0])
    assert np.isnan(found.high_NC[4, 0])


def test_less_to_see_is_a_wider_interval(errors):
    found = intervals(errors, ["video", "audio", "video+audio"], np.full((3, 1), 5.0), [TOTAL], level=0.8)
    widths = (found.high_NC - found.low_NC)[:, 0]
    assert widths[0] > widths[1] > widths[2]


def test_errors_too_few_for_the_level_give_the_whole_scale():
    few = errors_of(predictions(1, 5), STREAMS, ["total"])
    found = intervals(few, ["video"], np.array([[4.0]]), [TOTAL], level=0.9)
    assert (found.low_NC[0, 0], found.high_NC[0, 0]) == (0.0, 10.0)
    assert found.sources == {"video": ("none",)}


@pytest.mark.parametrize("deviation", [1.0, 3.0])
def test_coverage_is_counted(errors, deviation):
    rows = coverage(errors, predictions(2, 400, start=1000, deviation=deviation), [TOTAL], level=0.9)
    assert [row["streams"] for row in rows] == [["video"], ["audio"], ["video", "audio"]]
    for row in rows:
        low, high = row["covered_ci"]
        assert row["num_samples"] == 400
        assert low < row["covered"] < high
        assert (low <= 0.93 and high >= 0.87) if deviation == 1.0 else high < 0.75


def test_errors_survive_the_way_to_disk(errors):
    again = errors_from_table(errors_to_table(errors), STREAMS, ["total"])
    for name in ("sample_R", "shown_RM", "error_RC", "difficulty_RC", "group_N"):
        assert np.array_equal(getattr(again, name), getattr(errors, name))


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.drop_columns(["error"]),
        lambda table: table.slice(0, 0),
        lambda table: table.set_column(3, "criterion", pa.array(["art"] * len(table))),
        lambda table: table.set_column(2, "streams", pa.array(["smell"] * len(table))),
        lambda table: table.set_column(4, "error", pa.array(["x"] * len(table))),
    ],
)
def test_a_table_that_was_altered_is_refused(errors, change):
    with pytest.raises(ArtifactError, match="calibration samples"):
        errors_from_table(change(errors_to_table(errors)), STREAMS, ["total"])
