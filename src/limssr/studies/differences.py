"""Is one set of runs better than another? Paired over the same resampled performances, averaged over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from limssr.errors import ArtifactError
from limssr.metrics import Resamples, bootstrap_spearman, mean_spearman, percentile_interval


@dataclass(frozen=True)
class Predictions:
    """What one system predicted for one split.

    Attributes:
        ids: The N samples.
        truth_NC: Scores, NaN where not judged.
        by_subset: Subset ("timing+dynamics") -> predictions [N, C]; NaN for a sample that does not own all its streams.
            The subset of all streams is the last.
    """

    ids: tuple[str, ...]
    truth_NC: np.ndarray
    by_subset: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Difference:
    """Spearman of the first minus that of the second.

    Attributes:
        value: Mean over seeds.
        low: Of the 95 % interval over resampled performances.
        high: Likewise.
        by_seed: One difference a pair of runs.
    """

    value: float
    low: float
    high: float
    by_seed: tuple[float, ...]


def read_predictions(run: Path, system: str | None = None) -> Predictions:
    """Read predictions.parquet of a run folder.

    Args:
        run: Folder.
        system: One of those in the file; None: the run's own, which is the first.

    Raises:
        ArtifactError: No such file, or no such system in it.
    """
    try:
        table = pq.read_table(run / "predictions.parquet")
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(f"Expected the predictions of a finished run in {run}: {error}") from None
    columns = {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}
    wanted = columns["system"] == (columns["system"][0] if system is None else system)
    if not wanted.any():
        raise ArtifactError(f"Expected predictions of {system} in {run}, found those of {set(columns['system'])}.")
    columns = {name: values[wanted] for name, values in columns.items()}
    ids, rows = _places(columns["id"])
    criteria, places = _places(columns["criterion"])
    subsets, which = _places(columns["streams"])
    truth_NC = np.full((len(ids), len(criteria)), np.nan)
    truth_NC[rows, places] = columns["score"]
    cube = np.full((len(subsets), len(ids), len(criteria)), np.nan)
    cube[which, rows, places] = columns["prediction"]
    return Predictions(ids, truth_NC, dict(zip(subsets, cube, strict=True)))


Scored = Path | tuple[Path, str]
"""A run folder, for its own system, or a run folder and a system in it."""


class Spearmans:
    """Spearman of runs on one plan of resampled performances: incomplete subsets on average, and all streams.

    Args:
        num_resamples: Draws.
        seed: Of the draws.
    """

    def __init__(self, num_resamples: int = 1000, *, seed: int = 0) -> None:
        self._num_resamples, self._seed = num_resamples, seed
        self._found: dict[Scored, dict[str, tuple[float, np.ndarray]]] = {}

    def difference(self, first: Sequence[Scored], second: Sequence[Scored], part: str) -> Difference:
        """Compare runs seed by seed.

        Args:
            first: What is compared, one a seed.
            second: With what: as many, of the same seeds in the same order.
            part: "incomplete" (Fisher's mean over the subsets that lack a stream) or "full".
        """
        pairs = [(self._of(one)[part], self._of(other)[part]) for one, other in zip(first, second, strict=True)]
        observed = tuple(one[0] - other[0] for one, other in pairs)
        drawn_R = np.mean([one[1] - other[1] for one, other in pairs], axis=0)
        low, high = percentile_interval(drawn_R[~np.isnan(drawn_R)], 0.95)
        return Difference(float(np.mean(observed)), low, high, observed)

    def _of(self, scored: Scored) -> dict[str, tuple[float, np.ndarray]]:
        if scored not in self._found:
            predictions = read_predictions(*scored) if isinstance(scored, tuple) else read_predictions(scored)
            resamples = Resamples(len(predictions.ids), self._num_resamples, seed=self._seed)
            truth_NC = predictions.truth_NC
            each = [
                (mean_spearman(truth_NC, predicted_NC).value, bootstrap_spearman(truth_NC, predicted_NC, resamples))
                for predicted_NC in predictions.by_subset.values()
            ]
            self._found[scored] = {"incomplete": _fisher(each[:-1] or each), "full": each[-1]}
        return self._found[scored]


def _fisher(each: Sequence[tuple[float, np.ndarray]]) -> tuple[float, np.ndarray]:
    clipped = [np.clip(values, -1 + 1e-6, 1 - 1e-6) for values in zip(*each, strict=True)]
    value, drawn_R = (np.tanh(np.arctanh(values).mean(axis=0)) for values in clipped)
    return float(value), drawn_R


def _places(values: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Distinct values in order of appearance, and the place of each value among them."""
    names, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return tuple(str(name) for name in names[order]), rank[inverse]
