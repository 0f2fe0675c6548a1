"""Scores of samples under every subset of what they own, as arrays."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from limssr.core.config import EvalConfig
from limssr.core.types import Criterion, Sample
from limssr.evaluation.evaluate import Evaluation, evaluate
from limssr.evaluation.scorer import Scorer

Subset = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Scores of N samples under subsets of the streams.

    Attributes:
        names: The M streams.
        criteria: The C criteria.
        samples: The N samples.
        truth_NC: Given scores, NaN where not judged.
        by_subset: Subset -> scores [N, C] in the data set's unit; NaN where a sample does not own all of it or the
            system has no score there.
        evaluation: What was measured of them, without intervals.
    """

    names: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    samples: tuple[Sample, ...]
    truth_NC: np.ndarray
    by_subset: Mapping[Subset, np.ndarray]
    evaluation: Evaluation

    @property
    def owned(self) -> tuple[Subset, ...]:
        """What each sample owns, in the order of the streams."""
        return tuple(tuple(name for name in self.names if name in one.streams) for one in self.samples)

    @property
    def own_NC(self) -> np.ndarray:
        """The score of each sample from all that it owns; NaN where that subset was not scored."""
        nothing = np.full(self.truth_NC.shape, np.nan)
        rows = [self.by_subset.get(owned, nothing)[n] for n, owned in enumerate(self.owned)]
        return np.array(rows).reshape(self.truth_NC.shape)

    @property
    def spans_C(self) -> np.ndarray:
        """The length of each criterion's scale."""
        return np.array([one.high - one.low for one in self.criteria])


def score_subsets(
    scorer: Scorer,
    samples: Sequence[Sample],
    names: tuple[str, ...],
    criteria: tuple[Criterion, ...],
    config: EvalConfig,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Scored:
    """Score judged samples under every subset that an evaluation looks at.

    Raises:
        InputError: No samples, or samples without scores.
    """
    quick = config.model_copy(update={"bootstrap": 0})
    found = evaluate(scorer, samples, names, criteria, config=quick, progress=progress)
    place = {sample.id: n for n, sample in enumerate(samples)}
    column = {one.name: c for c, one in enumerate(criteria)}
    by_subset: dict[Subset, np.ndarray] = {
        tuple(subset.streams): np.full((len(samples), len(criteria)), np.nan) for subset in found.subsets
    }
    columns = (found.predictions[name].to_pylist() for name in ("id", "streams", "criterion", "prediction"))
    for name, shown, criterion, value in zip(*columns, strict=True):
        if value is not None:
            by_subset[tuple(shown.split("+"))][place[name], column[criterion]] = value
    return Scored(
        names=names,
        criteria=criteria,
        samples=tuple(samples),
        truth_NC=np.stack([sample.scores for sample in samples]),
        by_subset=by_subset,
        evaluation=found,
    )
