"""What each stream adds to the scores of a whole split: Shapley values, from the scores of all subsets."""

import itertools
from typing import Any

import numpy as np
import pyarrow as pa

from limssr.explain.contributions import shapley
from limssr.explain.groups import SIZE, finite, mean_known, mean_over_groups
from limssr.explain.scored import Scored


def shapley_of(scored: Scored, baseline_C: np.ndarray) -> np.ndarray:
    """[N, M, C] Shapley values; NaN for a stream that a sample does not own, and where a subset has no score.

    They add up to the score minus the baseline (`limssr.explain.contributions` has the formula).
    """
    num, num_criteria = scored.truth_NC.shape
    found = np.full((num, len(scored.names), num_criteria), np.nan)
    owned = scored.owned
    for streams in dict.fromkeys(owned):
        rows = np.array([n for n, other in enumerate(owned) if other == streams])
        parts = [part for size in range(1, len(streams) + 1) for part in itertools.combinations(streams, size)]
        if not set(parts) <= set(scored.by_subset):
            continue  # beyond six streams only chosen subsets are scored
        value = {frozenset(part): scored.by_subset[part][rows] for part in parts}
        value[frozenset()] = np.broadcast_to(baseline_C, (len(rows), num_criteria)).astype(float)
        for name in streams:
            found[rows, scored.names.index(name)] = shapley(name, streams, value)
    return found


def shares_document(scored: Scored, shapley_NMC: np.ndarray, baseline_C: np.ndarray, group_N: np.ndarray) -> Any:
    """How far each stream moves the scores, on average over a split.

    Returns:
        baseline (criterion -> mean training score), streams (name -> size: mean of |value| over criteria, as a share of
        the scale; share: of the sizes of all; per_criterion: mean of |value| in the data set's unit), and completeness:
        the largest difference between the sum of the values and the score minus the baseline.
    """
    scaled_NMC = np.abs(shapley_NMC) / scored.spans_C
    sizes_NM = mean_known(scaled_NMC)
    streams: dict[str, Any] = {}
    means = {name: mean_over_groups(sizes_NM[:, m], group_N, SIZE) for m, name in enumerate(scored.names)}
    total = np.nansum([one.value for one in means.values()])
    for m, name in enumerate(scored.names):
        per_criterion = mean_known(np.abs(shapley_NMC[:, m]).T)
        streams[name] = {
            "size": means[name].to_dict(),
            "share": finite(means[name].value / total) if total > 0 else None,
            "num_samples": int(np.isfinite(sizes_NM[:, m]).sum()),
            "per_criterion": {
                one.name: finite(value) for one, value in zip(scored.criteria, per_criterion, strict=True)
            },
        }
    gap_NC = np.nansum(shapley_NMC, axis=1) - (scored.own_NC - baseline_C)
    known_NC = np.isfinite(gap_NC) & np.isfinite(shapley_NMC).any(axis=1)
    return {
        "baseline": {one.name: float(value) for one, value in zip(scored.criteria, baseline_C, strict=True)},
        "streams": streams,
        "completeness": finite(np.abs(gap_NC[known_NC]).max()) if known_NC.any() else None,
    }


def shapley_table(scored: Scored, shapley_NMC: np.ndarray) -> pa.Table:
    """All values: id, stream, criterion, contribution (in the data set's unit)."""
    rows = [
        (sample.id, name, one.name, float(shapley_NMC[n, m, c]))
        for n, sample in enumerate(scored.samples)
        for m, name in enumerate(scored.names)
        for c, one in enumerate(scored.criteria)
        if np.isfinite(shapley_NMC[n, m, c])
    ]
    names = ("id", "stream", "criterion", "contribution")
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    kinds = (pa.string(), pa.string(), pa.string(), pa.float64())
    return pa.table(
        {name: pa.array(list(column), kind) for name, column, kind in zip(names, columns, kinds, strict=True)}
    )
