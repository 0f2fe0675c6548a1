"""`limssr compare`: runs and their references, on the same resampled performances."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from limssr.core.errors import InputError, unknown_name
from limssr.core.progress import Reporter
from limssr.evaluation.uncertainty import NUM_RESAMPLES, IntervalKind, Resampled, Uncertainty
from limssr.report.banners import Banner
from limssr.studies.compare.costs import Cost, CountedSample, Timing, cost_of, counted_sample, time_rows
from limssr.studies.compare.differences import PairedDifference, Ranking, paired_differences, rank_rows
from limssr.studies.compare.groups import banners_of_groups, drawn_groups, groups_of
from limssr.studies.compare.notes import MARKS, RowDescription, banners_of, counts_of, describe_row, marks_of
from limssr.studies.compare.numbers import METRICS, MetricName, Scores
from limssr.studies.compare.outside import read_outside
from limssr.studies.compare.rows import CompareRow, Entry, Which, read_rows, row_of, split_label
from limssr.studies.compare.scores import score_rows

Order = Literal["given", "score"]


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """What is asked.

    Attributes:
        runs: Run folders, or LABEL=FOLDER.
        predictions: Files of predictions of other frameworks, or LABEL=FILE; files of one label are its seeds.
        against: Label of the row that all others are compared with; None: limssr if there is one, else the first.
        references: Whether the references of the runs are rows too.
        order: Of the rows: as the runs are given, or the best Spearman over incomplete streams first.
        interval: How intervals are made; None: as the recipe of the row that all are compared with says.
        num_resamples: Of percentile intervals.
        resample: What is drawn: performances, or whole groups of them ("auto": where performances share groups);
            None: as that recipe says.
        metrics: Those that are shown; Spearman and MSE are always computed.
        min_samples: Judged samples that a criterion needs to count; None: as that recipe says.
        alpha: Level of the critical difference.
        store: Where the runs' store is now; None: where they say.
        budget: What the runs were allowed, in sentences for a banner; "" where that is not known.
    """

    runs: tuple[str, ...]
    predictions: tuple[str, ...] = ()
    against: str | None = None
    references: Which = "with"
    order: Order = "given"
    interval: IntervalKind | None = None
    num_resamples: int = NUM_RESAMPLES
    resample: Resampled | None = None
    metrics: tuple[MetricName, ...] = METRICS
    min_samples: int | None = None
    alpha: float = 0.05
    store: Path | None = None
    budget: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A finished comparison.

    Attributes:
        options: As asked.
        rows: In order.
        against: The chosen one of them.
        marks: Row's label -> keys of `MARKS`.
        banners: What must be known before a number is quoted.
        scores: Numbers of all rows.
        differences: (label, part, metric) -> difference to the chosen row.
        ranking: Average ranks.
        sample: What multiply-accumulates are counted for.
        costs: Row's label -> cost.
        timing: Of scoring; None where it was not asked for.
        about: Row's label -> what it is.
    """

    options: CompareOptions
    rows: tuple[CompareRow, ...]
    against: CompareRow
    marks: Mapping[str, tuple[str, ...]]
    banners: tuple[Banner, ...]
    scores: Scores
    differences: Mapping[tuple[str, str, MetricName], PairedDifference]
    ranking: Ranking
    sample: CountedSample
    costs: Mapping[str, Cost]
    timing: Timing | None
    about: Mapping[str, RowDescription]

    def signed(self, label: str) -> str:
        """The label with its marks: "extra-trees-complete †"."""
        return " ".join([label, *(MARKS[mark] for mark in self.marks[label])])


def compare_runs(
    options: CompareOptions, *, rounds: int = 0, device: str = "auto", reporter: Reporter | None = None
) -> Comparison:
    """Compare.

    Args:
        options: What is asked.
        rounds: In which scoring is timed; 0: it is not.
        device: To time scoring on; see `limssr.core.runtime.choose_device`.
        reporter: Is told of the progress.

    Raises:
        InputError: The runs cannot be compared, no row is called as asked, a number is out of range, the named store
            is that of no run, or nothing can be timed.
        ArtifactError: A run folder is damaged.
    """
    if options.num_resamples < 100:
        raise InputError(f"Expected at least 100 resamples, found {options.num_resamples}.")
    if not 0.0 < options.alpha < 1.0:
        raise InputError(f"Expected a level between 0 and 1, found {options.alpha}.")
    found = read_rows(options.runs, references=options.references, alone=bool(options.predictions))
    rows = (*found.rows, *_outside_rows(options.predictions, found.rows))
    against = _chosen(rows, options.against)
    _check_store(rows, options.store)
    groups, recipe = groups_of(against.first, options.store), against.first.config.evaluation
    resample = options.resample or recipe.resample
    uncertainty = Uncertainty(
        len(against.first.answers.ids),
        options.interval or recipe.interval,
        drawn_groups(groups, resample),
        options.num_resamples,
    )
    # What is not possible is said before the minutes that scoring takes.
    timing = None
    if rounds:
        timing = time_rows(rows, against, rounds=rounds, store=options.store, device=device, reporter=reporter)
    scores = score_rows(
        rows,
        uncertainty,
        min_samples=options.min_samples or recipe.min_samples,
        metrics=options.metrics,
        reporter=reporter,
    )
    if options.order == "score":
        rows = _best_first(rows, scores)
    sample = counted_sample(against.first, options.store)
    marks = {row.label: marks_of(row, against) for row in rows}
    differences = paired_differences([row.label for row in rows], scores, against.label)
    banners = banners_of(
        rows,
        against,
        marks,
        notes=(*found.notes, *_not_counted(scores)),
        num_resamples=options.num_resamples if uncertainty.kind == "percentile" else None,
        num_compared=max(counts_of(differences).values(), default=0),
    )
    if options.budget:
        banners.append(Banner("note", "Budget", options.budget))
    return Comparison(
        options=options,
        rows=rows,
        against=against,
        marks=marks,
        banners=_warnings_first((*banners_of_groups(groups, resample), *banners)),
        scores=scores,
        differences=differences,
        ranking=rank_rows(rows, scores, against, alpha=options.alpha),
        sample=sample,
        costs={row.label: cost_of(row, sample, options.store) for row in rows},
        timing=timing,
        about={row.label: describe_row(row) for row in rows},
    )


def _warnings_first(banners: Sequence[Banner]) -> tuple[Banner, ...]:
    return tuple(sorted(banners, key=lambda banner: banner.kind != "warning"))


def _outside_rows(words: Sequence[str], rows: Sequence[CompareRow]) -> list[CompareRow]:
    """A row for each label of the files; files of one label are its seeds, numbered from 0."""
    entries: dict[str, list[Entry]] = {}
    for word in words:
        label, path = split_label(word)
        same = entries.setdefault(label or path.stem, [])
        same.append(read_outside(word, rows[0].first, seed=len(same)))
    taken = [row.label for row in rows]
    return [row_of(same, taken) for same in entries.values()]


def _check_store(rows: Sequence[CompareRow], store: Path | None) -> None:
    """Refuse a store that was named and holds the compared samples of no run; nobody names one for nothing."""
    if store is None:
        return
    reasons: list[str] = []
    for entry in {entry.run: entry for row in rows for entry in row.entries if not entry.is_outside}.values():
        sample = counted_sample(entry, store)
        if sample.num_segments is not None:
            return
        reasons.append(sample.reason)
    raise InputError(
        f"Expected at --store the feature store that the runs were trained on, found none: {reasons[0].rstrip('.')}. "
        "Give its folder, or leave --store out."
    )


def _best_first(rows: Sequence[CompareRow], scores: Scores) -> tuple[CompareRow, ...]:
    """By the first number of the table; rows without it last, by what they have of it."""

    def place(row: CompareRow) -> tuple[bool, float]:
        number = scores.numbers[row.label, scores.parts[0], "spearman"]
        known = number.value if number.is_defined else number.partial
        return not number.is_defined, -known if math.isfinite(known) else math.inf

    return tuple(sorted(rows, key=place))


def _not_counted(scores: Scores) -> tuple[str, ...]:
    notes = []
    if scores.same_as:
        same = ", ".join(f"{name} is {other or 'nothing'}" for name, other in scores.same_as.items())
        notes.append(f"{same}, as no training sample had the rest: averages and ranks count what is read once.")
    if not scores.unanswered:
        return tuple(notes)
    return (
        *notes,
        f"{', '.join(scores.unanswered)}: no system has a prediction, so averages and ranks do without it.",
    )


def _chosen(rows: Sequence[CompareRow], wanted: str | None) -> CompareRow:
    if wanted is None:
        return next((row for row in rows if row.first.system == "limssr" and not row.first.is_reference), rows[0])
    matching = [row for row in rows if row.label == wanted] or [row for row in rows if row.first.system == wanted]
    if not matching:
        raise unknown_name("row", wanted, [row.label for row in rows])
    if len(matching) > 1:
        raise InputError(
            f"Expected one row to compare with, found {len(matching)} called {wanted!r}: give one of "
            f"{', '.join(row.label for row in matching)}."
        )
    return matching[0]
