"""Figures of inferred streams: similarity to true ones, clusters, recovery, sensitivity."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from limssr.explain.clusters import Cloud
from limssr.explain.figures.canvas import INK, MUTED, Drawing, canvas, colour_of, whisker

MAX_ROWS = 24


def draw_similarity(document: Mapping[str, Any], names: Sequence[str]) -> Drawing:
    """Similarity of each inferred block to the true ones: cosine and CKA, bars with intervals and floors."""
    rows = document["pairs"][:MAX_ROWS]
    height = 0.16 * sum(len(row["to"]) + 1.5 for row in rows) + 1.3
    with canvas(7.6, height) as drawn:
        axes_2 = drawn.figure.subplots(1, 2, sharey=True)
        middles = [_bars(axes_2, row, names, place) for place, row in zip(_places(rows), rows, strict=True)]
        axes_2[0].set_yticks(middles, [f"{row['stream']} from {' + '.join(row['subset'])}" for row in rows])
        axes_2[0].invert_yaxis()
        for axes, title in zip(axes_2, ("cosine", "linear CKA"), strict=True):
            axes.set_xlabel(title)
            axes.grid(visible=False, axis="y")
        for m, name in enumerate(names):
            axes_2[1].barh([np.nan], [0.0], color=colour_of(m), label=f"true {name}")
        axes_2[1].plot([], [], "|", color=INK, markersize=9, label="shuffled pairs")
        axes_2[1].plot([], [], "x", color=INK, markersize=5, label="before training")
        drawn.figure.legend(loc="outside upper center", ncols=len(names) + 2)
        return drawn.done("inferred", similarity_words(document))


def _places(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    ends = np.cumsum([len(row["to"]) + 1.5 for row in rows])
    return [0.0, *ends[:-1].tolist()]


def _bars(axes_2: Sequence[Axes], row: Mapping[str, Any], names: Sequence[str], place: float) -> float:
    own = place
    for k, (name, found) in enumerate(row["to"].items()):
        is_own = name == row["stream"]
        for axes, key in zip(axes_2, ("cosine", "cka"), strict=True):
            value = found[key]["value"]
            colour = colour_of(list(names).index(name))
            axes.barh(place + k, np.nan if value is None else value, color=colour, alpha=1.0 if is_own else 0.45)
            whisker(axes, found[key]["interval"], place + k)
            if is_own:
                floors = ((row["shuffled"][key], "|", 10), (row["untrained"][key]["value"], "x", 5))
                for floor, mark, size in floors:
                    if floor is not None:
                        axes.plot(floor, place + k, mark, color=INK, markersize=size)
        own = place + k if is_own else own
    return own


def similarity_words(document: Mapping[str, Any]) -> str:
    """How many inferred blocks pass which floor."""
    found = document["verdict"]
    num = found["num_pairs"]
    return (
        f"Of {num} inferred streams {found['nearest_to_its_own']} are nearer to their own true stream than to the "
        f"others, and {found['cka_above_shuffled']} vary with it more than shuffled pairs do, "
        f"{found['cka_above_untrained']} more than before training (by intervals over groups)."
    )


def draw_columns(
    columns: Mapping[str, np.ndarray], streams: Mapping[str, Sequence[str]], wanted: Mapping[str, str]
) -> Drawing:
    """The paper's Figure 5 (a to c): one column a sample, one row a true stream, each column adding up to 1.

    Args:
        columns: Title -> normalised similarities [N, K].
        streams: Title -> the K streams.
        wanted: Title -> the stream that was withheld.
    """
    with canvas(7.0, 0.95 * len(columns) + 0.6) as drawn:
        axes_F = drawn.figure.subplots(len(columns), 1, squeeze=False)[:, 0]
        largest = max(float(np.nanmax(values)) for values in columns.values())
        smallest = min(float(np.nanmin(values)) for values in columns.values())
        told = []
        for axes, (title, values_NK) in zip(axes_F, columns.items(), strict=True):
            image = axes.imshow(
                values_NK.T, aspect="auto", cmap="cividis", vmin=smallest, vmax=largest, interpolation="none"
            )
            names = list(streams[title])
            axes.set_yticks(
                range(len(names)), [f"{name} (withheld)" if name == wanted[title] else name for name in names]
            )
            axes.set_xticks([])
            axes.set_title(title, fontsize=9)
            axes.grid(visible=False)
            first = 100 * np.mean(values_NK.argmax(axis=1) == names.index(wanted[title]))
            told.append(f"{wanted[title]} in {first:.0f} %")
        drawn.figure.colorbar(image, ax=axes_F.tolist(), shrink=0.7).set_label(
            "similarity, columns add up to 1", fontsize=8
        )
        words = "The true stream that an inferred one is most like is its own: " + ", ".join(told) + " of the samples."
        return drawn.done("inferred-columns", words)


def draw_clusters(
    clouds: Sequence[Cloud],
    embedded: Sequence[np.ndarray],
    documents: Sequence[Mapping[str, Any]],
    names: Sequence[str],
) -> Drawing:
    """One t-SNE picture a subset, with distances of the original space in its title."""
    columns = min(4, len(clouds))
    lines = -(-len(clouds) // columns)
    with canvas(2.3 * columns, 2.45 * lines + 0.5) as drawn:
        axes_F = drawn.figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, cloud, points_NM2, document in zip(axes_F, clouds, embedded, documents, strict=False):
            for m, name in enumerate(names):
                is_shown = name in cloud.subset
                axes.scatter(
                    points_NM2[:, m, 0], points_NM2[:, m, 1], s=7, color=colour_of(m) if is_shown else "none",
                    edgecolors=colour_of(m), linewidths=0.7, marker="o" if is_shown else "^",
                )  # fmt: skip
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            title = "before the language model" if cloud.label == "raw" else cloud.label.replace("+", " + ")
            between, within = document["mean_between"], document["mean_within"]
            axes.set_title(f"{title}\nbetween {between:.2f}, within {within:.2f}", fontsize=8)
        for axes in axes_F[len(clouds) :]:
            axes.set_visible(False)
        for m, name in enumerate(names):
            axes_F[0].plot([], [], "o", color=colour_of(m), markersize=4, label=name)
        axes_F[0].plot([], [], "^", color=MUTED, markerfacecolor="none", markersize=4, label="inferred")
        drawn.figure.legend(loc="outside lower center", ncols=len(names) + 1)
        return drawn.done("clusters", clusters_words(documents))


def clusters_words(documents: Sequence[Mapping[str, Any]]) -> str:
    """Whether streams come nearer to each other, and whether by aligning or by shrinking."""
    raw, full = documents[0], max(documents[1:], key=lambda one: len(one["streams"]))
    before, after = raw["ratio"], full["ratio"]
    if before is None or after is None:
        return "A stream does not vary over samples, so distances between streams say nothing."
    nearer = "come nearer to each other" if after < before else "move apart"
    inner = full["mean_within"] / raw["mean_within"]
    spread = "shrinks" if inner < 0.8 else "grows" if inner > 1.25 else "stays about the same"
    return (
        f"Distances between streams are {before:.1f} times the spread within a stream before the language model and "
        f"{after:.1f} times after it, so streams {nearer} while their spread {spread} (to {inner:.1f} times, over the "
        "length of the vectors)."
    )


def draw_recovery(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Drawing:
    """How much of a withheld stream is read from its placeholders, and from what was shown."""
    rows = rows[:MAX_ROWS]
    marks = {"placeholders": "o", "shown_states": "s", "shown_moments": "D", "shuffled": "|"}
    words = ("its placeholders", "states of what is shown", "moments of what is shown", "placeholders of other samples")
    with canvas(6.4, 0.42 * len(rows) + 1.4) as drawn:
        axes = drawn.figure.add_subplot()
        for place, row in enumerate(rows):
            colour = colour_of(list(names).index(row["stream"]))
            for turn, (key, mark) in enumerate(marks.items()):
                value, height = row[key]["value"], place + 0.17 * (turn - 1.5)
                filled = colour if key == "placeholders" else "none"
                if value is not None:
                    shown = max(value, -0.5)
                    axes.plot(
                        shown, height, mark, color=colour if turn < 3 else MUTED, markerfacecolor=filled, markersize=5
                    )
                low, high = row[key]["interval"]
                if low is not None and turn < 3:
                    whisker(axes, (max(low, -0.5), max(high, -0.5)), height)
        axes.axvline(0.0, color=MUTED, linewidth=0.8)
        axes.set_yticks(range(len(rows)), [f"{row['stream']} from {' + '.join(row['subset'])}" for row in rows])
        axes.invert_yaxis()
        axes.set_xlabel("share of the withheld stream's moments that is read (R², groups left out)")
        for mark, label in zip(marks.values(), words, strict=True):
            axes.plot([], [], mark, color=INK, markerfacecolor=INK if mark == "o" else "none", label=label)
        drawn.figure.legend(loc="outside upper center", ncols=2)
        above = sum((row["beyond"]["interval"][0] or -1.0) > 0 for row in rows)
        below = sum((row["beyond"]["interval"][1] or 1.0) < 0 for row in rows)
        told = (
            f"Of {len(rows)} withheld streams {above} are read better from their placeholders than from the states of "
            f"what was shown, {below} worse; the others are not told apart."
        )
        return drawn.done("recovery", told)


def draw_sensitivity(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Drawing:
    """How far scores move under nonsense, by kind."""
    kinds = ("blanked", "exchanged", "noise", "swapped")
    words = (
        "placeholder blanked",
        "placeholder of another stream",
        "placeholder made noise",
        "shown stream of another sample",
    )
    with canvas(6.4, 0.34 * len(names) * len(kinds) / 2 + 1.3) as drawn:
        axes = drawn.figure.add_subplot()
        means: dict[str, float] = {}
        for turn, kind in enumerate(kinds):
            every = [one["moved"]["value"] for one in rows if one["kind"] == kind and one["moved"]["value"] is not None]
            if every:
                means[kind] = float(np.mean(every))
            for m, name in enumerate(names):
                values = [one["moved"]["value"] for one in rows if (one["kind"], one["stream"]) == (kind, name)]
                axes.barh(turn + 0.22 * (m - (len(names) - 1) / 2) / max(1, len(names) / 3.5),
                          float(np.mean(values)) if values else np.nan, height=0.2 / max(1, len(names) / 3.5),
                          color=colour_of(m), label=name if turn == 0 else None)  # fmt: skip
        axes.set_yticks(range(len(kinds)), words)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("mean movement of the score, widths of the interval")
        axes.legend(loc="upper right")
        told = ", ".join(f"{word} {means[kind]:.3f}" for kind, word in zip(kinds, words, strict=True) if kind in means)
        return drawn.done("sensitivity", f"Scores move by this many widths of their interval: {told}.")
