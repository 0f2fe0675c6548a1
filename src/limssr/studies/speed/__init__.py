"""How much faster than the published computation, measured on this machine (docs/performance.md)."""

from limssr.studies.speed.report import write_report
from limssr.studies.speed.results import BenchmarkReport
from limssr.studies.speed.run import run_benchmark
from limssr.studies.speed.setup import BenchmarkOptions

__all__ = ["BenchmarkOptions", "BenchmarkReport", "run_benchmark", "write_report"]
