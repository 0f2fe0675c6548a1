"""The figures that need axes: learning curves and scatters, as images for inlining.

No global matplotlib state is touched: figures are made from `Figure`, styles from a context.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK, MUTED, GRID = "#22252a", "#6b7078", "#e3e5e8"
# Okabe and Ito's colours, which stay apart for colour-blind readers.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ERROR_MAP = "cividis"
MAX_POINTS = 40_000
"""In all scatters of a page together: more would only darken the cloud and fatten the file."""
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "svg.fonttype": "path",
    "svg.hashsalt": "limssr",
}


@dataclass(frozen=True)
class Image:
    """A figure in a page.

    Attributes:
        source: A data URI.
        alt: What it shows, in words.
        caption: Above or below it.
        width: In CSS pixels.
        height: In CSS pixels.
    """

    source: str
    alt: str
    caption: str
    width: int
    height: int


@dataclass(frozen=True)
class Points:
    """Judged predictions of one subset, on the unit scale, all criteria together."""

    label: str
    note: str
    truth: np.ndarray
    prediction: np.ndarray


def error_curves(history: Sequence[Mapping[str, Any]], best_epoch: int | None) -> Image:
    """Error of the scores over the epochs, in training and in validation, with the kept epoch marked."""
    series = {
        "training (with dropout)": ([record.get("train_task") for record in history], BLUE, "-", None),
        "validation": ([record.get("val_loss") for record in history], ORANGE, "-", "o"),
    }
    drawn = {name: item for name, item in series.items() if any(value is not None for value in item[0])}
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes(4.4, 3.0)
        _curves(axes, history, drawn)
        axes.set_ylabel("task loss")
        if best_epoch is not None:
            _mark_epoch(axes, history, best_epoch)
        if drawn:
            figure.legend(loc="outside upper right", ncols=2)
        last = {name: next(v for v in reversed(item[0]) if v is not None) for name, item in drawn.items()}
        told = ", ".join(f"{name} ends at {value:.4g}" for name, value in last.items()) or "nothing recorded"
        kept = f"; epoch {best_epoch + 1} was kept" if best_epoch is not None else ""
        return _image(
            figure,
            f"Learning curves over {len(history)} epochs: {told}{kept}.",
            "Error of the scores, as the loss counts it",
        )


def term_curves(history: Sequence[Mapping[str, Any]]) -> Image | None:
    """The recorded terms of the training loss before weighting, on a logarithmic axis; None where there is only one."""
    names = {"train_task": "task", "train_consistency": "consistency", "train_slots": "slots"}
    styles = {"task": (BLUE, "-"), "consistency": (GREEN, "--"), "slots": (PINK, "-.")}
    series = {}
    for key, name in names.items():
        values = [record.get(key) or np.nan for record in history]  # a term of exactly zero was switched off
        if np.isfinite(values).any():
            series[name] = (values, *styles[name], None)
    if len(series) < 2:
        return None
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes(4.4, 3.0)
        _curves(axes, history, series)
        axes.set_yscale("log")
        axes.set_ylabel("term, before weighting")
        figure.legend(loc="outside upper right", ncols=3)
        told = ", ".join(f"{name} from {values[0]:.3g} to {values[-1]:.3g}" for name, (values, *_) in series.items())
        return _image(figure, f"Terms of the training loss: {told}.", "Terms of the training loss")


def scatters(panels: Sequence[Points]) -> tuple[list[Image], float]:
    """Prediction against truth for every subset, on shared axes, the absolute error as colour.

    Returns:
        One image a panel, and the absolute error that the colour scale ends at.
    """
    judged = [panel for panel in panels if len(panel.truth)]
    if not judged:
        return [], 0.0
    truth = np.concatenate([panel.truth for panel in judged])
    errors = np.abs(np.concatenate([panel.prediction - panel.truth for panel in judged]))
    low, high = np.quantile(truth, [0.002, 0.998])
    pad = 0.06 * (high - low) + 1e-6
    limits = (float(low - pad), float(high + pad))
    worst = float(np.quantile(errors, 0.99)) or 1.0
    with matplotlib.rc_context(STYLE):
        return [_scatter(panel, limits, worst, MAX_POINTS // len(judged)) for panel in judged], worst


def error_scale_css() -> str:
    """The colours of the scatters as a CSS gradient."""
    colours = matplotlib.colormaps[ERROR_MAP](np.linspace(0, 1, 9))
    return f"linear-gradient(to right, {', '.join(to_hex(colour) for colour in colours)})"


def _scatter(panel: Points, limits: tuple[float, float], worst: float, max_points: int) -> Image:
    figure = Figure(figsize=(2.7, 2.7), dpi=170, layout="constrained")
    axes = figure.add_subplot()
    order = np.random.default_rng(0).permutation(len(panel.truth))[:max_points]
    truth, prediction = panel.truth[order], panel.prediction[order]
    error = np.abs(prediction - truth)
    axes.plot(limits, limits, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    size = float(np.clip(6000 / max(1, len(order)), 3.5, 18))
    # Points beyond the axes stand at their edge: none is hidden.
    axes.scatter(
        np.clip(truth, *limits), np.clip(prediction, *limits), c=error, s=size, cmap=ERROR_MAP, vmin=0, vmax=worst,
        linewidths=0, alpha=0.75, zorder=2, clip_on=False,
    )  # fmt: skip
    axes.set(xlim=limits, ylim=limits, aspect="equal", xlabel="true", ylabel="predicted")
    axes.locator_params(nbins=4)
    # The line stands under the cloud, so the eye needs the mean of the predictions to see flattening.
    alt = (
        f"Predicted against true unit score with {panel.label}: {panel.note}; mean absolute error {error.mean():.3f}; "
        f"predictions spread {prediction.std():.3f}, true scores {truth.std():.3f}."
    )
    return _image(figure, alt, panel.label, form="png")


def _axes(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width_in, height_in), dpi=170, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel("epoch")
    axes.grid(visible=False, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure, axes


def _curves(axes: Axes, history: Sequence[Mapping[str, Any]], series: Mapping[str, tuple]) -> None:
    epochs = [record["epoch"] + 1 for record in history]
    for name, (values, colour, line, marker) in series.items():
        shown = np.array([np.nan if value is None else value for value in values], dtype=float)
        few = len(epochs) <= 40
        axes.plot(epochs, shown, line, color=colour, label=name, marker=marker if few else None, markersize=3.5)


def _mark_epoch(axes: Axes, history: Sequence[Mapping[str, Any]], best_epoch: int) -> None:
    axes.axvline(best_epoch + 1, color=INK, linewidth=1.0, linestyle=(0, (2, 2)), zorder=0)
    right = best_epoch > 0.6 * len(history)
    axes.annotate(
        f"kept: {best_epoch + 1}",
        (best_epoch + 1, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(4 if right else -4, 2),
        textcoords="offset points",
        ha="right" if right else "left",
        va="bottom",
        fontsize=8.5,
        color=INK,
    )


def _image(figure: Figure, alt: str, caption: str, *, form: Literal["svg", "png"] = "svg") -> Image:
    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
    figure.savefig(buffer, format=form, metadata=metadata)
    kind = "svg+xml" if form == "svg" else "png"
    source = f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return Image(source, alt, caption, width, height)
