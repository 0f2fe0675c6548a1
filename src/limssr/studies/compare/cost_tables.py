"""What each row of a comparison costs, and what it is, as tables."""

import math
from collections.abc import Callable

from limssr.core.timing import Spread
from limssr.report.table import NONE, Cell, Row, Table
from limssr.report.text import duration
from limssr.studies.compare.costs import Cost
from limssr.studies.compare.notes import RowDescription, epoch_words
from limssr.studies.compare.rows import CompareRow
from limssr.studies.compare.run import Comparison

ABOUT_COLUMNS = (
    ("what it is", "what it is"),
    ("absent streams", "what stands where a stream is absent"),
    ("losses on hidden streams", "losses that look at hidden streams"),
    ("scoring", "scoring"),
    ("checked against", "checked against"),
    ("epochs", "epochs"),
    ("sizes", "sizes and options"),
)


def description_table(found: Comparison) -> Table:
    """What each row is: what its system declares, and what this run of it changed."""
    rows = tuple(
        Row(
            found.signed(row.label),
            _description_cells(found.about[row.label]),
            "chosen" if row is found.against else "",
        )
        for row in found.rows
    )
    hint = (
        "As each system declares it (limssr systems NAME), and as these runs were set. Losses on hidden streams: those "
        "that look at values of a stream which the training step hides; re-masked: of a stream that the training "
        "sample owns; complete: of every stream, given back to the training samples. Equal parameter counts show the "
        "same shape, not the same training."
    )
    short, long = zip(*ABOUT_COLUMNS, strict=True)
    return Table(
        key="about", title="What each row is", hint=hint, columns=short, long_columns=long, rows=rows, layout="words"
    )


def _description_cells(about: RowDescription) -> tuple[Cell, ...]:
    losses = f"{', '.join(about.hidden_losses)} ({about.targets})" if about.hidden_losses else "none"
    scoring = {True: "draws random numbers, seeded", False: "no random numbers", None: "unknown"}[about.stochastic]
    return (
        Cell(about.title, (about.source,) if about.source else ()),
        Cell(about.absent),
        Cell(losses),
        Cell(scoring),
        Cell(about.checked, (f"adapted: {about.adapted}",) if about.adapted else ()),
        Cell(epoch_words(about)),
        Cell(about.sizes),
    )


def cost_table(found: Comparison) -> Table:
    """What each row costs: parameters, multiply-accumulates, time."""
    heads = ["trained", "parameters", "MACs, all", "MACs, mean", "training"]
    long_heads = ["trained parameters", "all parameters"]
    long_heads += ["multiply-accumulates, all streams", "multiply-accumulates, mean over subsets", "training time"]
    if found.timing is not None:
        heads += ["scoring", "ratio"]
        long_heads += ["scoring a sample", f"ratio to {found.against.label}"]
    rows = tuple(
        Row(found.signed(row.label), _cost_cells(found, row), "chosen" if row is found.against else "")
        for row in found.rows
    )
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
    return Table(
        key="costs",
        title="Costs",
        hint=hint.strip(),
        columns=tuple(heads),
        long_columns=tuple(long_heads),
        rows=rows,
        notes=notes,
    )


def _cost_cells(found: Comparison, row: CompareRow) -> tuple[Cell, ...]:
    cost = found.costs[row.label]
    cells = [_maybe(cost.trained, amount), _maybe(cost.total, amount), _maybe(cost.macs, amount), _mean_cell(cost)]
    cells.append(_maybe(cost.training_s, lambda s: duration(s) + (" *" if cost.training_includes else "")))
    if found.timing is not None:
        time = found.timing.times[row.label]
        cells += [_spread_cell(time.milliseconds, " ms"), _spread_cell(time.ratio, "")]
    return tuple(cells)


def _mean_cell(cost: Cost) -> Cell:
    if cost.macs_mean is None:
        return NONE
    few = (f"over {cost.macs_subsets} of {cost.num_subsets}",) if cost.macs_subsets != cost.num_subsets else ()
    return Cell(amount(cost.macs_mean), few)


def _maybe(value: float | None, written: Callable[[float], str]) -> Cell:
    return NONE if value is None else Cell(written(value))


def _spread_cell(spread: Spread | None, unit: str) -> Cell:
    if spread is None:
        return NONE
    decimals = max(0, 2 - math.floor(math.log10(max(spread.median, 1e-9))))
    low, high = (f"{value:.{decimals}f}" for value in (spread.lower, spread.upper))
    return Cell(f"{spread.median:.{decimals}f}{unit}", (f"[{low}, {high}]",))


def amount(value: float) -> str:
    """Three digits with a thousand's letter: 3.05 M."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.0f}"
