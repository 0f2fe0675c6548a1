"""The search of a sweep: rounds of runs, each round chosen by the losses of the rounds before.

Every system gets the same number of tries, judged by the same rule after the same share of its epochs. With halving all
tries train for a quarter of the epochs, the better half for another quarter, and the better half of those to the end:
the same for every system whatever its losses are, which a pruner that decides try by try could not promise.

A search is replayed from the run folders. What is done is read and not run again, so that it goes on wherever it was
ended, and nothing but the runs is kept of it.
"""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from limssr.studies.plan import PlannedRun, distinct_runs
from limssr.studies.sweep.samplers import Sampler, SamplerName, make_sampler
from limssr.studies.sweep.tuning import Setting, best_of, validation_loss

SHARES = (0.25, 0.5, 1.0)
"""Of the epochs, after which tries are halved; the last ones train to the end."""


@dataclass(frozen=True)
class Round:
    """Runs that can be done side by side.

    Attributes:
        runs: All that the search knows of by now; most of them may be done.
        until: Key -> epochs after which a run pauses.
    """

    runs: tuple[PlannedRun, ...]
    until: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Try:
    """One setting of one system.

    Attributes:
        number: From 0.
        setting: What is tried.
        runs: One, or one a fold.
    """

    number: int
    setting: Setting
    runs: tuple[PlannedRun, ...]


@dataclass(frozen=True)
class Found:
    """What the search has found.

    Attributes:
        tries: Label -> its tries.
        losses: Label -> their losses, after as many epochs as each was given.
        chosen: Label -> the number of the try that won.
    """

    tries: Mapping[str, tuple[Try, ...]]
    losses: Mapping[str, tuple[float, ...]]
    chosen: Mapping[str, int]

    def runs(self) -> list[PlannedRun]:
        """The runs of all tries."""
        return [run for tries in self.tries.values() for one in tries for run in one.runs]


def num_kept(tries: int, rung: int) -> int:
    """How many of the tries train up to a share of the epochs."""
    return math.ceil(tries / 2**rung)


def epochs_share(tries: int) -> float:
    """The epochs of all tries of a system with halving, as a share of those without."""
    before = (0.0, *SHARES)
    return sum(num_kept(tries, rung) * (share - before[rung]) for rung, share in enumerate(SHARES)) / tries


class Search:
    """The tries of all systems.

    Args:
        epochs: Label -> epochs of its runs; in the order of the systems.
        made: (label, number, setting) -> the runs that judge it.
        out: Folder of the study.
        sampler: Where tries come from.
        tries: How many each system gets.
        is_halved: Whether only the better ones train to the end.
    """

    def __init__(
        self,
        epochs: Mapping[str, int],
        made: Callable[[str, int, Setting], tuple[PlannedRun, ...]],
        out: Path,
        *,
        sampler: SamplerName,
        tries: int,
        is_halved: bool,
    ) -> None:
        self._epochs, self._made, self._out = epochs, made, out
        self._samplers: dict[str, Sampler] = {label: make_sampler(sampler, tries) for label in epochs}
        self._num_tries, self._learns = tries, sampler != "random"
        self._shares = SHARES if is_halved else (1.0,)
        self._tries: dict[str, list[Try]] = {label: [] for label in epochs}

    def rounds(self) -> Generator[Round, None, Found]:
        """Give round after round; each must be done before the next is asked for."""
        for number in range(self._num_tries):
            for label, sampler in self._samplers.items():
                setting = sampler.ask()
                self._tries[label].append(Try(number, setting, self._made(label, number, setting)))
            if self._learns:
                yield self._round(0, {label: [tries[-1]] for label, tries in self._tries.items()})
                for label, sampler in self._samplers.items():
                    sampler.tell(self._loss(label, self._tries[label][-1], 0))
        kept: dict[str, list[Try]] = dict(self._tries)
        for rung in range(len(self._shares)):
            if rung:
                kept = {label: self._better(label, tries, rung) for label, tries in kept.items()}
            yield self._round(rung, kept)
        return self._found(kept)

    def _round(self, rung: int, tries: Mapping[str, Sequence[Try]]) -> Round:
        runs = {run.key: (label, run) for label, of in tries.items() for one in of for run in one.runs}
        until = {key: self._until(label, rung) for key, (label, _) in runs.items()} if self._shares[rung] < 1 else {}
        return Round(tuple(run for _, run in runs.values()), until)

    def _until(self, label: str, rung: int) -> int:
        return math.ceil(self._shares[rung] * self._epochs[label])

    def _loss(self, label: str, one: Try, rung: int) -> float:
        """The mean over folds, after the epochs of a rung."""
        owners = distinct_runs([run for tries in self._tries.values() for one in tries for run in one.runs])
        epochs = self._until(label, rung)
        return fmean(validation_loss(self._out / owners[run.key].key, epochs) for run in one.runs)

    def _better(self, label: str, tries: Sequence[Try], rung: int) -> list[Try]:
        losses = {one.number: self._loss(label, one, rung - 1) for one in tries}
        best = sorted(tries, key=lambda one: (losses[one.number], one.number))[: num_kept(self._num_tries, rung)]
        return sorted(best, key=lambda one: one.number)

    def _found(self, last: Mapping[str, Sequence[Try]]) -> Found:
        losses: dict[str, tuple[float, ...]] = {}
        chosen: dict[str, int] = {}
        for label, tries in self._tries.items():
            ends = {one.number: self._loss(label, one, len(self._shares) - 1) for one in tries}
            losses[label] = tuple(ends[one.number] for one in tries)
            finalists = [one.number for one in last[label]]
            chosen[label] = finalists[best_of([ends[number] for number in finalists])]
        return Found({label: tuple(tries) for label, tries in self._tries.items()}, losses, chosen)


def searched(rounds: Generator[Round, None, Found], do: Callable[[Round], None]) -> Found:
    """What a search finds when each of its rounds is done."""
    while True:
        try:
            one = next(rounds)
        except StopIteration as end:
            return end.value
        do(one)
