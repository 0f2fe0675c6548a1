"""What auto warns of: what would have made a person distrust the result, had it been said."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from limssr.core.quoting import listed
from limssr.core.types import Sample
from limssr.runs.auto.candidates import candidate_of
from limssr.runs.auto.choice import Choice, paired
from limssr.runs.auto.folds import Judged
from limssr.runs.auto.judge import Shown, interval, judge
from limssr.runs.auto.look import Material, num_judged

FEW_GROUPS = 10
FEW_JUDGED = 30
STILL_FALLING = 0.03
LENGTH_NEAR = 0.05
PARAMETERS_A_SAMPLE = 1000
TELLING, LOOKED_AT = 8, 4096
"""Different values that a stream needs before being the same is a sign, and how many are looked at."""


def warnings_of(data: Material, shown: Shown, judged: Sequence[Judged], choice: Choice, *, seed: int) -> list[str]:
    """What a person should know of the data and of the folds."""
    return [
        *_of_data(data, shown),
        *_of_length(shown, choice, seed=seed),
        *_of_errors(choice),
        *(line for one in judged for line in _of_training(one)),
        *_of_size(shown, judged, choice),
        *_simple_ahead(choice),
    ]


def _of_errors(choice: Choice) -> list[str]:
    able = {name: score for name, score in choice.scores.items() if name != "constant"}
    constant = choice.scores["constant"].error if "constant" in choice.scores else 1.0
    worse = {name: score.error / constant for name, score in able.items() if score.error > constant}
    if not worse:
        return []
    if len(worse) == len(able):
        return ["no candidate is better than a constant on held-out groups: nothing was found that can be learnt here"]
    named = ", ".join(f"{name} ({error:.2f} times its squared error)" for name, error in worse.items())
    return [f"worse than a constant on held-out groups: {named}"]


def _of_training(one: Judged) -> list[str]:
    found = [f"{one.name}: {text}" for text in dict.fromkeys(one.warnings)]
    falling = [_still_falls(history) for history in one.histories]
    if falling and np.mean(falling) > 0.5:
        found.append(f"{one.name} had not converged: its training loss still fell in the last epochs")
    return found


def _of_size(shown: Shown, judged: Sequence[Judged], choice: Choice) -> list[str]:
    """Trained members of the choice with many more numbers to learn than there are samples."""
    num = len(shown.samples)
    return [
        f"{one.name} has {one.num_parameters:,} trained parameters for {num} samples, {one.num_parameters / num:,.0f} "
        "times as many: what it adds may not hold for new groups"
        for one in judged
        if one.name in choice.members and one.num_parameters > PARAMETERS_A_SAMPLE * num
    ]


def _simple_ahead(choice: Choice) -> list[str]:
    found, best = [], choice.best
    if candidate_of(best).has_language_model:
        return []
    for name, score in choice.scores.items():
        if candidate_of(name).has_language_model:
            apart = paired(choice.scores[best], score)
            if apart["ci"] and apart["ci"][0] > 0:
                low, high = apart["ci"]
                found.append(f"{best} by itself is ahead of {name} by {apart['spearman']:.3f} [{low:.3f}, {high:.3f}]")
    return found


def _of_data(data: Material, shown: Shown) -> list[str]:
    found = []
    num_groups = len(set(shown.groups))
    if num_groups < FEW_GROUPS:
        found.append(f"{num_groups} groups are too few to judge models by: intervals and choice are rough")
    few: dict[int, list[str]] = {}
    for column, criterion in enumerate(data.criteria):
        count = num_judged(shown.samples, column)
        if count < FEW_JUDGED:
            few.setdefault(count, []).append(criterion.name)
    for count, names in few.items():
        verb = "has" if len(names) == 1 else "have"
        found.append(f"{listed(names, empty='no criterion')} {verb} only {count} judged samples")
    for modality in data.modalities:
        if not any(modality.name in sample.streams for sample in shown.samples):
            found.append(
                f"nobody owns {modality.name} in training: nothing can be learnt of it, and scoring leaves it out"
            )
    found += _leaks(shown.samples, data.test)
    return found


def _leaks(samples: Sequence[Sample], test: Sequence[Sample]) -> list[str]:
    """Test samples that are in training as well: all that one shares with a training sample is the same."""
    owners: dict[bytes, set[int]] = {}
    prints = [_prints_of(sample) for sample in samples]
    for n, own in enumerate(prints):
        for one in own.values():
            owners.setdefault(one, set()).add(n)
    twice = 0
    for sample in test:
        own = _prints_of(sample)
        alike = {n for one in own.values() for n in owners.get(one, ())}
        twice += any(all(prints[n][name] == own[name] for name in own.keys() & prints[n].keys()) for n in alike)
    return (
        [f"the split leaks: {twice} test samples are also in training or validation, value by value"] if twice else []
    )


def _prints_of(sample: Sample) -> dict[str, bytes]:
    """Stream -> a hash of its values; streams of a few different values can be the same by chance."""
    return {
        name: hashlib.sha256(stream.tobytes()).digest()
        for name, stream in sample.streams.items()
        if len(np.unique(stream[~np.isnan(stream)][:LOOKED_AT])) >= TELLING
    }


def _of_length(shown: Shown, choice: Choice, *, seed: int) -> list[str]:
    """Warn where the length alone is nearly as good."""
    lengths_R = np.log([shown.samples[n].num_segments for n in shown.sample_R])
    if np.ptp(lengths_R) == 0:
        return []
    signs_C = [np.sign(_slope(lengths_R, shown.truth_RC[:, column])) for column in range(shown.truth_RC.shape[1])]
    alone = judge(shown, np.outer(lengths_R, signs_C), seed=seed)
    surely = interval(alone.draws_D)
    if surely is None or surely[0] <= 0 or alone.value < choice.final_score.value - LENGTH_NEAR:
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
