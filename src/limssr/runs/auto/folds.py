"""Out-of-fold predictions of the candidates, within a budget of time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from limssr.core.errors import InputError
from limssr.core.progress import Reporter
from limssr.data.splits import folds_of
from limssr.evaluation.scorer import ModelScorer
from limssr.runs.auto.candidates import Candidate, OutOfTime, Setting, Watch, candidate_of
from limssr.runs.auto.judge import Shown
from limssr.systems.solved.contract import SolvedNetwork

NUM_FOLDS = 5
FEW, SOME = 150, 400
REFIT_SHARE = 1.3
"""Of a fold's time that the final model of a candidate takes: more samples, and some air."""

TIMED_SAMPLES = 32
"""That are scored to see how long scoring takes."""


SURE_S, SUBSET_S = 4.0, 0.4
"""Seconds of one core for what is always done at the end: files, and the figures of the report, one a subset."""
MOST_SLOWNESS, MOST_WRITING = 20.0, 0.25
"""Bounds of what is kept for the end on a busy machine: times, and share of the budget."""


@dataclass(kw_only=True)
class Clock:
    """A budget of seconds, of which a part is kept for what comes after judging.

    Attributes:
        total_s: All of it.
        began: When it began.
        learning_s: Kept for learning the final models.
        scoring_s: Kept for scoring the test split.
        writing_s: Kept for files and the report, in seconds of a core of one's own.
        began_cpu: Seconds of a core that the process had used when it began.
    """

    total_s: float
    began: float = field(default_factory=time.monotonic)
    learning_s: float = 0.0
    scoring_s: float = 0.0
    writing_s: float = SURE_S
    began_cpu: float = field(default_factory=time.process_time)

    @property
    def slowness(self) -> float:
        """How many times as long as on a core of one's own everything took so far: others may work here, too."""
        used_s = time.process_time() - self.began_cpu
        return min(MOST_SLOWNESS, max(1.0, self.passed_s / used_s)) if used_s > 0.5 else 1.0

    @property
    def passed_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    @property
    def left_s(self) -> float:
        """Seconds that candidates may still use."""
        writing_s = min(self.writing_s * self.slowness, MOST_WRITING * self.total_s)
        return self.total_s - self.learning_s - self.scoring_s - writing_s - self.passed_s


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A candidate with its out-of-fold predictions.

    Attributes:
        name: Of `CANDIDATES`.
        predicted: One [R, C] a repeat, in scores; NaN where it has none.
        seconds: Of all folds.
        fold_s: Of one.
        sample_s: For scoring one sample.
        warnings: What was said while it was trained.
        histories: Of its trainings, one a fold; empty for solved networks.
        num_parameters: That were trained; 0 for solved networks.
        num_seeds: Whose mean the predictions are.
    """

    name: str
    predicted: list[np.ndarray]
    seconds: float
    fold_s: float
    sample_s: float
    warnings: list[str]
    histories: list[list[dict]]
    num_parameters: int
    num_seeds: int = 1


@dataclass(frozen=True, kw_only=True)
class Folds:
    """How samples are held out.

    Attributes:
        fold_RR: For each repeat the fold that each row is held out in.
        base_RRC: For each repeat the mean score of the samples that each row's model learns from, for each row.
    """

    fold_RR: list[np.ndarray]
    base_RRC: list[np.ndarray]

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
        scores_NC = np.stack([sample.scores for sample in shown.samples]).astype(float)
        found, bases = [], []
        for repeat in range(repeats):
            fold_of = folds_of(shown.groups, min(NUM_FOLDS, num_groups), seed=seed + repeat)
            fold_N = np.array([fold_of[group] for group in shown.groups])
            base_NC = np.empty(scores_NC.shape)
            for fold in np.unique(fold_N):
                base_NC[fold_N == fold] = mean_scores(scores_NC[fold_N != fold])
            found.append(fold_N[shown.sample_R])
            bases.append(base_NC[shown.sample_R])
        return cls(fold_RR=found, base_RRC=bases)


def mean_scores(scores_NC: np.ndarray) -> np.ndarray:
    """[N, C] -> [C], of those that are judged; NaN where none is."""
    judged_NC = ~np.isnan(scores_NC)
    count_C = judged_NC.sum(axis=0)
    return np.where(count_C > 0, np.nansum(scores_NC, axis=0) / np.maximum(count_C, 1), np.nan)


def judge_all(
    names: Sequence[str],
    shown: Shown,
    folds: Folds,
    setting: Setting,
    *,
    clock: Clock,
    test_rows: int,
    reporter: Reporter,
) -> tuple[list[Judged], dict[str, str]]:
    """Candidates one after the other, as long as there is time.

    Args:
        names: Candidates.
        shown: What is judged.
        folds: How.
        setting: What candidates share.
        clock: Its reserves are raised by what each candidate will need later.
        test_rows: Samples times subsets that will be scored at the end.
        reporter: Is told of every candidate.

    Returns:
        Those that were judged, and why others were not.

    Raises:
        InputError: None could be judged but the constant.
    """
    found, dropped = [], {}
    for name in names:
        try:
            found.append(_judge_one(name, shown, folds, setting, clock=clock, reporter=reporter))
        except (OutOfTime, InputError) as error:
            reporter.finish()
            dropped[name] = str(error)
            reporter.note(f"  {name}: left out, as {_lower(str(error))}")
            continue
        clock.learning_s += REFIT_SHARE * found[-1].fold_s
        # once in the sum and once by itself
        clock.scoring_s += 2.0 * test_rows * found[-1].sample_s
        reporter.note(f"  {name}: {candidate_of(name).summary}, {found[-1].seconds:.0f} s")
    if not {one.name for one in found} - {"constant"}:
        reasons = "; ".join(f"{name}: {why}" for name, why in dropped.items())
        raise InputError(
            f"Expected a candidate that could be judged in {clock.total_s / 60:g} minutes, found none ({reasons}): "
            "give more minutes, or other candidates."
        )
    return found, dropped


def _judge_one(name: str, shown: Shown, folds: Folds, setting: Setting, *, clock: Clock, reporter: Reporter) -> Judged:
    candidate, began = candidate_of(name), time.monotonic()
    watch = Watch()
    repeats = folds.fold_RR if candidate.cost == "solved" else folds.fold_RR[:1]
    num_folds = len(np.unique(repeats[0]))
    predicted, histories, first = [], [], Held()
    reporter.start(name, len(repeats) * num_folds, unit="fold")
    for fold_R in repeats:
        if predicted and clock.left_s < 2 * first.seconds * num_folds:
            break  # a whole repeat or none
        predicted_RC = np.full(shown.truth_RC.shape, np.nan)
        for done, fold in enumerate(np.unique(fold_R)):
            known_s = first.seconds
            # A share of what is left, and no multiple of the first fold: others may begin to use the machine.
            watch.allowed_s = clock.left_s / (num_folds - done + REFIT_SHARE)
            if clock.left_s < known_s:
                raise OutOfTime("it would take longer than the budget has left")
            held = hold_out(candidate, shown, fold_R == fold, setting, watch)
            predicted_RC[fold_R == fold] = held.predicted_RC
            if not known_s:
                first = held
                if held.seconds * (num_folds - 1 + REFIT_SHARE) > clock.left_s:
                    raise OutOfTime(f"one fold took {held.seconds:.0f} s, and all would take longer than is left")
            if watch.history:
                histories.append([dict(record) for record in watch.history])
            reporter.advance(name)
        predicted.append(predicted_RC)
    reporter.finish()
    return Judged(
        name=name, predicted=predicted, seconds=time.monotonic() - began, fold_s=first.seconds,
        sample_s=first.sample_s, warnings=watch.warnings, histories=histories, num_parameters=first.num_parameters,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Held:
    """What one fold of one candidate gave.

    Attributes:
        predicted_RC: Scores of the rows that were held out.
        seconds: Of learning and scoring.
        sample_s: For scoring one sample.
        num_parameters: That were trained; 0 for solved networks.
    """

    predicted_RC: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    seconds: float = 0.0
    sample_s: float = 0.0
    num_parameters: int = 0


def hold_out(candidate: Candidate, shown: Shown, held_R: np.ndarray, setting: Setting, watch: Watch) -> Held:
    """Learn from all samples but those of the rows `held_R`, and score these."""
    began = time.monotonic()
    held_samples = set(shown.sample_R[held_R].tolist())
    train = [sample for n, sample in enumerate(shown.samples) if n not in held_samples]
    model = candidate.fit(train, setting, setting.seed, watch)
    rows = [shown.rows[row] for row in np.flatnonzero(held_R)]
    scorer = ModelScorer(model.to(setting.device), device=setting.device)
    if isinstance(model, SolvedNetwork):
        order = sorted(held_samples)
        place = {n: k for k, n in enumerate(order)}
        pairs = [(place[n], streams) for n, streams in rows]
        predicted_RC = model.score_subsets([shown.samples[n] for n in order], pairs)
        some = [shown.samples[n] for n in order[:TIMED_SAMPLES]]
        started = time.monotonic()
        scorer.score(some)
    else:
        some = [shown.samples[n].restricted_to(streams) for n, streams in rows]
        started = time.monotonic()
        predicted_RC = scorer.score(some)
    ended = time.monotonic()
    return Held(
        predicted_RC=predicted_RC, seconds=ended - began, sample_s=(ended - started) / len(some),
        num_parameters=sum(one.numel() for one in model.parameters() if one.requires_grad),
    )  # fmt: skip


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
