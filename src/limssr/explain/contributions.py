"""What every stream and every stretch of time adds to the score of one performance.

Both questions are answered by asking again: a sample is scored without a part of it, and the part's contribution is
what the score loses. A stream is taken away whole; a stretch is marked as not valid, just as a gap in a recording is.
Nothing here looks into the model, so every system can be asked.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from limssr.core.errors import InputError
from limssr.core.types import Sample
from limssr.evaluation.scorer import Scorer

MAX_STREAMS = 10
"""Beyond, 2^M - 1 subsets are too many to score for one sample."""


@dataclass(frozen=True, kw_only=True)
class StreamContributions:
    """What each stream of a sample adds, and the score under every subset of what it has.

    Attributes:
        streams: The sample's M streams.
        baseline_C: The score where nothing is known.
        subset_scores: Subset -> score [C], in the data set's unit; NaN where the system has none.
        shapley_MC: Shapley values: they add up to the score minus the baseline. NaN where a subset has no score.
        alone_MC: Score of the stream alone, minus the baseline.
        last_MC: What the score loses when the stream is taken away from all others.
    """

    streams: tuple[str, ...]
    baseline_C: np.ndarray
    subset_scores: Mapping[tuple[str, ...], np.ndarray]
    shapley_MC: np.ndarray
    alone_MC: np.ndarray
    last_MC: np.ndarray


@dataclass(frozen=True, kw_only=True)
class TimeContributions:
    """What each stretch of each stream adds.

    Attributes:
        streams: The sample's M streams.
        begin_W: First segment of each of the W windows.
        end_W: The segment after the last one of each.
        score_C: The score of the whole sample.
        lost_MWC: What the score loses without the window; NaN where the stream has no valid segment there, or where
            nothing else would be left to score.
    """

    streams: tuple[str, ...]
    begin_W: np.ndarray
    end_W: np.ndarray
    score_C: np.ndarray
    lost_MWC: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Neighbouring windows of one stream that move a score the same way.

    Attributes:
        stream: Its name.
        begin: First segment.
        end: The segment after the last one.
        contribution: What the windows add to the score, summed, in the data set's unit.
    """

    stream: str
    begin: int
    end: int
    contribution: float


def stream_contributions(scorer: Scorer, sample: Sample, baseline_C: np.ndarray) -> StreamContributions:
    """Score every subset of a sample's streams, and share the score out among them.

    The Shapley value of a stream is what it adds on average over all orders in which streams could arrive (Shapley
    1953): for a subset S of the others it adds v(S with it) - v(S), and S counts |S|! (M - |S| - 1)! / M!.

    Args:
        scorer: The system.
        sample: With M streams.
        baseline_C: The score where nothing is known, as the mean of the training samples.

    Raises:
        InputError: More than `MAX_STREAMS` streams.
    """
    streams = tuple(sample.streams)
    if len(streams) > MAX_STREAMS:
        raise InputError(
            f"Expected at most {MAX_STREAMS} streams to share a score out among, found {len(streams)}: "
            f"that would be {2 ** len(streams) - 1} scores; leave streams out with --streams."
        )
    parts = [part for size in range(1, len(streams) + 1) for part in itertools.combinations(streams, size)]
    scores_SC = np.asarray(scorer.score([sample.restricted_to(part) for part in parts]), dtype=np.float64)
    value = {frozenset(part): scores_SC[n] for n, part in enumerate(parts)}
    everything = frozenset(streams)
    alone = [value[frozenset((name,))] - baseline_C for name in streams]
    last = [value[everything] - value.get(everything - {name}, baseline_C) for name in streams]
    value[frozenset()] = np.asarray(baseline_C, dtype=np.float64)
    return StreamContributions(
        streams=streams,
        baseline_C=value[frozenset()],
        subset_scores={part: scores_SC[n] for n, part in enumerate(parts)},
        shapley_MC=np.stack([shapley(name, streams, value) for name in streams]),
        alone_MC=np.stack(alone),
        last_MC=np.stack(last),
    )


def shapley(name: str, streams: Sequence[str], value: Mapping[frozenset[str], np.ndarray]) -> np.ndarray:
    """The Shapley value of one of the streams, from the value of every set of them; arrays of any one shape."""
    others = [other for other in streams if other != name]
    total = np.zeros_like(value[frozenset()])
    for size in range(len(others) + 1):
        share = 1.0 / (len(streams) * math.comb(len(others), size))
        for part in itertools.combinations(others, size):
            total = total + share * (value[frozenset((*part, name))] - value[frozenset(part)])
    return total


def time_contributions(scorer: Scorer, sample: Sample, *, num_windows: int = 20) -> TimeContributions:
    """Score a sample without each stretch of each of its streams.

    Args:
        scorer: The system.
        sample: With M streams of T segments.
        num_windows: Stretches of about the same length to cut the performance into; at most T.

    Raises:
        InputError: Fewer than one window.
    """
    if num_windows < 1:
        raise InputError(f"Expected at least 1 window, found {num_windows}: give how many stretches to look at.")
    streams = tuple(sample.streams)
    edges = np.unique(
        np.linspace(0, sample.num_segments, min(num_windows, sample.num_segments) + 1).round().astype(int)
    )
    begin_W, end_W = edges[:-1], edges[1:]
    shown, places = [sample], []
    for place, (m, w) in enumerate(itertools.product(range(len(streams)), range(len(begin_W)))):
        without = _without(sample, streams[m], begin_W[w], end_W[w])
        if without is not None:
            shown.append(replace(without, id=f"{sample.id}\0{place}"))
            places.append((m, w))
    scores = np.asarray(scorer.score(shown), dtype=np.float64)
    lost_MWC = np.full((len(streams), len(begin_W), scores.shape[1]), np.nan)
    for (m, w), score_C in zip(places, scores[1:], strict=True):
        lost_MWC[m, w] = scores[0] - score_C
    return TimeContributions(streams=streams, begin_W=begin_W, end_W=end_W, score_C=scores[0], lost_MWC=lost_MWC)


def _without(sample: Sample, stream: str, begin: int, end: int) -> Sample | None:
    """The sample with a stretch of a stream marked as not valid; None where that takes nothing or everything away."""
    features_TD, words = sample.streams[stream], sample.words.get(stream)
    if words is not None and words.segments is None:
        return None  # every part of the performance has the whole text
    valid_T = np.asarray(~np.isnan(features_TD).all(axis=1))
    left_T = valid_T.copy()
    left_T[begin:end] = False
    if not valid_T[begin:end].any():
        return None
    if left_T.any():
        shown_TD = np.where(left_T[:, None], features_TD, np.float32(np.nan)).astype(features_TD.dtype)
        said = sample.words if words is None else {**sample.words, stream: words.without(begin, end)}
        return replace(sample, streams={**sample.streams, stream: shown_TD}, words=said)
    others = tuple(name for name in sample.streams if name != stream)
    return sample.restricted_to(others) if others else None


def stretches(found: TimeContributions, criterion: int, *, most: int = 5) -> tuple[list[Stretch], list[Stretch]]:
    """The stretches that raise a score most and those that lower it most, neighbouring windows of one sign joined.

    Args:
        found: From `time_contributions`.
        criterion: Which of the C criteria.
        most: At most so many of each.

    Returns:
        Helpful and harmful ones, the strongest first.
    """
    joined: list[Stretch] = []
    for m, stream in enumerate(found.streams):
        lost_W = np.nan_to_num(found.lost_MWC[m, :, criterion])
        for sign, run in itertools.groupby(range(len(lost_W)), key=lambda w: np.sign(lost_W[w])):
            windows = list(run)
            if sign:
                begin, end = int(found.begin_W[windows[0]]), int(found.end_W[windows[-1]])
                total = float(lost_W[windows].sum())
                joined.append(Stretch(stream=stream, begin=begin, end=end, contribution=total))
    by_size = sorted(joined, key=lambda one: one.contribution)
    helpful = [one for one in reversed(by_size) if one.contribution > 0][:most]
    return helpful, [one for one in by_size if one.contribution < 0][:most]
