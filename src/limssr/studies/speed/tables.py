"""The results of a benchmark as tables for a terminal."""

from rich.console import RenderableType

from limssr.core.timing import Spread
from limssr.report.columns import Columns
from limssr.studies.speed.results import BenchmarkReport, GrowthReport

KEY = (
    "ratio: literal / ours, median and quartiles of the rounds. limit: what skipping arithmetic alone can give, by the "
    "language model's linear maps (with attention, projections and head in brackets). of the machine: multiply-"
    "accumulates a second, as a share of a large matrix product in the same rounds, literal and ours."
)


def benchmark_lines(report: BenchmarkReport) -> tuple[RenderableType, ...]:
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
    lines: list[RenderableType] = [head, same]
    if report.gemm_gflops:
        lines.append(f"Matrix product of this machine: {_spread(report.gemm_gflops, '.0f')} GFLOP/s, float32.")
    lines += [_works(report), KEY]
    if any(work.our_peak for work in report.works):
        lines += [_memory(report), "work: on top of what the process held with the model loaded."]
    if len(report.checkpoint_bytes) == 2:
        literal, ours = report.checkpoint_bytes["literal"], report.checkpoint_bytes["ours"]
        lines.append(f"Checkpoint: {_megabytes(literal)} literal, {_megabytes(ours)} ours ({ours / literal:.3f}x).")
    if report.savings:
        lines.append(_savings(report))
    return (*lines, *report.notes)


def growth_lines(report: GrowthReport) -> tuple[RenderableType, ...]:
    """One table a curve."""
    lines: list[RenderableType] = []
    for curve in report.curves:
        table = Columns(curve.label, "step, s", "score, s", "memory of a step")
        for point in curve.points:
            memory = "-" if point.work_bytes is None else _megabytes(point.work_bytes)
            table.add_row(str(point.value), f"{point.step_s:.3g}", f"{point.score_s:.3g}", memory)
        names = {"step_s": "step", "score_s": "score", "work_bytes": "memory"}
        fitted = ", ".join(f"{names[name]} ~ n^{value:.2f}" for name, value in curve.exponents.items())
        lines += [table, f"{curve.side}, upper part of the grid: {fitted}."]
    return tuple(lines)


def _works(report: BenchmarkReport) -> Columns:
    table = Columns("work", "literal, s", "ours, s", "ratio", "limit", "of the machine")
    for work in report.works:
        limit = f"{work.limit.maps:.2f} ({work.limit.everything:.2f})" if work.limit else "-"
        shares = "-"
        if work.literal_share is not None and work.our_share is not None:
            shares = f"{work.literal_share:.0%} / {work.our_share:.0%}"
        table.add_row(
            work.title, f"{work.literal_s.median:.3g}", f"{work.our_s.median:.3g}", _spread(work.ratio), limit, shares
        )
    return table


def _memory(report: BenchmarkReport) -> Columns:
    table = Columns("peak memory", "literal", "ours", "ours / literal", "literal, work", "ours, work", "ours / literal")
    for work in report.works:
        literal, ours = work.literal_peak, work.our_peak
        if literal is not None and ours is not None:
            table.add_row(
                work.title, _megabytes(literal.peak), _megabytes(ours.peak), f"{ours.peak / literal.peak:.2f}x",
                _megabytes(literal.work), _megabytes(ours.work), f"{ours.work / max(literal.work, 1):.2f}x",
            )  # fmt: skip
    return table


def _savings(report: BenchmarkReport) -> Columns:
    table = Columns("switched off", "work", "without, s", "with, s", "ratio")
    for saving in report.savings:
        table.add_row(
            saving.title, saving.work, f"{saving.without_s.median:.3g}", f"{saving.with_s.median:.3g}",
            _spread(saving.ratio),
        )  # fmt: skip
    return table


def _spread(spread: Spread, form: str = ".2f") -> str:
    return f"{spread.median:{form}} [{spread.lower:{form}}, {spread.upper:{form}}]"


def _megabytes(number: int) -> str:
    return f"{number / 1e6:,.0f} MB"
