"""Intervals and p values of what was drawn: the jackknife's (the default) or the bootstrap's percentiles.

Which of them covers the truth how often is measured by benchmarks/coverage.py and told in docs/protocols.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from limssr.evaluation.metrics import spearman_limit
from limssr.evaluation.resampling import MAX_BLOCKS, LeftOut, Plan, Resamples
from limssr.evaluation.significance import bootstrap_p_value

IntervalKind = Literal["jackknife", "percentile"]
Resampled = Literal["auto", "samples", "groups"]
Scale = Literal["plain", "fisher", "log"]
NUM_RESAMPLES = 2000
"""Of percentile intervals, for every verb."""
SEED = 0
"""Of their draws, for every verb."""


@dataclass(frozen=True)
class Uncertainty:
    """How intervals are made, the same for everything that is compared.

    Attributes:
        num_samples: N performances of the split.
        kind: "jackknife": each unit is left out once, the estimate is taken to a scale on which it is nearly normal,
            and Student's t with as many degrees of freedom as there are units, less one, gives the reach. "percentile":
            quantiles over bootstrap resamples.
        groups: Number of each sample's group where whole groups are the units; None: every sample is one.
        num_resamples: Of the bootstrap; 0: no intervals, of neither kind.
        seed: Of the bootstrap.
    """

    num_samples: int
    kind: IntervalKind = "jackknife"
    groups: tuple[int, ...] | None = None
    num_resamples: int = NUM_RESAMPLES
    seed: int = SEED

    @property
    def plan(self) -> Plan:
        """What is drawn."""
        if self.kind == "percentile" or not self.num_resamples:
            return Resamples(self.num_samples, self.num_resamples, self.seed, self.groups)
        return LeftOut(self.num_samples, self.groups)

    @property
    def words(self) -> str:
        """How, as in "the 95 % interval by leaving out each performance in turn"."""
        what = "performance" if self.groups is None else "group of performances"
        if not self.num_resamples:
            return "(none was asked for)"
        if self.kind == "percentile":
            return f"from {self.num_resamples} resamples of the {what}s"
        num_units = self.num_samples if self.groups is None else len(set(self.groups))
        some = f"{MAX_BLOCKS} blocks of {what}s" if num_units > MAX_BLOCKS else f"each {what}"
        return f"by leaving out {some} in turn"

    def num_units(self, members_N: np.ndarray) -> int:
        """How many units hold one of some samples."""
        return LeftOut(self.num_samples, self.groups).num_blocks(members_N)

    def interval(
        self,
        value: float,
        drawn_R: np.ndarray,
        *,
        num_units: int,
        confidence: float = 0.95,
        scale: Scale = "plain",
    ) -> tuple[float, float]:
        """Low and high; (NaN, NaN) where there is none.

        Args:
            value: The estimate.
            drawn_R: The estimate on every draw of `plan`.
            num_units: Units that hold a sample behind the estimate, see `num_units`.
            confidence: 0.95 in general.
            scale: "fisher" for a correlation, "log" for an error, "plain" for a difference.
        """
        if self.kind == "percentile" or not self.num_resamples:
            return percentile_interval(drawn_R, confidence)
        centre, spread = _spread(value, drawn_R, num_units, scale)
        reach = float(stats.t.ppf(0.5 + confidence / 2, num_units - 1)) * spread if num_units > 1 else math.nan
        low, high = centre - reach, centre + reach
        back = {"fisher": math.tanh, "log": math.exp, "plain": float}[scale]
        return back(low), back(high)

    def p_value(self, value: float, drawn_R: np.ndarray, *, num_units: int) -> float:
        """Two-sided p value of a difference; NaN where there is none.

        The jackknife's is that of Student's t, so it is below 0.05 exactly where the 95 % interval leaves zero out. The
        bootstrap's is twice the smaller share of resamples on one side of zero.
        """
        if self.kind == "percentile" or not self.num_resamples:
            return bootstrap_p_value(drawn_R)
        centre, spread = _spread(value, drawn_R, num_units, "plain")
        if math.isnan(spread) or num_units < 2:
            return math.nan
        if spread == 0.0:
            return 1.0 if centre == 0.0 else 0.0
        return float(2.0 * stats.t.sf(abs(centre) / spread, num_units - 1))


def percentile_interval(values_R: np.ndarray, confidence: float) -> tuple[float, float]:
    """Percentile interval of bootstrap values, NaN left out; (NaN, NaN) where nothing is left."""
    defined = values_R[~np.isnan(values_R)]
    if len(defined) == 0:
        return math.nan, math.nan
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(defined, [tail, 1.0 - tail])
    return float(low), float(high)


def units_of(groups: Sequence[str | None], ids: Sequence[str]) -> tuple[int, ...]:
    """Number of each sample's group; a sample without a group is one by itself.

    Example:
        >>> units_of(["b", None, "b"], ["1", "2", "3"])
        (0, 1, 0)
    """
    numbers: dict[tuple[str, str], int] = {}
    named = [("group", group) if group else ("sample", one) for group, one in zip(groups, ids, strict=True)]
    return tuple(numbers.setdefault(name, len(numbers)) for name in named)


def _spread(value: float, drawn_R: np.ndarray, num_units: int, scale: Scale) -> tuple[float, float]:
    """The estimate on its scale, and the jackknife's standard error of it.

    Deviations are taken from the estimate, not from their mean: a draw that leaves out nothing of it adds nothing.
    """
    if scale == "fisher":
        limit = spearman_limit(np.inf)
        value = float(np.arctanh(np.clip(value, -limit, limit)))
        drawn_R = np.arctanh(np.clip(drawn_R, -limit, limit))
    if scale == "log":
        if not value > 0.0 or not (drawn_R > 0.0).all():
            return value, math.nan
        value, drawn_R = math.log(value), np.log(drawn_R)
    if num_units < 2 or not len(drawn_R):
        return value, math.nan
    return value, math.sqrt((num_units - 1) / num_units * float(((drawn_R - value) ** 2).sum()))
