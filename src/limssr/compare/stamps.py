"""What must be known before a number of a comparison is quoted: marks beside labels, and stamps above the tables."""

from collections.abc import Mapping, Sequence

from limssr.compare.about import is_fed_zeros
from limssr.compare.differences import PairedDifference
from limssr.compare.rows import CompareRow
from limssr.compare.scores import MetricName
from limssr.report.words import Stamp

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
    elif row is not against and _sees_other_data(row, against):
        marks.append("data")
    if any(entry.selection == "test" for entry in row.entries):
        marks.append("test")
    if is_fed_zeros(row.first):
        marks.append("zeros")
    return tuple(marks)


def _sees_other_data(row: CompareRow, against: CompareRow) -> bool:
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


def stamps_of(
    rows: Sequence[CompareRow],
    against: CompareRow,
    marks: Mapping[str, Sequence[str]],
    *,
    notes: Sequence[str],
    num_resamples: int,
    num_compared: int,
) -> list[Stamp]:
    """Everything that makes rows less comparable than they look.

    Args:
        rows: Of the comparison.
        against: The chosen one.
        marks: Row's label -> keys of `MARKS`.
        notes: What was left out while reading.
        num_resamples: Draws of the test performances.
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
    stamps = [
        Stamp(kind, f"{MARKS[key]} {title}", f"{names[key]}: {texts[key]}")
        for key, (kind, title) in titles.items()
        if names[key]
    ]
    stamps += _uneven(rows)
    floor = 2 / (num_resamples + 1) * num_compared
    if floor >= SURE:
        text = (
            f"With {num_resamples} resamples and Holm's correction over {num_compared} rows, the longest column, no "
            f"difference there can have p below {SURE}: give more with --resamples."
        )
        stamps.append(Stamp("note", "Too few resamples", text))
    if notes:
        stamps.append(Stamp("note", "Left out", " ".join(notes)))
    return stamps


def listed(names: Sequence[str]) -> str:
    """Names with commas, cut where they are too many to be read."""
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def _uneven(rows: Sequence[CompareRow]) -> list[Stamp]:
    """Rows that chose their epochs in another way, or have another number of seeds."""
    stamps = []
    selections: dict[str, list[str]] = {}
    seeds: dict[int, list[str]] = {}
    for row in rows:
        seeds.setdefault(len(row.entries), []).append(row.label)
        if row.first.selection is not None:
            selections.setdefault(row.first.selection, []).append(row.label)
    if len(selections) > 1:
        parts = [f"{SELECTION_WORDS.get(key, key)}: {listed(labels)}" for key, labels in selections.items()]
        stamps.append(Stamp("note", "Epochs were chosen in different ways", f"{'; '.join(parts)}."))
    if len(seeds) > 1:
        parts = [
            f"{number} seed{'s' * (number > 1)}: {listed(seeds[number])}" for number in sorted(seeds, reverse=True)
        ]
        stamps.append(Stamp("note", "Not all have as many seeds", f"{'; '.join(parts)}."))
    return stamps
