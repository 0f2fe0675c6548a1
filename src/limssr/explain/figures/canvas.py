"""What all figures share: colours, a style, and writing them as PNG and SVG."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from limssr.report.run_figures import INK, MUTED, STYLE

__all__ = ["COLOURS", "INK", "MUTED", "Drawing", "canvas", "colour_of", "whisker"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Of the streams, in the model's order (Okabe and Ito's, which stay apart for colour-blind readers)."""
DPI = 150


@dataclass(frozen=True)
class Drawing:
    """A figure as files.

    Attributes:
        name: Of the files, without an ending.
        words: One sentence that says what to see, made from the numbers.
        png: Content of the one.
        svg: Content of the other.
    """

    name: str
    words: str
    png: bytes
    svg: bytes


class Canvas:
    """A figure that is being drawn."""

    def __init__(self, width_in: float, height_in: float) -> None:
        self.figure = Figure(figsize=(width_in, height_in), layout="constrained")

    def done(self, name: str, words: str) -> Drawing:
        """The figure as files."""
        return Drawing(name, words, self._bytes("png"), self._bytes("svg"))

    def _bytes(self, form: str) -> bytes:
        content = io.BytesIO()
        metadata = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
        self.figure.savefig(content, format=form, dpi=DPI, metadata=metadata, facecolor="white")
        return content.getvalue()


@contextmanager
def canvas(width_in: float, height_in: float) -> Iterator[Canvas]:
    """A figure in the style of all pages; no global state is left changed."""
    with matplotlib.rc_context(STYLE):
        yield Canvas(width_in, height_in)


def whisker(axes: Axes, ends: Sequence[float | None], row: float, *, scale: float = 1.0) -> None:
    """An interval as a line across a bar; nothing where there is none."""
    low, high = ends
    if low is not None and high is not None:
        axes.plot([scale * low, scale * high], [row, row], color=INK, linewidth=1.2, solid_capstyle="butt")


def colour_of(place: int) -> str:
    """The colour of a stream."""
    return COLOURS[place % len(COLOURS)]
