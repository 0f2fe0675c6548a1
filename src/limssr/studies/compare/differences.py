"""Paired differences between systems with Holm's correction, and average ranks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limssr.core.errors import ArtifactError
from limssr.data.missing import distinct_subsets
from limssr.evaluation.metrics import mean_spearman
from limssr.evaluation.resampling import Resamples, bootstrap_spearman, percentile_interval
from limssr.evaluation.significance import RankTest, bootstrap_p_value, holm, indistinct_groups, rank_test
from limssr.runs.folder import owned_in_training, read_run
from limssr.studies.compare.predictions import Answers, read_answers
from limssr.studies.compare.rows import CompareRow
from limssr.studies.compare.scores import CONFIDENCE, METRICS, MetricName, Scores


@dataclass(frozen=True)
class PairedDifference:
    """A row minus the chosen one.

    Attributes:
        value: Of the means over seeds; NaN where one of them has no number.
        low: Of the interval over resampled performances, the same for both.
        high: Likewise.
        p_value: From the distribution of the difference over resamples.
        adjusted_p: After Holm's correction over all rows of this part and metric.
        reason: Why there is no difference; "" where there is one.
    """

    value: float
    low: float
    high: float
    p_value: float
    adjusted_p: float
    reason: str


@dataclass(frozen=True)
class Ranking:
    """Average ranks over blocks: one block is one criterion under one subset, Spearman averaged over the seeds.

    Attributes:
        labels: Rows that are ranked, as given.
        test: Their ranks and the tests; None where fewer than two rows can be ranked.
        groups: Labels that the critical difference does not tell apart, best group first.
        left_out: Label -> why it has no rank.
    """

    labels: tuple[str, ...]
    test: RankTest | None
    groups: tuple[tuple[str, ...], ...]
    left_out: dict[str, str]


def paired_differences(
    rows: Sequence[CompareRow], scores: Scores, against: CompareRow
) -> dict[tuple[str, str, MetricName], PairedDifference]:
    """(label, part, metric) -> difference to the chosen row, for the average of incomplete subsets and all streams.

    Both rows are scored on the same resamples, seeds averaged within each; as a mean of differences is the difference
    of means, rows with the same seeds are thereby also compared seed by seed.
    """
    others = [row.label for row in rows if row is not against]
    found: dict[tuple[str, str, MetricName], PairedDifference] = {}
    for part in scores.main_parts:
        for metric in METRICS:
            plain = [_difference(scores, label, against.label, part, metric) for label in others]
            adjusted = holm([one.p_value for one in plain])
            for label, one, p in zip(others, plain, adjusted, strict=True):
                found[label, part, metric] = PairedDifference(one.value, one.low, one.high, one.p_value, p, one.reason)
    return found


def rank_rows(rows: Sequence[CompareRow], scores: Scores, against: CompareRow, *, alpha: float = 0.05) -> Ranking:
    """Rank the rows over all (subset, criterion) pairs that the data allows.

    Ranked is who was trained on the same kind of data as the chosen row (`trained_on`) and has a number in every block:
    a rank among fewer blocks would be one among other, perhaps easier questions.
    """
    labels, left_out = [], {}
    for row in rows:
        gaps_SC = scores.judged_SC & np.isnan(scores.spearman_by_criterion[row.label])
        if row.first.trained_on != against.first.trained_on:
            left_out[row.label] = (
                f"trained on {row.first.trained_on} data, {against.label} on {against.first.trained_on}"
            )
        elif gaps_SC.any():
            left_out[row.label] = f"no number in {int(gaps_SC.sum())} of {int(scores.judged_SC.sum())} blocks"
        else:
            labels.append(row.label)
    if len(labels) < 2 or not scores.judged_SC.any():
        return Ranking(tuple(labels), None, (), left_out)
    scores_BK = np.stack([scores.spearman_by_criterion[label][scores.judged_SC] for label in labels], axis=1)
    test = rank_test(scores_BK, alpha=alpha)
    groups = indistinct_groups(test.average_ranks, test.critical_difference)
    return Ranking(tuple(labels), test, tuple(tuple(labels[k] for k in group) for group in groups), left_out)


def _difference(scores: Scores, label: str, against: str, part: str, metric: MetricName) -> PairedDifference:
    one, other = scores.numbers[label, part, metric], scores.numbers[against, part, metric]
    for name, number in ((label, one), (against, other)):
        if not number.is_defined:
            return PairedDifference(*[math.nan] * 5, reason=f"{name} has no number: {number.reason}")
    drawn_R = one.drawn_R - other.drawn_R
    low, high = percentile_interval(drawn_R, CONFIDENCE)
    return PairedDifference(one.value - other.value, low, high, bootstrap_p_value(drawn_R), math.nan, "")


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
