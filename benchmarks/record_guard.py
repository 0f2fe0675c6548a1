"""Record the ratios that tests/benchmark/test_guard.py holds later versions against: run it on a quiet machine.

python benchmarks/record_guard.py [ROUNDS]
"""

import dataclasses
import json
import sys
from pathlib import Path

from limssr.core.runtime import environment
from limssr.studies.speed.guard import FRACTION, OPTIONS, measure_guard

PATH = Path(__file__).with_name("guard.json")
ATTEMPTS = 3


def main() -> None:
    """Measure a few times, keep the median of each ratio, write guard.json."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    found = [measure_guard(rounds) for _ in range(ATTEMPTS)]
    middle = ATTEMPTS // 2
    where = environment()
    document = {
        "fraction": FRACTION,
        "step": round(sorted(ratios.step for ratios in found)[middle], 3),
        "score": round(sorted(ratios.score for ratios in found)[middle], 3),
        "how": f"python benchmarks/record_guard.py {rounds}: median of {ATTEMPTS} attempts of {rounds} rounds each, "
        "literal and ours in turns, one thread",
        "options": dataclasses.asdict(OPTIONS),
        "environment": {name: where[name] for name in ("limssr", "git", "python", "packages", "cpu", "num_cores")},
    }
    PATH.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(PATH.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
