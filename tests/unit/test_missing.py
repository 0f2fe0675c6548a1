from collections import Counter

import pytest

from limssr.core.errors import InputError
from limssr.data.missing import (
    availability_mask,
    batch_subset,
    check_pattern,
    distinct_subsets,
    dropout_subset,
    effective_rate,
    subsets,
)

NAMES = ("video", "audio", "flow")
IDS = [f"clip {number}" for number in range(4000)]


def masks(names=NAMES, **options):
    settings = {"rate": 0.5, "seed": 0, "pattern": "independent"} | options
    return [availability_mask(sample_id, names, **settings) for sample_id in IDS]


def absent_share(kept, name):
    return sum(name not in names for names in kept) / len(kept)


def test_subsets_are_in_order_and_the_full_one_is_last():
    assert subsets(NAMES) == (
        ("video",),
        ("audio",),
        ("flow",),
        ("video", "audio"),
        ("video", "flow"),
        ("audio", "flow"),
        ("video", "audio", "flow"),
    )
    assert subsets(("only",)) == (("only",),)


def test_known_masks_never_change():
    # A store masked years ago must be reproducible: these values are part of the format.
    assert [availability_mask(f"s{i}", NAMES, rate=0.5, seed=0, pattern="independent") for i in range(4)] == [
        ("video", "audio"),
        ("video",),
        ("video", "flow"),
        ("video", "audio", "flow"),
    ]


@pytest.mark.parametrize("num_streams", [2, 3, 4])
def test_independent_takes_away_the_documented_share(num_streams):
    names = ("video", "audio", "flow", "score")[:num_streams]
    kept = masks(names)
    expected = effective_rate(num_streams, rate=0.5)
    assert expected == pytest.approx(0.5 - 0.5**num_streams / num_streams)
    for name in names:
        assert absent_share(kept, name) == pytest.approx(expected, abs=0.03)


def test_one_stream_takes_away_at_most_one_each_alike():
    kept = masks(pattern="one-stream", rate=0.6)
    sizes = Counter(map(len, kept))
    assert set(sizes) == {2, 3}
    assert sizes[2] / len(kept) == pytest.approx(0.6, abs=0.03)
    for name in NAMES:
        assert absent_share(kept, name) == pytest.approx(effective_rate(3, rate=0.6, pattern="one-stream"), abs=0.03)


def test_a_named_stream_is_the_only_one_to_go():
    kept = masks(pattern="audio", rate=0.3)
    assert absent_share(kept, "audio") == pytest.approx(0.3, abs=0.03)
    assert absent_share(kept, "video") == absent_share(kept, "flow") == 0


def test_a_named_stream_stays_where_it_is_the_only_one():
    assert all(kept == ("audio",) for kept in masks(("audio",), pattern="audio", rate=1.0))


@pytest.mark.parametrize("pattern", ["independent", "one-stream", "video"])
def test_the_ends_of_the_rate(pattern):
    assert set(masks(pattern=pattern, rate=0.0)) == {NAMES}
    expected_size = {"independent": 1, "one-stream": 2, "video": 2}[pattern]
    assert {len(kept) for kept in masks(pattern=pattern, rate=1.0)} == {expected_size}


def test_seeds_are_independent_of_each_other():
    agree = sum(a == b for a, b in zip(masks(seed=0), masks(seed=1), strict=True)) / len(IDS)
    by_chance = sum((count / len(IDS)) ** 2 for count in Counter(masks()).values())
    assert agree == pytest.approx(by_chance, abs=0.03)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_rate_outside_its_range_is_refused(rate):
    with pytest.raises(InputError, match="rate from 0 to 1"):
        availability_mask("s", NAMES, rate=rate, seed=0, pattern="independent")


def test_an_unknown_pattern_is_refused_with_the_nearest():
    check_pattern("audio", NAMES)
    with pytest.raises(InputError, match="did you mean 'one-stream'"):
        check_pattern("one_stream", NAMES)


def test_dropout_is_uniform_over_the_subsets_of_what_is_owned():
    drawn = Counter(dropout_subset("s", NAMES, seed=0, epoch=epoch) for epoch in range(7000))
    assert set(drawn) == set(subsets(NAMES))
    assert min(drawn.values()) > 850
    assert max(drawn.values()) < 1150


def test_dropout_differs_between_samples_and_epochs():
    assert len({dropout_subset(sample_id, NAMES, seed=0, epoch=0) for sample_id in IDS}) == 7
    assert dropout_subset("s", ("flow",), seed=0, epoch=3) == ("flow",)


def test_batch_dropout_is_uniform_and_reproducible():
    drawn = Counter(batch_subset(0, epoch, step, NAMES) for epoch in range(70) for step in range(100))
    assert set(drawn) == set(subsets(NAMES))
    assert min(drawn.values()) > 850
    assert batch_subset(0, 3, 4, NAMES) == batch_subset(0, 3, 4, NAMES)


def test_without_unseen_streams_every_incomplete_subset_is_its_own_question():
    found = distinct_subsets(subsets(NAMES), ())
    assert found.kept == subsets(NAMES)[:-1]
    assert found.same_as == {}
    assert distinct_subsets(subsets(("only",)), ()).kept == ()


def test_subsets_with_an_unseen_stream_are_those_without_it():
    full = ("video", "audio", "flow")
    found = distinct_subsets(subsets(NAMES), {"flow"})
    assert found.kept == (("video",), ("audio",))
    assert found.same_as == {
        ("flow",): (),
        ("video", "audio"): full,
        ("video", "flow"): ("video",),
        ("audio", "flow"): ("audio",),
    }


def test_one_seen_stream_leaves_nothing_to_average():
    found = distinct_subsets(subsets(NAMES), ("video", "flow"))
    assert found.kept == ()
    assert found.same_as[("audio",)] == NAMES
    assert found.same_as[("video", "flow")] == ()
    assert found.same_as[("audio", "flow")] == NAMES
