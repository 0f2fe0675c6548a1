"""The two tables of the report: systems under subsets, and criteria under subsets."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limssr.report.runfolder import RunFolder
from limssr.report.text import decimals_of, num_averaged, partial_words, subsets_words

# Light to dark blue, one hue: the order is readable without colour vision and in print.
_HEAT_LOW, _HEAT_HIGH = (240, 245, 250), (8, 69, 124)
_HEAT_NEGATIVE = (244, 197, 160)


MAX_HEAT_COLUMNS = 9
"""More subsets than that become rows of the heat map."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number with its interval.

    Attributes:
        text: The number, or "n/a".
        interval: "0.52 to 0.63", or what there is of an average that is n/a; empty where there is none.
        low: Where the interval starts, in percent of the shared axis; None where there is none.
        high: Where it ends.
        point: Where the number is.
        standing: "best", "open" (its interval reaches the best number) or "".
        reason: Why there is no number, or what was left out of it.
    """

    text: str
    interval: str
    low: float | None
    high: float | None
    point: float | None
    standing: str
    reason: str


@dataclass(frozen=True)
class Row:
    """One subset (or average) under every system."""

    label: str
    num_samples: str
    cells: tuple[Cell, ...]
    kind: str


@dataclass(frozen=True)
class Column:
    """One system."""

    name: str
    summary: str
    own: bool
    upper_mark: bool


@dataclass(frozen=True)
class SubsetTable:
    """Systems under subsets, with the ends of the axis that the interval marks share."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    axis: tuple[str, str]
    num_reasons: int


def label_of(streams: Sequence[str]) -> str:
    """The name of a subset for people, as in `timing + dynamics`."""
    return " + ".join(streams)


def build_subset_table(folder: RunFolder) -> SubsetTable | None:
    """Spearman of every system under every subset; None without an evaluation."""
    systems = folder.systems
    if not systems:
        return None
    records = {record["name"]: record for record in folder.run.get("references") or ()}
    columns = tuple(
        Column(
            name,
            "this run" if name == folder.system else str(records.get(name, {}).get("summary", "")),
            own=name == folder.system,
            upper_mark=records.get(name, {}).get("trained_on") == "complete",
        )
        for name in systems
    )
    rows = _rows_of(systems, columns)
    bounds = [
        bound for _, _, parts, _ in rows for part in parts for bound in (part.get("spearman"), *_interval(part))
        if bound is not None
    ]  # fmt: skip
    low = math.floor(10 * min(bounds)) / 10 if bounds else 0.0
    high = math.ceil(10 * max(bounds)) / 10 if bounds else 1.0
    high = high if high > low else low + 0.1
    built = tuple(Row(label, count, _cells(parts, columns, (low, high)), kind) for label, count, parts, kind in rows)
    num_reasons = sum(bool(cell.reason) for row in built for cell in row.cells)
    return SubsetTable(columns, built, (f"{low:.1f}", f"{high:.1f}"), num_reasons)


def build_error_rows(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """All metrics of one system, a row a subset."""
    named = [(label_of(subset["streams"]), subset, "subset") for subset in document["subsets"]]
    if len(named) > 1:
        average = (_average_label(document), document["average_incomplete"], "average")
        named.insert(-1, average)
        named[-1] = (f"{named[-1][0]} (all)", named[-1][1], "full")
    errors = {
        metric: decimals_of([part[metric] for _, part, _ in named if part.get(metric) is not None])
        for metric in ("mse", "mae", "relative_l2")
    }
    return [
        {
            "label": label,
            "kind": kind,
            **{metric: number_or_partial(part, metric, 3) for metric in ("spearman", "pearson")},
            **{metric: number_or_partial(part, metric, digits) for metric, digits in errors.items()},
        }
        for label, part, kind in named
    ]


def build_heat_map(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Spearman of every criterion under every subset, as coloured cells; None with one criterion."""
    criteria = list(document.get("criteria") or ())
    if len(criteria) < 2:
        return None
    subsets, minimum = document["subsets"], document.get("min_samples") or 0
    parts: dict[str, list[Mapping[str, Any]]] = {
        name: [subset["per_criterion"][name] for subset in subsets] for name in criteria
    }
    values = [part.get("spearman") for row in parts.values() for part in row]
    top = max(0.1, math.ceil(10 * max([value for value in values if value is not None], default=1.0)) / 10)

    def order(name: str) -> float:
        defined = [part["spearman"] for part in parts[name] if part.get("spearman") is not None]
        return -sum(defined) / len(defined) if defined else 2.0

    names, columns = sorted(criteria, key=order), [label_of(subset["streams"]) for subset in subsets]
    cells = {name: [_heat_cell(part, top, minimum) for part in parts[name]] for name in names}
    rows = [{"name": name, "cells": cells[name]} for name in names]
    first = "criterion"
    if len(columns) > MAX_HEAT_COLUMNS and len(names) < len(columns):
        # A page is higher than it is wide: many subsets become rows.
        rows = [{"name": label, "cells": [cells[name][s] for name in names]} for s, label in enumerate(columns)]
        columns, first = names, "streams"
    legend = [
        {"text": f"{share * top:.2f}", "style": _heat_style(share * top, top)} for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    num_few = sum(cell["is_few"] for row in rows for cell in row["cells"])
    return {"columns": columns, "rows": rows, "legend": legend, "first": first, "num_few": num_few}


def _heat_cell(part: Mapping[str, Any], top: float, minimum: int) -> dict[str, Any]:
    """A number, its colour, and how many performances were judged; n/a in folders of older runs."""
    value, num = part.get("spearman"), part.get("num_judged")
    reason = (part.get("reasons") or {}).get("spearman")
    told = f"n = {num if num is not None else 'n/a'}{f': {reason}' if reason else ''}"
    is_few = num is not None and 0 < num < minimum and value is not None
    return {"text": number(value, 2), "style": _heat_style(value, top), "title": told, "is_few": is_few}


def number(value: float | None, digits: int | None = None) -> str:
    """A number for people: fixed decimals, or four significant digits."""
    if value is None or not math.isfinite(value):
        return "n/a"
    if digits is not None:
        return f"{value:.{digits}f}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


def number_or_partial(part: Mapping[str, Any], metric: str, digits: int | None = None) -> str:
    """A number for people; of an average that is n/a what there is of it, as in "n/a (0.377 over 3 of 6)"."""
    text, partial = number(part.get(metric), digits), partial_words(part, metric, lambda value: number(value, digits))
    return f"{text} ({partial})" if partial else text


def _average_label(document: Mapping[str, Any]) -> str:
    return f"average of {subsets_words(num_averaged(document))}"


def _average_beside(document: Mapping[str, Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
    """The average of a system, with a remark where it is over another number of subsets than that of the run."""
    average, num = document["average_incomplete"], num_averaged(document)
    if num == num_averaged(own):
        return average
    reasons = average.get("reasons") or {}
    told = "; ".join(text for text in (f"over {subsets_words(num)}", reasons.get("spearman")) if text)
    return {**average, "reasons": {**reasons, "spearman": told}}


def _rows_of(
    systems: Mapping[str, Mapping[str, Any]], columns: Sequence[Column]
) -> list[tuple[str, str, list[Mapping[str, Any]], str]]:
    documents = [systems[column.name] for column in columns]
    own = documents[0]["subsets"]
    rows = []
    for index, subset in enumerate(own):
        parts = [_same_subset(document, subset["streams"]) for document in documents]
        kind = "full" if index == len(own) - 1 else "subset"
        rows.append((label_of(subset["streams"]), str(subset["num_samples"]), parts, kind))
    if len(own) > 1:
        averages = [_average_beside(document, documents[0]) for document in documents]
        rows.insert(-1, (_average_label(documents[0]), "", averages, "average"))
    return rows


def _same_subset(document: Mapping[str, Any], streams: Sequence[str]) -> Mapping[str, Any]:
    return next((subset for subset in document["subsets"] if subset["streams"] == streams), {})


def _cells(
    parts: Sequence[Mapping[str, Any]], columns: Sequence[Column], axis: tuple[float, float]
) -> tuple[Cell, ...]:
    compared = [
        part["spearman"] for part, column in zip(parts, columns, strict=True)
        if part.get("spearman") is not None and not column.upper_mark
    ]  # fmt: skip
    best = max(compared) if len(columns) > 1 and compared else None
    return tuple(
        _cell(part, None if column.upper_mark else best, axis) for part, column in zip(parts, columns, strict=True)
    )


def _cell(part: Mapping[str, Any], best: float | None, axis: tuple[float, float]) -> Cell:
    value, (low, high) = part.get("spearman"), _interval(part)
    reason = str((part.get("reasons") or {}).get("spearman", ""))
    if value is None:
        partial = partial_words(part, "spearman", lambda known: number(known, 3))
        return Cell(
            text="n/a", interval=partial, low=None, high=None, point=None, standing="", reason=reason or "not recorded"
        )
    standing = ""
    if best is not None:
        standing = "best" if value >= best else "open" if high is not None and high >= best else ""

    def place(at: float) -> float:
        return round(100 * (at - axis[0]) / (axis[1] - axis[0]), 2)

    if low is None or high is None:
        return Cell(
            text=number(value, 3),
            interval="",
            low=None,
            high=None,
            point=place(value),
            standing=standing,
            reason=reason,
        )
    text = f"{number(low, 2)} to {number(high, 2)}"
    return Cell(
        text=number(value, 3),
        interval=text,
        low=place(low),
        high=place(high),
        point=place(value),
        standing=standing,
        reason=reason,
    )


def _interval(part: Mapping[str, Any]) -> tuple[float | None, float | None]:
    low, high = part.get("spearman_ci") or (None, None)
    return low, high


def _heat_style(value: float | None, top: float) -> str:
    if value is None:
        return "background:#fff;color:#6b7078"
    if value < 0:
        return f"background:rgb{_HEAT_NEGATIVE};color:#22252a"
    share = min(1.0, value / top)
    colour = tuple(round(low + share * (high - low)) for low, high in zip(_HEAT_LOW, _HEAT_HIGH, strict=True))
    return f"background:rgb{colour};color:{'#fff' if share > 0.5 else '#22252a'}"
