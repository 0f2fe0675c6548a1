"""Contributions on scorers whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from limssr.core.errors import InputError
from limssr.core.types import Sample
from limssr.core.words import Words
from limssr.explain.contributions import Stretch, stream_contributions, stretches, time_contributions

WEIGHTS = {"video": 2.0, "audio": -1.0, "flow": 0.5}


class Additive:
    """Score 5 + the sum over streams of weight times sum of valid segments; a second criterion is ten times that."""

    def score(self, samples):
        totals = [
            5.0 + sum(WEIGHTS[name] * np.nansum(array) for name, array in sample.streams.items()) for sample in samples
        ]
        return np.array([[total, 10 * total] for total in totals])


class Synergy:
    """Video and audio are worth 6 together and nothing alone."""

    def score(self, samples):
        return np.array([[6.0 if {"video", "audio"} <= set(sample.streams) else 0.0] for sample in samples])


def sample(**streams):
    return Sample("a", {name: np.array(values, dtype=np.float32)[:, None] for name, values in streams.items()})


def test_an_additive_score_is_shared_out_as_it_was_made():
    found = stream_contributions(Additive(), sample(video=[1, 2], audio=[3, 0], flow=[0, 4]), np.array([5.0, 50.0]))
    np.testing.assert_allclose(found.shapley_MC[:, 0], [6.0, -3.0, 2.0])
    np.testing.assert_allclose(found.shapley_MC, found.alone_MC)
    np.testing.assert_allclose(found.shapley_MC, found.last_MC)
    assert found.subset_scores["video", "flow"][0] == 13.0


def test_what_streams_are_worth_only_together_is_shared_equally():
    found = stream_contributions(Synergy(), sample(video=[1], audio=[1], flow=[1]), np.array([0.0]))
    np.testing.assert_allclose(found.shapley_MC[:, 0], [3.0, 3.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(found.last_MC[:, 0], [6.0, 6.0, 0.0])
    np.testing.assert_allclose(found.alone_MC[:, 0], 0.0)


def test_shares_add_up_to_the_score_minus_the_baseline():
    class Odd:
        def score(self, samples):
            return np.array([[np.sin(sum(map(len, s.streams)) + len(s.streams) ** 2)] for s in samples])

    found = stream_contributions(Odd(), sample(video=[1], audio=[1], flow=[1]), np.array([0.25]))
    everything = found.subset_scores["video", "audio", "flow"]
    np.testing.assert_allclose(found.shapley_MC.sum(axis=0), everything - 0.25)


def test_too_many_streams_are_refused():
    many = {f"s{n}": [1.0] for n in range(11)}
    with pytest.raises(InputError, match="2047 scores"):
        stream_contributions(Synergy(), sample(**many), np.array([0.0]))


def test_a_window_loses_what_it_gave():
    found = time_contributions(Additive(), sample(video=[1, 2, 3, 4], audio=[0, np.nan, 0, 7]), num_windows=2)
    assert (found.begin_W.tolist(), found.end_W.tolist()) == ([0, 2], [2, 4])
    np.testing.assert_allclose(found.lost_MWC[:, :, 0], [[6.0, 14.0], [0.0, -7.0]])
    np.testing.assert_allclose(found.lost_MWC[:, :, 1], 10 * found.lost_MWC[:, :, 0])
    assert found.score_C[0] == 18.0


def test_windows_without_anything_to_take_away_say_nothing():
    found = time_contributions(Additive(), sample(video=[1, np.nan]), num_windows=9)
    assert found.lost_MWC.shape == (1, 2, 2)
    assert np.isnan(found.lost_MWC).all()  # the first is all there is, the second holds nothing
    two = time_contributions(Additive(), sample(video=[1, np.nan], audio=[1, 1]), num_windows=2)
    np.testing.assert_allclose(two.lost_MWC[0, :, 0], [2.0, np.nan])  # audio alone can still be scored
    with pytest.raises(InputError, match="at least 1 window"):
        time_contributions(Additive(), sample(video=[1]), num_windows=0)


def test_neighbours_of_one_sign_are_one_stretch():
    found = time_contributions(Additive(), sample(video=[1, 2, -4, 1, 0], audio=[0, 0, 3, 0, 0]), num_windows=5)
    helpful, harmful = stretches(found, 0)
    assert helpful == [
        Stretch(stream="video", begin=0, end=2, contribution=6.0),
        Stretch(stream="video", begin=3, end=4, contribution=2.0),
    ]
    assert harmful == [
        Stretch(stream="video", begin=2, end=3, contribution=-8.0),
        Stretch(stream="audio", begin=2, end=3, contribution=-3.0),
    ]
    assert stretches(found, 0, most=1) == (helpful[:1], harmful[:1])


def test_words_of_a_window_go_with_it():
    class Counts:
        def score(self, samples):
            said = [sum(map(len, (one.words["talk"].text, one.streams))) for one in samples]
            return np.array([[float(n)] for n in said])

    timed = Words(("one", "three", None, "five"), None, (0, 1, 2, 3))
    talk = Sample("a", {"talk": np.ones((4, 1), np.float32)}, words={"talk": timed})
    found = time_contributions(Counts(), talk, num_windows=2)
    np.testing.assert_allclose(found.lost_MWC[0, :, 0], [len("one three "), len(" five")])
    whole = replace(talk, words={"talk": Words.whole("all of it")})
    assert np.isnan(time_contributions(Counts(), whole, num_windows=2).lost_MWC).all()
