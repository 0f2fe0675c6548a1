"""A summary of a store, counted from its index: as text, figure and JSON. Features are not read."""

import io
import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table

from limssr.core.errors import InputError
from limssr.core.files import write_atomically
from limssr.core.types import SPLITS, Criterion, Modality
from limssr.data.missing import subsets
from limssr.data.store.reader import FeatureStore
from limssr.data.words.describe import WordsSummary, describe_words

NUM_BINS = 20
BARS = " ▁▂▃▄▅▆▇█"
FIGURE_KINDS = ("png", "svg", "pdf")
# Beyond this many streams only the subsets that occur are listed: 2^M - 1 rows would drown them.
MAX_LISTED_STREAMS = 4
# A label of the figure is broken after this many letters, and each takes about this much room.
LABEL_LETTERS = 36
LETTER_INCHES = 0.085


@dataclass(frozen=True, kw_only=True)
class ScoreSummary:
    """One criterion: its scale, and the judged scores in its unit.

    Attributes:
        name: Of the criterion.
        low: Of the scale.
        high: Of the scale.
        unit: Of the scale.
        scale_from: "declared", or "training scores".
        num_judged: Samples with a score.
        minimum: Of the judged scores, as the next three.
        maximum: Highest.
        mean: Average.
        deviation: Standard deviation.
        histogram: Samples in each of `NUM_BINS` bins of equal width between `bin_edges`.
        bin_edges: `NUM_BINS` + 1 edges; the scale, widened where a score lies outside it.
    """

    name: str
    low: float
    high: float
    unit: str
    scale_from: str
    num_judged: int
    minimum: float
    maximum: float
    mean: float
    deviation: float
    histogram: tuple[int, ...]
    bin_edges: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class StreamSummary:
    """One stream.

    Attributes:
        name: Of the stream.
        dim: Width D.
        num_samples: Samples that own it.
        splits: Split -> samples that own it.
        valid_share: Valid segments among the segments of the samples that own it; NaN where none does.
        words: What its texts are like; None for a stream of numbers.
    """

    name: str
    dim: int
    num_samples: int
    splits: Mapping[str, int]
    valid_share: float
    words: WordsSummary | None = None


@dataclass(frozen=True, kw_only=True)
class StoreSummary:
    """What `describe_store` found.

    Attributes:
        name: Of the data set.
        path: Of the store.
        fingerprint: Of the store.
        num_samples: All samples.
        num_groups: Named groups.
        segment_s: Length of a segment; None where unknown.
        splits: Split -> samples.
        owned: For each listed subset, the streams it holds and split -> samples that own exactly these.
        lengths: "min", "median", "max" of the number of segments.
        streams: One a stream.
        scores: One a criterion.
        availability: How the store was made incomplete; None if it never was.
        provenance: As in the store.
        decisions: What was decided on import, a sentence each.
    """

    name: str
    path: str
    fingerprint: str
    num_samples: int
    num_groups: int
    segment_s: float | None
    splits: Mapping[str, int]
    owned: tuple[tuple[tuple[str, ...], Mapping[str, int]], ...]
    lengths: Mapping[str, float]
    streams: tuple[StreamSummary, ...]
    scores: tuple[ScoreSummary, ...]
    availability: Mapping[str, Any] | None
    provenance: Mapping[str, Any]
    decisions: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; what does not exist is None."""
        document = asdict(self)
        document["owned"] = [{"streams": list(names), "samples": dict(counts)} for names, counts in self.owned]
        return _plain(document)


def describe_store(store: FeatureStore) -> StoreSummary:
    """Count what a store holds."""
    rows = store.index.to_pylist()
    names = [modality.name for modality in store.modalities]
    counts = Counter((_owned(row, names), row["split"]) for row in rows)
    listed = _listed(names, {subset for subset, _ in counts})
    lengths = np.array([row["num_segments"] for row in rows])
    return StoreSummary(
        name=store.info.name,
        path=str(store.path),
        fingerprint=store.fingerprint,
        num_samples=len(rows),
        num_groups=len({row["group"] for row in rows if row["group"]}),
        segment_s=store.info.segment_s,
        splits={split: len(store.ids(split)) for split in SPLITS},
        owned=tuple((subset, {split: counts[subset, split] for split in SPLITS}) for subset in listed),
        lengths={"min": int(lengths.min()), "median": float(np.median(lengths)), "max": int(lengths.max())},
        streams=tuple(_stream(modality, rows, store) for modality in store.modalities),
        scores=tuple(_score(criterion, rows, store) for criterion in store.criteria),
        availability=store.info.availability,
        provenance=store.info.provenance,
        decisions=tuple(store.info.decisions),
    )


def render(summary: StoreSummary) -> RenderableType:
    """The summary for a terminal."""
    segment = "" if summary.segment_s is None else f" of {summary.segment_s:g} s"
    lengths = summary.lengths
    head = (
        f"[bold]{_escaped(summary.name)}[/bold]: {summary.num_samples} samples, {summary.num_groups} groups, "
        f"{lengths['min']:g} to {lengths['max']:g} segments{segment} (median {lengths['median']:g})"
    )
    parts: list[RenderableType] = [head, _owned_table(summary), _stream_table(summary), _score_table(summary)]
    unseen = [stream.name for stream in summary.streams if stream.num_samples and not stream.splits["train"]]
    if unseen and summary.splits["train"]:
        parts.append(f"No training sample owns {_escaped(', '.join(unseen))}: nothing can learn to read it.")
    if summary.availability:
        told = ", ".join(f"{key} {_told(value)}" for key, value in summary.availability.items())
        parts.append(f"Made incomplete: {_escaped(told)}")
    parts += [f"Words of {_escaped(one.name)}: {_escaped(one.words.told())}" for one in summary.streams if one.words]
    parts += [f"note: {_escaped(decision)}" for decision in summary.decisions]
    parts.append(f"Fingerprint {summary.fingerprint[:16]}")
    return Group(*parts)


def figure(summary: StoreSummary, path: Path | str) -> None:
    """Draw who owns what, how much of each stream is valid, and the scores, into a .png, .svg or .pdf file.

    Raises:
        InputError: Another kind of file.
    """
    # Half a second to load, and only needed here.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FIGURE_KINDS:
        raise InputError(f"Expected a figure of kind .{', .'.join(FIGURE_KINDS)}, found '{path.name}': change its end.")
    rows = max(len(summary.owned), len(summary.streams), len(summary.scores), 4)
    labels = _labels(summary)
    label_inches = LETTER_INCHES * sum(max(map(len, "\n".join(panel).split("\n"))) for panel in labels)
    drawing = Figure(figsize=(9 + label_inches, 1.8 + 0.34 * rows), layout="constrained")
    owned, valid, scores = drawing.subplots(1, 3)
    _draw_owned(owned, summary, labels[0])
    _draw_valid(valid, summary, labels[1])
    _draw_scores(scores, summary, labels[2])
    for axes, columns in ((owned, 3), (valid, 1)):
        # Below its own panel, under the label of its axis.
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.9 / axes.figure.get_figheight()), ncols=columns)
        axes.get_legend().set_frame_on(False)
    drawing.suptitle(f"{summary.name}: {summary.num_samples} samples")
    buffer = io.BytesIO()
    # No date and no random names: the same store gives the same picture.
    with rc_context({"svg.hashsalt": "limssr"}):
        drawing.savefig(buffer, format=kind, dpi=150, metadata=_undated(kind))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())


def _listed(names: list[str], occurring: set[tuple[str, ...]]) -> list[tuple[str, ...]]:
    if len(names) <= MAX_LISTED_STREAMS:
        return list(subsets(names))
    return sorted(occurring, key=lambda subset: (len(subset), [names.index(name) for name in subset]))


def _owned(row: Mapping[str, Any], names: list[str]) -> tuple[str, ...]:
    return tuple(name for name in names if row[f"valid:{name}"] is not None)


def _stream(modality: Modality, rows: list[dict[str, Any]], store: FeatureStore) -> StreamSummary:
    name = modality.name
    owners = [row for row in rows if row[f"valid:{name}"] is not None]
    total = sum(row["num_segments"] for row in owners)
    valid = sum(row[f"valid:{name}"] for row in owners)
    splits = {split: sum(row["split"] == split for row in owners) for split in SPLITS}
    said = [words[name] for words in store.words.values() if name in words] if modality.words else []
    words = describe_words(said, modality.words) if modality.words else None
    return StreamSummary(
        name=name,
        dim=modality.dim,
        num_samples=len(owners),
        splits=splits,
        valid_share=valid / total if total else float("nan"),
        words=words,
    )


def _score(criterion: Criterion, rows: list[dict[str, Any]], store: FeatureStore) -> ScoreSummary:
    given = [row[f"score:{criterion.name}"] for row in rows]
    scores = np.array([score for score in given if score is not None], dtype=np.float64)
    span = (float(scores.min(initial=criterion.low)), float(scores.max(initial=criterion.high)))
    histogram, edges = np.histogram(scores, bins=NUM_BINS, range=span)
    low, high, mean, deviation = (
        (scores.min(), scores.max(), scores.mean(), scores.std()) if scores.size else (float("nan"),) * 4
    )
    return ScoreSummary(
        name=criterion.name,
        low=criterion.low,
        high=criterion.high,
        unit=criterion.unit,
        scale_from="training scores" if criterion.name in store.info.derived_scales else "declared",
        num_judged=int(scores.size),
        minimum=float(low),
        maximum=float(high),
        mean=float(mean),
        deviation=float(deviation),
        histogram=tuple(int(count) for count in histogram),
        bin_edges=tuple(float(edge) for edge in edges),
    )


def _owned_table(summary: StoreSummary) -> Table:
    table = Table("samples that own exactly", *SPLITS, "all", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for names, counts in summary.owned:
        table.add_row(_escaped(" + ".join(names)), *(str(counts[split]) for split in SPLITS), str(sum(counts.values())))
    table.add_section()
    table.add_row("all", *(str(summary.splits[split]) for split in SPLITS), str(summary.num_samples))
    return table


def _stream_table(summary: StoreSummary) -> Table:
    table = Table("stream", "width", "samples", "valid segments")
    for column in table.columns[1:]:
        column.justify = "right"
    for stream in summary.streams:
        share = "none" if np.isnan(stream.valid_share) else f"{stream.valid_share:.1%}"
        table.add_row(_escaped(stream.name), str(stream.dim), str(stream.num_samples), share)
    return table


def _score_table(summary: StoreSummary) -> Table:
    derived = any(score.scale_from != "declared" for score in summary.scores)
    note = "* scale taken from the training scores, not declared" if derived else None
    table = Table("criterion (unit)", "scale", "judged", "mean ± dev.", "over the scale", caption=note)
    # Long names are folded, so that the numbers stay whole on a narrow terminal.
    table.columns[0].overflow = "fold"
    table.columns[2].justify = "right"
    for column in table.columns[1:]:
        column.no_wrap = True
    for score in summary.scores:
        table.add_row(
            _escaped(f"{score.name} ({score.unit})"),
            f"{score.low:.4g} to {score.high:.4g}{'' if score.scale_from == 'declared' else ' *'}",
            str(score.num_judged),
            f"{score.mean:.3g} ± {score.deviation:.2g}",
            _sparkline(score.histogram),
        )
    return table


def _sparkline(counts: tuple[int, ...]) -> str:
    top = max(counts) or 1
    # A bin that holds anything shows at least the lowest bar.
    return "".join(BARS[0 if not count else max(1, round(count / top * (len(BARS) - 1)))] for count in counts)


def _labels(summary: StoreSummary) -> tuple[list[str], list[str], list[str]]:
    """The text beside the rows of the three panels; long lines are broken."""
    owned = [" + ".join(names) for names, _ in summary.owned]
    streams = [f"{stream.name} ({stream.dim})" for stream in summary.streams]
    scores = [
        f"{score.name.replace('_', ' ')} ({score.bin_edges[0]:.4g} to {score.bin_edges[-1]:.4g})"
        for score in summary.scores
    ]
    owned, streams, scores = (
        [textwrap.fill(label, LABEL_LETTERS) for label in panel] for panel in (owned, streams, scores)
    )
    return owned, streams, scores


def _draw_owned(axes: Any, summary: StoreSummary, labels: list[str]) -> None:
    left = np.zeros(len(labels))
    for split, color in zip(SPLITS, ("#4477aa", "#ccbb44", "#ee6677"), strict=True):
        counts = np.array([counts[split] for _, counts in summary.owned])
        axes.barh(labels, counts, left=left, color=color, label=split)
        left += counts
    axes.invert_yaxis()
    axes.set(title="Samples that own exactly", xlabel="samples")
    _clean(axes)


def _draw_valid(axes: Any, summary: StoreSummary, labels: list[str]) -> None:
    owned = [stream.num_samples / summary.num_samples for stream in summary.streams]
    valid = [share * np.nan_to_num(stream.valid_share) for share, stream in zip(owned, summary.streams, strict=True)]
    axes.barh(labels, owned, color="#cccccc", label="samples that own it")
    axes.barh(labels, valid, color="#228833", height=0.5, label="of it, valid segments")
    axes.invert_yaxis()
    axes.set(title="Streams (width)", xlabel="share", xlim=(0, 1))
    _clean(axes)


def _draw_scores(axes: Any, summary: StoreSummary, labels: list[str]) -> None:
    """One small histogram a criterion, stacked in one panel, each over its own scale."""
    for row, score in enumerate(summary.scores):
        heights = np.array(score.histogram) / (max(score.histogram) or 1) * 0.85
        edges = (np.array(score.bin_edges) - score.bin_edges[0]) / (score.bin_edges[-1] - score.bin_edges[0])
        axes.bar(edges[:-1], heights, width=np.diff(edges), bottom=-row, align="edge", color="#4477aa")
        axes.axhline(-row, color="#888888", linewidth=0.6)
    axes.set_yticks([0.4 - row for row in range(len(labels))], labels)
    axes.set(title="Scores over their scales", xlim=(0, 1), xticks=[0, 1])
    axes.set_xticklabels(["lowest", "highest"])
    _clean(axes)


def _clean(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0)


def _undated(kind: str) -> dict[str, None] | None:
    return {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)


def _told(value: Any) -> str:
    return " + ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _escaped(text: str) -> str:
    """Text that rich shows as it is: square brackets are its markup."""
    return text.replace("[", r"\[")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
