"""How sure is it that a run's model beats the references beside it? Differences under resampling of the performances.

    python tools/compare_systems.py runs/percepiano

All systems are scored on the same resampled performances, so what is hard for all of them cancels out.
"""

import sys
from pathlib import Path

import pyarrow.parquet as pq

from limssr.studies.differences import Spearmans

PARTS = {"incomplete": "incomplete", "all streams": "full"}


def main(run: Path) -> None:
    """Print the difference of the run's own model to every other system, with 95 % intervals."""
    own, *others = pq.read_table(run / "predictions.parquet", columns=["system"]).column(0).unique().to_pylist()
    spearmans = Spearmans()
    for name in others:
        for label, part in PARTS.items():
            found = spearmans.difference([(run, own)], [(run, name)], part)
            print(f"{own} - {name:24} {label:12} {found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
