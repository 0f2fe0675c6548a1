"""How much faster than the published computation, measured on this machine (docs/performance.md)."""

from limssr.benchmark.report import BenchmarkReport, write_report
from limssr.benchmark.run import run_benchmark
from limssr.benchmark.setup import BenchmarkOptions

__all__ = ["BenchmarkOptions", "BenchmarkReport", "run_benchmark", "write_report"]
