"""The scale of each score: as declared, or derived from the training scores."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from limssr.core.errors import unknown_name
from limssr.core.types import Criterion, Sample

FAR = 5.0
"""How many lengths of the middle half of the scores a score may lie outside it."""
FEWEST, MOST_NAMED = 8, 3


def find_criteria(
    names: Sequence[str],
    light: Sequence[Sample],
    scales: Mapping[str, tuple[float, float]],
    units: Mapping[str, str],
) -> tuple[list[Criterion], list[str]]:
    """The criteria, and the names of those whose scale comes from the training scores.

    Args:
        names: Of the criteria, in the order of the samples' scores.
        light: All samples; their streams are not looked at.
        scales: Criterion -> (lowest, highest possible score).
        units: Criterion -> what its score is counted in.

    Raises:
        InputError: A scale or a unit for a criterion that does not exist.
    """
    for given in (*scales, *units):
        if given not in names:
            raise unknown_name("criterion", given, names)
    criteria, derived = [], []
    for column, name in enumerate(names):
        unit = units.get(name, "points")
        if name in scales:
            low, high = scales[name]
            criteria.append(Criterion(name, float(low), float(high), unit))
            continue
        train = [float(sample.scores[column]) for sample in light if sample.split == "train"]
        judged = [score for score in train if math.isfinite(score)] or [0.0]
        low, high = min(0.0, *judged), max(judged)
        # All scores the same leaves no scale; the collection's check says so in its own words.
        criteria.append(Criterion(name, low, high if high > low else low + 1.0, unit))
        derived.append(name)
    return criteria, derived


def scale_notes(criteria: Sequence[Criterion], derived: Sequence[str], light: Sequence[Sample]) -> list[str]:
    """What a report says of scales that were derived, and of scores that look like no scores."""
    notes = _far_notes(criteria, light)
    for column, criterion in enumerate(criteria):
        if criterion.name not in derived:
            continue
        scores = np.array([sample.scores[column] for sample in light])
        outside = int(((scores < criterion.low) | (scores > criterion.high)).sum())
        beyond = f"; {outside} validation or test scores lie outside it" if outside else ""
        notes.append(
            f"criterion '{criterion.name}': no scale was declared, {criterion.low:g} to {criterion.high:g} was derived "
            f"from the training scores{beyond}"
        )
    return notes


def _far_notes(criteria: Sequence[Criterion], light: Sequence[Sample]) -> list[str]:
    """Scores far from all others: typing errors, and numbers such as 999 that stand for "not judged"."""
    notes = []
    for column, criterion in enumerate(criteria):
        scores = np.array([sample.scores[column] for sample in light], dtype=float)
        scores = scores[np.isfinite(scores)]
        if len(scores) < FEWEST:
            continue
        low, high = np.quantile(scores, [0.25, 0.75])
        reach = FAR * (high - low)
        far = np.sort(scores[(scores < low - reach) | (scores > high + reach)])
        if reach > 0 and len(far):
            told = ", ".join(f"{score:g}" for score in far[:MOST_NAMED]) + (", ..." if len(far) > MOST_NAMED else "")
            notes.append(
                f"criterion '{criterion.name}': {len(far)} scores lie far from the others ({told}; half of all are "
                f"between {low:g} and {high:g}), which spoils scale and training where they are typing errors or stand "
                "for 'not judged': correct them, or empty their cells"
            )
    return notes
