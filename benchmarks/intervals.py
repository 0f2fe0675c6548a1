"""How often intervals hold over repeated splits of a run's test performances, and what groups break.

    python benchmarks/intervals.py RUN [RUN ...] [--repeats 200] [--level 0.9]

The model stays as it is. Its test performances, which it has never seen, are divided again and again: errors on one
half make the intervals, the other half is covered or not. Divided by performances, theory asks for the level; divided
by whole groups, new groups meet intervals made of others, and the difference is what the groups break. "counted by
groups" is the remedy (`limssr.evaluation.conformal.width(..., count="groups")`).
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from limssr.core.types import Criterion
from limssr.evaluation.conformal import Count, errors_of
from limssr.evaluation.intervals import coverage
from limssr.runs.folder import read_run


def halves(names: np.ndarray, units: np.ndarray, repeats: int) -> Iterator[tuple[set[str], set[str]]]:
    """Ids of both halves, units never divided."""
    for seed in range(repeats):
        order = np.random.default_rng(seed).permutation(np.unique(units))
        first = np.isin(units, order[: len(order) // 2])
        yield set(names[first]), set(names[~first])


def rows_of(table: pa.Table, wanted: set[str]) -> pa.Table:
    """The rows of some samples."""
    return table.filter(pa.array([name in wanted for name in table["id"].to_pylist()]))


def covered_share(run: Path, *, by: str, count: Count, repeats: int, level: float) -> np.ndarray:
    """[repeats] the share of scores inside their intervals, over all subsets and criteria; NaN without intervals."""
    record = read_run(run).document
    table = pq.read_table(run / "predictions.parquet").filter(pc.field("system") == record["system"])
    ids = np.array(table["id"].to_pylist())
    names, first = np.unique(ids, return_index=True)
    groups = [group or name for group, name in zip(table["group"].to_pylist(), ids, strict=True)]
    of = dict(zip(ids.tolist(), groups, strict=True))
    units = np.array(groups)[first] if by == "groups" else names
    criteria = [Criterion(one["name"], one["low"], one["high"]) for one in record["criteria"]]
    found = []
    for calibration, rest in halves(names, units, repeats):
        errors = errors_of(rows_of(table, calibration), record["modalities"], [one.name for one in criteria], groups=of)
        rows = coverage(errors, rows_of(table, rest), criteria, level=level, count=count)
        known = [row for row in rows if row["source"] != "none"]
        weight = np.array([row["num_samples"] for row in known], dtype=float)
        hits = np.array([row["covered"] for row in known])
        found.append(float(np.average(hits, weights=weight)) if len(known) else np.nan)
    return np.array(found)


def main() -> None:
    """Print one line a run and way of dividing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--level", type=float, default=0.9)
    asked = parser.parse_args()
    ways: list[tuple[str, Count]] = [("performances", "samples"), ("groups", "samples"), ("groups", "groups")]
    for run in asked.runs:
        for by, count in ways:
            share_R = covered_share(run, by=by, count=count, repeats=asked.repeats, level=asked.level)
            told = share_R[np.isfinite(share_R)]
            if not len(told):
                print(f"{run.name}: divided by {by}, counted by {count}: too few {count} for intervals")
                continue
            ends = np.quantile(told, [0.025, 0.975])
            print(
                f"{run.name}: divided by {by}, counted by {count}: {100 * told.mean():.1f} % "
                f"(single splits {100 * ends[0]:.1f} to {100 * ends[1]:.1f} %, {len(told)} of {len(share_R)})"
            )


if __name__ == "__main__":
    main()
