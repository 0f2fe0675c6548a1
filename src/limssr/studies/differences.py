"""Is one set of runs better than another? Paired over the same resampled performances, averaged over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limssr.compare.predictions import Answers, read_answers
from limssr.data.missing import distinct_subsets
from limssr.errors import ArtifactError
from limssr.metrics import Resamples, bootstrap_spearman, mean_spearman, percentile_interval
from limssr.runfiles import owned_in_training, read_run


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
            answers = _answers(*scored) if isinstance(scored, tuple) else _answers(scored)
            resamples = Resamples(len(answers.ids), self._num_resamples, seed=self._seed)
            each = [_drawn(answers, s, resamples) for s in range(len(answers.subsets))]
            # A subset of too few samples is nobody's question (even their own scores would have no correlation), one
            # that reads the same as another is asked there.
            run, last = scored[0] if isinstance(scored, tuple) else scored, len(each) - 1
            own = _of_their_own(answers.subsets, run)
            asked = [each[s] for s in range(last) if own[s] and _is_judged(answers, s)]
            self._found[scored] = {"incomplete": _fisher(asked or each[-1:]), "full": each[-1]}
        return self._found[scored]


def _answers(run: Path, system: str | None = None) -> Answers:
    found = read_answers(run)
    if system is not None and system not in found:
        raise ArtifactError(f"Expected predictions of {system} in {run}, found those of {', '.join(found)}.")
    return next(iter(found.values())) if system is None else found[system]


def _of_their_own(subsets: Sequence[str], run: Path) -> list[bool]:
    """Whether each subset reads other streams than the ones before it, when those that nobody learned of are unread."""
    learned = owned_in_training(read_run(run).document)
    each = [tuple(name.split("+")) for name in subsets]
    unseen = set() if learned is None else set(each[-1]) - learned
    repeated = distinct_subsets(each, unseen).same_as
    return [streams not in repeated for streams in each]


def _is_judged(answers: Answers, s: int) -> bool:
    truth_NC = answers.truth_NC[answers.owned_SN[s]]
    return mean_spearman(truth_NC, truth_NC).is_defined


def _drawn(answers: Answers, s: int, resamples: Resamples) -> tuple[float, np.ndarray]:
    """Spearman of one subset, and on every resample of the split."""
    members = np.flatnonzero(answers.owned_SN[s])
    truth_NC, predicted_NC = answers.truth_NC[members], answers.predicted_SNC[s, members]
    drawn_R = bootstrap_spearman(truth_NC, predicted_NC, resamples, members_N=members)
    return mean_spearman(truth_NC, predicted_NC).value, drawn_R


def _fisher(each: Sequence[tuple[float, np.ndarray]]) -> tuple[float, np.ndarray]:
    clipped = [np.clip(values, -1 + 1e-6, 1 - 1e-6) for values in zip(*each, strict=True)]
    value, drawn_R = (np.tanh(np.arctanh(values).mean(axis=0)) for values in clipped)
    return float(value), drawn_R
