"""We stay ahead of the published computation: ratios on a small shape against those in benchmarks/guard.json.

Both sides take turns in one thread, the median of the rounds counts, and a busy machine gets further attempts: only
what is slow every time is slow. After a change that is meant to cost, record anew: python benchmarks/record_guard.py.
"""

import json
from pathlib import Path

import pytest

from limssr.studies.speed.guard import GuardRatios, measure_guard

RECORD = Path(__file__).resolve().parents[2] / "benchmarks" / "guard.json"
ATTEMPTS = 3


@pytest.mark.slow
def test_training_and_scoring_are_as_far_ahead_as_recorded() -> None:
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    recorded = GuardRatios(record["step"], record["score"])
    best = GuardRatios(0.0, 0.0)
    for _ in range(ATTEMPTS):
        best = best.better(measure_guard(repeats=5))
        complaints = best.below(recorded, record["fraction"])
        if not complaints:
            return
    pytest.fail("; ".join(complaints))


def test_the_guard_bites() -> None:
    recorded = GuardRatios(2.0, 3.0)
    assert GuardRatios(1.5, 2.25).below(recorded, 0.75) == []
    assert len(GuardRatios(1.49, 2.25).below(recorded, 0.75)) == 1
    assert len(GuardRatios(1.0, float("nan")).below(recorded, 0.75)) == 2
