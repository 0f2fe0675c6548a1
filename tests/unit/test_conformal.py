"""Intervals cover what they say, on toys whose coverage is known."""

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from limssr.core.errors import InputError
from limssr.evaluation.conformal import errors_of, smallest_number, width

STREAMS = ("video", "audio")
SUBSETS = {"video": 2.0, "audio": 3.0, "video+audio": 1.0}  # subset -> deviation of the error
REPEATS = 200


def table(generator, num, *, owned=None, shift=None):
    """Errors of `num` samples: normal, the wider the less is shown; `owned` gives what each sample has."""
    rows = []
    for n in range(num):
        has = "video+audio" if owned is None else owned[n]
        for shown, deviation in SUBSETS.items():
            if set(shown.split("+")) <= set(has.split("+")):
                error = deviation * generator.normal() + (0.0 if shift is None else shift[n])
                rows.append(
                    {"id": f"s{n}", "streams": shown, "criterion": "total", "score": 5.0, "prediction": 5 - error}
                )
    return pa.Table.from_pylist(rows)


def covered(half, generator, deviation, num=50):
    return int((np.abs(deviation * generator.normal(size=num)) <= half).sum())


def within(hits, trials, level):
    low, high = stats.binom.interval(0.9999, trials, level)
    return low <= hits <= high


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("shown", [("video",), ("audio",), ("video", "audio")])
def test_coverage_is_what_counting_promises(level, shown):
    generator = np.random.default_rng(round(level * 100) + len(shown))
    num, hits = 39, 0
    for _ in range(REPEATS):
        found = width(errors_of(table(generator, num), STREAMS, ["total"]), shown, level)
        assert found.source_C == ("pattern",)
        hits += covered(found.half_C[0], generator, SUBSETS["+".join(shown)], num=1)
    expected = math.ceil((num + 1) * level) / (num + 1)
    assert within(hits, REPEATS, expected)


def test_a_pattern_that_few_own_is_served_by_what_others_share_with_it():
    generator = np.random.default_rng(1)
    owned = ["video+audio"] * 5 + ["video"] * 40
    errors = errors_of(table(generator, 45, owned=owned), STREAMS, ["total"])
    assert width(errors, ("video",), 0.9).source_C == ("pattern",)
    both = width(errors, STREAMS, 0.9)
    assert both.source_C == ("nested",)
    assert both.num_C.tolist() == [45]
    assert covered(both.half_C[0], generator, SUBSETS["video+audio"], num=4000) > 0.9 * 4000  # on the wide side


def test_samples_that_own_more_are_masked_down():
    generator = np.random.default_rng(2)
    errors = errors_of(table(generator, 30), STREAMS, ["total"])  # nobody owns audio alone
    found = width(errors, ("audio",), 0.9)
    assert (found.source_C, found.num_C.tolist()) == (("pattern",), [30])


def test_too_few_for_the_level_is_infinite_and_says_so():
    errors = errors_of(table(np.random.default_rng(3), 8), STREAMS, ["total"])
    assert smallest_number(0.9) == 9
    assert smallest_number(0.5) == 1
    found = width(errors, ("video",), 0.9)
    assert found.source_C == ("none",)
    assert math.isinf(found.half_C[0])
    assert math.isfinite(width(errors, ("video",), 0.8).half_C[0])


def test_whole_groups_cover_new_groups_where_samples_do_not():
    generator = np.random.default_rng(4)
    num_groups, size, level = 25, 8, 0.9
    hits = {"samples": 0, "groups": 0}
    for _ in range(REPEATS):
        shifts = 3.0 * generator.normal(size=num_groups + 1)
        shift = np.repeat(shifts[:-1], size)
        groups = {f"s{n}": f"g{n // size}" for n in range(num_groups * size)}
        owned = ["video+audio"] * (num_groups * size)
        errors = errors_of(table(generator, len(owned), owned=owned, shift=shift), STREAMS, ["total"], groups=groups)
        new = abs(shifts[-1] + generator.normal())
        for count in hits:
            hits[count] += new <= width(errors, STREAMS, level, count=count).half_C[0]
    assert hits["groups"] >= stats.binom.ppf(0.0001, REPEATS, level)
    assert hits["groups"] >= hits["samples"]


def test_six_groups_cannot_give_ninety_percent():
    groups = {f"s{n}": f"g{n % 6}" for n in range(60)}
    errors = errors_of(table(np.random.default_rng(5), 60), STREAMS, ["total"], groups=groups)
    assert width(errors, STREAMS, 0.9, count="groups").source_C == ("none",)
    assert math.isfinite(width(errors, STREAMS, 0.85, count="groups").half_C[0])


def test_criteria_that_were_not_judged_do_not_count():
    rows = table(np.random.default_rng(6), 20).to_pylist()
    rows += [{**row, "criterion": "art", "score": math.nan if int(row["id"][1:]) % 2 else 1.0} for row in rows]
    found = width(errors_of(pa.Table.from_pylist(rows), STREAMS, ["total", "art"]), STREAMS, 0.5)
    assert found.num_C.tolist() == [20, 10]


@pytest.mark.parametrize("level", [0.0, 1.0, 90, math.nan])
def test_a_level_that_is_no_share_is_refused(level):
    errors = errors_of(table(np.random.default_rng(7), 20), STREAMS, ["total"])
    with pytest.raises(InputError, match="between 0 and 1"):
        width(errors, STREAMS, level)


def test_nothing_to_calibrate_on_is_refused():
    rows = [{"id": "a", "streams": "video", "criterion": "total", "score": math.nan, "prediction": 1.0}]
    with pytest.raises(InputError, match="judged samples"):
        errors_of(pa.Table.from_pylist(rows), STREAMS, ["total"])
    with pytest.raises(InputError, match="one of the streams"):
        width(errors_of(table(np.random.default_rng(8), 9), STREAMS, ["total"]), ("smell",), 0.5)
