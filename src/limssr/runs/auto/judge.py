"""How good out-of-fold predictions are, with intervals over groups, and what one adds to another on the same draws.

Spearman's correlation is the correlation of ranks; a resample of whole groups keeps the ranks of the whole and counts
groups anew, so that thousands of resamples are one matrix product.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from limssr.core.rng import integer
from limssr.core.types import Sample
from limssr.systems.solved.evidence import shown_subsets

DRAWS = 1000
FEWEST = 10
MOST_STREAMS = 5
ALL, PARTS = "all", "parts"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What is judged: samples under subsets of their streams.

    Attributes:
        samples: N.
        rows: (sample, streams), R of them.
        cells: Name of a question -> its rows; of "all" every stream is there.
        truth_RC: Scores.
        groups: [N] group of each sample.
        weight_R: One over the rows of the sample.
    """

    samples: list[Sample]
    rows: list[tuple[int, tuple[str, ...]]]
    cells: dict[str, np.ndarray]
    truth_RC: np.ndarray
    groups: list[str]
    weight_R: np.ndarray

    @classmethod
    def of(cls, samples: Sequence[Sample], names: Sequence[str], *, seed: int) -> "Shown":
        """All subsets of what each sample owns, or a draw; a cell a subset.

        With more than five streams hardly two samples own the same: one cell holds each sample with all that it owns,
        and one all the parts that were drawn.
        """
        rows = [(n, s) for n, sample in enumerate(samples) for s in shown_subsets(sample, names, seed=seed)]
        owned = [tuple(name for name in names if name in sample.streams) for sample in samples]
        if len(names) <= MOST_STREAMS:
            keys = [ALL if len(streams) == len(names) else "+".join(streams) for _, streams in rows]
        else:
            keys = [ALL if streams == owned[n] else PARTS for n, streams in rows]
        cells = {key: np.array([r for r, one in enumerate(keys) if one == key]) for key in dict.fromkeys(keys)}
        sample_R = np.array([n for n, _ in rows])
        return cls(
            samples=list(samples),
            rows=rows,
            cells={key: found for key, found in cells.items() if len(found) >= FEWEST},
            truth_RC=np.stack([samples[n].scores for n, _ in rows]).astype(float),
            groups=[sample.group or sample.id for sample in samples],
            weight_R=1.0 / np.bincount(sample_R, minlength=len(samples))[sample_R],
        )

    @property
    def sample_R(self) -> np.ndarray:
        """[R] the sample of each row."""
        return np.array([n for n, _ in self.rows])


@dataclass(frozen=True, kw_only=True)
class Score:
    """Spearman of one model, by cell and as means, with resamples.

    Attributes:
        full: With all streams; NaN where too few samples own them.
        incomplete: Mean over the other cells; NaN where there are none.
        draws_2D: Resamples of incomplete and full.
        error: Squared error over that of the mean, every sample counting once, mean over criteria; 1 is a constant.
    """

    incomplete: float
    full: float
    draws_2D: np.ndarray
    error: float = float("nan")

    @property
    def value(self) -> float:
        """Mean of what there is of the two: by this models are compared."""
        return _mean([self.incomplete, self.full])

    @property
    def draws_D(self) -> np.ndarray:
        """Resamples of `value`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return np.nanmean(self.draws_2D, axis=0)


def draws_of_groups(groups: Sequence[str], *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each group stands in each resample [D, G], and the place of each sample's group [N]."""
    names, of_N = np.unique(np.asarray(groups), return_inverse=True)
    generator = np.random.default_rng(integer("auto draws", seed) % 2**32)
    counts_DG = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=DRAWS)
    return counts_DG.astype(float), of_N


def judge(shown: Shown, predicted_RC: np.ndarray, *, seed: int) -> Score:
    """Spearman of predictions of the rows: Fisher-z mean over criteria in each cell, then the mean over cells."""
    counts_DG, of_N = draws_of_groups(shown.groups, seed=seed)
    group_R = of_N[shown.sample_R]
    points, draws = {}, {}
    for key, rows in shown.cells.items():
        values = []
        for column in range(predicted_RC.shape[1]):
            truth, predicted = shown.truth_RC[rows, column], predicted_RC[rows, column]
            known = ~np.isnan(truth) & ~np.isnan(predicted)
            if known.sum() < FEWEST or len(np.unique(truth[known])) < 2:
                continue
            values.append(_rank_correlations(truth[known], predicted[known], group_R[rows[known]], counts_DG))
        if values:
            mean_D = np.tanh(np.mean(np.arctanh(np.clip(values, -0.999, 0.999)), axis=0))
            points[key], draws[key] = mean_D[0], mean_D[1:]
    parts = [key for key in points if key != ALL]
    nothing_D = np.full(DRAWS, np.nan)
    incomplete_D = np.mean([draws[key] for key in parts], axis=0) if parts else nothing_D
    return Score(
        incomplete=float(np.mean([points[key] for key in parts])) if parts else float("nan"),
        full=float(points.get(ALL, np.nan)),
        draws_2D=np.stack([incomplete_D, draws.get(ALL, nothing_D)]),
        error=relative_error(shown, predicted_RC),
    )


def relative_error(shown: Shown, predicted_RC: np.ndarray) -> float:
    """Squared error of predictions over that of the mean score; NaN where nothing was predicted."""
    ratios = []
    for column in range(predicted_RC.shape[1]):
        truth_R, predicted_R = shown.truth_RC[:, column], predicted_RC[:, column]
        known = ~np.isnan(truth_R) & ~np.isnan(predicted_R)
        weight_K = shown.weight_R[known]
        if not known.any():
            continue
        mean = np.average(truth_R[known], weights=weight_K)
        spread = float(np.average(np.square(truth_R[known] - mean), weights=weight_K))
        if spread > 1e-12:
            error = float(np.average(np.square(truth_R[known] - predicted_R[known]), weights=weight_K))
            ratios.append(error / spread)
    return float(np.mean(ratios)) if ratios else float("nan")


def _rank_correlations(
    truth: np.ndarray, predicted: np.ndarray, group: np.ndarray, counts_DG: np.ndarray
) -> np.ndarray:
    """[1 + D]: of all, then of each resample; 0 where a prediction does not vary."""
    x, y = rankdata(truth), rankdata(predicted)
    x, y = x - x.mean(), y - y.mean()
    sums_G6 = np.stack([
        np.bincount(group, one, minlength=counts_DG.shape[1]) for one in (np.ones(len(x)), x, y, x * x, y * y, x * y)
    ], axis=1)  # fmt: skip
    n, sx, sy, sxx, syy, sxy = np.concatenate([sums_G6.sum(axis=0)[None], counts_DG @ sums_G6]).T
    n = np.maximum(n, 1)
    spread = (sxx - sx * sx / n) * (syy - sy * sy / n)
    return np.where(spread > 1e-9, (sxy - sx * sy / n) / np.sqrt(np.maximum(spread, 1e-9)), 0.0)


def interval(draws_D: np.ndarray, confidence: float = 0.95) -> tuple[float, float] | None:
    """Percentile interval; None where there are no draws."""
    known = draws_D[~np.isnan(draws_D)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def mean_score(scores: Sequence[Score]) -> Score:
    """The mean over repeats."""
    return Score(
        incomplete=float(np.mean([one.incomplete for one in scores])),
        full=float(np.mean([one.full for one in scores])),
        draws_2D=np.mean([one.draws_2D for one in scores], axis=0),
        error=float(np.mean([one.error for one in scores])),
    )


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
