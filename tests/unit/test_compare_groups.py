"""Whole groups of performances drawn anew for intervals."""

import dataclasses

import numpy as np
import pytest

from limssr.core.errors import InputError
from limssr.evaluation.resampling import Resamples, spearman_draws
from limssr.evaluation.uncertainty import percentile_interval, units_of
from limssr.studies.compare.groups import Groups, banners_of_groups, drawn_groups
from limssr.studies.compare.run import CompareOptions, compare_runs


def numbered(names):
    return units_of(names, [str(n) for n in range(len(names))])


def test_a_drawn_group_comes_with_all_its_samples() -> None:
    groups = (0, 0, 1, 2, 2, 2)
    counts_RN = np.concatenate(list(Resamples(6, 500, 0, groups).counts()))
    assert counts_RN.shape == (500, 6)
    assert (counts_RN[:, 0] == counts_RN[:, 1]).all()
    assert (counts_RN[:, 3] == counts_RN[:, 4]).all()
    assert (counts_RN[:, [0, 2, 3]].sum(axis=1) == 3).all()
    assert counts_RN[:, [0, 2, 3]].mean(axis=0) == pytest.approx([1, 1, 1], abs=0.1)


def test_groups_of_one_are_performances_one_by_one() -> None:
    alone, plain = (np.concatenate(list(Resamples(5, 50, 3, groups).counts())) for groups in (tuple(range(5)), None))
    assert np.array_equal(alone, plain)


def test_samples_that_are_alike_within_groups_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    groups = tuple(n // 20 for n in range(120))
    of_group_N = rng.normal(size=6)[list(groups)]
    error_N = rng.normal(size=6)[list(groups)]
    truth_NC = (of_group_N + 0.1 * rng.normal(size=120))[:, None]
    found_NC = (of_group_N + error_N + 0.1 * rng.normal(size=120))[:, None]
    widths = []
    for drawn in (None, groups):
        low, high = percentile_interval(spearman_draws(truth_NC, found_NC, Resamples(120, 400, 0, drawn)), 0.95)
        widths.append(high - low)
    assert widths[1] > 2 * widths[0]


def test_groups_must_be_known_and_shared() -> None:
    shared = Groups(numbered(["a", "a", "b"]))
    assert drawn_groups(shared, "groups") == (0, 0, 1)
    assert drawn_groups(shared, "auto") == (0, 0, 1)
    assert drawn_groups(shared, "samples") is None
    assert drawn_groups(Groups(numbered(["a", None, None])), "auto") is None
    assert drawn_groups(Groups(reason="no store at x"), "auto") is None
    with pytest.raises(InputError, match="each is by itself"):
        drawn_groups(Groups(numbered(["a", "b"])), "groups")
    with pytest.raises(InputError, match="no store at"):
        drawn_groups(Groups(reason="no store at x"), "groups")


def test_a_reader_is_told_what_was_drawn() -> None:
    shared = Groups(numbered(["a", "a", "b"]))
    assert [banner.kind for banner in banners_of_groups(shared, "samples")] == ["warning"]
    assert "too narrow" in banners_of_groups(shared, "samples")[0].text
    assert "These are few" in banners_of_groups(shared, "groups")[0].text
    assert banners_of_groups(Groups(numbered(["a", "b"])), "samples") == ()
    many = Groups(numbered([str(n // 2) for n in range(80)]))
    assert "few" not in banners_of_groups(many, "groups")[0].text


def test_a_comparison_over_groups_changes_intervals_and_no_score(scored_run) -> None:
    runs = tuple(str(scored_run(name, noise=noise)) for name, noise in (("first", 1.0), ("second", 4.0)))
    runs = (f"a={runs[0]}", f"b={runs[1]}")
    options = CompareOptions(runs=runs, num_resamples=200)
    by_sample = compare_runs(dataclasses.replace(options, resample="samples"))
    by_group = compare_runs(options)
    part = by_sample.scores.parts[0]
    one, other = (found.scores.numbers["b", part, "spearman"] for found in (by_sample, by_group))
    assert one.value == other.value
    assert (one.low, one.high) != (other.low, other.high)
    assert "each group of performances" in by_group.scores.uncertainty.words
    assert "Whole groups are drawn" in [banner.title for banner in by_group.banners]
    assert "Performances share groups" in [banner.title for banner in by_sample.banners]
