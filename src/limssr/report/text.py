"""Phrases that tables and pages share: durations, and what an average is over."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def duration(seconds: float) -> str:
    """A time for people: "40 s", "12 min", "3.5 h", "2.1 days"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


MAX_NAMED = 8
"""Subsets that are named one by one; five streams have thirty."""


def num_averaged(document: Mapping[str, Any], metric: str = "spearman") -> int:
    """How many incomplete subsets the average of an evaluation is over; all, where an older file does not say."""
    counts = (document.get("average_incomplete") or {}).get("num_subsets") or {}
    return int(counts.get(metric, len(document["subsets"]) - 1))


def subsets_words(num: int) -> str:
    """As in "6 incomplete subsets"."""
    return f"{num} incomplete subset{'' if num == 1 else 's'}"


def partial_words(part: Mapping[str, Any], metric: str, text: Callable[[float], str]) -> str:
    """What there is of an average that is n/a, as in "0.377 over 3 of 6"; empty where nothing is.

    Args:
        part: "average_incomplete" of an evaluation.
        metric: Name of the metric.
        text: Writes a number.
    """
    value = (part.get("partial") or {}).get(metric)
    if value is None:
        return ""
    return f"{text(value)} over {part['num_partial'][metric]} of {part['num_subsets'][metric]}"


def same_words(part: Mapping[str, Any]) -> str:
    """Which subsets the average leaves out, as in "audio+text is audio: no training sample had text"; empty: none.

    Args:
        part: "average_incomplete" of an evaluation.
    """
    by_reason: dict[str, list[str]] = {}
    for one in part.get("left_out") or ():
        by_reason.setdefault(str(one["reason"]), []).append(_same(one["streams"], one["same_as"]))
    return "; ".join(f"{_listed(clauses)}: {reason}" for reason, clauses in by_reason.items())


def _same(streams: Sequence[str], same_as: Sequence[str]) -> str:
    return f"{'+'.join(streams)} is {'+'.join(same_as) or 'nothing'}"


def _listed(clauses: Sequence[str]) -> str:
    more = len(clauses) - MAX_NAMED
    return ", ".join(clauses[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def decimals_of(values: Sequence[float]) -> int:
    """So many that the smallest of some numbers keeps three digits, between 2 and 6."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value != 0.0]
    return min(6, max(2, 2 - math.floor(math.log10(min(sizes))))) if sizes else 3


def coverage_words(found: Mapping[str, Any] | None) -> list[str]:
    """How often intervals cover, over all criteria, with all streams and with fewer."""
    if not found or not found["subsets"]:
        return []
    share = f"Intervals of {100 * found['level']:g} % (limssr predict --interval {found['level']:g})"
    rows = [row for row in found["subsets"] if row["source"] != "none"]
    if not rows:
        return [f"{share} are the whole scale: {found['num_calibration']} validation samples are too few for them."]
    shares: dict[tuple[str, ...], list[float]] = {}
    for row in rows:
        hits = shares.setdefault(tuple(row["streams"]), [0.0, 0.0])
        hits[0], hits[1] = hits[0] + row["covered"] * row["num_samples"], hits[1] + row["num_samples"]
    most = max(shares, key=len)
    fewer = [hits / num for streams, (hits, num) in shares.items() if streams != most]
    text = f"{100 * shares[most][0] / shares[most][1]:.0f} % of the scores from {' + '.join(most)}"
    if fewer:
        ends = list(dict.fromkeys(f"{100 * share:.0f}" for share in (min(fewer), max(fewer))))
        text += f", {' to '.join(ends)} % of those from fewer streams"
    return [f"{share} cover {text}."]


def cut_words(subsets: Sequence[Mapping[str, Any]]) -> str:
    """How many predictions lie where a scale ends, as a sentence; empty where none do, or nobody counted."""
    cut: dict[str, int] = {}
    for subset in subsets:
        for criterion, metrics in (subset.get("per_criterion") or {}).items():
            cut[criterion] = cut.get(criterion, 0) + (metrics.get("num_cut") or 0)
    counts = ", ".join(f"{count} of {criterion}" for criterion, count in cut.items() if count)
    total = sum(subset["num_samples"] for subset in subsets)
    if not counts:
        return ""
    return f"Predictions at an end of the scale, where scores are cut off: {counts} (of {total} for each criterion)."


FEW_UNITS = 6
"""Groups, or performances without groups, below which an interval by leaving out each in turn says little."""


def reason_words(part: Mapping[str, Any] | None, metric: str = "spearman") -> str:
    """Why there is no number, as a sentence; empty where there is one, or nobody says."""
    reason = ((part or {}).get("reasons") or {}).get(metric)
    return f"No {metric.capitalize()} with all streams: {reason}." if reason else ""


def few_words(document: Mapping[str, Any]) -> str:
    """That intervals are made of few groups, as a sentence; empty where they are not, or an older file does not say."""
    count = document.get("num_groups")
    if document.get("resample") != "groups" or not isinstance(count, int) or count >= FEW_UNITS:
        return ""
    return (
        f"There are only {count} groups in this split: intervals leave out each in turn, and of so few they are very "
        "wide. More groups make them narrower, more performances of the same groups do not."
    )


UNEVEN = 2.0
"""So many times the span of another: a mean error of both is that of the wider scale."""


def scales_words(document: Mapping[str, Any]) -> str:
    """That mean errors mix criteria of different scales, as a sentence; empty where they do not, or nobody says."""
    scales = {name: (low, high) for name, (low, high) in (document.get("scales") or {}).items()}
    spans = [high - low for low, high in scales.values()]
    if len(spans) < 2 or max(spans) < UNEVEN * min(spans):
        return ""
    told = _listed([f"{name} {low:g} to {high:g}" for name, (low, high) in scales.items()])
    return f"MSE and MAE are means over criteria of different scales ({told}): the widest decides. R-l2 is relative."
