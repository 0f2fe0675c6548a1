"""What every system of a comparison costs: parameters, multiply-accumulates, time to train."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from limssr.core.errors import ArtifactError, InputError, LimssrError
from limssr.core.progress import Reporter, SilentReporter
from limssr.core.reading.records import EpochRecord, read_lines
from limssr.core.runtime import choose_device
from limssr.core.timing import Spread, ratios, take_turns
from limssr.core.types import Sample
from limssr.data.store.reader import FeatureStore
from limssr.data.store.remote import is_address
from limssr.evaluation.scorer import Scorer
from limssr.runs.data import load_run_data
from limssr.runs.references import scorer_of
from limssr.studies.compare.rows import CompareRow, Entry
from limssr.studies.paper.describe import describe
from limssr.systems.references import REFERENCES
from limssr.systems.regressions import PooledRegressor
from limssr.systems.saving import load_pretrained

OUTSIDE = "predictions from a file, no model"
REGRESSION = "a regression on pooled statistics, no network"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one row.

    Attributes:
        trained: Parameters that are trained; None: unknown.
        total: All parameters, with the frozen table of a language model's words.
        macs: Multiply-accumulates of scoring one sample of `CountedSample` with all streams.
        macs_mean: Their mean over the subsets of the streams for which it has predictions, that of all included: what
            is imputed or generated costs where something is absent.
        macs_subsets: Number of these subsets.
        num_subsets: Of all subsets.
        training_s: Mean over the seeds, as measured when they were trained.
        training_includes: What else is in that time; "" nothing.
        trained_with: Processors that it was measured on.
        reasons: Name of an unknown attribute -> why.
    """

    trained: int | None = None
    total: int | None = None
    macs: int | None = None
    macs_mean: float | None = None
    macs_subsets: int | None = None
    num_subsets: int | None = None
    training_s: float | None = None
    training_includes: str = ""
    trained_with: tuple[str, ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CountedSample:
    """The sample that multiply-accumulates are counted for.

    Attributes:
        num_segments: Median length of the compared samples; None where the store is out of reach.
        reason: Why it is None.
    """

    num_segments: int | None
    reason: str = ""


def store_of(entry: Entry, store: Path | None) -> FeatureStore:
    """The store that a run was trained on.

    Args:
        entry: Of the run.
        store: Where it is now; None: where the run says.

    Raises:
        InputError: It is not there, or another one.
        ArtifactError: It is damaged.
    """
    if entry.is_outside:
        raise InputError("a file of predictions has no store")
    recorded = entry.document.get("store") or {}
    path = store or Path(str(recorded.get("path", "")))
    if not recorded or not (path / "store.json").is_file():
        raise InputError(f"no store at {path}; --store says where it is now" if recorded else "no store is recorded")
    opened = FeatureStore.open(path)
    if opened.fingerprint != recorded.get("fingerprint"):
        raise InputError(f"{path} is not the store that {entry.run} was trained on (another fingerprint)")
    return opened


def counted_sample(entry: Entry, store: Path | None = None) -> CountedSample:
    """The median length of the compared samples."""
    try:
        opened = store_of(entry, store)
        lengths = [opened.sample(sample_id).num_segments for sample_id in entry.answers.ids]
    except LimssrError as error:
        return CountedSample(None, str(error))
    return CountedSample(int(np.median(lengths)))


def cost_of(row: CompareRow, sample: CountedSample, store: Path | None = None) -> Cost:
    """Count a row's model and read how long it took to train."""
    if row.first.is_outside:
        return Cost(reasons=dict.fromkeys(("trained", "total", "macs", "macs_mean", "training_s"), OUTSIDE))
    seconds, includes = _training_time(row.entries)
    shared: dict[str, Any] = {
        "training_s": seconds,
        "training_includes": includes,
        "trained_with": tuple(dict.fromkeys(_processor(entry) for entry in row.entries)),
    }
    time_reasons = {} if seconds is not None else {"training_s": "not recorded"}
    if not row.first.is_network:
        why = dict.fromkeys(("trained", "total", "macs", "macs_mean"), REGRESSION)
        return Cost(**shared, reasons={**why, **time_reasons})
    counted = _counted(row.first, sample, store)
    return Cost(**{**shared, **counted, "reasons": {**counted["reasons"], **time_reasons}})


def _counted(entry: Entry, sample: CountedSample, store: Path | None) -> dict[str, Any]:
    """Parameters and multiply-accumulates, by the rules of `limssr.studies.paper.describe`."""
    config = entry.config
    length = sample.num_segments
    if length is not None and config.data.num_segments is not None:
        # Longer ones are cropped; where padding is read like data, shorter ones cost as much as long ones.
        attended = config.data.padding == "attended"
        length = config.data.num_segments if attended else min(length, config.data.num_segments)
    recorded = {} if entry.is_reference else dict(entry.document.get("parameters") or {})
    try:
        opened = store_of(entry, store)
        modalities, criteria = opened.select(config.data.modalities, config.data.criteria)
        data = config.data.model_copy(update={"num_segments": length})
        found = describe(config.model_copy(update={"data": data}), modalities, criteria)
    except LimssrError as error:
        why = dict.fromkeys(("trained", "total", "macs", "macs_mean"), str(error))
        known = {name: recorded[name] for name in ("trained", "total") if name in recorded}
        return {**known, "reasons": {name: text for name, text in why.items() if name not in known}}
    sizes = {"trained": found.trainable, "total": found.total}
    if length is None:
        return {**sizes, "reasons": dict.fromkeys(("macs", "macs_mean"), sample.reason)}
    answers = entry.answers
    # The streams of the first run may stand in another order.
    scored = {frozenset(name.split("+")) for s, name in enumerate(answers.subsets) if answers.predicts(s)}
    counted = [macs for name, macs in found.macs_by_subset.items() if frozenset(name.split("+")) in scored]
    return {
        **sizes,
        "macs": found.macs_total,
        "macs_mean": float(np.mean(counted)) if counted else None,
        "macs_subsets": len(counted),
        "num_subsets": len(found.macs_by_subset),
        "reasons": {} if counted else {"macs_mean": "no subset of the streams has a prediction"},
    }


def _training_time(entries: Sequence[Entry]) -> tuple[float | None, str]:
    """Mean over the seeds of the time in training epochs; a regression's time is known with its scoring alone."""
    found, includes = [], ""
    for entry in entries:
        if not entry.is_network:
            found.append(entry.record.get("seconds"))
            includes = "with scoring the test split"
        elif entry.is_reference:
            found.append(_epoch_seconds(entry.folder / "metrics.jsonl"))
        else:
            found.append((entry.document.get("timings") or {}).get("training_s"))
    if any(seconds is None for seconds in found):
        return None, ""
    return float(np.mean(found)), includes


def _epoch_seconds(path: Path) -> float | None:
    try:
        return float(sum(line["seconds"] for line in read_lines(path, EpochRecord)))
    except (ArtifactError, KeyError, TypeError):
        return None


def _processor(entry: Entry) -> str:
    return str((entry.document.get("environment") or {}).get("device_name") or "unknown")


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
        device: See `limssr.core.runtime.choose_device`.
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
    if entry.is_outside:
        raise InputError(f"{OUTSIDE}, which takes no time")
    opened = store_of(entry, store)
    config = entry.config.model_copy(update={"data": entry.config.data.model_copy(update={"store": str(opened.path)})})
    names = [one.name for part in opened.select(config.data.modalities, config.data.criteria)[:1] for one in part]
    ids = entry.answers.ids
    places = np.unique(np.linspace(0, len(ids) - 1, min(NUM_TIMED, len(ids))).astype(int))
    owned = [_restricted(opened.sample(ids[place]), names) for place in places]
    # Read into memory: what is timed is scoring, not the disk.
    samples = [
        Sample(one.id, {name: np.array(stream) for name, stream in one.streams.items()}, one.scores, words=one.words)
        for one in owned
    ]
    if entry.is_network:
        return scorer_of(load_pretrained(entry.folder / "model").to(device), config, device), samples
    reference = REFERENCES[entry.system]
    assert reference.pooled is not None
    if is_address(config.data.store or ""):  # nothing is fetched because somebody's run folder says so
        raise InputError(
            f"Expected the store of {entry.folder} on this machine to time {entry.system}, found the address "
            f"{config.data.store}: time the run itself without its references."
        )
    data = load_run_data(config)
    train = data.complete_train if reference.trained_on == "complete" else data.splits["train"]
    more: Any = {"seed": config.seed, "rule": config.evaluation.subsets}
    regressor = PooledRegressor(*reference.pooled, modalities=data.modalities, criteria=data.criteria, **more)
    return regressor.fit(train or ()), samples


def _restricted(sample: Sample, names: Sequence[str]) -> Sample:
    return sample.restricted_to(tuple(name for name in names if name in sample.streams))
