"""The numbers that the paper publishes (arXiv 2605.00434, CC BY 4.0).

The files in `published/tables` hold the facts; each names its tables of the paper in its first line.
"""

import csv
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

AVERAGE = "average"
"""Target: the mean over all targets of the data set (Fisher's z for Spearman, arithmetic for MSE)."""
INCOMPLETE = "average_incomplete"
"""Subset: the mean over the six incomplete subsets of streams."""
FULL = "v+f+a"
"""Subset: all streams. v, f and a are the streams video, flow and audio."""
SUBSETS = ("v+f", "v+a", "f+a", "v", "f", "a", INCOMPLETE, FULL)
"""Columns of the paper's tables of incomplete streams."""
STREAM_OF_LETTER = {"v": "video", "f": "flow", "a": "audio"}
LIMSSR = "LIMSSR"
"""Name of the paper's own system in its tables."""


@dataclass(frozen=True, kw_only=True)
class PublishedScore:
    """One cell of a table of the paper.

    Attributes:
        table: 1 to 9 and 11 to 13.
        dataset: FS1000, Fis-V or RG.
        target: A criterion (TES, Ball, ...), or `AVERAGE`.
        system: A method; in Tables 3 to 8 a setting of the paper's own.
        subset: One of `SUBSETS`.
        spearman: NaN where the paper has none.
        mse: In squared units of the score; NaN where the paper has none.
        spearman_sd: Standard deviation over seeds; Table 9 only, else NaN.
        mse_sd: The same.
        num_seeds: Table 9 only, else None: the paper does not say.
    """

    table: int
    dataset: str
    target: str
    system: str
    subset: str
    spearman: float
    mse: float
    spearman_sd: float = math.nan
    mse_sd: float = math.nan
    num_seeds: int | None = None


@dataclass(frozen=True)
class PublishedCost:
    """One row of Table 10; of LIMSSR, the language model and what is around it are counted apart.

    Attributes:
        system: A method.
        params_millions: Parameters, in millions; one number a part.
        flops_giga: "FLOPs" as the paper counts them, in 10^9; one number a part.
    """

    system: str
    params_millions: tuple[float, ...]
    flops_giga: tuple[float, ...]


@functools.cache
def published_scores(table: int | None = None, dataset: str | None = None) -> tuple[PublishedScore, ...]:
    """The cells of the paper's tables of scores, in the paper's order.

    Args:
        table: Only this one.
        dataset: Only FS1000, Fis-V or RG.
    """
    cells = (*_incomplete(), *_complete(), *_ablations(), *_error_bars())
    return tuple(cell for cell in cells if table in (None, cell.table) and dataset in (None, cell.dataset))


@functools.cache
def published_costs() -> tuple[PublishedCost, ...]:
    """The rows of Table 10."""
    return tuple(PublishedCost(system, _parts(params), _parts(flops)) for system, params, flops in _rows("cost")[1:])


def _incomplete() -> Iterator[PublishedScore]:
    header, *rows = _rows("incomplete")
    for table, dataset, target, system, *cells in rows:
        for subset, cell in zip(header[4:], cells, strict=True):
            yield _cell(cell, table=int(table), dataset=dataset, target=target, system=system, subset=subset)


def _complete() -> Iterator[PublishedScore]:
    for dataset, system, *cells in _rows("complete")[1:]:
        for cell in cells:
            target, _, numbers = cell.partition(" ")
            yield _cell(numbers, table=2, dataset=dataset, target=target, system=system, subset=FULL)


def _ablations() -> Iterator[PublishedScore]:
    header, *rows = _rows("ablations")
    for table, setting, *cells in rows:
        for column, cell in zip(header[2:], cells, strict=True):
            dataset, subset = column.split(" ")
            yield _cell(cell, table=int(table), dataset=dataset, target=AVERAGE, system=setting, subset=subset)


def _error_bars() -> Iterator[PublishedScore]:
    for dataset, subset, num_seeds, spearman, mse in _rows("error_bars")[1:]:
        (rho, rho_sd), (error, error_sd) = _pair(spearman), _pair(mse)
        yield PublishedScore(
            table=9,
            dataset=dataset,
            target=AVERAGE,
            system=LIMSSR,
            subset=subset,
            spearman=rho,
            mse=error,
            spearman_sd=rho_sd,
            mse_sd=error_sd,
            num_seeds=int(num_seeds),
        )


def _rows(name: str) -> list[list[str]]:
    """The header and the rows of one of our data files."""
    text = (files("limssr.studies.paper") / "published" / f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.reader(line for line in text.splitlines() if not line.startswith("#")))


def _pair(cell: str) -> tuple[float, float]:
    first, second = cell.split("/")
    return _number(first), _number(second)


def _cell(cell: str, *, table: int, dataset: str, target: str, system: str, subset: str) -> PublishedScore:
    spearman, mse = _pair(cell)
    return PublishedScore(
        table=table, dataset=dataset, target=target, system=system, subset=subset, spearman=spearman, mse=mse
    )


def _number(text: str) -> float:
    return math.nan if text == "-" else float(text)


def _parts(cell: str) -> tuple[float, ...]:
    return tuple(float(part) for part in cell.split("+"))
