"""The search itself: from samples to judged candidates, a choice and the final model. Nothing is written here."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from limssr.core.config import ModelConfig
from limssr.core.errors import InputError
from limssr.core.progress import Reporter
from limssr.core.types import Sample
from limssr.runs.auto.candidates import CANDIDATES, OutOfTime, Setting, Watch
from limssr.runs.auto.choice import Choice, choose
from limssr.runs.auto.folds import Clock, Folds, Judged, judge_all
from limssr.runs.auto.judge import Shown
from limssr.runs.auto.look import Material, seen_lines, warnings_of
from limssr.runs.auto.settings import AutoSettings
from limssr.systems.solved.mixture import MIXTURE, Mixture

ENDING_SHARE = 0.05
"""Of the budget, for scoring the test split and writing the run."""


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
    """

    model: Mixture
    shown: Shown
    folds: Folds
    judged: list[Judged]
    choice: Choice
    dropped: dict[str, str]
    warnings: list[str]


def search(material: Material, settings: AutoSettings, *, seed: int, device: torch.device, reporter: Reporter) -> Found:
    """Judge candidates on the samples, choose, and learn the final model from all of them.

    Raises:
        InputError: One group alone, or no time for a single candidate.
    """
    samples, began = material.samples, time.monotonic()
    shown = Shown.of(samples, material.seen, seed=seed)
    folds = Folds.of(shown, seed=seed)
    clock = Clock(60.0 * settings.minutes, ENDING_SHARE * 60.0 * settings.minutes, began)
    for line in seen_lines(material, folds, settings.minutes, settings.candidates):
        reporter.note(line)
    setting = Setting(
        modalities=material.modalities,
        criteria=material.criteria,
        backbone=settings.backbone,
        num_layers=settings.num_layers,
        seed=seed,
        device=device,
    )
    judged, dropped = judge_all(settings.candidates, shown, folds, setting, clock=clock, reporter=reporter)
    found = choose(shown, judged, folds, seed=seed)
    warnings = warnings_of(material, shown, judged, found, seed=seed)
    model, late = _final_model(found, judged, samples, setting=setting, clock=clock)
    warnings += [f"{name} could not be learned from all samples in time: not in the final model" for name in late]
    return Found(model=model, shown=shown, folds=folds, judged=judged, choice=found, dropped=dropped, warnings=warnings)


def _final_model(
    choice: Choice,
    judged: Sequence[Judged],
    samples: Sequence[Sample],
    *,
    setting: Setting,
    clock: Clock,
) -> tuple[Mixture, list[str]]:
    """Members learned once more from all labelled samples; solved candidates are kept with them, without a weight.

    Members whose training would end too late are left out; they are named, and the others keep their weights.
    """
    members, late = {}, []
    solved = [one.name for one in judged if CANDIDATES[one.name].cost == "solved"]
    clock.reserved_s = ENDING_SHARE * clock.total_s
    for name in dict.fromkeys([*choice.members, *solved]):
        watch = Watch(allowed_s=max(30.0, clock.left_s))
        try:
            members[name] = CANDIDATES[name].fit(samples, setting, setting.seed, watch).to("cpu")
        except OutOfTime:
            late.append(name)
    if not set(choice.members) - set(late):
        raise InputError("Expected time for the final model, found none left: give more minutes, or fewer candidates.")
    model = Mixture(ModelConfig(system=MIXTURE), setting.modalities, setting.criteria, members)
    places = [choice.members.index(name) if name in choice.members else None for name in members]

    def placed(weights_K: np.ndarray) -> list[float]:
        return [0.0 if place is None else float(weights_K[place]) for place in places]

    by_pattern = {streams: placed(weights_K) for streams, weights_K in choice.weights.by_pattern.items()}
    model.set_weights(placed(choice.weights.common), by_pattern)
    unit_NC = np.stack([[c.to_unit(s) for c, s in zip(setting.criteria, one.scores, strict=True)] for one in samples])
    model.set_mean(np.nanmean(unit_NC, axis=0))
    names = [modality.name for modality in setting.modalities]
    model.leave_unseen([name for name in names if not any(name in sample.streams for sample in samples)])
    model.remember_seed(setting.seed)
    model.eval()
    return model, late
