"""A comparison as tables for people."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from limssr.evaluation.resampling import fisher_mean_rows
from limssr.evaluation.significance import MIN_SYSTEMS
from limssr.report.table import NONE, Axis, Cell, Row, Span, Table, upright
from limssr.report.text import decimals_of, duration
from limssr.studies.compare.cost_tables import cost_table, description_table
from limssr.studies.compare.differences import PairedDifference
from limssr.studies.compare.notes import MARKS, SURE, counts_of
from limssr.studies.compare.numbers import CORRELATIONS, INCOMPLETE, MetricName, Number
from limssr.studies.compare.run import Comparison

TITLES: dict[MetricName, str] = {
    "spearman": "Spearman's correlation: higher is better",
    "pearson": "Pearson's correlation: higher is better",
    "mse": "Mean squared error: lower is better",
    "mae": "Mean absolute error: lower is better",
    "relative_l2": "Relative L2 error (times 100): lower is better",
}
SHORT: dict[MetricName, str] = {
    "spearman": "Spearman",
    "pearson": "Pearson",
    "mse": "MSE",
    "mae": "MAE",
    "relative_l2": "R-l2",
}


def all_tables(found: Comparison) -> tuple[Table, ...]:
    """Scores, differences, scores by criterion, ranks, costs, and what each row is."""
    scores = [_score_table(found, metric) for metric in found.options.metrics]
    last = (_rank_table(found), cost_table(found), description_table(found))
    return (*scores, _difference_table(found), *criterion_tables(found), *last)


def stream_codes(streams: Sequence[str]) -> dict[str, str]:
    """Stream -> its shortest beginning that no other stream has: timing, tempo, pedal are TI, TE and P."""
    codes = {}
    for name in streams:
        others = [other.upper() for other in streams if other != name]
        length = next(
            (n for n in range(1, len(name) + 1) if not any(o.startswith(name[:n].upper()) for o in others)), len(name)
        )
        codes[name] = name[:length].upper()
    return codes


def _decimals(found: Comparison, metric: MetricName) -> int:
    errors = [number.value for (_, _, name), number in found.scores.numbers.items() if name == metric]
    return 3 if metric in CORRELATIONS else decimals_of(errors)


def _score_table(found: Comparison, metric: MetricName) -> Table:
    scores, parts = found.scores, found.scores.parts
    numbers = {(row.label, part): scores.numbers[row.label, part, metric] for row in found.rows for part in parts}
    decimals = _decimals(found, metric)
    best = {part: _best(found, part, metric) for part in parts}
    axis = _axis([(one.low, one.value, one.high) for one in numbers.values()])
    rows = tuple(
        Row(
            found.signed(row.label),
            tuple(_score_cell(numbers[row.label, part], decimals, row.label in best[part], axis) for part in parts),
            "chosen" if row is found.against else "",
        )
        for row in found.rows
    )
    short, long = _part_heads(found)
    counts = tuple(f"n = {scores.num_samples[part]}" if part in scores.num_samples else "" for part in parts)
    over = f"mean over {len(scores.criteria)} criteria, " if len(scores.criteria) > 1 else ""
    how = "by Fisher's z, so is the average over subsets" if metric in CORRELATIONS else "plain means"
    hint = (
        f"{over}{how}. ± is the standard deviation over seeds; below, the 95 % interval "
        f"{scores.uncertainty.words}, seeds averaged. Incomplete: all subsets that lack a stream."
    )
    codes = stream_codes(scores.full.split("+"))
    legend = "Streams: " + ", ".join(f"{code} {name}" for name, code in codes.items()) + "."
    notes = (legend, *_mark_notes(found), *_gap_notes(found, metric))
    table = Table(
        key=metric,
        title=TITLES[metric],
        hint=hint[0].upper() + hint[1:],
        columns=short,
        long_columns=long,
        small_columns=counts,
        rows=rows,
        notes=notes,
    )
    return upright(table, first="streams")


def _part_heads(found: Comparison) -> tuple[tuple[str, ...], tuple[str, ...]]:
    codes = stream_codes(found.scores.full.split("+"))
    short, long = [], []
    for part in found.scores.parts:
        if part == INCOMPLETE:
            short.append("incomplete")
            long.append("average of incomplete")
        elif part == found.scores.full:
            short.append("all")
            long.append("all streams")
        else:
            short.append("+".join(codes[name] for name in part.split("+")))
            long.append(part.replace("+", " + "))
    return tuple(short), tuple(long)


def _best(found: Comparison, part: str, metric: MetricName) -> set[str]:
    """Labels of the best among those trained like the chosen row, less those whose epoch the test split chose."""
    values = {
        row.label: found.scores.numbers[row.label, part, metric].value
        for row in found.rows
        if row.first.trained_on == found.against.first.trained_on and not _is_flattered(found, row.label)
    }
    defined = [value for value in values.values() if not math.isnan(value)]
    if len(defined) < 2:
        return set()
    top = max(defined) if metric in CORRELATIONS else min(defined)
    return {label for label, value in values.items() if value == top}


def _is_flattered(found: Comparison, label: str) -> bool:
    """Whether its epoch was chosen on the test split: such a row is never the best."""
    return "test" in found.marks[label]


def _axis(spans: Sequence[Span], *, with_zero: bool = False) -> Axis | None:
    """One axis for all cells of a table, or of a metric in it; zero in its middle where differences are drawn."""
    values = [value for span in spans if not any(map(math.isnan, span)) for value in span]
    if with_zero:
        reach = max(map(abs, values), default=0.0)
        return (-reach, reach) if reach else None
    return (min(values), max(values)) if values and max(values) > min(values) else None


def _drawn(low: float, value: float, high: float) -> Span | None:
    return None if any(map(math.isnan, (low, value, high))) else (low, value, high)


def _score_cell(number: Number, decimals: int, is_best: bool, axis: Axis | None) -> Cell:
    if not number.is_defined:
        if math.isnan(number.partial):
            return NONE
        partial = f"{number.partial:.{decimals}f} over {number.num_partial} of {number.num_subsets}"
        return Cell("n/a", (partial,), "none")
    text = f"{number.value:.{decimals}f}"
    if not math.isnan(number.sd):
        text += f" ± {number.sd:.{decimals}f}"
    interval = _interval(number.low, number.high, decimals)
    span = _drawn(number.low, number.value, number.high)
    return Cell(text, (interval,) if interval else (), "best" if is_best else "", span, axis)


def _interval(low: float, high: float, decimals: int, sign: Literal["", "+"] = "") -> str:
    return "" if math.isnan(low) else f"[{low:{sign}.{decimals}f}, {high:{sign}.{decimals}f}]"


def _mark_notes(found: Comparison) -> tuple[str, ...]:
    words = {
        "complete": "trained on complete data, no contestant.",
        "test": "epoch chosen on the test split, flattered; never marked best.",
        "data": f"other training data than {found.against.label}.",
        "zeros": "zeros are fed where a stream is absent; “What each row is” says whose choice that is.",
    }
    used = {mark for marks in found.marks.values() for mark in marks}
    return tuple(f"{MARKS[mark]} {text}" for mark, text in words.items() if mark in used)


def _gap_notes(found: Comparison, metric: MetricName) -> tuple[str, ...]:
    """Why numbers are missing: one line a row and reason, subsets together."""
    gaps: dict[tuple[str, str], list[str]] = {}
    for row in found.rows:
        for part in found.scores.parts:
            number = found.scores.numbers[row.label, part, metric]
            if number.reason and part != INCOMPLETE:
                gaps.setdefault((row.label, number.reason), []).append(part)
    return tuple(f"n/a, {label}, {', '.join(parts)}: {reason}." for (label, reason), parts in gaps.items())


def _difference_table(found: Comparison) -> Table:
    scores = found.scores
    keys: list[tuple[str, MetricName]] = [
        (part, metric) for metric in found.options.metrics for part in scores.main_parts
    ]
    words = {INCOMPLETE: "incomplete", scores.full: "all streams"}
    decimals: dict[MetricName, int] = {metric: _decimals(found, metric) for metric in found.options.metrics}
    floor = 2 / (scores.uncertainty.num_resamples + 1) if scores.uncertainty.kind == "percentile" else 0.0
    axes = {
        metric: _axis(
            [(one.low, one.value, one.high) for (_, _, name), one in found.differences.items() if name == metric],
            with_zero=True,
        )
        for metric in found.options.metrics
    }
    rows = tuple(
        Row(
            found.signed(row.label),
            tuple(
                _difference_cell(found.differences[row.label, part, metric], decimals[metric], floor, axes[metric])
                for part, metric in keys
            ),
        )
        for row in found.rows
        if row is not found.against
    )
    counts = counts_of(found.differences)
    small = tuple(f"{number} row{'s' * (number != 1)}" for number in (counts.get(key, 0) for key in keys))
    hint = (
        f"Each row minus {found.against.label}: positive is better for correlations, negative for errors. Below, "
        f"the 95 % interval {scores.uncertainty.words}, the same for both; and p of the same draws, after Holm's "
        "correction over the rows that have a number in that column (so many stand at its head); set off where it is "
        f"below {SURE}. "
        "It says how sure the difference is for performances like these given these trainings; what another "
        "training would do, the deviation over seeds says."
    )
    heads = tuple(f"{SHORT[metric]}, {words[part]}" for part, metric in keys)
    reasons = dict.fromkeys(one.reason for one in found.differences.values() if one.reason)
    notes = (*_mark_notes(found), *(f"n/a: {reason}." for reason in reasons))
    title = f"Paired differences to {found.against.label}"
    return Table(key="differences", title=title, hint=hint, columns=heads, small_columns=small, rows=rows, notes=notes)


def _difference_cell(one: PairedDifference, decimals: int, floor: float, axis: Axis | None) -> Cell:
    if one.reason:
        return NONE
    sign = "≤" if one.p_value <= floor * (1 + 1e-9) else "="
    p = f"p {sign} {one.adjusted_p:.3f}" if one.adjusted_p >= 0.001 else "p < 0.001"
    interval = _interval(one.low, one.high, decimals, "+")
    small = (interval, p) if interval else (p,)
    kind = "best" if one.adjusted_p < SURE else ""
    return Cell(f"{one.value:+.{decimals}f}", small, kind, _drawn(one.low, one.value, one.high), axis)


def criterion_tables(found: Comparison) -> tuple[Table, ...]:
    """Every metric by criterion: the average over the incomplete subsets, and all streams; none with one criterion."""
    scores = found.scores
    if len(scores.criteria) < 2:
        return ()
    tables = []
    for metric in found.options.metrics:
        for part in scores.main_parts:
            places = [
                scores.subsets.index(name) for name in (scores.averaged if part == INCOMPLETE else (scores.full,))
            ]
            values = {row.label: _by_criterion(found, row.label, metric, places) for row in found.rows}
            decimals = 3 if metric in CORRELATIONS else decimals_of([one for each in values.values() for one in each])
            rows = tuple(
                Row(
                    found.signed(row.label),
                    tuple(NONE if math.isnan(one) else Cell(f"{one:.{decimals}f}") for one in values[row.label]),
                    "chosen" if row is found.against else "",
                )
                for row in found.rows
            )
            fewest = scores.num_judged_SC[places].min(axis=0) if places else scores.num_judged_SC[-1]
            how = "Fisher's mean" if metric in CORRELATIONS else "plain mean"
            is_average = part == INCOMPLETE
            over = f"{how} over {len(places)} incomplete subsets" if is_average else "all streams"
            fewest_words = ", the fewest of these subsets" if is_average else ""
            hint = (
                f"{over[0].upper()}{over[1:]}; n is the number of judged performances{fewest_words}. "
                f"A criterion with fewer than {scores.minimum} in a subset does not count in its mean."
            )
            table = Table(
                key=f"{metric}-{'incomplete' if part == INCOMPLETE else 'all'}-by-criterion",
                title=f"{SHORT[metric]} by criterion, {'incomplete streams' if part == INCOMPLETE else 'all streams'}",
                hint=hint,
                columns=scores.criteria,
                small_columns=tuple(f"n = {number}" for number in fewest),
                rows=rows,
            )
            tables.append(upright(table, first="criterion"))
    return tuple(tables)


def _by_criterion(found: Comparison, label: str, metric: MetricName, places: Sequence[int]) -> list[float]:
    values_SC = found.scores.by_criterion[label, metric][places]
    if not len(values_SC):
        return [math.nan] * len(found.scores.criteria)
    if metric in CORRELATIONS:
        return [float(one) for one in _fisher(values_SC)]
    return [float(one) for one in values_SC.mean(axis=0)]


def _fisher(values_SC: np.ndarray) -> np.ndarray:
    """A criterion that lacks a subset has no mean."""
    means_C = fisher_mean_rows(values_SC.T)
    return np.where(np.isnan(values_SC).any(axis=0), np.nan, means_C)


def main_table(found: Comparison) -> Table:
    """The scores, differences, rank and cost of each row in one table, for a README or a page on GitHub."""
    scores, against = found.scores, found.against.label
    ranks = dict(zip(found.ranking.labels, found.ranking.test.average_ranks, strict=True)) if found.ranking.test else {}
    keys: list[tuple[str, MetricName]] = [
        (part, metric) for metric in found.options.metrics for part in scores.main_parts
    ]
    words = {INCOMPLETE: "incomplete", scores.full: "all streams"}
    heads = [f"{SHORT[metric]}, {words[part]}" for part, metric in keys]
    heads += [f"{SHORT[metric]} minus {against}, {words[part]}" for part, metric in keys]
    rows = []
    for row in found.rows:
        cells = [
            _score_cell(scores.numbers[row.label, part, metric], _decimals(found, metric), False, None)
            for part, metric in keys
        ]
        cells = [Cell(cell.text, cell.small if cell.kind == "none" else ()) for cell in cells]
        for part, metric in keys:
            one = found.differences.get((row.label, part, metric))
            if one is None or one.reason:
                cells.append(Cell("-"))
                continue
            shown = _difference_cell(one, _decimals(found, metric), 0.0, None)
            cells.append(Cell(f"{shown.text} {shown.small[0]}{'*' if one.adjusted_p < SURE else ''}"))
        rank, cost = ranks.get(row.label), found.costs[row.label]
        cells += [
            Cell("-" if rank is None else f"{rank:.1f}"),
            Cell("-" if cost.trained is None else f"{cost.trained:,}"),
        ]
        cells.append(Cell("-" if cost.training_s is None else duration(cost.training_s)))
        rows.append(Row(found.signed(row.label), tuple(cells), "chosen" if row is found.against else ""))
    hint = f"* is p < {SURE} after Holm's correction over all rows; 95 % intervals {scores.uncertainty.words}."
    columns = (*heads, "rank", "trained parameters", "training")
    return Table(key="main", title="Comparison", hint=hint, columns=columns, rows=tuple(rows), notes=_mark_notes(found))


def _rank_table(found: Comparison) -> Table:
    ranking, test = found.ranking, found.ranking.test
    ranks = dict(zip(ranking.labels, test.average_ranks, strict=True)) if test else {}
    order = sorted(ranks, key=lambda label: ranks[label])
    first = next((label for label in order if not _is_flattered(found, label)), None)
    rows = []
    for label in order:
        rank = Cell(f"{ranks[label]:.2f}", (), "best" if label == first else "")
        kind = "chosen" if label == found.against.label else ""
        rows.append(Row(found.signed(label), (rank, Cell(_groups_of(found, label))), kind))
    rows += [Row(found.signed(label), (NONE, Cell(""))) for label in ranking.left_out]
    if not rows:
        rows = [Row(found.signed(row.label), (NONE, Cell(""))) for row in found.rows]
    notes = tuple(f"{label} is not ranked: {reason}." for label, reason in ranking.left_out.items())
    hint = "Fewer than two systems can be ranked."
    if test is not None:
        hint = (
            f"Mean rank (1 is best) over {test.num_blocks} blocks; a block is one criterion under one subset of the "
            "streams, Spearman averaged over seeds before ranking. "
        )
        if len(ranks) >= MIN_SYSTEMS:
            p = f"= {test.p_value:.2g}" if test.p_value >= 1e-4 else "< 0.0001"
            hint += f"Friedman's test: chi-square {test.statistic:.1f}, {len(ranks) - 1} degrees of freedom, p {p}. "
        hint += (
            f"Nemenyi's critical difference at {test.alpha:g}: {test.critical_difference:.2f}; who shares a letter is "
            "not told apart by it. Blocks of one test split are not independent, so this orders the systems; how sure "
            "a difference is, the paired differences say."
        )
    heads = ("average rank", "group")
    return Table(key="ranks", title="Average ranks", hint=hint, columns=heads, rows=tuple(rows), notes=notes)


def _groups_of(found: Comparison, label: str) -> str:
    letters = [letters_of(place) for place, group in enumerate(found.ranking.groups) if label in group]
    return " ".join(letters) or "alone"


def letters_of(place: int) -> str:
    """Name of a group by its place: a to z, then aa, ab, ..."""
    before, last = divmod(place, 26)
    return (letters_of(before - 1) if before else "") + chr(ord("a") + last)
