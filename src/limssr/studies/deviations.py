"""How runs differ from the protocol behind published numbers: found by comparing configurations, key by key."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from limssr.config import RunConfig
from limssr.report.words import Stamp

NOT_COMPARED = ("name", "seed", "data.store", "data.criteria", "evaluation", "train.workers")
"""Labels, places, and what changes no score; seeds and criteria are compared as wholes."""
TOPICS: tuple[tuple[str, str], ...] = (
    ("model.backbone", "Another language model than published"),
    ("train.selection", "The epoch is chosen in another way than published"),
    ("train.patience", "The epoch is chosen in another way than published"),
    ("missing", "Streams are missing in another way than published"),
    ("data", "The segments are read in another way than published"),
    ("train", "Trained in another way than published"),
    ("loss", "Another loss than published"),
    ("model", "Another model than published"),
)
"""Beginning of a key -> what it is about; the first that fits counts."""
MAX_VALUES = 4


def config_deviations(ours: Mapping[str, RunConfig], published: Mapping[str, RunConfig]) -> list[Stamp]:
    """What differs, a stamp a topic.

    Args:
        ours: Target -> its configuration.
        published: Target -> the published protocol's; all targets of `ours` among them.
    """
    found: dict[str, dict[str, tuple[Any, Any]]] = {}
    for target, config in ours.items():
        own, theirs = (dict(_leaves(one.model_dump(mode="json"))) for one in (config, published[target]))
        for key in dict.fromkeys((*theirs, *own)):
            if _is_compared(key) and own.get(key) != theirs.get(key):
                found.setdefault(key, {})[target] = (own.get(key), theirs.get(key))
    topics: dict[str, list[str]] = {}
    for key, by_target in found.items():
        topics.setdefault(_topic(key), []).append(_sentence(key, by_target, len(ours)))
    order = list(dict.fromkeys(title for _, title in TOPICS))
    return [Stamp("note", title, "; ".join(topics[title]) + ".") for title in order if title in topics]


def count_deviations(
    targets: Sequence[str], expected_targets: Sequence[str], num_seeds: int, expected_seeds: int
) -> list[Stamp]:
    """Fewer (or more) seeds and targets than behind the published averages."""
    stamps = []
    if num_seeds != expected_seeds:
        stamps.append(Stamp("note", "Another number of seeds", f"{num_seeds} instead of {expected_seeds}."))
    missing = [name for name in expected_targets if name not in targets]
    if missing:
        text = f"{', '.join(missing)} left out, so averages over all {len(expected_targets)} targets are not shown."
        stamps.append(Stamp("note", "Targets are missing", text))
    return stamps


def size_deviations(
    counts: Mapping[str, Mapping[str, int]], expected: Mapping[str, int], *, uses_validation: bool
) -> list[Stamp]:
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
    return [Stamp("note", "Other performances than published", f"{text}.")]


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{prefix}.{key}".lstrip("."))
    else:
        yield prefix, value


def _is_compared(key: str) -> bool:
    return not any(key == name or key.startswith(f"{name}.") for name in NOT_COMPARED)


def _topic(key: str) -> str:
    return next(title for start, title in TOPICS if key == start or key.startswith(f"{start}."))


def _sentence(key: str, by_target: Mapping[str, tuple[Any, Any]], num_targets: int) -> str:
    groups: dict[str, list[str]] = {}
    for target, (own, theirs) in by_target.items():
        groups.setdefault(f"{_word(own)} instead of {_word(theirs)}", []).append(target)
    if len(groups) == 1 and len(by_target) == num_targets:
        return f"{key}: {next(iter(groups))}"
    parts = [f"{text} ({', '.join(targets)})" for text, targets in groups.items()]
    more = [f"and others for {len(parts) - MAX_VALUES} more"] if len(parts) > MAX_VALUES else []
    return f"{key}: {', '.join([*parts[:MAX_VALUES], *more])}"


def _word(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return "[" + ", ".join(_word(item) for item in value) + "]"
    return str(value)
