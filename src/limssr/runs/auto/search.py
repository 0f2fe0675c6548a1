"""The search itself: from samples to judged candidates, a choice and the final model. Nothing is written here."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from limssr.core.config import ModelConfig
from limssr.core.errors import InputError
from limssr.core.progress import Reporter
from limssr.core.types import Sample
from limssr.data.missing import never_owned
from limssr.evaluation.conformal import Errors
from limssr.nn.contract import Network
from limssr.nn.relations import Pair, pairs_of
from limssr.runs.auto.candidates import OutOfTime, Setting, Watch, candidate_of
from limssr.runs.auto.cautions import warnings_of
from limssr.runs.auto.choice import Choice, choose
from limssr.runs.auto.estimate import estimated_s
from limssr.runs.auto.folds import REFIT_SHARE, SUBSET_S, SURE_S, Clock, Folds, Judged, judge_all
from limssr.runs.auto.held_out import coverage_by_folds, out_of_fold_errors
from limssr.runs.auto.judge import Shown
from limssr.runs.auto.look import Material, seen_lines
from limssr.runs.auto.seeds import MOST_SEEDS, judge_more_seeds
from limssr.runs.auto.settings import AutoSettings
from limssr.systems.solved.mixture import MIXTURE, Mixture

CHEAP_S = 1.0
"""A solved candidate whose fold takes no longer is always kept beside the members."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search ends with.

    Attributes:
        model: Of all labelled samples.
        shown: What was judged.
        folds: How.
        judged: The candidates.
        choice: Between them.
        dropped: Candidate -> why it was not judged.
        warnings: What a person should know.
        errors: Of the choice on held-out samples.
        coverage: Of intervals made of them, by folds.
        seeds: Trained member -> how many seeds of it were averaged.
        seconds: Estimated for all but networks, and measured for the search.
    """

    model: Mixture
    shown: Shown
    folds: Folds
    judged: list[Judged]
    choice: Choice
    dropped: dict[str, str]
    warnings: list[str]
    errors: Errors
    coverage: dict[str, float | int | None]
    seeds: dict[str, int]
    seconds: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a search will do.

    Attributes:
        shown: What is judged.
        folds: How.
        names: Candidates that are for this data.
        pairs: Streams that can be set against each other.
        estimate_s: Seconds for the solved ones.
        lines: Six, for a person.
    """

    shown: Shown
    folds: Folds
    names: list[str]
    pairs: list[Pair]
    estimate_s: float
    lines: list[str]

    @classmethod
    def of(cls, material: Material, settings: AutoSettings, *, seed: int) -> "Plan":
        """Look at the data.

        Raises:
            InputError: One group alone.
        """
        shown = Shown.of(material.samples, material.seen, seed=seed)
        folds = Folds.of(shown, seed=seed)
        pairs = pairs_of(material.samples, material.modalities)
        names = [name for name in settings.candidates if pairs or not candidate_of(name).needs_pairs]
        estimate_s = estimated_s(shown, folds, material.modalities, names)
        lines = seen_lines(material, folds, settings.minutes, names, estimate_s)
        return cls(shown=shown, folds=folds, names=names, pairs=pairs, estimate_s=estimate_s, lines=lines)


def search(material: Material, settings: AutoSettings, *, seed: int, device: torch.device, reporter: Reporter) -> Found:
    """Judge candidates on the samples, choose, and learn the final model from all of them.

    Raises:
        InputError: One group alone, or no time for a single candidate.
    """
    samples, began = material.samples, time.monotonic()
    plan = Plan.of(material, settings, seed=seed)
    shown, folds, names, pairs, estimate_s = plan.shown, plan.folds, plan.names, plan.pairs, plan.estimate_s
    clock = Clock(total_s=60.0 * settings.minutes, began=began, writing_s=SURE_S + SUBSET_S * material.num_subsets)
    for line in plan.lines:
        reporter.note(line)
    setting = Setting(
        modalities=material.modalities,
        criteria=material.criteria,
        backbone=settings.backbone,
        num_layers=settings.num_layers,
        seed=seed,
        device=device,
        pairs=tuple(pairs),
    )
    judged, dropped = judge_all(
        names, shown, folds, setting, clock=clock, test_rows=material.num_test_rows, reporter=reporter
    )
    judged = judge_more_seeds(judged, shown, folds, setting, clock=clock, reporter=reporter)
    clock.learning_s = 0.0
    learning = _Learning(samples, setting, clock, reporter)
    while True:
        found = choose(shown, judged, folds, seed=seed)
        late = learning.late(found.members)
        if not late:
            break
        dropped |= dict.fromkeys(late, "it could not be learned from all samples in time")
        judged = [one for one in judged if one.name not in late]
        if not {one.name for one in judged} - {"constant"}:
            raise InputError(
                "Expected time for the final model, found none left: give more minutes, or fewer candidates."
            )
    for one in judged:
        if candidate_of(one.name).cost == "solved" and (
            clock.left_s > REFIT_SHARE * one.fold_s or one.fold_s < CHEAP_S
        ):
            learning.late([one.name])
    seeds = learning.more_seeds(found.members)
    warnings = warnings_of(material, shown, judged, found, seed=seed)
    errors = out_of_fold_errors(shown, found.predicted_RC, material.modalities, material.criteria)
    coverage = coverage_by_folds(shown, found.predicted_RC, folds.fold_RR[0], material.criteria, errors)
    model = _mixture(found, learning.members, samples, setting)
    seconds = {"estimated": round(estimate_s, 1), "searched": round(clock.passed_s, 1)}
    return Found(
        model=model, shown=shown, folds=folds, judged=judged, choice=found, dropped=dropped, warnings=warnings,
        errors=errors, coverage=coverage, seeds=seeds, seconds=seconds,
    )  # fmt: skip


class _Learning:
    """Members learned once more from all labelled samples.

    Attributes:
        members: Name -> network, in the order in which they were learned.
    """

    def __init__(self, samples: Sequence[Sample], setting: Setting, clock: Clock, reporter: Reporter) -> None:
        self.members: dict[str, Network] = {}
        self._samples, self._setting, self._clock, self._reporter = samples, setting, clock, reporter
        self._seconds: dict[str, float] = {}

    def late(self, names: Sequence[str]) -> list[str]:
        """Learn those that are not there yet; returns those whose training would end too late."""
        late = []
        for name in names:
            if name in self.members:
                continue
            began = time.monotonic()
            try:
                self.members[name] = self._learn(name, self._setting.seed, max(10.0, self._clock.left_s))
            except OutOfTime:
                late.append(name)
            self._seconds[name] = time.monotonic() - began
        return late

    def more_seeds(self, names: Sequence[str]) -> dict[str, int]:
        """Average several seeds of trained members, as far as time reaches; returns how many there are of each."""
        trained = [name for name in names if candidate_of(name).cost != "solved"]
        learned = {name: {f"seed-{self._setting.seed}": self.members[name]} for name in trained}
        for more in range(1, MOST_SEEDS):
            for name in trained:
                if self._clock.left_s < REFIT_SHARE * self._seconds[name]:
                    continue
                seed = self._setting.seed + more
                with contextlib.suppress(OutOfTime):
                    learned[name][f"seed-{seed}"] = self._learn(name, seed, self._clock.left_s)
        for name, seeds in learned.items():
            if len(seeds) > 1:
                self.members[name] = _average(seeds, self._samples, self._setting)
        return {name: len(seeds) for name, seeds in learned.items()}

    def _learn(self, name: str, seed: int, allowed_s: float) -> Network:
        self._reporter.note(f"  learning {name} from all {len(self._samples)} samples (seed {seed})")
        watch = Watch(allowed_s=allowed_s)
        return candidate_of(name).fit(self._samples, self._setting, seed, watch).to("cpu")


def _average(seeds: dict[str, Network], samples: Sequence[Sample], setting: Setting) -> Mixture:
    """The mean of one network from several seeds."""
    model = Mixture(ModelConfig(system=MIXTURE), setting.modalities, setting.criteria, seeds)
    return _finished(model, samples, setting)


def _mixture(choice: Choice, members: dict[str, Network], samples: Sequence[Sample], setting: Setting) -> Mixture:
    """The final model; solved candidates are kept in it without a weight, to be used by themselves."""
    members = {name: members[name] for name in dict.fromkeys([*choice.members, *members])}
    model = Mixture(ModelConfig(system=MIXTURE), setting.modalities, setting.criteria, members)
    places = [choice.members.index(name) if name in choice.members else None for name in members]

    def placed(weights_K: np.ndarray) -> list[float]:
        return [0.0 if place is None else float(weights_K[place]) for place in places]

    by_pattern = {streams: placed(weights_K) for streams, weights_K in choice.weights.by_pattern.items()}
    model.set_weights(placed(choice.weights.common), by_pattern)
    return _finished(model, samples, setting)


def _finished(model: Mixture, samples: Sequence[Sample], setting: Setting) -> Mixture:
    unit_NC = np.stack([[c.to_unit(s) for c, s in zip(setting.criteria, one.scores, strict=True)] for one in samples])
    model.set_mean(np.nanmean(unit_NC, axis=0))
    model.leave_unseen(never_owned([modality.name for modality in setting.modalities], samples))
    model.remember_seed(setting.seed)
    model.eval()
    return model
