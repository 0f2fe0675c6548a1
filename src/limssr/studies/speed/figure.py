"""The figures: ratios against their arithmetic limits, and curves of growth."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from limssr.studies.speed.results import BenchmarkReport, GrowthReport

INK, MUTED, GRID = "#22252a", "#6b7078", "#e3e5e8"
# Okabe and Ito's colours, which stay apart for colour-blind readers.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "limssr",
}
ROW_INCHES = 0.42


def draw_ratios(report: "BenchmarkReport", *, form: str) -> bytes:
    """One bar a work (times, and memory where it was measured), with quartiles and the arithmetic limit."""
    rows = [(work.title, work.ratio, work.limit) for work in report.works]
    height = 1.2 + ROW_INCHES * (len(rows) + len(report.savings))
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7.5, height), layout="constrained")
        weights = [max(len(rows), 1), len(report.savings)]
        if report.savings:
            above, below = figure.subplots(2, 1, height_ratios=weights)
            titles = [f"without {saving.title} ({saving.work})" for saving in report.savings]
            _bars(below, titles, [saving.ratio for saving in report.savings], ORANGE)
            below.set_xlabel("time without a saving / time with it")
        else:
            above = figure.subplots()
        limits = [limit.maps for _, _, limit in rows if limit is not None]
        _bars(above, [title for title, _, _ in rows], [ratio for _, ratio, _ in rows], BLUE, limits)
        for place, (_, _, limit) in enumerate(rows):
            if limit is not None:
                label = "arithmetic limit" if place == 0 else None
                above.plot([limit.maps] * 2, [place - 0.4, place + 0.4], color=INK, linewidth=1.6, label=label)
        if rows and rows[0][2] is not None:
            above.legend(loc="best")
        above.set_xlabel("time of the literal computation / time of ours")
        return _encoded(figure, form)


def draw_growth(report: "GrowthReport", *, form: str) -> bytes:
    """A panel an axis that grows: seconds and memory against it, on logarithmic scales, with fitted exponents."""
    curves = report.curves
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4.0 * max(len(curves), 1), 3.4), layout="constrained")
        panels = figure.subplots(1, max(len(curves), 1), squeeze=False)[0]
        for panel, curve in zip(panels, curves, strict=True):
            series: Mapping[str, Sequence[float | None]] = {
                point: [getattr(row, point) for row in curve.points] for point in ("step_s", "score_s", "work_bytes")
            }
            _loglog(panel, [row.value for row in curve.points], series, curve.exponents)
            panel.set_xlabel(curve.label)
        return _encoded(figure, form)


def _bars(axes: Axes, titles: Sequence[str], ratios: Sequence[Any], color: str, limits: Sequence[float] = ()) -> None:
    for place, ratio in enumerate(ratios):
        axes.barh(place, ratio.median, height=0.55, color=color, alpha=0.85)
        axes.plot([ratio.lower, ratio.upper], [place, place], color=INK, linewidth=1.0)
        axes.annotate(f" {ratio.median:.2f}×", (ratio.upper, place), va="center", color=INK)
    axes.axvline(1.0, color=MUTED, linewidth=0.8)
    axes.set_yticks(range(len(titles)), list(titles))
    axes.set_ylim(len(titles) - 0.5, -0.5)
    axes.set_xlim(0, 1.18 * max([1.0, *limits, *(ratio.upper for ratio in ratios)]))
    axes.grid(visible=False, axis="y")


def _loglog(
    axes: Axes,
    values: Sequence[float],
    series: Mapping[str, Sequence[float | None]],
    exponents: Mapping[str, float],
) -> None:
    names = {"step_s": ("training step, s", BLUE), "score_s": ("scoring a batch, s", GREEN)}
    for name, (label, color) in names.items():
        points = [(x, y) for x, y in zip(values, series[name], strict=True) if y is not None]
        if points:
            exponent = f", ~n^{exponents[name]:.2f}" if name in exponents else ""
            axes.loglog(*zip(*points, strict=True), "o-", color=color, markersize=3, label=label + exponent)
    memory = [(x, y / 2**30) for x, y in zip(values, series["work_bytes"], strict=True) if y]
    if memory:
        exponent = f", ~n^{exponents['work_bytes']:.2f}" if "work_bytes" in exponents else ""
        axes.loglog(*zip(*memory, strict=True), "s--", color=PINK, markersize=3, label="memory, GiB" + exponent)
    axes.set_xticks(list(values), [f"{value:g}" for value in values])
    axes.minorticks_off()
    axes.legend(loc="best", fontsize=7.5)


def _encoded(figure: Figure, form: str) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format=form, dpi=150, metadata={"Date": None} if form == "svg" else None)
    return content.getvalue()
