"""Figures of scores: what streams add, time lines of performances, coverage, what a returning stream changes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from limssr.explain.contributions import TimeContributions
from limssr.explain.figures.canvas import MUTED, Drawing, canvas, colour_of, whisker

MAX_CRITERIA = 6


def draw_shares(document: Mapping[str, Any]) -> Drawing:
    """How far each stream moves the scores, with intervals over groups."""
    names = list(document["streams"])
    sizes = [100 * (document["streams"][name]["size"]["value"] or 0.0) for name in names]
    with canvas(5.2, 0.55 * len(names) + 1.1) as drawn:
        axes = drawn.figure.add_subplot()
        for row, name in enumerate(names):
            axes.barh(row, sizes[row], color=colour_of(row), height=0.6)
            whisker(axes, document["streams"][name]["size"]["interval"], row, scale=100)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("mean size of the contribution, % of the scale")
        order = sorted(range(len(names)), key=lambda row: -sizes[row])
        told = ", ".join(f"{names[row]} by {sizes[row]:.1f} %" for row in order)
        return drawn.done("contributions", f"Streams move a score by this much of its scale on average: {told}.")


def draw_timeline(
    document: Mapping[str, Any], timed: TimeContributions, streams: Sequence[str], criteria: Sequence[str], name: str
) -> Drawing:
    """What every window of every stream adds to the score of one performance."""
    shown = list(criteria)[:MAX_CRITERIA]
    segment_s = document["segment_s"]
    scale = segment_s or 1.0
    with canvas(7.2, 1.5 * len(shown) + 0.9) as drawn:
        axes_C = drawn.figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        for axes, criterion in zip(axes_C, shown, strict=True):
            column = list(criteria).index(criterion)
            for m, stream in enumerate(timed.streams):
                lost_W = np.nan_to_num(timed.lost_MWC[m, :, column])
                edges = scale * np.append(timed.begin_W, timed.end_W[-1])
                colour = colour_of(list(streams).index(stream))
                axes.stairs(lost_W, edges, color=colour, linewidth=1.6, label=stream)
            axes.axhline(0.0, color=MUTED, linewidth=0.8)
            one = document["criteria"][criterion]
            axes.set_title(f"{criterion}: {one['score']:.3g} (mean of training {one['baseline']:.3g})", fontsize=9)
        axes_C[0].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        axes_C[-1].set_xlabel("seconds" if segment_s else "segments")
        drawn.figure.supylabel("added to the score", fontsize=9)
        return drawn.done(name, timeline_words(document, shown[0]))


def timeline_words(document: Mapping[str, Any], criterion: str) -> str:
    """The strongest stretches in words."""
    one, parts = document["criteria"][criterion], []
    for key, verb in (("helpful", "raises"), ("harmful", "lowers")):
        if one[key]:
            first = one[key][0]
            unit = "s" if "begin_s" in first else "segments"
            begin, end = (first.get(f"{edge}_s", first[edge]) for edge in ("begin", "end"))
            size = abs(first["contribution"])
            parts.append(f"{first['stream']} from {begin:g} to {end:g} {unit} {verb} {criterion} most ({size:.2g})")
    told = "; ".join(parts) or f"no stretch changes {criterion}"
    return f"{document['id']}: {told}."


def draw_coverage(document: Mapping[str, Any]) -> Drawing:
    """How often intervals hold the given scores, for every subset."""
    rows, level = document["by_subset"], document["level"]
    with canvas(5.6, 0.34 * len(rows) + 1.1) as drawn:
        axes = drawn.figure.add_subplot()
        axes.axvline(100 * level, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
        for place, row in enumerate(rows):
            low, high = row["covered"]["interval"]
            whisker(axes, (low, None if high is None else min(high, 1.0)), place, scale=100)
            axes.plot(100 * row["covered"]["value"], place, "o", color=colour_of(0), markersize=5)
        axes.set_yticks(range(len(rows)), [" + ".join(row["streams"]) for row in rows])
        axes.set_xlim(right=101.5)
        axes.invert_yaxis()
        axes.set_xlabel(f"scores inside their {100 * level:g} % interval, %")
        shares = [100 * row["covered"]["value"] for row in rows]
        told = f"Intervals meant to hold {100 * level:g} % of the scores hold {min(shares):.0f} to {max(shares):.0f} %"
        return drawn.done("coverage", f"{told}, by the streams that were shown.")


def draw_returns(rows: Sequence[Mapping[str, Any]], streams: Sequence[str]) -> Drawing:
    """How far scores move when a stream comes back, and how often in the right direction."""
    with canvas(7.4, 0.32 * len(rows) + 1.2) as drawn:
        moved, right = drawn.figure.subplots(1, 2, sharey=True)
        for place, row in enumerate(rows):
            colour = colour_of(list(streams).index(row["stream"]))
            moved.barh(place, row["moved"]["value"] or 0.0, color=colour, height=0.6)
            whisker(moved, row["moved"]["interval"], place)
            if row["right"]["value"] is not None:
                right.plot(100 * row["right"]["value"], place, "o", color=colour, markersize=5)
                whisker(right, row["right"]["interval"], place, scale=100)
            if row["right_by_chance"] is not None:
                right.plot(100 * row["right_by_chance"], place, "|", color=MUTED, markersize=10)
        moved.set_yticks(range(len(rows)), [f"{row['stream']} to {' + '.join(row['subset'])}" for row in rows])
        moved.invert_yaxis()
        moved.set_xlabel("movement, widths of the interval")
        right.set_xlabel("towards the given score, %\n(grey: by chance)")
        largest = max(rows, key=lambda row: row["moved"]["value"] or 0.0)
        share = largest["right"]["value"]
        told = "" if share is None else f", in the right direction {100 * share:.0f} % of the time"
        where = f"{largest['stream']} comes back to {' + '.join(largest['subset'])}"
        words = f"Scores move most where {where}: by {largest['moved']['value']:.2f} widths of the interval{told}."
        return drawn.done("returns", words)
