"""A validation split of whole groups, always the same ones: a share of the training samples, or a fold of several."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from limssr.core.errors import InputError
from limssr.core.rng import uniform
from limssr.core.types import SPLITS, Sample, Split
from limssr.data.groups import group_name

# A group that holds more than this share of all samples is placed before the others, where it still fits.
LARGE_GROUP = 0.05
# For data without splits, where nobody says how to divide it.
DEFAULT_SHARES = "70/15/15"


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
    labels = labels_of(train_samples)
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
    where = ("data.validation", " in training and validation")
    return _with_fold(samples, "val", num_folds=num_folds, fold=fold, seed=seed, where=where)


def hold_out_fold(samples: Sequence[Sample], *, num_folds: int, fold: int, seed: int) -> list[Sample]:
    """All samples divided anew: those of one fold to "test", all others to "train".

    Args:
        samples: N samples of any split. Those of a group stay together; a sample without one is a group of its own.
        num_folds: At least 2.
        fold: The one that is tested, from 0.
        seed: Another seed, other folds.

    Raises:
        InputError: Fewer groups than folds.
    """
    return _with_fold(samples, "test", num_folds=num_folds, fold=fold, seed=seed, where=("data.test", ""))


def _with_fold(
    samples: Sequence[Sample], split: Split, *, num_folds: int, fold: int, seed: int, where: tuple[str, str]
) -> list[Sample]:
    """One fold to `split`, all others to "train"; `where` are the key of the recipe and which samples it divides."""
    labels = labels_of(samples)
    if (found := len(set(labels))) < num_folds:
        raise InputError(
            f"{where[0]} divides whole groups into folds: expected at least {num_folds} groups{where[1]}, found "
            f"{found}: ask for fewer folds."
        )
    fold_of = folds_of(labels, num_folds, seed=seed)
    return [
        dataclasses.replace(sample, split=split if fold_of[label] == fold else "train")
        for sample, label in zip(samples, labels, strict=True)
    ]


def divide(labels: Sequence[str], shares: Mapping[Split, float], *, seed: int) -> dict[str, Split]:
    """Group -> its split, so that the splits hold the shares of the samples as nearly as whole groups allow.

    Groups come in an order drawn from the seed, those with more than one sample in twenty before the others, and each
    goes to the split that lacks most of its share. So neither the order of samples nor that of groups matters.

    Args:
        labels: [N], the group of each sample.
        shares: Split -> its share; they sum to 1. A split that has none gets no group.
        seed: Another seed, another division.

    Raises:
        InputError: Fewer groups than splits with a share.
    """
    wanted: list[Split] = [split for split in SPLITS if shares.get(split, 0.0) > 0]
    counts = Counter(labels)
    if len(counts) < len(wanted):
        raise InputError(
            f"Expected at least {len(wanted)} groups to divide among {', '.join(wanted)}, found {len(counts)}: a group "
            "is never divided; give fewer shares, or finer groups."
        )
    filled: Counter[Split] = Counter()
    found: dict[str, Split] = {}
    order = sorted(counts, key=lambda label: uniform("split", seed, label))
    order.sort(key=lambda label: -counts[label] if counts[label] > LARGE_GROUP * len(labels) else 0)
    for number, label in enumerate(order):
        # The last groups are kept for splits that have none yet.
        empty: list[Split] = [split for split in wanted if not filled[split]]
        candidates: list[Split] = empty if len(order) - number <= len(empty) else wanted
        lacking = [shares[split] * len(labels) - filled[split] for split in candidates]
        split = candidates[lacking.index(max(lacking))]
        found[label] = split
        filled[split] += counts[label]
    return found


def parse_shares(text: str) -> dict[Split, float]:
    """Text such as 70/15/15 (train, val, test) or 80/20 (train, test) -> shares that sum to 1.

    Raises:
        InputError: Another form, or numbers that do not sum to 100 or to 1.
    """
    parts = text.split("/")
    names: Sequence[Split] = SPLITS if len(parts) == 3 else ("train", "test")
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = []
    total = sum(values)
    fits = any(abs(total - whole) < 1e-6 * whole for whole in (1.0, 100.0))
    if len(values) not in (2, 3) or not fits or min(values, default=-1.0) < 0 or not values[0] or not values[-1]:
        raise InputError(
            f"Expected shares of train, val and test such as 70/15/15, or of train and test such as 80/20, in percent, "
            f"found {text!r}: let them sum to 100, and give training and test something."
        )
    return {name: value / total for name, value in zip(names, values, strict=True)}


def split_samples(samples: Sequence[Sample], shares: Mapping[Split, float], *, seed: int) -> list[Sample]:
    """The samples with new splits, whole groups together; a sample without a group is a group of its own.

    Raises:
        InputError: Fewer groups than splits with a share.
    """
    labels = labels_of(samples)
    split_of = divide(labels, shares, seed=seed)
    return [dataclasses.replace(sample, split=split_of[label]) for sample, label in zip(samples, labels, strict=True)]


def split_words(samples: Sequence[Sample], shares: Mapping[Split, float], seed: int) -> str:
    """What a report says of a division that was made."""
    counts = Counter(sample.split for sample in samples)
    told = ", ".join(f"{split} {counts[split]}" for split in SPLITS)
    asked = "/".join(f"{100 * shares.get(split, 0.0):g}" for split in SPLITS)
    named = len({group_name(sample.group) for sample in samples} - {""})
    by = f"by {named} whole groups" if named else "sample by sample, for there are no groups"
    return f"splits: divided {asked} {by}, seed {seed}: {told}"


def divided(
    samples: Sequence[Sample], table: Path, *, has_split: bool, split: str | None, seed: int
) -> tuple[list[Sample], list[str]]:
    """The samples of a table with a split, and what is said of it where the table has none.

    Args:
        samples: N samples.
        table: The file they are from.
        has_split: Whether it has a column `split`.
        split: Shares such as "70/15/15" for a table without one; None: `DEFAULT_SHARES`.
        seed: Another seed, another division.

    Raises:
        InputError: Shares beside a column with splits, or what is wrong with the shares.
    """
    if has_split and any(sample.split for sample in samples):
        if split is not None:
            raise InputError(
                f"{table}: expected no column 'split' beside --split {split}, found one: leave the option out, or "
                "the column."
            )
        return list(samples), []
    shares = parse_shares(split or DEFAULT_SHARES)
    found = split_samples(samples, shares, seed=seed)
    why = "" if split else "; the manifest has no column 'split', so these are the defaults of --split and --seed"
    return found, [split_words(found, shares, seed) + why]


def labels_of(samples: Sequence[Sample]) -> list[str]:
    """[N] names of groups; a sample without one is a group of its own."""
    return [label_of(sample.group, sample.id) for sample in samples]


def label_of(group: object, sample_id: str) -> str:
    """The group of one sample, as `divide`, `hold_out` and `cross_validate` tell groups apart."""
    name = group_name(group)
    return f"group {name}" if name else f"sample {sample_id}"
