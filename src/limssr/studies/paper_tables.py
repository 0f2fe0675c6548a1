"""The paper's Tables 1, 2, 9 and 11 to 13, with our rows below the published ones."""

from collections.abc import Callable, Sequence

from limssr.published.numbers import AVERAGE, FULL, INCOMPLETE, LIMSSR, SUBSETS, PublishedScore, published_scores
from limssr.studies.benchmarks import Benchmark
from limssr.studies.scores import METRICS, Scores
from limssr.studies.tables import Cell, Group, Row, Table, difference_row, published_cell

COLUMN_WORDS = {INCOMPLETE: "average"}
LETTERS = "v, f and a are the streams video, flow and audio. average: of the six incomplete subsets."
MEANS = "Means over targets and subsets: Fisher's z for Spearman, arithmetic for MSE."


def paper_tables(benchmark: Benchmark, scores: Scores, systems: Sequence[str]) -> tuple[Table, ...]:
    """Every table of the paper that this data set stands in.

    Args:
        benchmark: The data set.
        scores: Ours.
        systems: Names of our rows.
    """
    return (
        _incomplete(benchmark, scores, systems),
        _complete(benchmark, scores, systems),
        _error_bars(benchmark, scores, systems),
        _by_class(benchmark, scores, systems),
    )


def _incomplete(benchmark: Benchmark, scores: Scores, systems: Sequence[str]) -> Table:
    published = published_scores(1, benchmark.name)
    label = f"mean over {len(benchmark.targets)} targets"
    group = _group(label, published, systems, _by_subset(scores, AVERAGE))
    title = f"Table 1: {benchmark.name} under every subset of streams"
    return Table("table1", title, _subset_columns(), (group,), f"{LETTERS} {MEANS}")


def _complete(benchmark: Benchmark, scores: Scores, systems: Sequence[str]) -> Table:
    columns = (*benchmark.targets, AVERAGE)

    def ours(system: str) -> dict[str, dict[str, Cell]]:
        return {target: {metric: scores.cell(system, target, FULL, metric) for metric in METRICS} for target in columns}

    group = _group("all streams", published_scores(2, benchmark.name), systems, ours, column=lambda cell: cell.target)
    return Table("table2", f"Table 2: {benchmark.name} with all streams", columns, (group,), MEANS)


def _by_class(benchmark: Benchmark, scores: Scores, systems: Sequence[str]) -> Table:
    number = benchmark.by_class
    groups = []
    for target in benchmark.targets:
        published = [cell for cell in published_scores(number, benchmark.name) if cell.target == target]
        groups.append(_group(target, published, systems, _by_subset(scores, target)))
    title = f"Table {number}: {benchmark.name} under every subset of streams, by target"
    return Table(f"table{number}", title, _subset_columns(), tuple(groups), LETTERS)


def _error_bars(benchmark: Benchmark, scores: Scores, systems: Sequence[str]) -> Table:
    columns = (_column(INCOMPLETE), FULL)
    group = _group(
        f"mean over {len(benchmark.targets)} targets",
        published_scores(9, benchmark.name),
        systems,
        _by_subset(scores, AVERAGE, (INCOMPLETE, FULL)),
    )
    title = f"Table 9: {benchmark.name}, mean and standard deviation over seeds"
    return Table("table9", title, columns, (group,), f"{LETTERS} {MEANS}")


def _by_subset(
    scores: Scores, target: str, subsets: Sequence[str] = SUBSETS
) -> Callable[[str], dict[str, dict[str, Cell]]]:
    def ours(system: str) -> dict[str, dict[str, Cell]]:
        return {
            _column(subset): {metric: scores.cell(system, target, subset, metric) for metric in METRICS}
            for subset in subsets
        }

    return ours


def _group(
    label: str,
    published: Sequence[PublishedScore],
    systems: Sequence[str],
    ours: Callable[[str], dict[str, dict[str, Cell]]],
    *,
    column: Callable[[PublishedScore], str] | None = None,
) -> Group:
    """Published rows in the paper's order, then ours, then how far our LIMSSR is from the published one."""
    column = column or (lambda cell: _column(cell.subset))
    by_system: dict[str, dict[str, dict[str, Cell]]] = {}
    for cell in published:
        by_system.setdefault(cell.system, {})[column(cell)] = {
            "spearman": published_cell(cell.spearman, cell.spearman_sd, cell.num_seeds),
            "mse": published_cell(cell.mse, cell.mse_sd, cell.num_seeds),
        }
    theirs = {system: Row(system, "published", cells) for system, cells in by_system.items()}
    rows = {system: Row(system, "here", ours(system)) for system in systems}
    last = ()
    if "limssr" in rows and LIMSSR in theirs:
        last = (difference_row("limssr here minus LIMSSR", rows["limssr"], theirs[LIMSSR]),)
    return Group(label, (*theirs.values(), *rows.values(), *last))


def _subset_columns() -> tuple[str, ...]:
    return tuple(_column(subset) for subset in SUBSETS)


def _column(subset: str) -> str:
    return COLUMN_WORDS.get(subset, subset)
