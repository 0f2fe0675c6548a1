"""Differences between our runs and the published protocol, found by comparing configurations."""

from collections.abc import Mapping, Sequence
from typing import Any

from limssr.core.config import RunConfig
from limssr.core.differences import differences
from limssr.report.banners import Banner

NOT_COMPARED = ("name", "seed", "data.store", "data.criteria", "evaluation", "train.workers")
"""Labels, places, and what changes no score; seeds and criteria are compared as wholes."""
TOPICS: tuple[tuple[str, str], ...] = (
    ("model.backbone", "Another language model"),
    ("train.selection", "The epoch is chosen in another way"),
    ("train.patience", "The epoch is chosen in another way"),
    ("missing", "Streams are missing in another way"),
    ("data", "The segments are read in another way"),
    ("train", "Trained in another way"),
    ("loss", "Another loss"),
    ("model", "Another model"),
)
"""Beginning of a key -> what it is about; the first that fits counts."""


def config_deviations(ours: Mapping[str, RunConfig], published: Mapping[str, RunConfig]) -> list[Banner]:
    """What differs, a banner a topic.

    Args:
        ours: Target -> its configuration.
        published: Target -> the published protocol's; all targets of `ours` among them.
    """
    found: dict[str, dict[str, tuple[Any, Any]]] = {}
    for target, config in ours.items():
        for key, theirs, own in differences(published[target].model_dump(mode="json"), config.model_dump(mode="json")):
            if _is_compared(key):
                found.setdefault(key, {})[target] = (own, theirs)
    topics: dict[str, list[str]] = {}
    for key, by_target in found.items():
        topics.setdefault(_topic(key), []).append(_sentence(key, by_target, len(ours)))
    order = list(dict.fromkeys(title for _, title in TOPICS))
    return [Banner("note", title, "; ".join(topics[title]) + ".") for title in order if title in topics]


def count_deviations(
    targets: Sequence[str], expected_targets: Sequence[str], num_seeds: int, expected_seeds: int
) -> list[Banner]:
    """Fewer (or more) seeds and targets than behind the published averages."""
    banners = []
    if num_seeds != expected_seeds:
        banners.append(Banner("note", "Another number of seeds", f"{num_seeds} instead of {expected_seeds}."))
    missing = [name for name in expected_targets if name not in targets]
    if missing:
        text = f"{', '.join(missing)} left out, so averages over all {len(expected_targets)} targets are not shown."
        banners.append(Banner("note", "Targets are missing", text))
    return banners


def size_deviations(
    counts: Mapping[str, Mapping[str, int]], expected: Mapping[str, int], *, uses_validation: bool
) -> list[Banner]:
    """Another number of performances than the published splits have.

    Args:
        counts: Target -> split -> judged performances.
        expected: Of "train" and "test", for every target.
        uses_validation: Whether samples are set aside for validation; of the published training split, then.
    """
    lines: dict[str, list[str]] = {}
    for target, count in counts.items():
        differing = [
            f"{count.get(split, 0)} for {word} instead of {expected[split]}"
            for split, word in (("train", "training"), ("test", "testing"))
            if count.get(split, 0) != expected[split]
        ]
        if not differing:
            continue
        aside = f", {count['val']} set aside for validation" if uses_validation and count.get("val") else ""
        lines.setdefault(f"{' and '.join(differing)}{aside}", []).append(target)
    if not lines:
        return []
    text = "; ".join(
        sentence + (f" ({', '.join(targets)})" if len(targets) < len(counts) else "")
        for sentence, targets in lines.items()
    )
    return [Banner("note", "Other performances", f"{text}.")]


def _is_compared(key: str) -> bool:
    return not any(key == name or key.startswith(f"{name}.") for name in NOT_COMPARED)


def _topic(key: str) -> str:
    return next(title for start, title in TOPICS if key == start or key.startswith(f"{start}."))


def _sentence(key: str, by_target: Mapping[str, tuple[Any, Any]], num_targets: int) -> str:
    if len(by_target) == num_targets and len({str(values) for values in by_target.values()}) == 1:
        own, theirs = next(iter(by_target.values()))
        return f"{key}: {_word(own)} instead of {_word(theirs)}"
    groups: dict[str, dict[str, list[str]]] = {}
    for target, (own, theirs) in by_target.items():
        groups.setdefault(_word(own), {}).setdefault(_word(theirs), []).append(target)
    parts = [
        f"{own} instead of " + ", ".join(f"{theirs} ({', '.join(targets)})" for theirs, targets in others.items())
        for own, others in groups.items()
    ]
    return f"{key}: {' and '.join(parts)}"


def _word(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} {_word(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_word(item) for item in value) + "]"
    return str(value)
