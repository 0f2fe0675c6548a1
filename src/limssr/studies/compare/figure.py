"""The critical-difference diagram: average ranks on an axis, bars over systems that are not told apart."""

import io
from collections.abc import Sequence
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from limssr.evaluation.significance import RankTest, indistinct_groups

INK, MUTED, BLUE = "#22252a", "#6b7078", "#0072B2"
MAX_LABEL = 34
WIDE_INCHES, NARROW_INCHES, MIN_AXIS_INCHES = 7.5, 3.7, 3.0
CHARACTER_INCHES = 0.084
"""Of the bold labels, a little generous."""
_STYLE: dict[Any, Any] = {"font.size": 9, "svg.fonttype": "path", "svg.hashsalt": "limssr"}


def draw_critical_difference(
    labels: Sequence[str],
    test: RankTest,
    *,
    chosen: str,
    shape: Literal["wide", "narrow"] = "wide",
    form: Literal["svg", "png"] = "svg",
) -> bytes:
    """Draw the diagram.

    Args:
        labels: Systems, in the order of `test.average_ranks`; at least two.
        test: Their ranks.
        chosen: The label that is marked.
        shape: "wide" is the classical one, with labels on both sides; "narrow", for a phone, has a line a
            system, without its rank.
        form: Of the file.
    """
    with matplotlib.rc_context(_STYLE):
        drawn = _wide(labels, test, chosen) if shape == "wide" else _narrow(labels, test, chosen)
        content = io.BytesIO()
        drawn.savefig(content, format=form, dpi=150, metadata={"Date": None} if form == "svg" else None)
        return content.getvalue()


def figure_words(labels: Sequence[str], test: RankTest) -> str:
    """The diagram in words, for who cannot see it."""
    order = sorted(range(len(labels)), key=lambda place: test.average_ranks[place])
    ranks = ", ".join(f"{labels[place]} {test.average_ranks[place]:.2f}" for place in order)
    return f"Average ranks, best first: {ranks}. Critical difference {test.critical_difference:.2f}."


def _ordered(labels: Sequence[str], test: RankTest) -> tuple[list[str], list[float], list[tuple[int, int]]]:
    """Labels and ranks, best first, and for every group the places of its first and last."""
    order = sorted(range(len(labels)), key=lambda place: (test.average_ranks[place], place))
    place_of = {system: place for place, system in enumerate(order)}
    groups = indistinct_groups(test.average_ranks, test.critical_difference)
    spans = [(place_of[group[0]], place_of[group[-1]]) for group in groups]
    return [_shortened(labels[place]) for place in order], [test.average_ranks[place] for place in order], spans


def _wide(labels: Sequence[str], test: RankTest, chosen: str) -> Figure:
    names, ranks, spans = _ordered(labels, test)
    number = len(names)
    num_left = (number + 1) // 2
    levels = _levels(spans)
    bar_gap, line_gap = 0.22, 0.42
    first_line = 0.42 + bar_gap * (max(levels, default=-1) + 1)
    depth = first_line + line_gap * (num_left - 0.5)
    top = 1.15
    label_inches = CHARACTER_INCHES * (max(map(len, names)) + 8)
    inches = max(WIDE_INCHES, 2 * label_inches + MIN_AXIS_INCHES)
    figure = Figure(figsize=(inches, (depth + top) * 0.62))
    axes = _bare(figure)
    reach = label_inches / (inches - 2 * label_inches) * (number - 1)
    axes.set_xlim(1 - reach, number + reach)
    axes.set_ylim(-depth, top)
    _axis(axes, number)
    _bracket(axes, test.critical_difference, 1.0, 0.8)
    for place, (name, rank) in enumerate(zip(names, ranks, strict=True)):
        is_left = place < num_left
        level = place if is_left else number - 1 - place
        y = -(first_line + line_gap * level)
        edge = 1 - 0.06 * reach if is_left else number + 0.06 * reach
        color = BLUE if name == _shortened(chosen) else INK
        axes.plot([rank, rank, edge], [0, y, y], color=color, linewidth=0.9, solid_joinstyle="miter")
        axes.plot(rank, 0, "o", color=color, markersize=4, zorder=3)
        text = f"{name}  {rank:.2f}" if is_left else f"{rank:.2f}  {name}"
        side, weight = ("right" if is_left else "left"), ("bold" if color == BLUE else "normal")
        shift = -0.03 * reach if is_left else 0.03 * reach
        axes.text(edge + shift, y, text, ha=side, va="center", color=color, fontweight=weight)
    for level, (start, end) in zip(levels, spans, strict=True):
        y = -(0.28 + bar_gap * level)
        axes.plot([ranks[start], ranks[end]], [y, y], color=INK, linewidth=3.2, solid_capstyle="round", zorder=4)
    return figure


def _narrow(labels: Sequence[str], test: RankTest, chosen: str) -> Figure:
    names, ranks, spans = _ordered(labels, test)
    number, levels = len(names), _levels(spans)
    depth, top = number * 1.0 + 0.2, 2.1
    # A label is next to its dot, on the side with more room: that is at least half of the axis.
    inches = max(NARROW_INCHES, 1.9 * CHARACTER_INCHES * (max(map(len, names)) + 1) + 0.4)
    figure = Figure(figsize=(inches, (depth + top) * 0.27))
    axes = _bare(figure)
    columns = max(levels, default=-1) + 1
    width = number - 1
    bar_gap = 0.035 * width
    axes.set_xlim(1 - 0.07 * width - bar_gap * (columns + 0.5), number + 0.05 * width)
    axes.set_ylim(-depth, top)
    _axis(axes, number)
    _bracket(axes, test.critical_difference, 1.0, 1.35)
    for place, (name, rank) in enumerate(zip(names, ranks, strict=True)):
        y = -(place + 0.7)
        color = BLUE if name == _shortened(chosen) else INK
        axes.plot([rank, rank], [0, y], color="#cfd3d8", linewidth=0.7, zorder=1)
        axes.plot(rank, y, "o", color=color, markersize=4.5, zorder=3)
        is_right = rank < (1 + number) / 2
        axes.text(
            rank + (0.03 if is_right else -0.03) * width,
            y,
            name,
            ha="left" if is_right else "right",
            va="center",
            color=color,
            fontweight="bold" if color == BLUE else "normal",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
            zorder=2,
        )
    for level, (start, end) in zip(levels, spans, strict=True):
        x = 1 - 0.07 * width - bar_gap * level
        ends = [-(start + 0.45), -(end + 0.95)]
        axes.plot([x, x], ends, color=INK, linewidth=3.0, solid_capstyle="round", zorder=4)
    return figure


def _bare(figure: Figure) -> Axes:
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    return axes


def _axis(axes: Axes, number: int) -> None:
    """The line from 1 to K with its ticks; ranks stand above it."""
    axes.plot([1, number], [0, 0], color=INK, linewidth=1.2)
    step = 1 if number <= 12 else 2 if number <= 24 else 5
    for rank in [*range(1, number - step + 1, step), number]:
        axes.plot([rank, rank], [0, 0.12], color=INK, linewidth=1.2)
        axes.text(rank, 0.18, str(rank), ha="center", va="bottom", color=MUTED, fontsize=8)


def _bracket(axes: Axes, difference: float, left: float, y: float) -> None:
    """How wide the critical difference is."""
    axes.plot([left, left + difference], [y, y], color=MUTED, linewidth=1.4)
    for x in (left, left + difference):
        axes.plot([x, x], [y - 0.09, y + 0.09], color=MUTED, linewidth=1.4)
    axes.text(
        left + difference,
        y,
        f"  critical difference {difference:.2f}",
        ha="left",
        va="center",
        color=MUTED,
        fontsize=8,
    )


def _levels(spans: Sequence[tuple[int, int]]) -> list[int]:
    """Bars that share a system stand on different levels."""
    ends: list[int] = []
    levels = []
    for start, end in spans:
        level = next((level for level, last in enumerate(ends) if last < start), len(ends))
        ends[level : level + 1] = [end]
        levels.append(level)
    return levels


def _shortened(label: str) -> str:
    return label if len(label) <= MAX_LABEL else label[: MAX_LABEL - 1] + "…"
