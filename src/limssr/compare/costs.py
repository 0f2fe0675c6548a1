"""What every system of a comparison costs: parameters, multiply-accumulates, time to train."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from limssr.compare.rows import CompareRow, Entry
from limssr.data.store import FeatureStore
from limssr.describe import describe
from limssr.errors import InputError, LimssrError

REGRESSION = "a regression on pooled statistics, no network"


@dataclass(frozen=True)
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
    """Parameters and multiply-accumulates, by the rules of `limssr.describe`."""
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
        lines = path.read_text(encoding="utf-8").splitlines()
        return float(sum(json.loads(line)["seconds"] for line in lines))
    except (OSError, ValueError, KeyError):
        return None


def _processor(entry: Entry) -> str:
    return str((entry.document.get("environment") or {}).get("device_name") or "unknown")
