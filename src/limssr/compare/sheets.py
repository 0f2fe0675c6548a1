"""A comparison as tables for people."""

import math
from collections.abc import Sequence
from typing import Literal

from limssr.compare.differences import PairedDifference
from limssr.compare.facts import about_sheet, cost_sheet
from limssr.compare.render import NONE, Sheet, SheetCell, SheetRow
from limssr.compare.run import Comparison
from limssr.compare.scores import INCOMPLETE, METRICS, MetricName, Number
from limssr.compare.stamps import MARKS, SURE, counts_of
from limssr.compare.statistics import MIN_SYSTEMS

TITLES: dict[MetricName, str] = {
    "spearman": "Spearman's correlation: higher is better",
    "mse": "Mean squared error: lower is better",
}


def all_sheets(found: Comparison) -> tuple[Sheet, ...]:
    """Scores, differences, ranks, costs, and what each row is."""
    scores = [_score_sheet(found, metric) for metric in METRICS]
    return (*scores, _difference_sheet(found), _rank_sheet(found), cost_sheet(found), about_sheet(found))


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


def decimals_of(values: Sequence[float]) -> int:
    """So many that the smallest of some numbers keeps three digits, between 2 and 6."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value != 0.0]
    return min(6, max(2, 2 - math.floor(math.log10(min(sizes))))) if sizes else 3


def _decimals(found: Comparison, metric: MetricName) -> int:
    errors = [number.value for (_, _, name), number in found.scores.numbers.items() if name == metric]
    return 3 if metric == "spearman" else decimals_of(errors)


def _score_sheet(found: Comparison, metric: MetricName) -> Sheet:
    scores, parts = found.scores, found.scores.parts
    numbers = {(row.label, part): scores.numbers[row.label, part, metric] for row in found.rows for part in parts}
    decimals = _decimals(found, metric)
    best = {part: _best(found, part, metric) for part in parts}
    rows = tuple(
        SheetRow(
            found.signed(row.label),
            tuple(_score_cell(numbers[row.label, part], decimals, row.label in best[part]) for part in parts),
            row is found.against,
        )
        for row in found.rows
    )
    short, long = _part_heads(found)
    counts = tuple(f"n = {scores.num_samples[part]}" if part in scores.num_samples else "" for part in parts)
    over = f"mean over {len(scores.criteria)} criteria, " if len(scores.criteria) > 1 else ""
    how = {"spearman": "by Fisher's z, so is the average over subsets", "mse": "plain means"}[metric]
    hint = (
        f"{over}{how}. ± is the standard deviation over seeds; below, the 95 % interval over {scores.num_resamples} "
        f"resamples of the {scores.drawn}, seeds averaged. Incomplete: all subsets that lack a stream."
    )
    codes = stream_codes(scores.full.split("+"))
    legend = "Streams: " + ", ".join(f"{code} {name}" for name, code in codes.items()) + "."
    notes = (legend, *_mark_notes(found), *_gap_notes(found, metric))
    return Sheet(metric, TITLES[metric], hint[0].upper() + hint[1:], short, long, counts, rows, notes)


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
    top = max(defined) if metric == "spearman" else min(defined)
    return {label for label, value in values.items() if value == top}


def _is_flattered(found: Comparison, label: str) -> bool:
    """Whether its epoch was chosen on the test split: such a row is never the best."""
    return "test" in found.marks[label]


def _score_cell(number: Number, decimals: int, is_best: bool) -> SheetCell:
    if not number.is_defined:
        if math.isnan(number.partial):
            return NONE
        partial = f"{number.partial:.{decimals}f} over {number.num_partial} of {number.num_subsets}"
        return SheetCell("n/a", (partial,), "none")
    text = f"{number.value:.{decimals}f}"
    if not math.isnan(number.sd):
        text += f" ± {number.sd:.{decimals}f}"
    return SheetCell(text, (_interval(number.low, number.high, decimals),), "best" if is_best else "")


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


def _difference_sheet(found: Comparison) -> Sheet:
    scores = found.scores
    keys: list[tuple[str, MetricName]] = [(part, metric) for metric in METRICS for part in scores.main_parts]
    words = {INCOMPLETE: "incomplete", scores.full: "all streams"}
    decimals: dict[MetricName, int] = {metric: _decimals(found, metric) for metric in METRICS}
    floor = 2 / (scores.num_resamples + 1)
    rows = tuple(
        SheetRow(
            found.signed(row.label),
            tuple(
                _difference_cell(found.differences[row.label, part, metric], decimals[metric], floor)
                for part, metric in keys
            ),
        )
        for row in found.rows
        if row is not found.against
    )
    counts = counts_of(found.differences)
    small = tuple(f"{number} row{'s' * (number != 1)}" for number in (counts.get(key, 0) for key in keys))
    hint = (
        f"Each row minus {found.against.label}: positive is better for Spearman, negative for MSE. Both are scored on "
        f"the same {scores.num_resamples} resamples of the {scores.drawn}; below, the 95 % interval, and p, which "
        "is twice the smaller share of resamples on one side of zero (the data itself counted in), after Holm's "
        "correction over the rows that have a number in that column (so many stand at its head); set off where it is "
        f"below {SURE}. "
        "It says how sure the difference is for performances like these given these trainings; what another "
        "training would do, the deviation over seeds says."
    )
    heads = tuple(f"{'Spearman' if metric == 'spearman' else 'MSE'}, {words[part]}" for part, metric in keys)
    reasons = dict.fromkeys(one.reason for one in found.differences.values() if one.reason)
    notes = (*_mark_notes(found), *(f"n/a: {reason}." for reason in reasons))
    title = f"Paired differences to {found.against.label}"
    return Sheet("differences", title, hint, heads, heads, small, rows, notes)


def _difference_cell(one: PairedDifference, decimals: int, floor: float) -> SheetCell:
    if one.reason:
        return NONE
    sign = "≤" if one.p_value <= floor * (1 + 1e-9) else "="
    p = f"p {sign} {one.adjusted_p:.3f}" if one.adjusted_p >= 0.001 else "p < 0.001"
    small = f"{_interval(one.low, one.high, decimals, '+')} {p}".strip()
    return SheetCell(f"{one.value:+.{decimals}f}", (small,), "best" if one.adjusted_p < SURE else "")


def _rank_sheet(found: Comparison) -> Sheet:
    ranking, test = found.ranking, found.ranking.test
    ranks = dict(zip(ranking.labels, test.average_ranks, strict=True)) if test else {}
    order = sorted(ranks, key=lambda label: ranks[label])
    first = next((label for label in order if not _is_flattered(found, label)), None)
    rows = [
        SheetRow(found.signed(label), (SheetCell(f"{ranks[label]:.2f}", (), "best" if label == first else ""),
                                       SheetCell(_groups_of(found, label))), label == found.against.label)
        for label in order
    ]  # fmt: skip
    rows += [SheetRow(found.signed(label), (NONE, SheetCell(""))) for label in ranking.left_out]
    if not rows:
        rows = [SheetRow(found.signed(row.label), (NONE, SheetCell(""))) for row in found.rows]
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
    return Sheet("ranks", "Average ranks", hint, heads, heads, ("", ""), tuple(rows), notes)


def _groups_of(found: Comparison, label: str) -> str:
    letters = [letters_of(place) for place, group in enumerate(found.ranking.groups) if label in group]
    return " ".join(letters) or "alone"


def letters_of(place: int) -> str:
    """Name of a group by its place: a to z, then aa, ab, ..."""
    before, last = divmod(place, 26)
    return (letters_of(before - 1) if before else "") + chr(ord("a") + last)
