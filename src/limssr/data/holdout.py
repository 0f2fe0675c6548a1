"""A validation split out of the training samples: whole groups, the same ones for ever."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

from limssr.data.draws import uniform
from limssr.errors import InputError
from limssr.types import Sample


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
    labels = [f"group {sample.group}" if sample.group else f"sample {sample.id}" for sample in train_samples]
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
