"""Resident memory of `limssr serve` while it answers requests: it should not grow with their number.

    python benchmarks/server_memory.py RUN [--requests 10000]

RUN is a run folder whose store is on this machine.
"""

import argparse
import sys
from pathlib import Path

from limssr.serve.load import measure_memory


def main() -> None:
    """Print it after each tenth of the requests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--requests", type=int, default=10_000)
    options = parser.parse_args()
    tenth = max(1, options.requests // 10)
    measure_memory(options.run, [tenth * n for n in range(1, 11)], say=lambda line: print(line, file=sys.stderr))


if __name__ == "__main__":
    main()
