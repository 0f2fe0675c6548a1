"""Every performance that a run was tested on, for a person to read: the score given, the score predicted, the error."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from limssr.report.run_tables import number
from limssr.report.runfolder import RunFolder

FILE = "performances.csv"
MAX_SHOWN = 50
"""Rows on the page; the file has all."""


@dataclass(frozen=True, kw_only=True)
class Performance:
    """One performance, scored from all the streams that it owns.

    Attributes:
        id: Of the sample.
        streams: What it was scored from, "video+audio".
        given: Criterion -> score; NaN where it was not judged.
        predicted: Criterion -> score; NaN where the system has none.
        worst: Largest error over the criteria, as a share of the criterion's scale; -1 where there is none.
    """

    id: str
    streams: str
    given: Mapping[str, float]
    predicted: Mapping[str, float]
    worst: float


def performances(folder: RunFolder) -> list[Performance]:
    """Of the run's own system, in the order of the predictions; empty where the run has none."""
    if folder.predictions is None:
        return []
    by_id: dict[str, dict[str, dict[str, tuple[float, float]]]] = {}
    for row in folder.predictions.select(["id", "streams", "criterion", "score", "prediction"]).to_pylist():
        pair = (_value(row["score"]), _value(row["prediction"]))
        by_id.setdefault(row["id"], {}).setdefault(row["streams"], {})[row["criterion"]] = pair
    return [_performance(name, subsets, _spans(folder.run)) for name, subsets in by_id.items()]


def as_csv(listed: list[Performance]) -> bytes:
    """A line a performance: id, streams, and given, predicted and error of each criterion, in the data set's unit."""
    names = list(dict.fromkeys(name for one in listed for name in one.given))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    parts = ("given", "predicted", "error")
    writer.writerow(["id", "streams", *(f"{name} {part}" for name in names for part in parts)])
    for one in listed:
        cells = [_cell(value) for name in names for value in _triple(one, name)]
        writer.writerow([one.id, one.streams, *cells])
    return text.getvalue().encode()


def as_table(listed: list[Performance]) -> dict[str, Any] | None:
    """For the page: the performances with the largest errors first; None where there is none."""
    if not listed:
        return None
    names = list(dict.fromkeys(name for one in listed for name in one.given))
    worst = sorted(listed, key=lambda one: -one.worst)[:MAX_SHOWN]
    return {
        "criteria": names,
        "rows": [
            {
                "id": one.id,
                "streams": one.streams.replace("+", " + "),
                "cells": [
                    number(value, 2) if np.isfinite(value) else "" for name in names for value in _triple(one, name)
                ],
            }
            for one in worst
        ],
        "num": len(listed),
        "shown": len(worst),
    }


def _performance(
    name: str, subsets: Mapping[str, Mapping[str, tuple[float, float]]], spans: Mapping[str, float]
) -> Performance:
    streams = max(subsets, key=lambda one: one.count("+"))
    pairs = subsets[streams]
    errors = [abs(predicted - given) / spans.get(criterion, 1.0) for criterion, (given, predicted) in pairs.items()]
    return Performance(
        id=name,
        streams=streams,
        given={criterion: given for criterion, (given, _) in pairs.items()},
        predicted={criterion: predicted for criterion, (_, predicted) in pairs.items()},
        worst=max((error for error in errors if np.isfinite(error)), default=-1.0),
    )


def _triple(one: Performance, criterion: str) -> tuple[float, float, float]:
    given, predicted = one.given.get(criterion, np.nan), one.predicted.get(criterion, np.nan)
    return given, predicted, predicted - given


def _spans(run: Mapping[str, Any]) -> dict[str, float]:
    listed = [item for item in run.get("criteria") or () if isinstance(item, Mapping)]
    return {str(item["name"]): (float(item["high"]) - float(item["low"])) or 1.0 for item in listed}


def _value(found: float | None) -> float:
    return np.nan if found is None else float(found)


def _cell(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else ""
