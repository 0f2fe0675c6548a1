"""Heat maps of what the fusion slots attend to."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm

from limssr.explain.figures.canvas import INK, Drawing, canvas
from limssr.explain.places import bin_names
from limssr.explain.reading import Read

MOST = 16.0
"""Times even attention, where the colours end."""


def draw_attention(
    reads: Mapping[tuple[str, ...], Read], names: Sequence[str], document: Mapping[str, Any], *, row: int | None = None
) -> Drawing:
    """Slot x position for every subset: averaged over the samples, or of one of them.

    Args:
        reads: Subset -> what was read.
        names: The M streams.
        document: From `attention_document`, for the sentence.
        row: Place of the one sample; None: the average.
    """
    shown = {subset: read for subset, read in reads.items() if row is None or row in read.rows_N}
    maps = {subset: _relative(read, row) for subset, read in shown.items()}
    owner = np.array(bin_names(names, next(iter(maps.values())).shape[0]))
    columns = 1 if len(maps) == 1 else 2
    lines = -(-len(maps) // columns)
    with canvas(4.6 * columns, (0.24 * len(owner[owner == "slots"]) + 0.75) * lines + 0.5) as drawn:
        axes_F = drawn.figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, (subset, weights_KP) in zip(axes_F, maps.items(), strict=False):
            image = axes.imshow(
                weights_KP, aspect="auto", cmap="cividis", norm=LogNorm(1.0 / MOST, MOST), interpolation="none"
            )
            edges = [place for place in range(1, len(owner)) if owner[place] != owner[place - 1]]
            for edge in edges:
                axes.axvline(edge - 0.5, color="white", linewidth=1.2)
            parts = list(dict.fromkeys(owner))
            middles = [np.flatnonzero(owner == part).mean() for part in parts]
            labels = [part if part in ("prompt", "slots", *subset) else f"({part})" for part in parts]
            axes.set_xticks(middles, labels, fontsize=7.5)
            axes.set_yticks(range(len(weights_KP)), [str(k + 1) for k in range(len(weights_KP))], fontsize=7.5)
            axes.set_title(" + ".join(subset), fontsize=8.5, color=INK)
            axes.grid(visible=False)
            axes.tick_params(length=0)
        for axes in axes_F[len(maps) :]:
            axes.set_visible(False)
        bar = drawn.figure.colorbar(image, ax=axes_F.tolist(), shrink=0.6)
        bar.set_label("attention, times even attention", fontsize=8)
        drawn.figure.supylabel("fusion slot", fontsize=9)
        which = "attention" if row is None else "attention-sample"
        return drawn.done(which, attention_words(document))


def _relative(read: Read, row: int | None) -> np.ndarray:
    """[K, bins] attention as a multiple of what each bin would get were it spread evenly."""
    if row is None:
        weights_KP, even_P = read.attention_NKP.mean(axis=0), read.uniform_NP.mean(axis=0)
    else:
        weights_KP, even_P = read.attention_NKP[read.rows_N == row][0], read.uniform_NP[read.rows_N == row][0]
    ratio_KP = weights_KP / np.where(even_P > 0, even_P, np.nan)
    return np.clip(ratio_KP, 1.0 / MOST, MOST)


def attention_words(document: Mapping[str, Any]) -> str:
    """What the average shows, in a sentence."""
    full = max(document["subsets"], key=lambda one: len(one["streams"]))
    shares = {part: share["value"] for part, share in full["shares"].items()}
    order = sorted(shares, key=lambda part: -shares[part])
    even = full["even_shares"]
    told = ", ".join(f"{100 * shares[part]:.0f} % (even: {100 * even[part]:.0f} %) on {_part(part)}" for part in order)
    between = full["between_slots"]["value"]
    alike = ""
    if between is not None:
        kind = (
            "nearly the same pattern"
            if between < 0.1
            else "patterns of their own"
            if between > 0.3
            else "similar patterns"
        )
        alike = f"; the slots have {kind} (distance {between:.2f} of at most 1)"
    return f"With {' + '.join(full['streams'])} the slots' attention lies {told}{alike}."


def _part(name: str) -> str:
    return {"prompt": "the prompt", "slots": "the slots themselves"}.get(name, name)
