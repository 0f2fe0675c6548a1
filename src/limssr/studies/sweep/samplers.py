"""Where the tries of a system come from: the drawn list, or Optuna's TPE, which learns from the tries before.

Both draw from one space, and both begin with what recipe and declaration say. Each system has a sampler of its own, and
all of them the same seed: their first tries are the same ones, and what follows depends on their own losses alone.
"""

import importlib
import importlib.util
import warnings
from typing import Any, Literal, Protocol

from limssr.core.errors import MissingExtraError
from limssr.core.rng import integer
from limssr.studies.sweep.tuning import DROPOUTS, RATE_FACTORS, WEIGHT_DECAYS, Setting, settings

SamplerName = Literal["random", "tpe"]
STARTUP_TRIES = 5
"""Tries of TPE that are drawn before it has learned anything."""


class Sampler(Protocol):
    """Gives the tries of one system, one after another."""

    def ask(self) -> Setting:
        """The next try."""
        ...

    def tell(self, loss: float) -> None:
        """The validation loss of the try that was asked for last."""
        ...


class Drawn:
    """The list that every system shares, whatever it finds.

    Args:
        tries: Its length.
    """

    def __init__(self, tries: int) -> None:
        self._left = list(settings(tries))

    def ask(self) -> Setting:
        """The next try."""
        return self._left.pop(0)

    def tell(self, loss: float) -> None:
        """Learn nothing."""


class Tpe:
    """Optuna's tree-structured Parzen estimator, between the ends of the drawn list's values.

    It is replayed, not stored: with the same losses it gives the same tries.

    Args:
        seed: Of its draws.

    Raises:
        MissingExtraError: Optuna is not installed.
    """

    def __init__(self, seed: int = 0) -> None:
        check_sampler("tpe")
        optuna: Any = importlib.import_module("optuna")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                seed=integer("tpe", seed) % 2**32, n_startup_trials=STARTUP_TRIES, multivariate=True
            )
        self._study: Any = optuna.create_study(sampler=sampler)
        space = {
            "rate_factor": optuna.distributions.FloatDistribution(min(RATE_FACTORS), max(RATE_FACTORS), log=True),
            "dropout": optuna.distributions.FloatDistribution(min(DROPOUTS), max(DROPOUTS)),
            "weight_decay": optuna.distributions.FloatDistribution(min(WEIGHT_DECAYS), max(WEIGHT_DECAYS), log=True),
        }
        self._space, self._trial, self._is_first = space, None, True

    def ask(self) -> Setting:
        """The next try; the first is what recipe and declaration say, of which the space knows nothing."""
        if self._is_first:
            return Setting()
        self._trial = self._study.ask(self._space)
        return Setting(**{name: float(f"{value:.4g}") for name, value in self._trial.params.items()})

    def tell(self, loss: float) -> None:
        """Learn from a loss."""
        if not self._is_first:
            self._study.tell(self._trial, loss)
        self._is_first = False


def check_sampler(name: SamplerName) -> None:
    """Raise `MissingExtraError` where a sampler's package is not installed."""
    if name == "tpe" and importlib.util.find_spec("optuna") is None:
        raise MissingExtraError(
            "Expected the package optuna for --sampler tpe, found none: pip install 'limssr[optuna]'"
        )


def make_sampler(name: SamplerName, tries: int) -> Sampler:
    """The sampler of one system."""
    return Drawn(tries) if name == "random" else Tpe()
