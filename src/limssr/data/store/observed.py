"""What a writer sees in samples that pass its checks but that their owner may not know of."""

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from limssr.core.errors import InputError
from limssr.core.types import SPLITS, Sample

SHOWN = 4


@dataclass
class Observed:
    """Collected sample by sample.

    Attributes:
        cut: Number of samples that ended with segments that no stream has.
        longest_cut: The most segments that were cut from one of them.
        owned: Stream -> samples that own it.
        constant: (stream, value) -> samples in which all of the stream is this one value.
    """

    cut: int = 0
    longest_cut: int = 0
    owned: Counter[str] = field(default_factory=Counter)
    constant: Counter[tuple[str, float]] = field(default_factory=Counter)
    _features: dict[str, "_Features"] = field(default_factory=dict)

    def add(self, given: Sample, checked: Sample) -> None:
        """Look at a sample.

        Args:
            given: As it came.
            checked: As it is written.
        """
        longest = max(len(stream) for stream in given.streams.values() if stream is not None)
        if longest > checked.num_segments:
            self.cut += 1
            self.longest_cut = max(self.longest_cut, longest - checked.num_segments)
        digests = {}
        for name, stream_TD in checked.streams.items():
            self.owned[name] += 1
            value = one_value(stream_TD)
            if value is not None:
                self.constant[name, value] += 1
            else:
                digests[name] = hashlib.blake2b(np.ascontiguousarray(stream_TD).data, digest_size=16).digest()
        self._features[checked.id] = _Features(checked.id, str(checked.split), digests)

    def sentences(self) -> list[str]:
        """What a report says."""
        found = []
        if self.cut:
            found.append(
                f"{self.cut} samples ended with segments that no stream has, up to {self.longest_cut}: taken for "
                "padding and cut"
            )
        found += [words + self._remedy(value) for words, value in self._constant()]
        return [*found, *self.copies()]

    def copies(self) -> list[str]:
        """What a report says of features that stand under several ids, in one split or in several."""
        found = []
        within = [pair for pair in self._repeated()[0] if pair[0].split == pair[1].split]
        if within:
            found.append(
                f"identical features under other ids in one split: {len(within)} pairs of samples, such as "
                f"{_told(within[0])}: kept"
            )
        return [*found, *self.copies_across_splits()]

    def constant_words(self) -> list[str]:
        """What a report says of streams that hold one value in a sample."""
        return [words for words, _ in self._constant()]

    def _constant(self) -> Iterator[tuple[str, float]]:
        for (stream, value), count in self.constant.items():
            what = "nothing but zeros" if value == 0 else f"nothing but {value:g}"
            words = (
                f"stream '{stream}': {count} of the {self.owned[stream]} samples that own it hold {what}, which some "
                "releases write where a stream is missing: kept as data"
            )
            yield words, value

    @staticmethod
    def _remedy(value: float) -> str:
        return "; --zeros absent imports such streams as absent" if value == 0 else ""

    def copies_across_splits(self) -> list[str]:
        """What a report says of features that stand in several splits, where they were not refused."""
        found = []
        copies, alike = ([pair for pair in pairs if pair[0].split != pair[1].split] for pairs in self._repeated())
        for pairs, what in ((copies, "identical features under other ids"), (alike, "one identical stream of several")):
            if pairs:
                found.append(f"{what} in two splits: {len(pairs)} pairs of samples, such as {_told(pairs[0])}: kept")
        return found

    def check_copies(self) -> None:
        """Refuse the same recording in two splits.

        Raises:
            InputError: All features that two samples own are identical, value by value, and one of them is tested on.
        """
        across = [pair for pair in self._repeated()[0] if pair[0].split != pair[1].split]
        if across:
            told = "; ".join(_told(pair) for pair in across[:SHOWN])
            raise InputError(
                f"Expected every recording in one split, found {len(across)} pairs of samples with identical features "
                f"in two ({told}): remove the copies, or give them one group and divide anew (--split), or the test "
                "result would be flattered; --copies keep imports them as they are."
            )

    def _repeated(self) -> tuple[list["_Pair"], list["_Pair"]]:
        """Pairs of samples that are copies, and such as have one stream in common and differ in others.

        Each sample stands in as many pairs as are needed to name it, not in all: a set of n copies gives n - 1 pairs.
        """
        buckets: dict[tuple[str, bytes], list[_Features]] = defaultdict(list)
        for one in self._features.values():
            for item in one.digests.items():
                buckets[item].append(one)
        copies: dict[tuple[str, str], _Pair] = {}
        alike: dict[tuple[str, str], _Pair] = {}
        for members in buckets.values():
            for before, after in _chained(members):
                chosen = copies if before.is_copy_of(after) else alike
                chosen[before.id, after.id] = (before, after)
        return list(copies.values()), [pair for key, pair in alike.items() if key not in copies]


@dataclass(frozen=True)
class _Features:
    """What is remembered of a sample: a digest of each stream that holds more than one value."""

    id: str
    split: str
    digests: Mapping[str, bytes]

    def is_copy_of(self, other: "_Features") -> bool:
        """Whether two samples own the same features, or at least two streams and differ in none that both own.

        One stream in common says little where there are others: all players of a piece share its notes.
        """
        shared = self.digests.keys() & other.digests.keys()
        same = all(self.digests[name] == other.digests[name] for name in shared)
        return same and (len(shared) > 1 or self.digests.keys() == other.digests.keys())


_Pair = tuple[_Features, _Features]


def _chained(members: Sequence[_Features]) -> Iterator[_Pair]:
    """Neighbours among samples with a stream in common, where alike ones stand side by side in order of the splits."""
    if len(members) < 2:
        return
    ordered = sorted(members, key=lambda one: (sorted(one.digests.items()), _rank(one.split)))
    yield from itertools.pairwise(ordered)


def _rank(split: str) -> int:
    names = [str(name) for name in SPLITS]
    return names.index(split) if split in names else len(names)


def one_value(stream_TD: np.ndarray) -> float | None:
    """The value that all valid segments of a stream consist of; None where they hold more than one."""
    first = stream_TD[:1].ravel()
    if first.size and not np.isnan(first[0]) and (first[0] != first).any():
        return None
    valid = stream_TD[~np.isnan(stream_TD[:, 0])]
    return float(valid[0, 0]) if valid.size and (valid == valid[0, 0]).all() else None


def _told(pair: _Pair) -> str:
    return " = ".join(f"'{one.id}' ({one.split})" for one in sorted(pair, key=lambda one: _rank(one.split)))
