"""Scatters of several runs under every subset."""

from collections.abc import Sequence

import numpy as np

from limssr.explain.against import Cloud
from limssr.explain.figures.canvas import MUTED, Drawing, canvas

MAX_COLUMNS = 7
MAX_POINTS = 2_000


def draw_against(clouds: Sequence[Cloud]) -> Drawing:
    """One row a run, one column a subset; colour is the error; correlation and slope in each panel."""
    runs = list(dict.fromkeys(one.run for one in clouds))
    subsets = sorted(dict.fromkeys(one.streams for one in clouds), key=lambda name: name.count("+"))[-MAX_COLUMNS:]
    place = {(one.run, one.streams): one for one in clouds}
    every = np.concatenate([one.truth_N for one in clouds])
    low, high = float(every.min()), float(every.max())
    worst = float(np.quantile(np.concatenate([np.abs(one.truth_N - one.predicted_N) for one in clouds]), 0.99)) or 1.0
    with canvas(1.65 * len(subsets) + 0.9, 1.75 * len(runs) + 0.6) as drawn:
        axes_RS = drawn.figure.subplots(len(runs), len(subsets), sharex=True, sharey=True, squeeze=False)
        for row, run in enumerate(runs):
            for column, streams in enumerate(subsets):
                axes, cloud = axes_RS[row, column], place.get((run, streams))
                axes.plot([low, high], [low, high], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
                if row == 0:
                    axes.set_title(streams.replace("+", " + "), fontsize=7.5)
                if cloud is None:
                    continue
                order = np.random.default_rng(0).permutation(len(cloud.truth_N))[:MAX_POINTS]
                truth, predicted = cloud.truth_N[order], cloud.predicted_N[order]
                axes.scatter(truth, predicted, c=np.abs(truth - predicted), s=3, cmap="cividis", vmin=0, vmax=worst,
                             linewidths=0, rasterized=True)  # fmt: skip
                found = cloud.to_dict()
                if found["pearson"] is not None:
                    told = f"r {found['pearson']:.2f}\nslope {found['slope']:.2f}"
                    axes.text(0.04, 0.97, told, transform=axes.transAxes, fontsize=7, va="top")
            axes_RS[row, 0].set_ylabel(run, fontsize=7.5)
        drawn.figure.supxlabel("given score, on the unit scale; colour: absolute error", fontsize=8.5)
        return drawn.done("scatter", _words([place[run, subsets[-1]] for run in runs if (run, subsets[-1]) in place]))


def _words(full: Sequence[Cloud]) -> str:
    parts = [one.to_dict() for one in full]
    told = ", ".join(
        f"{one['run']} r {one['pearson']:.2f} and slope {one['slope']:.2f}"
        for one in parts
        if one["pearson"] is not None
    )
    return f"With {full[0].streams.replace('+', ' + ')}: {told}; below a slope of 1 a system plays safe."
