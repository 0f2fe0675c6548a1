"""What the fusion slots attend to in the last layer (paper, Fig. 3 and 9 to 11), in numbers.

Entropy, shares of the blocks and distances are means over the samples of a split, with intervals over groups. A
distance of two patterns is half the sum of the absolute differences of their weights: 0 for the same pattern, 1 for
patterns that share no position.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from limssr.explain.groups import SHARE, SIZE, mean_over_groups
from limssr.explain.places import BLOCK_BINS, PROMPT_BINS, bin_names
from limssr.explain.reading import Read


def attention_document(
    reads: Mapping[tuple[str, ...], Read], names: Sequence[str], group_N: np.ndarray
) -> dict[str, Any]:
    """Numbers of every subset.

    Args:
        reads: Subset -> what was read.
        names: The M streams.
        group_N: Group of each sample.
    """
    return {
        "layer": "last",
        "bins": {"prompt": PROMPT_BINS, "block": BLOCK_BINS},
        "checked": {
            "states_of_slots": max(read.difference for read in reads.values()),
            "attended_values": max(read.exactness for read in reads.values()),
        },
        "subsets": [subset_document(read, names, group_N) for read in reads.values()],
        "changes": [
            change_document(reads[subset], reads[more], names, group_N)
            for more in reads
            for subset in reads
            if set(subset) < set(more) and len(more) == len(subset) + 1
        ],
    }


def shares_of(attention_NKP: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Part of the sequence ("prompt", a stream, "slots") -> the share [N, K] of each slot's attention on it."""
    owner = np.array(bin_names(names, attention_NKP.shape[1]))
    return {part: attention_NKP[:, :, owner == part].sum(axis=2) for part in ("prompt", *names, "slots")}


def subset_document(read: Read, names: Sequence[str], group_N: np.ndarray) -> dict[str, Any]:
    """Shares, entropy and distances between slots under one subset."""
    groups, even_N1P = group_N[read.rows_N], _of_one_slot(read.uniform_NP, read.attention_NKP.shape[1])
    shares = shares_of(read.attention_NKP, names)
    return {
        "streams": list(read.subset),
        "num_samples": len(read.rows_N),
        "num_positions": float(read.length_N.mean()),
        "shares": {
            part: mean_over_groups(share.mean(axis=1), groups, SHARE).to_dict() for part, share in shares.items()
        },
        "even_shares": {part: float(share.mean()) for part, share in shares_of(even_N1P, names).items()},
        "shares_by_slot": {part: share.mean(axis=0).tolist() for part, share in shares.items()},
        "entropy": mean_over_groups(read.entropy_NK.mean(axis=1), groups, SIZE).to_dict(),
        "entropy_by_slot": read.entropy_NK.mean(axis=0).tolist(),
        "between_slots": mean_over_groups(between_slots(read.attention_NKP), groups, SHARE).to_dict(),
        "between_samples": mean_over_groups(between_samples(read.attention_NKP), groups, SHARE).to_dict(),
    }


def _of_one_slot(uniform_NP: np.ndarray, num_slots: int) -> np.ndarray:
    """[N, 1, bins] for `shares_of`, with one bin for all slots."""
    slots_N1 = uniform_NP[:, -num_slots:].sum(axis=1, keepdims=True)
    return np.concatenate([uniform_NP[:, :-num_slots], slots_N1], axis=1)[:, None]


def change_document(less: Read, more: Read, names: Sequence[str], group_N: np.ndarray) -> dict[str, Any]:
    """What changes in the same samples when one stream goes missing."""
    both, place_less, place_more = np.intersect1d(less.rows_N, more.rows_N, return_indices=True)
    before, after = more.attention_NKP[place_more], less.attention_NKP[place_less]
    groups = group_N[both]
    moved = {
        part: mean_over_groups((shares_of(after, names)[part] - share).mean(axis=1), groups).to_dict()
        for part, share in shares_of(before, names).items()
    }
    return {
        "streams": list(more.subset),
        "without": next(name for name in more.subset if name not in less.subset),
        "distance": mean_over_groups(distance(before, after).mean(axis=1), groups, SHARE).to_dict(),
        "shares": moved,
    }


def distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Half the sum of absolute differences over the last axis."""
    return 0.5 * np.abs(first - second).sum(axis=-1)


def between_slots(attention_NKP: np.ndarray) -> np.ndarray:
    """[N] the mean distance of two slots' patterns in one sample; NaN with one slot."""
    num_slots = attention_NKP.shape[1]
    pairs = [(a, b) for a in range(num_slots) for b in range(a)]
    if not pairs:
        return np.full(len(attention_NKP), np.nan)
    return np.mean([distance(attention_NKP[:, a], attention_NKP[:, b]) for a, b in pairs], axis=0)


def between_samples(attention_NKP: np.ndarray) -> np.ndarray:
    """[N] the mean distance of a slot's pattern in one sample from the same slot's mean pattern."""
    return distance(attention_NKP, attention_NKP.mean(axis=0, keepdims=True)).mean(axis=1)


def attention_table(reads: Mapping[tuple[str, ...], Read], names: Sequence[str], ids: Sequence[str]) -> pa.Table:
    """Every weight on the common scale: streams, id, slot, part, bin, weight."""
    num_slots = next(iter(reads.values())).attention_NKP.shape[1]
    owner = bin_names(names, num_slots)
    shape = [(len(read.rows_N), num_slots, len(owner)) for read in reads.values()]
    subset = np.repeat(np.arange(len(reads)), [np.prod(one) for one in shape])
    places = [np.indices(one).reshape(3, -1) for one in shape]
    sample = np.concatenate([read.rows_N[place[0]] for read, place in zip(reads.values(), places, strict=True)])
    parts = list(dict.fromkeys(owner))
    part_P = np.array([parts.index(name) for name in owner])
    bin_R = np.concatenate([place[2] for place in places])
    return pa.table(
        {
            "streams": _named(subset, ["+".join(read.subset) for read in reads.values()]),
            "id": _named(sample, ids),
            "slot": pa.array(np.concatenate([place[1] for place in places]), pa.int16()),
            "part": _named(part_P[bin_R], parts),
            "bin": pa.array(bin_R, pa.int16()),
            "weight": pa.array(np.concatenate([read.attention_NKP.ravel() for read in reads.values()]), pa.float32()),
        }
    )


def _named(numbers: np.ndarray, words: Sequence[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32()), pa.array(list(words), pa.string()))
