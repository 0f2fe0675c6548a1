"""What auto says before it begins, and what it warns of: numbers of the data and of the folds in plain words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from limssr.core.types import Criterion, Modality, Sample
from limssr.runs.auto.candidates import CANDIDATES
from limssr.runs.auto.choice import Choice, paired
from limssr.runs.auto.folds import Folds, Judged
from limssr.runs.auto.judge import Shown, judge

FEW_GROUPS = 10
FEW_JUDGED = 30
STILL_FALLING = 0.03
LENGTH_NEAR = 0.05


@dataclass(frozen=True, kw_only=True)
class Material:
    """What is searched on.

    Attributes:
        modalities: The M streams, in order.
        criteria: The C criteria.
        samples: Labelled ones, of training and validation.
        test: Only counted, and looked up among the others; never scored here.
    """

    modalities: tuple[Modality, ...]
    criteria: tuple[Criterion, ...]
    samples: list[Sample]
    test: list[Sample]

    @property
    def seen(self) -> list[str]:
        """Streams that somebody owns; the others are not read, so subsets with them are no questions."""
        names = [modality.name for modality in self.modalities]
        return [name for name in names if any(name in sample.streams for sample in self.samples)]


def seen_lines(data: Material, folds: Folds, minutes: float, names: Sequence[str]) -> list[str]:
    """Six lines: samples, streams, lengths, patterns, criteria, and what will be done."""
    samples = data.samples
    groups = {sample.group or sample.id for sample in samples}
    lengths = [sample.num_segments for sample in samples]
    widths = ", ".join(f"{one.name} {one.dim} ({_share(samples, one.name):.0%})" for one in data.modalities)
    patterns = Counter("+".join(sample.streams) for sample in samples)
    most = ", ".join(f"{name} {count}" for name, count in patterns.most_common(3))
    static = [one.name for one in data.modalities if is_static(samples, one.name)]
    still = f"; {', '.join(static)} never move" if static else ""
    judged = {one.name: _num_judged(samples, c) for c, one in enumerate(data.criteria)}
    fewest = min(judged, key=lambda name: judged[name])
    cheap = sum(CANDIDATES[name].cost == "solved" for name in names)
    return [
        f"samples  {len(samples)} of {len(groups)} groups to learn from (training and validation), "
        f"{len(data.test)} of the test split to be scored in the end",
        f"streams  {widths}: width (share of samples that own it){still}",
        f"lengths  {min(lengths)} to {max(lengths)} segments, median {np.median(lengths):.0f}",
        f"patterns {len(patterns)} sets of streams: {most}{' ...' if len(patterns) > 3 else ''}",
        f"scores   {len(judged)} criteria, at least {judged[fewest]} judged samples each ({fewest})",
        f"plan     {len(names)} candidates ({cheap} solved in seconds), {len(folds.fold_RR)} x "
        f"{len(np.unique(folds.fold_RR[0]))} folds of whole groups, at most {minutes:g} minutes",
    ]


def is_static(samples: Sequence[Sample], name: str) -> bool:
    """Whether a stream is the same in all segments of every sample."""
    owned = [sample.streams[name] for sample in samples if name in sample.streams]
    return bool(owned) and all(
        len(valid) < 2 or float(np.ptp(valid, axis=0).max()) == 0.0
        for valid in (stream[~np.isnan(stream).any(axis=1)] for stream in owned)
    )


def warnings_of(data: Material, shown: Shown, judged: Sequence[Judged], choice: Choice, *, seed: int) -> list[str]:
    """What a person should know of the data and of the folds."""
    found = [*_of_data(data, shown), *_of_length(shown, choice, seed=seed)]
    truth_RC, spread_C = shown.truth_RC, np.nanvar(shown.truth_RC, axis=0)
    for one in judged:
        found += [f"{one.name}: {text}" for text in dict.fromkeys(one.warnings)]
        error = np.nanmean(np.nanmean(np.square(one.predicted[0] - truth_RC), axis=0) / np.maximum(spread_C, 1e-12))
        if one.name != "constant" and error > 1.0:
            found.append(f"{one.name} is worse than a constant on held-out groups: {error:.2f} times its squared error")
        falling = [_still_falls(history) for history in one.histories]
        if falling and np.mean(falling) > 0.5:
            found.append(f"{one.name} had not converged: its training loss still fell in the last epochs")
    best = choice.best
    for name in choice.scores:
        if CANDIDATES[name].has_language_model and not CANDIDATES[best].has_language_model:
            apart = paired(choice.scores[best], choice.scores[name])
            if apart["ci"] and apart["ci"][0] > 0:
                low, high = apart["ci"]
                found.append(f"{best} by itself is ahead of {name} by {apart['spearman']:.3f} [{low:.3f}, {high:.3f}]")
    return found


def _of_data(data: Material, shown: Shown) -> list[str]:
    found = []
    num_groups = len(set(shown.groups))
    if num_groups < FEW_GROUPS:
        found.append(f"{num_groups} groups are too few to judge models by: intervals and choice are rough")
    for column, criterion in enumerate(data.criteria):
        count = _num_judged(shown.samples, column)
        if count < FEW_JUDGED:
            found.append(f"{criterion.name} has only {count} judged samples")
    for modality in data.modalities:
        if not any(modality.name in sample.streams for sample in shown.samples):
            found.append(
                f"nobody owns {modality.name} in training: nothing can be learnt of it, and scoring leaves it out"
            )
    found += _leaks(shown.samples, data.test)
    return found


def _leaks(samples: Sequence[Sample], test: Sequence[Sample]) -> list[str]:
    """The same bytes on two sides of the split."""
    own = {_print_of(sample) for sample in samples}
    twice = sum(_print_of(sample) in own for sample in test)
    return [f"the split leaks: {twice} test samples have a stream that is the same as one of training"] if twice else []


def _print_of(sample: Sample) -> int:
    return hash(max((stream.tobytes() for stream in sample.streams.values()), key=len))


def _of_length(shown: Shown, choice: Choice, *, seed: int) -> list[str]:
    """Warn where the length alone is nearly as good."""
    lengths_R = np.log([shown.samples[n].num_segments for n in shown.sample_R])
    if np.ptp(lengths_R) == 0:
        return []
    signs_C = [np.sign(_slope(lengths_R, shown.truth_RC[:, column])) for column in range(shown.truth_RC.shape[1])]
    alone = judge(shown, np.outer(lengths_R, signs_C), seed=seed)
    if np.isnan(alone.value) or alone.value < choice.final_score.value - LENGTH_NEAR:
        return []
    return [
        f"the length alone predicts nearly as well: {alone.value:.3f} beside {choice.final_score.value:.3f}; what is "
        "learnt may be the length"
    ]


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    known = ~np.isnan(y)
    return float(np.cov(x[known], y[known])[0, 1]) if known.sum() > 1 else 0.0


def _still_falls(history: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the last tenth of the epochs took more than three hundredths off the training loss."""
    losses = [record["train_task"] for record in history]
    part = max(1, len(losses) // 10)
    if len(losses) < 3 * part:
        return False
    before, last = np.mean(losses[-2 * part : -part]), np.mean(losses[-part:])
    return bool(before - last > STILL_FALLING * before)


def _share(samples: Sequence[Sample], name: str) -> float:
    return float(np.mean([name in sample.streams for sample in samples]))


def _num_judged(samples: Sequence[Sample], column: int) -> int:
    return sum(not np.isnan(sample.scores[column]) for sample in samples)
