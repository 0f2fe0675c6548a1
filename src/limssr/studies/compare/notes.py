"""The description of each row of a comparison: its system and its settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from limssr.core.config import ModelConfig, StatisticsConfig
from limssr.model.backbone.families import KNOWN
from limssr.report.banners import Banner
from limssr.studies.compare.differences import PairedDifference
from limssr.studies.compare.numbers import MetricName
from limssr.studies.compare.rows import CompareRow, Entry
from limssr.systems.catalogue import hidden_values
from limssr.systems.references import REFERENCES, Strategy
from limssr.systems.table import SYSTEMS

LIMSSR = "limssr"
SEARCHED = "auto"


UNKNOWN = "unknown to this version"


UNKNOWN_OUTSIDE = "not known here"


ZEROS = ("zeros", "a zero vector")
"""How `absent` begins where absent streams are fed as zeros."""


POOLED_ABSENT: dict[Strategy, str] = {
    "per_subset": "not read: a model of its own for every subset",
    "impute": "its training mean, and a flag",
    "repeat": "its training mean, and a flag",
}


@dataclass(frozen=True, kw_only=True)
class RowDescription:
    """What a row is.

    Attributes:
        title: As tables name it.
        source: Authors' name for it, venue and year; "" for what is ours.
        absent: What stands where a stream is absent.
        hidden_losses: The losses that look at streams which a step hides.
        targets: What these look at: "re-masked", streams that the sample owns and the step hides; "complete", every
            stream of a training sample; "" where there are no such losses.
        stochastic: Whether scoring draws random numbers (seeded); None: unknown.
        checked: What it was checked against.
        adapted: What differs from its paper; "" where nothing does.
        epochs: As configured; None: a regression has none.
        epochs_run: As many as it went through, one number a seed; None where that is not recorded.
        sizes: Sizes and options that are not the declared ones; "as declared" where all are.
    """

    title: str
    source: str
    absent: str
    hidden_losses: tuple[str, ...]
    targets: Literal["", "re-masked", "complete"]
    stochastic: bool | None
    checked: str
    adapted: str
    epochs: int | None
    epochs_run: tuple[int | None, ...]
    sizes: str


OUTSIDE = RowDescription(
    title="predictions from a file",
    source="",
    absent=UNKNOWN_OUTSIDE,
    hidden_losses=(),
    targets="",
    stochastic=None,
    checked="nothing",
    adapted="",
    epochs=None,
    epochs_run=(),
    sizes=UNKNOWN_OUTSIDE,
)


def describe_row(row: CompareRow) -> RowDescription:
    """What `row` is."""
    entry = row.first
    if entry.is_outside:
        return OUTSIDE
    if not entry.is_network:
        return _describe_regression(entry)
    name, epochs_run = entry.config.model.system, tuple(_epochs_run(one) for one in row.entries)
    losses = tuple(hidden_values(name))
    return RowDescription(
        **_declared(entry, name),
        absent=absent_of(entry),
        hidden_losses=losses,
        targets="" if not losses else "complete" if entry.trained_on == "complete" else "re-masked",
        epochs=None if name == SEARCHED else entry.config.train.epochs,
        epochs_run=epochs_run,
    )


def absent_of(entry: Entry) -> str:
    """What stands where a stream is absent, in a few words."""
    model = entry.config.model
    if entry.is_outside:
        return UNKNOWN_OUTSIDE
    if not entry.is_network:
        pooled = REFERENCES[entry.system].pooled
        return POOLED_ABSENT[pooled[1]] if pooled else UNKNOWN
    if model.system == SEARCHED:
        return "each member's own"
    if model.system != LIMSSR:
        return SYSTEMS[model.system].absent if model.system in SYSTEMS else UNKNOWN
    words = {
        "placeholders": "learned placeholders",
        "zeros": "zeros for the placeholders, an ablation",
        "omitted": "nothing for the placeholders, an ablation",
    }[model.absent]
    return words if model.head == "paper" else f"{words}; for its statistics the training median, and a flag"


def is_fed_zeros(entry: Entry) -> bool:
    """Whether zeros stand where a stream is absent."""
    return absent_of(entry).startswith(ZEROS)


def _declared(entry: Entry, name: str) -> dict[str, Any]:
    """What stands in the declaration of a network, and how its sizes differ from it."""
    model = entry.config.model
    if name == LIMSSR:
        title = "LIMSSR" if model.backbone.init == "pretrained" else "LIMSSR on random weights of the language model"
        checked = "scores and a training step of the published model, at its settings"
        if model.head != "paper":
            checked += f"; its head {model.head} is ours"
        more = {"source": "the paper", "stochastic": False, "checked": checked, "adapted": ""}
        return {"title": title, **more, "sizes": _sizes_of_limssr(model)}
    if name == SEARCHED:
        chosen = str((entry.document.get("auto") or {}).get("chosen") or "")
        title = f"the best of several for this data, found by limssr auto (chosen: {chosen or UNKNOWN})"
        more = {"source": "", "stochastic": False, "checked": "by folds of whole groups", "adapted": ""}
        return {"title": title, **more, "sizes": "those of its members"}
    if name not in SYSTEMS:
        return {"title": name, "source": "", "stochastic": None, "checked": UNKNOWN, "adapted": "", "sizes": UNKNOWN}
    system = SYSTEMS[name]
    return {
        "title": system.title,
        "source": system.source,
        "stochastic": system.stochastic,
        "checked": system.checked,
        "adapted": system.changed,
        "sizes": _sizes(model),
    }


def _describe_regression(entry: Entry) -> RowDescription:
    return RowDescription(
        title=REFERENCES[entry.system].summary,
        source="",
        absent=absent_of(entry),
        hidden_losses=(),
        targets="",
        stochastic=False,
        checked="nothing: it is ours, with scikit-learn's regression",
        adapted="",
        epochs=None,
        epochs_run=(),
        sizes="as declared",
    )


def _sizes(model: ModelConfig) -> str:
    """Where a comparison system's sizes and options differ from what it declares."""
    declared = SYSTEMS[model.system]
    fields = declared.options.model_fields
    changed = [] if model.hidden is None else [f"hidden {model.hidden}"]
    for key, value in model.options.items():
        if key not in fields:
            changed.append(f"{key} {value} (not an option of this version)")
        elif value != fields[key].get_default():
            changed.append(f"{key} {value} ({fields[key].get_default()} declared)")
    if model.system == "statistics":
        default = StatisticsConfig()
        for key in ("members", "hidden"):
            now, before = getattr(model.statistics, key), getattr(default, key)
            changed += [f"{key} {now} ({before} declared)"] if now != before else []
    if not changed:
        return "as declared"
    asked = {"hidden": model.hidden, "options": dict(model.options)}
    is_small = bool(declared.small) and asked == {"hidden": None, "options": {}, **declared.small}
    return f"{'small' if is_small else 'changed'}: {', '.join(changed)}"


def _sizes_of_limssr(model: ModelConfig) -> str:
    backbone = model.backbone
    known = KNOWN.get(backbone.name)
    all_layers = known.settings["num_hidden_layers"] if known else None
    layers = "all its layers"
    if backbone.num_layers not in (None, all_layers):
        layers = f"{backbone.num_layers} of its {all_layers} layers" if all_layers else f"{backbone.num_layers} layers"
    return f"{backbone.name}, {layers}; head {model.head}"


def _epochs_run(entry: Entry) -> int | None:
    found = (entry.record if entry.is_reference else entry.document).get("epochs_run")
    return None if found is None else int(found)


def epoch_words(about: RowDescription) -> str:
    """How long it was trained: "15", or "12 to 40 of 60" where training ended early."""
    if about.epochs is None:
        return "none"
    run: Sequence[int] = [number for number in about.epochs_run if number is not None]
    if not run or set(run) == {about.epochs}:
        return str(about.epochs)
    low, high = min(run), max(run)
    return f"{low if low == high else f'{low} to {high}'} of {about.epochs}"


MARKS = {"complete": "†", "test": "‡", "data": "§", "zeros": "◊"}
"""Beside a label: trained on complete data; epoch chosen on the test split; other training data than the chosen row;
zeros where a stream is absent."""


SURE = 0.05
"""A difference counts as settled where its corrected p value is below."""


MAX_NAMES = 8
"""In a sentence; the tables name them all."""


SELECTION_WORDS = {"val": "on validation", "test": "on the test split", "last": "the last one"}


def marks_of(row: CompareRow, against: CompareRow) -> tuple[str, ...]:
    """Keys of `MARKS` for one row, seen from the chosen one."""
    marks = []
    if any(entry.trained_on == "complete" for entry in row.entries):
        marks.append("complete")
    elif (
        row is not against and not (row.first.is_outside or against.first.is_outside) and _sees_other_data(row, against)
    ):
        marks.append("data")
    if any(entry.selection == "test" for entry in row.entries):
        marks.append("test")
    if is_fed_zeros(row.first):
        marks.append("zeros")
    return tuple(marks)


def _sees_other_data(row: CompareRow, against: CompareRow) -> bool:
    if row.first.is_outside or against.first.is_outside:
        return False  # it may, and a banner says so
    mine, theirs = dict(row.first.training_data), dict(against.first.training_data)
    if None in (mine["num_val"], theirs["num_val"]):
        # One of them chooses no epoch on validation samples, which is no difference in what it learns from.
        mine["num_val"] = theirs["num_val"] = None
    return mine != theirs


def counts_of(differences: Mapping[tuple[str, str, MetricName], PairedDifference]) -> dict[tuple[str, MetricName], int]:
    """(part, metric) -> rows that have a difference there, over which Holm's correction is."""
    counts: dict[tuple[str, MetricName], int] = {}
    for (_, part, metric), one in differences.items():
        counts[part, metric] = counts.get((part, metric), 0) + (not one.reason)
    return counts


def banners_of(
    rows: Sequence[CompareRow],
    against: CompareRow,
    marks: Mapping[str, Sequence[str]],
    *,
    notes: Sequence[str],
    num_resamples: int | None,
    num_compared: int,
) -> list[Banner]:
    """Everything that makes rows less comparable than they look.

    Args:
        rows: Of the comparison.
        against: The chosen one.
        marks: Row's label -> keys of `MARKS`.
        notes: What was left out while reading.
        num_resamples: Of percentile intervals, whose p values end at 2 / (resamples + 1); None: of the others.
        num_compared: Differences that the longest column corrects for.
    """
    names = {key: ", ".join(row.label for row in rows if key in marks[row.label]) for key in MARKS}
    titles = {
        "test": ("warning", "The epoch was chosen on the test split"),
        "complete": ("note", "Trained on complete data"),
        "data": ("note", "Other training data"),
    }
    texts = {
        "test": "chosen on the very performances that are compared here, and flattered by it.",
        "complete": "trained with the streams that were taken away from the others; an upper mark. Ranked are those "
        f"that were trained like {against.label}.",
        "data": f"other training samples, or other streams of them, than {against.label} saw.",
    }
    banners = [
        Banner(kind, f"{MARKS[key]} {title}", f"{names[key]}: {texts[key]}")
        for key, (kind, title) in titles.items()
        if names[key]
    ]
    outside = [row.label for row in rows if row.first.is_outside]
    if outside:
        text = f"{listed(outside)}: read from files; what they were trained and chosen on is not known here."
        banners.append(Banner("note", "Predictions of another framework", text))
    banners += _uneven(rows)
    if num_resamples is not None and 2 / (num_resamples + 1) * num_compared >= SURE:
        text = (
            f"With {num_resamples} resamples and Holm's correction over {num_compared} rows, the longest column, no "
            f"difference there can have p below {SURE}: give more with --resamples."
        )
        banners.append(Banner("note", "Too few resamples", text))
    if notes:
        banners.append(Banner("note", "Left out", " ".join(notes)))
    return banners


def listed(names: Sequence[str]) -> str:
    """Names with commas, cut where they are too many to be read."""
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def _uneven(rows: Sequence[CompareRow]) -> list[Banner]:
    """Rows that chose their epochs in another way, or have another number of seeds."""
    banners = []
    selections: dict[str, list[str]] = {}
    seeds: dict[int, list[str]] = {}
    for row in rows:
        seeds.setdefault(len(row.entries), []).append(row.label)
        if row.first.selection is not None:
            selections.setdefault(row.first.selection, []).append(row.label)
    if len(selections) > 1:
        parts = [f"{SELECTION_WORDS.get(key, key)}: {listed(labels)}" for key, labels in selections.items()]
        banners.append(Banner("note", "Epochs were chosen in different ways", f"{'; '.join(parts)}."))
    if len(seeds) > 1:
        parts = [
            f"{number} seed{'s' * (number > 1)}: {listed(seeds[number])}" for number in sorted(seeds, reverse=True)
        ]
        banners.append(Banner("note", "Not all have as many seeds", f"{'; '.join(parts)}."))
    return banners
