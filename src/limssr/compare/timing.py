"""How long every system of a comparison takes to score, measured side by side: all of them in turns, now and here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from limssr.baselines.pooled import PooledRegressor
from limssr.benchmark.timing import Spread, ratios, take_turns
from limssr.compare.costs import store_of
from limssr.compare.rows import CompareRow, Entry
from limssr.errors import InputError, LimssrError
from limssr.model import load_pretrained
from limssr.progress import Reporter, SilentReporter
from limssr.references import REFERENCES, scorer_of
from limssr.rundata import load_run_data
from limssr.runtime import choose_device
from limssr.scorer import Scorer
from limssr.types import Sample

NUM_TIMED = 32
"""Samples of a round, spread over the split so that their lengths are typical."""


@dataclass(frozen=True)
class ScoringTime:
    """Of one row.

    Attributes:
        milliseconds: A sample, with all the streams that it owns; median and quartiles over the rounds.
        ratio: To the chosen row, within rounds; None where that one could not be timed.
        reason: Why there is no time; "" where there is one.
    """

    milliseconds: Spread | None
    ratio: Spread | None
    reason: str = ""


@dataclass(frozen=True)
class Timing:
    """A measurement.

    Attributes:
        times: Row's label -> time.
        num_samples: Of a round.
        num_rounds: Measured.
        device: That all networks ran on; regressions run on the processor.
        num_threads: Of torch.
    """

    times: dict[str, ScoringTime]
    num_samples: int
    num_rounds: int
    device: str
    num_threads: int


def time_rows(
    rows: Sequence[CompareRow],
    against: CompareRow,
    *,
    rounds: int,
    store: Path | None = None,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> Timing:
    """Let every row score the same samples, one after another in each round.

    Args:
        rows: The model of the first seed of each is timed; a regression, which is not saved, is fitted again.
        against: Whose time the ratios are taken to.
        rounds: Measured ones; one more comes before.
        store: Where the runs' store is now; None: where they say.
        device: See `limssr.runtime.choose_device`.
        reporter: Hears what is prepared.

    Raises:
        InputError: No row can be timed.
    """
    reporter = reporter or SilentReporter()
    chosen = choose_device(device).device
    contestants: dict[str, Callable[[], object]] = {}
    reasons: dict[str, str] = {}
    num_samples = 0
    for row in rows:
        reporter.note(f"timing: loading {row.label}")
        try:
            scorer, samples = _contestant(row.first, store, chosen)
        except LimssrError as error:
            reasons[row.label] = str(error)
            continue
        num_samples = len(samples)
        contestants[row.label] = lambda scorer=scorer, samples=samples: scorer.score(samples)
    if not contestants:
        raise InputError(
            "Expected at least one system that can be timed, found none: "
            + "; ".join(f"{label}: {reason.rstrip('.')}" for label, reason in reasons.items())
            + ". Say with --store where the runs' store is now, or leave --timing out."
        )
    reporter.note(f"timing: {rounds} rounds of {num_samples} samples")
    seconds = take_turns(contestants, repeats=rounds, device=chosen)
    times = {row.label: ScoringTime(None, None, reasons.get(row.label, "")) for row in rows}
    for label, found in seconds.items():
        ratio = ratios(found, seconds[against.label]) if against.label in seconds else None
        times[label] = ScoringTime(Spread.of([1000 * one / num_samples for one in found]), ratio)
    return Timing(times, num_samples, rounds, str(chosen), torch.get_num_threads())


def _contestant(entry: Entry, store: Path | None, device: torch.device) -> tuple[Scorer, list[Sample]]:
    opened = store_of(entry, store)
    config = entry.config.model_copy(update={"data": entry.config.data.model_copy(update={"store": str(opened.path)})})
    names = [one.name for part in opened.select(config.data.modalities, config.data.criteria)[:1] for one in part]
    ids = entry.answers.ids
    places = np.unique(np.linspace(0, len(ids) - 1, min(NUM_TIMED, len(ids))).astype(int))
    owned = [_restricted(opened.sample(ids[place]), names) for place in places]
    # Read into memory: what is timed is scoring, not the disk.
    samples = [
        Sample(one.id, {name: np.array(stream) for name, stream in one.streams.items()}, one.scores) for one in owned
    ]
    if entry.is_network:
        return scorer_of(load_pretrained(entry.folder / "model").to(device), config, device), samples
    reference = REFERENCES[entry.system]
    assert reference.pooled is not None
    data = load_run_data(config)
    train = data.complete_train if reference.trained_on == "complete" else data.splits["train"]
    regressor = PooledRegressor(*reference.pooled, modalities=data.modalities, criteria=data.criteria, seed=config.seed)
    return regressor.fit(train or ()), samples


def _restricted(sample: Sample, names: Sequence[str]) -> Sample:
    return sample.restricted_to(tuple(name for name in names if name in sample.streams))
