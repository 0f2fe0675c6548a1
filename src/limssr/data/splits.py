"""A validation split of whole groups, the same ones for ever: a share of the training samples, or a fold of several."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

from limssr.core.errors import InputError
from limssr.core.rng import uniform
from limssr.core.types import Sample


def held_out_groups(labels: Sequence[str], fraction: float, *, seed: int) -> set[str]:
    """Whole groups, in an order drawn from the seed, until they hold the share of the samples; one group always stays.

    A group's place in the order is a function of the seed and its label, so samples and groups may come in any order.

    Args:
        labels: [N].
        fraction: Of the samples.
        seed: Another seed, other groups.
    """
    sizes = Counter(labels)
    order = sorted(sizes, key=lambda label: uniform("validation", seed, label))
    wanted, held, count = round(fraction * len(labels)), set(), 0
    for label in order[:-1]:
        if count >= wanted:
            break
        held.add(label)
        count += sizes[label]
    return held


def hold_out(train_samples: Sequence[Sample], *, share: float, seed: int) -> list[Sample]:
    """The training samples, some of them moved to the split "val".

    Args:
        train_samples: N samples. Those of a group move together; a sample without one is a group of its own.
        share: Of the samples, above 0 and below 1. At least one group moves and at least one stays.
        seed: Another seed, other groups.

    Raises:
        InputError: Fewer than two groups.
    """
    labels = _labels(train_samples)
    if len(set(labels)) < 2:
        raise InputError(
            f"data.validation holds out whole groups of the training samples and needs at least two, found "
            f"{len(set(labels))}: use data.validation=null with train.selection=last."
        )
    held = held_out_groups(labels, max(share, 1 / len(labels)), seed=seed)
    return [
        dataclasses.replace(sample, split="val") if label in held else sample
        for sample, label in zip(train_samples, labels, strict=True)
    ]


def folds_of(labels: Sequence[str], num_folds: int, *, seed: int) -> dict[str, int]:
    """Group -> its fold, from 0: the largest group first, each into the fold with the fewest samples so far.

    Groups of one size, which come in an order drawn from the seed, and folds of one size, of which the first is taken,
    leave nothing to the order of the samples.

    Args:
        labels: [N], the group of each sample.
        num_folds: At most as many as there are groups.
        seed: Another seed, other folds.
    """
    counts = Counter(labels)
    filled, fold_of = [0] * num_folds, {}
    for label in sorted(counts, key=lambda label: (-counts[label], uniform("folds", seed, label))):
        fold_of[label] = min(range(num_folds), key=lambda fold: filled[fold])
        filled[fold_of[label]] += counts[label]
    return fold_of


def cross_validate(samples: Sequence[Sample], *, num_folds: int, fold: int, seed: int) -> list[Sample]:
    """The samples of training and validation divided anew: those of one fold to "val", all others to "train".

    Args:
        samples: N samples. Those of a group stay together; a sample without one is a group of its own.
        num_folds: At least 2.
        fold: The one that validates, from 0.
        seed: Another seed, other folds.

    Raises:
        InputError: Fewer groups than folds.
    """
    labels = _labels(samples)
    if len(set(labels)) < num_folds:
        raise InputError(
            f"data.validation divides whole groups into folds: expected at least {num_folds} groups in training and "
            f"validation, found {len(set(labels))}: ask for fewer folds."
        )
    fold_of = folds_of(labels, num_folds, seed=seed)
    return [
        dataclasses.replace(sample, split="val" if fold_of[label] == fold else "train")
        for sample, label in zip(samples, labels, strict=True)
    ]


def _labels(samples: Sequence[Sample]) -> list[str]:
    return [f"group {sample.group}" if sample.group else f"sample {sample.id}" for sample in samples]
