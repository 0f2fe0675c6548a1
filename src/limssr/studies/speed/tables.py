"""The results of a benchmark as tables, and as lines for a terminal."""

from limssr.core.timing import Spread
from limssr.report.render import table_text
from limssr.report.table import Cell, Row, Table
from limssr.studies.speed.results import BenchmarkReport, GrowthCurve, GrowthReport

KEY = (
    "ratio: literal / ours, median and quartiles of the rounds. limit: what skipping arithmetic alone can give, by the "
    "language model's linear maps (with attention, projections and head in brackets). of the machine: multiply-"
    "accumulates a second, as a share of a large matrix product in the same rounds, literal and ours."
)
MEASURES = {"step_s": "step", "score_s": "score", "work_bytes": "memory"}


def benchmark_lines(report: BenchmarkReport) -> tuple[str, ...]:
    """Headline, works, savings, notes."""
    shape, agreement = report.shape, report.agreement
    head = (
        f"{shape['backbone']}: prompt {shape['prompt_tokens']} tokens ({shape['tokenizer']}), sequence "
        f"{shape['sequence_length']} tokens; {report.environment['device_name']}, "
        f"{report.environment['torch_threads']} threads"
    )
    same = (
        f"Both sides agree: scores within {agreement.scores:.1e}, gradients within {agreement.gradients:.1e} of their "
        f"norm (worst: {agreement.worst})."
    )
    lines: list[str] = [head, same]
    if report.gemm_gflops:
        lines.append(f"Matrix product of this machine: {_spread(report.gemm_gflops, '.0f')} GFLOP/s, float32.")
    lines += ["\n" + table_text(table) for table in benchmark_tables(report)]
    if len(report.checkpoint_bytes) == 2:
        literal, ours = report.checkpoint_bytes["literal"], report.checkpoint_bytes["ours"]
        lines.append(f"Checkpoint: {_megabytes(literal)} literal, {_megabytes(ours)} ours ({ours / literal:.3f}x).")
    return (*lines, *report.notes)


def benchmark_tables(report: BenchmarkReport) -> tuple[Table, ...]:
    """Times of the works; then their memory and the savings, where they were measured."""
    tables = [_works(report)]
    if any(work.our_peak for work in report.works):
        tables.append(_memory(report))
    if report.savings:
        tables.append(_savings(report))
    return tuple(tables)


def growth_lines(report: GrowthReport) -> tuple[str, ...]:
    """One table a curve."""
    return tuple(table_text(_growth(curve)) for curve in report.curves)


def _works(report: BenchmarkReport) -> Table:
    rows = []
    for work in report.works:
        limit = f"{work.limit.maps:.2f} ({work.limit.everything:.2f})" if work.limit else "-"
        shares = "-"
        if work.literal_share is not None and work.our_share is not None:
            shares = f"{work.literal_share:.0%} / {work.our_share:.0%}"
        rows.append(
            _row(work.title, _seconds(work.literal_s), _seconds(work.our_s), _spread(work.ratio), limit, shares)
        )
    columns = ("literal, s", "ours, s", "ratio", "limit", "of the machine")
    return Table(key="works", title="Time", columns=columns, rows=tuple(rows), notes=(KEY,), first="work")


def _memory(report: BenchmarkReport) -> Table:
    rows = [
        _row(
            work.title,
            _megabytes(literal.peak),
            _megabytes(ours.peak),
            f"{ours.peak / literal.peak:.2f}x",
            _megabytes(literal.work),
            _megabytes(ours.work),
            f"{ours.work / max(literal.work, 1):.2f}x",
        )
        for work in report.works
        if (literal := work.literal_peak) is not None and (ours := work.our_peak) is not None
    ]
    columns = ("literal", "ours", "ours / literal", "literal, work", "ours, work", "ours / literal")
    notes = ("work: on top of what the process held with the model loaded.",)
    return Table(key="memory", title="Peak memory", columns=columns, rows=tuple(rows), notes=notes, first="work")


def _savings(report: BenchmarkReport) -> Table:
    rows = tuple(
        _row(saving.title, saving.work, _seconds(saving.without_s), _seconds(saving.with_s), _spread(saving.ratio))
        for saving in report.savings
    )
    columns = ("work", "without, s", "with, s", "ratio")
    return Table(key="savings", title="What each saving gives", columns=columns, rows=rows, first="switched off")


def _growth(curve: GrowthCurve) -> Table:
    rows = tuple(
        _row(
            str(point.value),
            f"{point.step_s:.3g}",
            f"{point.score_s:.3g}",
            "-" if point.work_bytes is None else _megabytes(point.work_bytes),
        )
        for point in curve.points
    )
    fitted = ", ".join(f"{MEASURES[name]} ~ n^{value:.2f}" for name, value in curve.exponents.items())
    return Table(
        key=curve.axis,
        title=f"Cost against {curve.label}",
        columns=("step, s", "score, s", "memory of a step"),
        rows=rows,
        notes=(f"{curve.side}, upper part of the grid: {fitted}.",),
        first=curve.label,
    )


def _row(label: str, *cells: str) -> Row:
    return Row(label, tuple(Cell(text) for text in cells))


def _seconds(spread: Spread) -> str:
    return f"{spread.median:.3g}"


def _spread(spread: Spread, form: str = ".2f") -> str:
    return f"{spread.median:{form}} [{spread.lower:{form}}, {spread.upper:{form}}]"


def _megabytes(number: int) -> str:
    return f"{number / 1e6:,.0f} MB"
