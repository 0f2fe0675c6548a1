"""How cost grows: with segments, streams, batch and backbone, as curves with fitted exponents."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from limssr.core.errors import InputError
from limssr.core.files import write_atomically
from limssr.core.progress import Reporter, SilentReporter
from limssr.core.runtime import environment, limited_threads
from limssr.core.timing import Spread, take_turns
from limssr.report.render import csv_text
from limssr.studies.speed.figure import draw_growth
from limssr.studies.speed.implementations import Implementation, LiteralImplementation, OurImplementation
from limssr.studies.speed.memory import measure_in_process
from limssr.studies.speed.results import LABELS, Axis, GrowthCurve, GrowthPoint, GrowthReport
from limssr.studies.speed.setup import BenchmarkOptions, build_literal, build_ours, prepare, sizes_of
from limssr.studies.speed.workloads import Workloads

GRIDS: dict[Axis, tuple[int, ...]] = {
    "segments": (32, 64, 128, 256, 512, 1024, 2048),
    "modalities": (1, 2, 3, 4, 6, 8),
    "batch_size": (1, 2, 4, 8, 16),
    "num_layers": (1, 2, 4, 8),
}


DEFAULT = BenchmarkOptions(num_layers=2, batch_size=2, repeats=3)
"""Affordable on two cores: two layers of the backbone and a batch of two."""


FIT_FROM = 0.25
"""Exponents are fitted from this share of a grid's largest value on: there constants matter least."""


def measure_growth(
    options: BenchmarkOptions = DEFAULT,
    *,
    axes: Sequence[Axis] = ("segments", "modalities", "batch_size", "num_layers"),
    grids: Mapping[Axis, Sequence[int]] | None = None,
    side: Literal["ours", "literal"] = "ours",
    memory: Sequence[Axis] = ("segments",),
    reporter: Reporter | None = None,
) -> GrowthReport:
    """Measure a training step and scoring a batch while one size grows and the others stay as in `options`.

    Args:
        options: The other sizes.
        axes: What grows, one curve each.
        grids: Sizes of an axis, where not the default ones.
        side: Whose cost.
        memory: Axes along which memory is measured too (a process a point).
        reporter: Hears what is being done.

    Raises:
        InputError: An axis with fewer than two sizes.
    """
    reporter, grids = reporter or SilentReporter(), {**GRIDS, **(grids or {})}
    curves = []
    with limited_threads(options.threads):
        for axis in axes:
            if len(set(grids[axis])) < 2:
                raise InputError(f"Expected at least two sizes of {LABELS[axis]}, found {list(grids[axis])}.")
            points = []
            for value in sorted(set(grids[axis])):
                reporter.note(f"{LABELS[axis]} = {value}")
                grown = replace(options, **{axis: value})
                peak = measure_in_process(grown, side, "step").work if axis in memory else None
                points.append(_point(grown, value, side, peak))
            curves.append(GrowthCurve(axis, LABELS[axis], side, tuple(points), _exponents(points)))
        record = environment(prepare(options).device)
    return GrowthReport(dataclasses.asdict(options), record, tuple(curves))


def fitted_exponent(values: Sequence[float], costs: Sequence[float]) -> float:
    """Slope of log(cost) against log(value) by least squares."""
    x = [math.log(value) for value in values]
    y = [math.log(cost) for cost in costs]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread


def write_growth(report: GrowthReport, folder: Path) -> list[Path]:
    """Write growth.json, growth.csv, growth.svg and growth.png; existing ones are replaced.

    Raises:
        ResourceError: The disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "growth.json": (json.dumps(report.to_dict(), indent=1, allow_nan=False) + "\n").encode(),
        "growth.csv": _csv(report).encode(),
        "growth.svg": draw_growth(report, form="svg"),
        "growth.png": draw_growth(report, form="png"),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / name for name in contents]


def _point(options: BenchmarkOptions, value: int, side: str, peak: int | None) -> GrowthPoint:
    setting = prepare(options)
    ours = build_ours(setting)
    sizes = sizes_of(setting, ours)
    chosen: Implementation = OurImplementation(setting, ours)
    if side == "literal":
        chosen = LiteralImplementation(setting, build_literal(setting, ours))
    with Workloads(setting, sizes) as workloads:
        works = {"step": workloads.task("step", chosen), "score": workloads.task("score", chosen)}
        seconds = take_turns(works, repeats=options.repeats or 3, device=setting.device)
    return GrowthPoint(value, Spread.of(seconds["step"]).median, Spread.of(seconds["score"]).median, peak)


def _exponents(points: Sequence[GrowthPoint]) -> dict[str, float]:
    upper = [point for point in points if point.value >= FIT_FROM * points[-1].value]
    upper = upper if len(upper) > 1 else list(points[-2:])
    found = {}
    for name in ("step_s", "score_s", "work_bytes"):
        costs = [getattr(point, name) for point in upper]
        if all(costs):
            found[name] = fitted_exponent([point.value for point in upper], costs)
    return found


def _csv(report: GrowthReport) -> str:
    head = ["side", "axis", "value", "step_s", "score_s", "work_bytes"]
    return csv_text(
        head,
        [[curve.side, curve.axis, *dataclasses.astuple(point)] for curve in report.curves for point in curve.points],
    )
