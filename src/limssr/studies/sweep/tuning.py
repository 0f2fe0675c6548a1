"""Tuning with the same budget for every system: settings drawn once and judged by validation loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from limssr.core.config import RunConfig
from limssr.core.errors import ArtifactError, InputError
from limssr.core.reading.records import EpochRecord, read_lines
from limssr.core.rng import integer

RATE_FACTORS = (1 / 3, 1.0, 3.0)
DROPOUTS = (0.1, 0.3, 0.5)
WEIGHT_DECAYS = (1e-4, 1e-2)
NUM_SETTINGS = len(RATE_FACTORS) * len(DROPOUTS) * len(WEIGHT_DECAYS)


@dataclass(frozen=True)
class Setting:
    """One try.

    Attributes:
        rate_factor: On every learning rate of the system; None: nothing is changed, the first try.
        dropout: Of the system.
        weight_decay: Of its weights.
    """

    rate_factor: float | None = None
    dropout: float = 0.0
    weight_decay: float = 0.0

    def applied(self, config: RunConfig) -> RunConfig:
        """A run with this setting."""
        if self.rate_factor is None:
            return config
        train, factor = config.train, self.rate_factor
        rates = {
            name: None if rate is None else rate * factor
            for name in ("learning_rate", "backbone_learning_rate", "statistics_learning_rate")
            for rate in [getattr(train, name)]
        }
        return config.model_copy(
            update={
                "train": train.model_copy(update={**rates, "weight_decay": self.weight_decay}),
                "model": config.model.model_copy(update={"dropout": self.dropout}),
            }
        )

    def to_dict(self) -> dict[str, float] | None:
        """Plain data; None for what the recipe says."""
        return None if self.rate_factor is None else {**vars(self), "rate_factor": self.rate_factor}


def settings(tries: int, *, seed: int = 0) -> tuple[Setting, ...]:
    """The tries of every system alike: first what recipe and declaration say, then drawn without repetition.

    Raises:
        InputError: No try, or more than there are settings.
    """
    if not 1 <= tries <= NUM_SETTINGS + 1:
        raise InputError(f"Expected 1 to {NUM_SETTINGS + 1} tries a system, found {tries}.")
    grid = [Setting(*values) for values in product(RATE_FACTORS, DROPOUTS, WEIGHT_DECAYS)]
    drawn = sorted(range(len(grid)), key=lambda place: integer("tuning", seed, place))
    return (Setting(), *(grid[place] for place in drawn[: tries - 1]))


def validation_loss(run: Path, epochs: int | None = None) -> float:
    """The lowest validation loss of a run, over the epochs that could be chosen.

    Args:
        run: Its folder.
        epochs: Only of the first ones; None: of all.

    Raises:
        ArtifactError: The run has no validation losses.
    """
    records = read_lines(run / "metrics.jsonl", EpochRecord)[:epochs]
    losses = [record["val_loss"] for record in records if record.get("val_loss") is not None]
    if not losses:
        raise ArtifactError(f"Expected validation losses in {run / 'metrics.jsonl'}, found none.")
    return min(losses)


def best_of(losses: Sequence[float]) -> int:
    """Place of the lowest loss; of equal ones the first."""
    return min(range(len(losses)), key=lambda place: losses[place])
