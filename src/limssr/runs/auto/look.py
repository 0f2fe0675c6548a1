"""What auto says before it begins: numbers of the data and of the plan, in six lines."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limssr.core.types import Criterion, Modality, Sample
from limssr.data.missing import chosen_subsets
from limssr.runs.auto.candidates import candidate_of
from limssr.runs.auto.folds import Folds

MOST_NAMED = 6
"""Streams that are named one by one."""


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

    @property
    def num_subsets(self) -> int:
        """Subsets of the streams that are scored in the end."""
        return len(chosen_subsets(tuple(modality.name for modality in self.modalities)))

    @property
    def num_test_rows(self) -> int:
        """Test samples times the subsets of their streams that are scored in the end."""
        asked = chosen_subsets(tuple(modality.name for modality in self.modalities))
        return sum(set(streams) <= set(sample.streams) for sample in self.test for streams in asked)


def seen_lines(data: Material, folds: Folds, minutes: float, names: Sequence[str], estimate_s: float) -> list[str]:
    """Six lines: samples, streams, lengths, patterns, criteria, and what will be done in which time."""
    samples = data.samples
    groups = {sample.group or sample.id for sample in samples}
    lengths = [sample.num_segments for sample in samples]
    patterns = Counter("+".join(sample.streams) for sample in samples)
    most = ", ".join(f"{name} {count}" for name, count in patterns.most_common(3))
    judged = {one.name: num_judged(samples, c) for c, one in enumerate(data.criteria)}
    fewest = min(judged, key=lambda name: judged[name])
    tested = (
        f"{len(data.test)} of the test split to be scored in the end"
        if data.test
        else "no test split: judged by folds alone"
    )
    cheap = [name for name in names if candidate_of(name).cost == "solved"]
    others = len(names) - len(cheap)
    rest = f", {others} networks as far as time reaches" if others else ""
    num_folds = len(np.unique(folds.fold_RR[0]))
    return [
        f"samples  {len(samples)} of {len(groups)} groups to learn from (training and validation), {tested}",
        f"streams  {_streams(data)}",
        f"lengths  {min(lengths)} to {max(lengths)} segments, median {np.median(lengths):.0f}",
        f"patterns {len(patterns)} of streams: {most}{' ...' if len(patterns) > 3 else ''}",
        f"scores   {len(judged)}, with at least {judged[fewest]} judged samples each ({fewest})",
        f"plan     {len(folds.fold_RR)} x {num_folds} folds of whole groups: {len(cheap)} solved "
        f"candidates in about {_duration(estimate_s)}{rest}; {minutes:g} minutes at most",
    ]


def _streams(data: Material) -> str:
    """Width and share of owners of each; of many the extremes."""
    shares = {one.name: _share(data.samples, one.name) for one in data.modalities}
    static = [one.name for one in data.modalities if is_static(data.samples, one.name)]
    still = f"; {', '.join(static)} never move{'s' if len(static) == 1 else ''}" if static else ""
    if len(data.modalities) <= MOST_NAMED:
        widths = ", ".join(f"{one.name} {one.dim} ({shares[one.name]:.0%})" for one in data.modalities)
        return f"{widths}: width (share of samples that own it){still}"
    widths = [one.dim for one in data.modalities]
    rare, common = min(shares, key=lambda name: shares[name]), max(shares, key=lambda name: shares[name])
    to = f" to {max(widths)}" if max(widths) > min(widths) else ""
    return (
        f"{len(widths)} of width {min(widths)}{to}; {rare} is owned by {shares[rare]:.0%} of the samples, "
        f"{common} by {shares[common]:.0%}{still}"
    )


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def is_static(samples: Sequence[Sample], name: str) -> bool:
    """Whether a stream is the same in all segments of every sample."""
    owned = [sample.streams[name] for sample in samples if name in sample.streams]
    return bool(owned) and all(
        len(valid) < 2 or float(np.ptp(valid, axis=0).max()) == 0.0
        for valid in (stream[~np.isnan(stream).any(axis=1)] for stream in owned)
    )


def _share(samples: Sequence[Sample], name: str) -> float:
    return float(np.mean([name in sample.streams for sample in samples]))


def num_judged(samples: Sequence[Sample], column: int) -> int:
    """Samples with a score of one criterion."""
    return sum(not np.isnan(sample.scores[column]) for sample in samples)
