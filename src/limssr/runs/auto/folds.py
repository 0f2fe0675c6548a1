"""Out-of-fold predictions of the candidates, within a budget of time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from limssr.core.errors import InputError
from limssr.core.progress import Reporter
from limssr.data.splits import folds_of
from limssr.evaluation.scorer import ModelScorer
from limssr.runs.auto.candidates import CANDIDATES, Candidate, OutOfTime, Setting, Watch
from limssr.runs.auto.judge import Shown
from limssr.systems.solved.contract import SolvedNetwork

NUM_FOLDS = 5
FEW, SOME = 150, 400
REFIT_SHARE = 1.3
"""Of a fold's time that the final model of a candidate takes: more samples, and some air."""


@dataclass
class Clock:
    """A budget of seconds, of which a part is kept for the final models.

    Attributes:
        total_s: All of it.
        reserved_s: For final models and scoring.
    """

    total_s: float
    reserved_s: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float:
        """Seconds that candidates may still use."""
        return self.total_s - self.reserved_s - (time.monotonic() - self.began)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A candidate with its out-of-fold predictions.

    Attributes:
        name: Of `CANDIDATES`.
        predicted: One [R, C] a repeat, in scores; NaN where it has none.
        seconds: Of all folds.
        fold_s: Of one.
        warnings: What was said while it was trained.
        histories: Of its trainings, one a fold; empty for solved networks.
    """

    name: str
    predicted: list[np.ndarray]
    seconds: float
    fold_s: float
    warnings: list[str]
    histories: list[list[dict]]


@dataclass(frozen=True, kw_only=True)
class Folds:
    """Which fold each row is held out in, for each repeat."""

    fold_RR: list[np.ndarray]

    @classmethod
    def of(cls, shown: Shown, *, seed: int) -> "Folds":
        """Five folds of whole groups; three times for fewer than 150 samples, twice for fewer than 400."""
        num_groups = len(set(shown.groups))
        if num_groups < 2:
            raise InputError(
                "Expected samples of at least two groups in training and validation, found one: auto judges models on "
                "groups that they have not seen."
            )
        num_samples = len(shown.samples)
        repeats = 3 if num_samples < FEW else 2 if num_samples < SOME else 1
        found = []
        for repeat in range(repeats):
            fold_of = folds_of(shown.groups, min(NUM_FOLDS, num_groups), seed=seed + repeat)
            found.append(np.array([fold_of[group] for group in shown.groups])[shown.sample_R])
        return cls(fold_RR=found)


def judge_all(
    names: Sequence[str], shown: Shown, folds: Folds, setting: Setting, *, clock: Clock, reporter: Reporter
) -> tuple[list[Judged], dict[str, str]]:
    """Candidates one after the other, as long as there is time.

    Returns:
        Those that were judged, and why others were not.
    """
    found, dropped = [], {}
    for name in names:
        try:
            found.append(_judge_one(name, shown, folds, setting, clock))
        except (OutOfTime, InputError) as error:
            dropped[name] = str(error)
            reporter.note(f"  {name}: left out, as {_lower(str(error))}")
            continue
        reporter.note(f"  {name}: {CANDIDATES[name].summary}, {found[-1].seconds:.0f} s")
    if not found:
        raise InputError(f"Expected time for one candidate, found none in {clock.total_s / 60:g} minutes: give more.")
    return found, dropped


def _judge_one(name: str, shown: Shown, folds: Folds, setting: Setting, clock: Clock) -> Judged:
    candidate, began = CANDIDATES[name], time.monotonic()
    watch = Watch()
    repeats = folds.fold_RR if candidate.cost == "solved" else folds.fold_RR[:1]
    num_folds = len(np.unique(repeats[0]))
    predicted, histories, fold_s = [], [], 0.0
    for fold_R in repeats:
        predicted_RC = np.full(shown.truth_RC.shape, np.nan)
        for fold in np.unique(fold_R):
            if predicted and clock.left_s < 2 * fold_s * num_folds:
                break  # a whole repeat or none
            watch.allowed_s = clock.left_s / (num_folds + REFIT_SHARE) if not fold_s else 2.0 * fold_s + 5.0
            if clock.left_s < fold_s:
                raise OutOfTime("it would take longer than the budget has left")
            started = time.monotonic()
            held = fold_R == fold
            predicted_RC[held] = _hold_out(candidate, shown, held, setting, watch)
            if not fold_s:
                fold_s = time.monotonic() - started
                if fold_s * (num_folds - 1 + REFIT_SHARE) > clock.left_s:
                    raise OutOfTime(f"one fold took {fold_s:.0f} s, and all would take longer than is left")
            if watch.history:
                histories.append([dict(record) for record in watch.history])
        if not np.isnan(predicted_RC).all():
            predicted.append(predicted_RC)
    clock.reserved_s += REFIT_SHARE * fold_s
    seconds = time.monotonic() - began
    return Judged(
        name=name, predicted=predicted, seconds=seconds, fold_s=fold_s, warnings=watch.warnings, histories=histories
    )


def _hold_out(candidate: Candidate, shown: Shown, held_R: np.ndarray, setting: Setting, watch: Watch) -> np.ndarray:
    held_samples = set(shown.sample_R[held_R].tolist())
    train = [sample for n, sample in enumerate(shown.samples) if n not in held_samples]
    model = candidate.fit(train, setting, setting.seed, watch)
    rows = [shown.rows[row] for row in np.flatnonzero(held_R)]
    if isinstance(model, SolvedNetwork):
        order = sorted(held_samples)
        place = {n: k for k, n in enumerate(order)}
        return model.score_subsets([shown.samples[n] for n in order], [(place[n], streams) for n, streams in rows])
    held = [shown.samples[n].restricted_to(streams) for n, streams in rows]
    return ModelScorer(model.to(setting.device), device=setting.device).score(held)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
