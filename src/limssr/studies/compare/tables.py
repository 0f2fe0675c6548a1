"""A comparison as tables for people."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

from limssr.core.timing import Spread
from limssr.evaluation.significance import MIN_SYSTEMS
from limssr.report.sheets import NONE, Sheet, SheetCell, SheetRow
from limssr.report.text import duration
from limssr.studies.compare.costs import Cost
from limssr.studies.compare.differences import PairedDifference
from limssr.studies.compare.notes import MARKS, SURE, About, counts_of, epoch_words
from limssr.studies.compare.numbers import CORRELATIONS, INCOMPLETE, MetricName, Number
from limssr.studies.compare.rows import CompareRow
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


def all_sheets(found: Comparison) -> tuple[Sheet, ...]:
    """Scores, differences, ranks, costs, and what each row is."""
    scores = [_score_sheet(found, metric) for metric in found.options.metrics]
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
    return 3 if metric in CORRELATIONS else decimals_of(errors)


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
    how = "by Fisher's z, so is the average over subsets" if metric in CORRELATIONS else "plain means"
    hint = (
        f"{over}{how}. ± is the standard deviation over seeds; below, the 95 % interval "
        f"{scores.uncertainty.words}, seeds averaged. Incomplete: all subsets that lack a stream."
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
    top = max(defined) if metric in CORRELATIONS else min(defined)
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
    keys: list[tuple[str, MetricName]] = [
        (part, metric) for metric in found.options.metrics for part in scores.main_parts
    ]
    words = {INCOMPLETE: "incomplete", scores.full: "all streams"}
    decimals: dict[MetricName, int] = {metric: _decimals(found, metric) for metric in found.options.metrics}
    floor = 2 / (scores.uncertainty.num_resamples + 1) if scores.uncertainty.kind == "percentile" else 0.0
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


ABOUT_COLUMNS = (
    ("what it is", "what it is"),
    ("absent streams", "what stands where a stream is absent"),
    ("losses on hidden streams", "losses that look at hidden streams"),
    ("scoring", "scoring"),
    ("checked against", "checked against"),
    ("epochs", "epochs"),
    ("sizes", "sizes and options"),
)


def about_sheet(found: Comparison) -> Sheet:
    """What each row is: what its system declares, and what this run of it changed."""
    rows = tuple(
        SheetRow(found.signed(row.label), _about_cells(found.about[row.label]), row is found.against)
        for row in found.rows
    )
    hint = (
        "As each system declares it (limssr systems NAME), and as these runs were set. Losses on hidden streams: those "
        "that look at values of a stream which the training step hides; re-masked: of a stream that the training "
        "sample owns; complete: of every stream, given back to the training samples. Equal parameter counts show the "
        "same shape, not the same training."
    )
    short, long = zip(*ABOUT_COLUMNS, strict=True)
    return Sheet("about", "What each row is", hint, short, long, ("",) * len(short), rows, layout="words")


def _about_cells(about: About) -> tuple[SheetCell, ...]:
    losses = f"{', '.join(about.hidden_losses)} ({about.targets})" if about.hidden_losses else "none"
    scoring = {True: "draws random numbers, seeded", False: "no random numbers", None: "unknown"}[about.stochastic]
    return (
        SheetCell(about.title, (about.source,) if about.source else ()),
        SheetCell(about.absent),
        SheetCell(losses),
        SheetCell(scoring),
        SheetCell(about.checked, (f"adapted: {about.adapted}",) if about.adapted else ()),
        SheetCell(epoch_words(about)),
        SheetCell(about.sizes),
    )


def cost_sheet(found: Comparison) -> Sheet:
    """What each row costs: parameters, multiply-accumulates, time."""
    heads = ["trained", "parameters", "MACs, all", "MACs, mean", "training"]
    long_heads = ["trained parameters", "all parameters"]
    long_heads += ["multiply-accumulates, all streams", "multiply-accumulates, mean over subsets", "training time"]
    if found.timing is not None:
        heads += ["scoring", "ratio"]
        long_heads += ["scoring a sample", f"ratio to {found.against.label}"]
    rows = tuple(SheetRow(found.signed(row.label), _cost_cells(found, row), row is found.against) for row in found.rows)
    length = found.sample.num_segments
    counted = (
        f"Multiply-accumulates (MACs): one sample of {length} segments (the median of the compared ones) "
        "with all streams, and the mean over all subsets of the streams that a system scores (below: how many, where "
        "not all): what imputes or generates does so where a stream is absent. "
        if length is not None
        else ""
    )
    hint = (
        f"{counted}Training time: as measured when each was trained, perhaps beside other work; mean over seeds. "
        "A regression's includes scoring the test split (*). "
    )
    if found.timing is not None:
        timing = found.timing
        hint += (
            f"Scoring time: {timing.num_samples} samples with all their streams, all systems in turns in "
            f"{timing.num_rounds} rounds on {timing.device} with {timing.num_threads} thread"
            f"{'s' * (timing.num_threads > 1)}; median and quartiles."
        )
    gaps: dict[str, dict[str, None]] = {}
    for label, cost in found.costs.items():
        for reason in cost.reasons.values():
            gaps.setdefault(reason, {})[label] = None
    for label, one in found.timing.times.items() if found.timing else ():
        if one.reason:
            gaps.setdefault(one.reason, {})[label] = None
    notes = tuple(f"n/a, {', '.join(labels)}: {reason}." for reason, labels in gaps.items())
    return Sheet("costs", "Costs", hint.strip(), tuple(heads), tuple(long_heads), ("",) * len(heads), rows, notes)


def _cost_cells(found: Comparison, row: CompareRow) -> tuple[SheetCell, ...]:
    cost = found.costs[row.label]
    cells = [_maybe(cost.trained, _amount), _maybe(cost.total, _amount), _maybe(cost.macs, _amount), _mean_cell(cost)]
    cells.append(_maybe(cost.training_s, lambda s: duration(s) + (" *" if cost.training_includes else "")))
    if found.timing is not None:
        time = found.timing.times[row.label]
        cells += [_spread_cell(time.milliseconds, " ms"), _spread_cell(time.ratio, "")]
    return tuple(cells)


def _mean_cell(cost: Cost) -> SheetCell:
    if cost.macs_mean is None:
        return NONE
    few = (f"over {cost.macs_subsets} of {cost.num_subsets}",) if cost.macs_subsets != cost.num_subsets else ()
    return SheetCell(_amount(cost.macs_mean), few)


def _maybe(value: float | None, written: Callable[[float], str]) -> SheetCell:
    return NONE if value is None else SheetCell(written(value))


def _spread_cell(spread: Spread | None, unit: str) -> SheetCell:
    if spread is None:
        return NONE
    decimals = max(0, 2 - math.floor(math.log10(max(spread.median, 1e-9))))
    low, high = (f"{value:.{decimals}f}" for value in (spread.lower, spread.upper))
    return SheetCell(f"{spread.median:.{decimals}f}{unit}", (f"[{low}, {high}]",))


def _amount(value: float) -> str:
    """Three digits with a thousand's letter: 3.05 M."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.0f}"
