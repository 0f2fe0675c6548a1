"""Where the streams' representations lie: t-SNE for the eye (paper, Fig. 6 to 8), distances for the mind.

Streams may come nearer to each other because they align, or because everything shrinks. So distances between the
centres of the streams are given beside the spread within each stream, both as shares of the mean length of a vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from limssr.core.errors import InputError
from limssr.explain.groups import finite
from limssr.explain.inferred import Reads

MAX_SAMPLES = 150
"""Of a picture: t-SNE takes long, and more points darken it."""
MIN_SAMPLES = 8
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """The M representations of N samples.

    Attributes:
        label: "raw", or the streams that were shown.
        subset: The streams that were shown; all for "raw".
        points_NMH: One vector a sample and stream, present or inferred.
    """

    label: str
    subset: tuple[str, ...]
    points_NMH: np.ndarray


def clouds_of(reads: Reads, names: Sequence[str]) -> list[Cloud]:
    """The same samples, which own every stream, before the language model and after it under every subset.

    Raises:
        InputError: Fewer than `MIN_SAMPLES` samples own every stream.
    """
    full = reads.get(tuple(names))
    num = 0 if full is None else len(full.rows_N)
    if full is None or num < MIN_SAMPLES:
        raise InputError(f"Expected at least {MIN_SAMPLES} samples that own every stream, found {num}.")
    kept = sorted({n * num // min(num, MAX_SAMPLES) for n in range(min(num, MAX_SAMPLES))})
    rows = full.rows_N[kept]
    found = [Cloud(label="raw", subset=tuple(names), points_NMH=full.inputs_NMH[kept])]
    for subset, read in reads.items():
        places = np.flatnonzero(np.isin(read.rows_N, rows))
        found.append(Cloud(label="+".join(subset), subset=subset, points_NMH=read.states_NMH[places]))
    return found


def cloud_document(cloud: Cloud, names: Sequence[str]) -> dict[str, Any]:
    """Distances in the original space.

    Returns:
        streams, between (pair -> distance of the centres), within (stream -> mean distance from its centre), both over
        the mean length of a vector; ratio: mean of the former over mean of the latter; paired: mean distance between
        two streams of one sample over that between two streams of different samples, their centres taken off: 1 where
        streams of one sample have nothing in common.
    """
    points_NMH = cloud.points_NMH.astype(np.float64)
    length = float(np.linalg.norm(points_NMH, axis=2).mean()) or 1.0
    centres_MH = points_NMH.mean(axis=0)
    centred_NMH = points_NMH - centres_MH
    within_M = np.linalg.norm(centred_NMH, axis=2).mean(axis=0) / length
    pairs = [(a, b) for b in range(len(names)) for a in range(b)]
    between = {
        f"{names[a]}+{names[b]}": float(np.linalg.norm(centres_MH[a] - centres_MH[b]) / length) for a, b in pairs
    }
    mean_within = float(within_M.mean())
    mean_between = float(np.mean(list(between.values()))) if pairs else float("nan")
    paired = float(np.mean([_paired(centred_NMH[:, a], centred_NMH[:, b]) for a, b in pairs])) if pairs else np.nan
    return {
        "label": cloud.label,
        "streams": list(cloud.subset),
        "num_samples": len(points_NMH),
        "between": between,
        "within": dict(zip(names, within_M.tolist(), strict=True)),
        "mean_between": finite(mean_between),
        "mean_within": finite(mean_within),
        "ratio": finite(mean_between / mean_within) if mean_within > 0 else None,
        "paired": finite(paired),
    }


def _paired(first_NH: np.ndarray, second_NH: np.ndarray) -> float:
    same = np.linalg.norm(first_NH - second_NH, axis=1).mean()
    other = np.mean([np.linalg.norm(first_NH - np.roll(second_NH, turn, axis=0), axis=1).mean() for turn in (1, 2, 3)])
    return float(same / other) if other > 0 else float("nan")


def embed(cloud: Cloud) -> np.ndarray:
    """[N, M, 2] scikit-learn's t-SNE of all points of a cloud, with a fixed seed."""
    from sklearn.manifold import TSNE

    num, streams, width = cloud.points_NMH.shape
    flat = cloud.points_NMH.reshape(num * streams, width).astype(np.float64)
    flat = (flat - flat.mean(axis=0)) / (flat.std() or 1.0)
    model = TSNE(perplexity=min(30.0, (len(flat) - 1) / 3), init="pca", random_state=SEED)
    return model.fit_transform(flat).reshape(num, streams, 2)
