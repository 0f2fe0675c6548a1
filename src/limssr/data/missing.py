"""Availability and modality dropout: two different things, both pure functions of a seed and the sample's id.

*Availability* is a property of the data: which streams a sample owns, the same in every epoch (paper, section 3.1).
*Modality dropout* is augmentation: hiding streams that do exist, anew in every epoch (the published training code).

Nothing here holds state or depends on the order of samples, on workers or on the platform: every draw is the SHA-256 of
what it is for.
"""

import functools
import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from limssr.core.errors import InputError, unknown_name
from limssr.core.rng import integer, uniform
from limssr.core.types import Sample

PATTERNS = ("independent", "one-stream")


def subsets(names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """All 2^M - 1 non-empty subsets: smaller ones first, then in modality order; the full one is last."""
    return tuple(chosen for size in range(1, len(names) + 1) for chosen in itertools.combinations(tuple(names), size))


MAX_ALL_STREAMS = 6
"""With more streams a rule chooses subsets, unless all are asked for: every further stream doubles their number."""
DRAWN_PER_SIZE = 2
"""Subsets drawn for each size that has neither single streams nor single gaps, by the rule "auto"."""
SubsetRule = Literal["auto", "all"] | int


@functools.cache
def chosen_subsets(names: tuple[str, ...], rule: SubsetRule = "auto") -> tuple[tuple[str, ...], ...]:
    """The non-empty subsets that are scored, in the order of the function `subsets`.

    * "all": all 2^M - 1.
    * "auto": all of them up to `MAX_ALL_STREAMS` streams. With more: all streams, each single one, each one left out,
      and `DRAWN_PER_SIZE` drawn subsets of every size between, so that their number grows in proportion to M.
    * a number: the same, with drawn subsets until there are so many in all.

    The draw is a function of the streams' names and the size, so that every verb chooses the same subsets.

    Args:
        names: M streams, in modality order.
        rule: See above.

    Raises:
        InputError: A number that has no room for all streams, each single one and each one left out.
    """
    num_all = 2 ** len(names) - 1
    if rule == "all" or (rule == "auto" and len(names) <= MAX_ALL_STREAMS) or (rule != "auto" and rule >= num_all):
        return subsets(names)
    full = tuple(names)
    found = {full, *((name,) for name in full), *(tuple(n for n in full if n != gone) for gone in full)} - {()}
    if rule != "auto" and rule < len(found):
        raise InputError(
            f"Expected evaluation.subsets to be at least {len(found)} for {len(full)} streams (all of them, each by "
            f"itself, each left out), found {rule}: raise it, or give auto or all."
        )
    sizes = range(2, len(full) - 1)
    wanted = len(found) + DRAWN_PER_SIZE * len(sizes) if rule == "auto" else rule
    for turn in itertools.count():
        for size in sizes:
            if len(found) >= wanted:
                return tuple(sorted(found, key=lambda one: (len(one), [full.index(name) for name in one])))
            draws = {name: uniform("subset", size, turn, name) for name in full}
            kept = sorted(full, key=draws.__getitem__)[:size]
            found.add(tuple(name for name in full if name in kept))
    raise AssertionError


def never_owned(names: Sequence[str], samples: Sequence[Sample]) -> tuple[str, ...]:
    """Those of the streams that none of the samples owns, in the order of `names`."""
    owned = {name for sample in samples for name in sample.streams}
    return tuple(name for name in names if name not in owned)


@dataclass(frozen=True)
class DistinctSubsets:
    """The incomplete subsets that are questions of their own, and the others.

    Attributes:
        kept: Each reads something, no two read the same, and none reads what the full subset reads.
        same_as: Each other incomplete subset -> the subset that reads the same; () where it reads nothing.
    """

    kept: tuple[tuple[str, ...], ...]
    same_as: Mapping[tuple[str, ...], tuple[str, ...]]


def distinct_subsets(subsets: Sequence[tuple[str, ...]], unseen: Collection[str]) -> DistinctSubsets:
    """Which incomplete subsets to average over, when streams are left out that no training sample had.

    Args:
        subsets: In the order of the function `subsets`: the full one is last.
        unseen: Streams that are not read. Without any, every incomplete subset is kept.
    """
    *incomplete, full = subsets
    first = {frozenset(full).difference(unseen): full, frozenset(): ()}
    kept, same_as = [], {}
    for streams in incomplete:
        read = frozenset(streams).difference(unseen)
        if first.setdefault(read, streams) == streams:
            kept.append(streams)
        else:
            same_as[streams] = first[read]
    return DistinctSubsets(tuple(kept), same_as)


def availability_mask(
    sample_id: str, owned: tuple[str, ...], *, rate: float, seed: int, pattern: str = "independent"
) -> tuple[str, ...]:
    """The streams that a sample keeps in every epoch.

    * "independent": each stream is absent with probability `rate`. Where all would vanish, the one with the largest
      draw stays, so a stream is absent with probability rate - rate^M / M in the end (`effective_rate`).
    * "one-stream": with probability `rate`, exactly one stream is absent, each with the same chance.
    * the name of a stream: that one is absent with probability `rate`, unless it is the only one of the sample.

    With the same seed and pattern a higher rate takes away the same streams and perhaps more, never others, so that
    results at several rates are comparable.

    Args:
        sample_id: Together with `seed` it decides everything.
        owned: The streams that the sample has, in modality order.
        rate: 0 keeps everything; 1 leaves one stream ("independent").
        seed: Another seed, another pattern.
        pattern: See above. A name that the sample does not own changes nothing.

    Returns:
        The kept names in the order of `owned`; never empty where `owned` is not.

    Raises:
        InputError: The rate is not in [0, 1].
    """
    check_rate(rate)
    if len(owned) < 2:
        return owned
    draws = {name: uniform("available", seed, sample_id, name) for name in owned}
    if pattern == "independent":
        kept = tuple(name for name in owned if draws[name] >= rate)
        return kept or (max(owned, key=draws.__getitem__),)
    if pattern == "one-stream":
        if uniform("available-sample", seed, sample_id) >= rate:
            return owned
        absent = max(owned, key=draws.__getitem__)
        return tuple(name for name in owned if name != absent)
    return tuple(name for name in owned if name != pattern or draws[name] >= rate)


def effective_rate(num_streams: int, *, rate: float, pattern: str = "independent") -> float:
    """Share of the streams that `availability_mask` takes away on average, for samples that own `num_streams`.

    At rate 0.5: 0.4583 for three streams ("independent"), 0.1667 ("one-stream" and, as an average over all streams, a
    stream's name).
    """
    if num_streams < 2:
        return 0.0
    if pattern == "independent":
        return rate - rate**num_streams / num_streams
    return rate / num_streams


def check_rate(rate: float) -> None:
    """Raise `InputError` unless `rate` is in [0, 1]."""
    if not (math.isfinite(rate) and 0 <= rate <= 1):
        raise InputError(
            f"Expected a missing rate from 0 to 1, found {rate:g}: give the share of streams to take away."
        )


def check_pattern(pattern: str, names: Sequence[str]) -> None:
    """Raise `InputError` unless `pattern` is "independent", "one-stream" or one of `names`."""
    if pattern not in PATTERNS and pattern not in names:
        raise unknown_name("missing pattern", pattern, [*PATTERNS, *names])


def dropout_subset(sample_id: str, owned: tuple[str, ...], *, seed: int, epoch: int) -> tuple[str, ...]:
    """Per-sample dropout: one of the non-empty subsets of `owned`, each with the same chance, redrawn every epoch.

    Args:
        sample_id: The sample.
        owned: The streams that the sample has, in modality order.
        seed: Of the run.
        epoch: Another epoch, another subset.

    Returns:
        The names to use, in the order of `owned`.
    """
    return _nonempty_subset(owned, integer("dropout", seed, epoch, sample_id))


def batch_subset(seed: int, epoch: int, step: int, names: tuple[str, ...]) -> tuple[str, ...]:
    """Per-batch dropout: one of the non-empty subsets of `names` for all samples of a step (the published code).

    A sample that owns nothing of the result keeps what it owns: that is for the caller to decide.
    """
    return _nonempty_subset(names, integer("batch-dropout", seed, epoch, step))


def _nonempty_subset(names: tuple[str, ...], number: int) -> tuple[str, ...]:
    if len(names) < 2:
        return names
    bits = 1 + number % (2 ** len(names) - 1)
    return tuple(name for index, name in enumerate(names) if bits >> index & 1)
