"""How like a stream that was withheld is what the model infers for it (paper, Fig. 5).

The *inferred* block of a stream is the mean last hidden state at its placeholders while the stream is withheld; the
*true* block is the mean state at its segments when the same sample shows everything it owns. Each number comes with
floors: the same with shuffled pairs of samples (what all samples share), and of the model before it was trained (what
architecture and prompt alone bring about).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from limssr.core.errors import InputError
from limssr.explain.groups import COSINE, SHARE, Estimate, finite, mean_over_groups, over_groups
from limssr.explain.reading import Read
from limssr.explain.similarity import linear_cka, shuffled

NUM_SHUFFLES = 5
MIN_SAMPLES = 8
"""Below, similarities of representations say nothing."""
Reads = Mapping[tuple[str, ...], Read]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Inferred and true blocks of the same samples.

    Attributes:
        stream: The stream that was withheld.
        subset: The streams that were shown.
        rows_N: The samples that own both.
        inferred_NH: The inferred block.
        true_NKH: The true blocks of the K streams that every one of these samples owns.
        streams: Their names.
    """

    stream: str
    subset: tuple[str, ...]
    rows_N: np.ndarray
    inferred_NH: np.ndarray
    true_NKH: np.ndarray
    streams: tuple[str, ...]

    def cosines(self) -> np.ndarray:
        """[N, K] of the inferred block with each true one."""
        lengths_NK = np.linalg.norm(self.inferred_NH, axis=1)[:, None] * np.linalg.norm(self.true_NKH, axis=2)
        products_NK = np.einsum("nh,nkh->nk", self.inferred_NH, self.true_NKH)
        return products_NK / np.where(lengths_NK > 0, lengths_NK, np.nan)


def pairs_of(reads: Reads, names: Sequence[str]) -> list[Pair]:
    """Every stream that some subset withholds from samples that own it; the widest subset of a sample is its truth."""
    truth: dict[int, tuple[tuple[str, ...], np.ndarray]] = {}
    for subset, read in sorted(reads.items(), key=lambda item: len(item[0])):
        truth |= {int(row): (subset, read.states_NMH[n]) for n, row in enumerate(read.rows_N)}
    found = []
    for subset, read in reads.items():
        for m, name in enumerate(names):
            places = [n for n, row in enumerate(read.rows_N) if name not in subset and name in truth[int(row)][0]]
            if len(places) < MIN_SAMPLES:
                continue
            rows = read.rows_N[places]
            shared = [other for other in names if all(other in truth[int(row)][0] for row in rows)]
            columns = [list(names).index(other) for other in shared]
            found.append(
                Pair(
                    stream=name,
                    subset=subset,
                    rows_N=rows,
                    inferred_NH=read.states_NMH[places, m],
                    true_NKH=np.stack([truth[int(row)][1][columns] for row in rows]),
                    streams=tuple(shared),
                )
            )
    return found


def inferred_document(pairs: Sequence[Pair], untrained: Sequence[Pair], group_N: np.ndarray) -> dict[str, Any]:
    """The numbers of every pair.

    Args:
        pairs: Of the trained model.
        untrained: Of the same model before training, in the same order.
        group_N: Group of each sample.
    """
    rows = []
    for pair, before in zip(pairs, untrained, strict=True):
        row = pair_document(pair, group_N)
        row["untrained"] = _short(pair_document(before, group_N))
        rows.append(row)
    return {"pairs": rows, "verdict": _verdict(rows)}


def pair_document(pair: Pair, group_N: np.ndarray) -> dict[str, Any]:
    """Similarity of one inferred block to each true one, raw and normalised, with the floor of shuffled pairs."""
    groups, place = group_N[pair.rows_N], pair.streams.index(pair.stream)
    cosines_NK = pair.cosines()
    total_N1 = cosines_NK.sum(axis=1, keepdims=True)
    normalised_NK = cosines_NK / np.where(np.abs(total_N1) > 1e-9, total_N1, np.nan)
    others = [k for k in range(len(pair.streams)) if k != place]
    margin_N = cosines_NK[:, place] - cosines_NK[:, others].mean(axis=1) if others else np.full(len(groups), np.nan)
    first_N = (cosines_NK.argmax(axis=1) == place).astype(float) if others else np.full(len(groups), np.nan)
    similarity = {
        name: {
            "cosine": mean_over_groups(cosines_NK[:, k], groups, COSINE).to_dict(),
            "normalised": mean_over_groups(normalised_NK[:, k], groups).to_dict(),
            "cka": cka_over_groups(pair.inferred_NH, pair.true_NKH[:, k], groups).to_dict(),
        }
        for k, name in enumerate(pair.streams)
    }
    return {
        "stream": pair.stream,
        "subset": list(pair.subset),
        "num_samples": len(pair.rows_N),
        "to": similarity,
        "margin": mean_over_groups(margin_N, groups).to_dict(),
        "first": mean_over_groups(first_N, groups, SHARE).to_dict(),
        "first_by_chance": 1.0 / len(pair.streams),
        "shuffled": {
            "cosine": finite(_shuffled(pair, place, _cosine)),
            "cka": finite(_shuffled(pair, place, _cka)),
        },
    }


def cka_over_groups(first_NH: np.ndarray, second_NH: np.ndarray, group_N: np.ndarray) -> Estimate:
    """Linear CKA with its interval; left-out groups are cut out of Gram matrices, so that width costs nothing."""
    grams = [x @ x.T for x in (first_NH.astype(np.float64), second_NH.astype(np.float64))]

    def of(rows: np.ndarray) -> float:
        centred = []
        for gram in grams:
            part = gram[np.ix_(rows, rows)]
            centred.append(part - part.mean(axis=0) - part.mean(axis=1)[:, None] + part.mean())
        scale = np.linalg.norm(centred[0]) * np.linalg.norm(centred[1])
        return float((centred[0] * centred[1]).sum() / scale) if scale > 0 else float("nan")

    return over_groups(of, group_N, SHARE)


def _cosine(first_NH: np.ndarray, second_NH: np.ndarray) -> float:
    lengths_N = np.linalg.norm(first_NH, axis=1) * np.linalg.norm(second_NH, axis=1)
    return float(((first_NH * second_NH).sum(axis=1) / np.where(lengths_N > 0, lengths_N, np.nan)).mean())


def _cka(first_NH: np.ndarray, second_NH: np.ndarray) -> float:
    return linear_cka(first_NH.astype(np.float64), second_NH.astype(np.float64))


def _shuffled(pair: Pair, place: int, measure: Callable[[np.ndarray, np.ndarray], float]) -> float:
    found = [measure(shuffled(pair.inferred_NH, seed), pair.true_NKH[:, place]) for seed in range(NUM_SHUFFLES)]
    return float(np.mean(found))


def _short(document: Mapping[str, Any]) -> dict[str, Any]:
    own = document["to"][document["stream"]]
    return {"cosine": own["cosine"], "cka": own["cka"], "margin": document["margin"], "first": document["first"]}


def _verdict(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Over all pairs: how many lie above each floor, by their intervals."""

    def above(row: Mapping[str, Any], low: float | None, floor: float | None) -> bool:
        return low is not None and floor is not None and low > floor

    own = [row["to"][row["stream"]] for row in rows]
    both = list(zip(rows, own, strict=True))
    return {
        "num_pairs": len(rows),
        "nearest_to_its_own": sum(above(row, row["margin"]["interval"][0], 0.0) for row in rows),
        "cosine_above_shuffled": sum(
            above(row, one["cosine"]["interval"][0], row["shuffled"]["cosine"]) for row, one in both
        ),
        "cka_above_shuffled": sum(above(row, one["cka"]["interval"][0], row["shuffled"]["cka"]) for row, one in both),
        "cka_above_untrained": sum(
            above(row, one["cka"]["interval"][0], row["untrained"]["cka"]["value"]) for row, one in both
        ),
    }


def inferred_table(pairs: Sequence[Pair], ids: Sequence[str]) -> pa.Table:
    """Every cosine: id, withheld, shown, to, cosine."""
    parts = []
    for pair in pairs:
        cosines_NK = pair.cosines()
        num, width = cosines_NK.shape
        parts.append(
            pa.table(
                {
                    "id": pa.array([ids[n] for n in pair.rows_N for _ in range(width)], pa.string()),
                    "withheld": pa.array([pair.stream] * (num * width), pa.string()),
                    "shown": pa.array(["+".join(pair.subset)] * (num * width), pa.string()),
                    "to": pa.array(list(pair.streams) * num, pa.string()),
                    "cosine": pa.array(cosines_NK.ravel(), pa.float64()),
                }
            )
        )
    if not parts:
        raise InputError(f"Expected at least {MIN_SAMPLES} samples that own a stream which is withheld, found fewer.")
    return pa.concat_tables(parts)
