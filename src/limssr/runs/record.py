"""The content of run.json: versions, data, dates, environment."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from limssr.core.config import RunConfig
from limssr.core.runtime import DeviceChoice, environment
from limssr.core.types import Sample, Split
from limssr.data.store.reader import FeatureStore
from limssr.nn.contract import Network
from limssr.runs.data import RunData, validation_of
from limssr.runs.folder import read_run
from limssr.systems.catalogue import hidden_values


def opening_record(config: RunConfig, data: RunData, choice: DeviceChoice, model: Network) -> dict[str, Any]:
    """What run.json says when training begins."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return {
        "name": config.name,
        "started": now_text(),
        "seed": config.seed,
        "selection": config.train.selection,
        "availability": availability_record(config, data.store),
        "trained_on": config.missing.training,
        "hidden_values": hidden_values(config.model.system),
        "dropout": config.missing.dropout,
        "store": {
            "path": str(data.store.path.absolute()),
            "name": data.store.info.name,
            "segment_s": data.store.info.segment_s,
            "reading": data.store.info.reading,
            "fingerprint": data.store.fingerprint,
            "importer": data.store.info.importer,
            "extraction": data.store.info.extraction,
        },
        "system": config.model.system,
        "modalities": list(data.names),
        "criteria": [vars(criterion) for criterion in data.criteria],
        "validation": validation_record(config, data),
        "num_samples": {split: len(samples) for split, samples in data.splits.items()},
        "left_out": dict(data.left_out),
        "owned_streams": {split: ownership(samples) for split, samples in data.splits.items()},
        "parameters": {
            "total": sum(count for count, _ in sizes),
            "trained": sum(count for count, trained in sizes if trained),
        },
        "device": {"name": str(choice.device), "reason": choice.reason},
        "environment": environment(choice.device),
        "sessions": 1,
    }


def learned_splits(document: Mapping[str, Any]) -> tuple[Split, ...]:
    """The splits whose samples a run's model learned from, which it scores better than new ones.

    Args:
        document: run.json; the final models of a search learn from training and validation together.
    """
    return ("train", "val") if document.get("auto") else ("train",)


def kept_from_before(out: Path) -> dict[str, Any]:
    """What a run that is resumed keeps of its first session."""
    if not (out / "run.json").exists():
        return {}
    before = read_run(out).document
    return {"started": before["started"], "sessions": before["sessions"] + 1}


def ownership(samples: Sequence[Sample]) -> dict[str, int]:
    """How many samples own exactly which streams."""
    counts: dict[str, int] = {}
    for sample in samples:
        key = "+".join(sample.streams)
        counts[key] = counts.get(key, 0) + 1
    return dict(sorted(counts.items()))


def now_text() -> str:
    """This moment in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def validation_record(config: RunConfig, data: RunData) -> dict[str, Any] | None:
    """How validation was held out, for run.json; None where the split is the store's own or there is none."""
    validation = validation_of(config, data.store)
    if validation is None:
        return None
    held = data.splits["val"]
    groups = {sample.group for sample in held if sample.group}
    alone = sum(not sample.group for sample in held)
    unread = {"folds", "fold"} if validation.folds is None else {"share"}
    return {**validation.model_dump(exclude=unread), "num_groups": len(groups) + alone, "num_samples": len(held)}


def availability_record(config: RunConfig, store: FeatureStore) -> dict[str, Any] | None:
    """How incomplete the data is, for reports; None where nothing was taken away on purpose."""
    on_disk = store.info.availability
    in_recipe = config.missing.availability
    if on_disk is not None and in_recipe is None:
        return {"source": "store", **on_disk}
    if in_recipe is None:
        return None
    record = {"source": "recipe", **in_recipe.model_dump(mode="json")}
    return record if on_disk is None else {**record, "store": dict(on_disk)}
