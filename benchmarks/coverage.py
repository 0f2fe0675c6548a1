"""How often an interval holds the true value, by simulation: what docs/protocols.md quotes.

python benchmarks/coverage.py --trials 1000      # about 15 minutes on one core
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from limssr.evaluation.metrics import spearman_limit
from limssr.evaluation.resampling import Plan, Resamples, draw, fisher_mean_rows
from limssr.evaluation.uncertainty import Uncertainty, percentile_interval

NUM_RESAMPLES = 500
LEVELS = (0.025, 0.975)


@dataclass(frozen=True, kw_only=True)
class World:
    """What is drawn: performances, in groups that are alike, judged by criteria and predicted by two systems.

    Attributes:
        name: For the table.
        num_groups: Groups.
        per_group: Performances of each.
        rho: Linear correlation of the first system's predictions; that of the second is lower by 0.1.
        num_criteria: Criteria.
        alike: Share of the variance, of scores and of errors, that belongs to the group.
    """

    name: str
    num_groups: int
    per_group: int
    rho: float
    num_criteria: int = 1
    alike: float = 0.0

    @property
    def groups_N(self) -> np.ndarray:
        """Number of each performance's group."""
        return np.repeat(np.arange(self.num_groups), self.per_group)

    @property
    def uncertainty(self) -> Uncertainty:
        """The default of every verb."""
        groups = None if self.per_group == 1 else tuple(int(group) for group in self.groups_N)
        return Uncertainty(len(self.groups_N), groups=groups)

    def drawn(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Scores [N, C] and predictions [2, N, C]; the two systems share half of the variance of their errors."""
        truth_NC, error_NC, other_NC, both_NC = (self._noise(rng) for _ in range(4))
        predicted = [
            rho * truth_NC + math.sqrt(1 - rho**2) * (math.sqrt(0.5) * own_NC + math.sqrt(0.5) * both_NC)
            for rho, own_NC in ((self.rho, error_NC), (self.rho - 0.1, other_NC))
        ]
        return truth_NC, np.stack(predicted)

    def _noise(self, rng: np.random.Generator) -> np.ndarray:
        size = (len(self.groups_N), self.num_criteria)
        of_group = rng.normal(size=(self.num_groups, self.num_criteria))[self.groups_N]
        return math.sqrt(1 - self.alike) * rng.normal(size=size) + math.sqrt(self.alike) * of_group


WORLDS = (
    World(name="12 performances", num_groups=12, per_group=1, rho=0.8),
    World(name="30 performances", num_groups=30, per_group=1, rho=0.8),
    World(name="30 performances", num_groups=30, per_group=1, rho=0.95),
    World(name="64 performances", num_groups=64, per_group=1, rho=0.5),
    World(name="64 performances", num_groups=64, per_group=1, rho=0.95),
    World(name="64 performances, 4 criteria", num_groups=64, per_group=1, rho=0.8, num_criteria=4),
    World(name="270 performances", num_groups=270, per_group=1, rho=0.95),
    World(name="30 groups of 9", num_groups=30, per_group=9, rho=0.8, num_criteria=3, alike=0.4),
    World(name="12 groups of 22", num_groups=12, per_group=22, rho=0.8, num_criteria=3, alike=0.1),
    World(name="12 groups of 22", num_groups=12, per_group=22, rho=0.8, num_criteria=3, alike=0.4),
    World(name="6 groups of 10", num_groups=6, per_group=10, rho=0.8, num_criteria=3, alike=0.4),
)


@dataclass
class Tally:
    """Of one kind of interval: how often it held the truth, lay below it, and how wide it was."""

    held: list[bool] = field(default_factory=list)
    below: list[bool] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)

    def add(self, interval: tuple[float, float], truth: float) -> None:
        """Count one."""
        low, high = interval
        self.held.append(low <= truth <= high)
        self.below.append(high < truth)
        self.widths.append(high - low)

    def __str__(self) -> str:
        missed = 1 - float(np.mean(self.held))
        share = float(np.mean(self.below)) / missed if missed else math.nan
        return f"{np.mean(self.held):.3f} ({share:.0%} of misses below; width {np.mean(self.widths):.3f})"


def spearmans(truth_NC: np.ndarray, predicted_ENC: np.ndarray, plan: Plan) -> np.ndarray:
    """[E, R] Fisher's mean over criteria on every draw."""
    each, limits = [], []
    for c in range(truth_NC.shape[1]):
        found = draw(truth_NC[:, c], predicted_ENC[:, :, c], plan, metrics=("spearman",))
        each.append(found.spearman_ER)
        limits.append(spearman_limit(found.number_R))
    limit_RC = np.stack(limits, axis=1)
    return np.stack([fisher_mean_rows(rho_RC, limit_RC) for rho_RC in np.stack(each, axis=2)])


def bca(value: float, boot_R: np.ndarray, left_R: np.ndarray) -> tuple[float, float]:
    """Efron's bias-corrected and accelerated percentiles; the acceleration comes from leave-one-out values."""
    share = float(np.clip(((boot_R < value).mean() + (boot_R <= value).mean()) / 2, 1e-3, 1 - 1e-3))
    bias, away_R = float(stats.norm.ppf(share)), left_R.mean() - left_R
    speed = float((away_R**3).sum() / (6 * (away_R**2).sum() ** 1.5 + 1e-300))
    ends = [bias + float(stats.norm.ppf(level)) for level in LEVELS]
    low, high = (np.quantile(boot_R, stats.norm.cdf(bias + end / (1 - speed * end))) for end in ends)
    return float(low), float(high)


def basic(value: float, boot_R: np.ndarray, scale: Callable, back: Callable) -> tuple[float, float]:
    """The bootstrap's percentiles, mirrored at the estimate."""
    high, low = np.quantile(scale(boot_R), LEVELS)
    return float(back(2 * scale(value) - low)), float(back(2 * scale(value) - high))


def measure(world: World, num_trials: int) -> tuple[dict[str, Tally], dict[str, Tally], dict[str, Tally]]:
    """Intervals of the first system's Spearman, of its difference to the second, and of its MSE."""
    rng, how = np.random.default_rng(0), world.uncertainty
    units = world.num_groups
    single, paired, errors = ({} for _ in range(3))
    rhos = [6 / math.pi * math.asin(rho / 2) for rho in (world.rho, world.rho - 0.1)]
    mse = (1 - world.rho) ** 2 + 1 - world.rho**2
    for trial in range(num_trials):
        truth_NC, predicted_ENC = world.drawn(rng)
        whole = Resamples(len(truth_NC), NUM_RESAMPLES, trial, how.groups)
        ones = spearmans(truth_NC, predicted_ENC, _Once(len(truth_NC)))[:, 0]
        boot_ER, left_ER = (spearmans(truth_NC, predicted_ENC, plan) for plan in (whole, how.plan))
        value = float(ones[0])
        found = {
            "percentile": percentile_interval(boot_ER[0], 0.95),
            "basic": basic(value, boot_ER[0], np.arctanh, np.tanh),
            "BCa": bca(value, boot_ER[0], left_ER[0]),
            "jackknife": how.interval(value, left_ER[0], num_units=units, scale="fisher"),
        }
        for name, interval in found.items():
            single.setdefault(name, Tally()).add(interval, rhos[0])
        value, boot_R, left_R = float(ones[0] - ones[1]), boot_ER[0] - boot_ER[1], left_ER[0] - left_ER[1]
        found = {
            "percentile": percentile_interval(boot_R, 0.95),
            "basic": basic(value, boot_R, np.asarray, np.asarray),
            "BCa": bca(value, boot_R, left_R),
            "jackknife": how.interval(value, left_R, num_units=units),
        }
        for name, interval in found.items():
            paired.setdefault(name, Tally()).add(interval, rhos[0] - rhos[1])
        args = (truth_NC[:, 0], predicted_ENC[:1, :, 0])
        value = float(((args[0] - args[1]) ** 2).mean())
        boot_R, left_R = (draw(*args, plan, metrics=("mse",)).mse_ER[0] for plan in (whole, how.plan))
        found = {
            "percentile": percentile_interval(boot_R, 0.95),
            "jackknife, plain": how.interval(value, left_R, num_units=units),
            "jackknife, log": how.interval(value, left_R, num_units=units, scale="log"),
        }
        for name, interval in found.items():
            errors.setdefault(name, Tally()).add(interval, mse)
    return single, paired, errors


class _Once:
    """Every sample once: the estimate itself."""

    def __init__(self, num_samples: int) -> None:
        self.num_samples = num_samples

    def counts(self) -> Iterator[np.ndarray]:
        """One row of ones."""
        yield np.ones((1, self.num_samples))


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line an interval."""
    parser = argparse.ArgumentParser(description="Coverage of intervals over repeated draws; a line an interval.")
    parser.add_argument("--trials", type=int, default=1000)
    asked = parser.parse_args(argv)
    for world in WORLDS:
        print(f"{world.name}, rho {world.rho}, alike {world.alike}", flush=True)
        for what, tallies in zip(("Spearman", "difference", "MSE"), measure(world, asked.trials), strict=True):
            for name, tally in tallies.items():
                print(f"  {what}, {name}: {tally}", flush=True)


if __name__ == "__main__":
    main()
