"""Studies: many runs that answer one question.

A study plans its runs, checks them all, trains what is not done, and reads the finished ones back into tables.
"""

from limssr.studies.estimate import Estimate, estimate
from limssr.studies.execute import run_all
from limssr.studies.plan import PlannedRun, RunResult, RunsFailed, check_runs, read_results

__all__ = [
    "Estimate",
    "PlannedRun",
    "RunResult",
    "RunsFailed",
    "check_runs",
    "estimate",
    "read_results",
    "run_all",
]
