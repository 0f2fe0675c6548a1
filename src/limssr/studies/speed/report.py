"""The output of a benchmark: benchmark.json, benchmark.csv and a figure."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from limssr.core.files import write_atomically
from limssr.core.timing import Spread
from limssr.report.render import csv_text
from limssr.studies.speed.figure import draw_ratios
from limssr.studies.speed.memory import Peak
from limssr.studies.speed.results import BenchmarkReport

JSON_NAME, CSV_NAME, FIGURE_NAMES = "benchmark.json", "benchmark.csv", ("benchmark.svg", "benchmark.png")


def write_report(report: BenchmarkReport, folder: Path) -> list[Path]:
    """Write benchmark.json, benchmark.csv, benchmark.svg and benchmark.png; existing ones are replaced.

    Raises:
        ResourceError: The disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        JSON_NAME: (json.dumps(report.to_dict(), indent=1, allow_nan=False) + "\n").encode(),
        CSV_NAME: _csv(report).encode(),
    }
    contents |= {name: draw_ratios(report, form=Path(name).suffix[1:]) for name in FIGURE_NAMES}
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / name for name in contents]


def _csv(report: BenchmarkReport) -> str:
    rows = [*_work_rows(report), *_saving_rows(report)]
    names = list(dict.fromkeys(key for row in rows for key in row))
    return csv_text(names, [[row.get(name) for name in names] for row in rows])


def _work_rows(report: BenchmarkReport) -> Iterator[dict[str, Any]]:
    for work in report.works:
        yield {
            "kind": "work",
            "name": work.name,
            "work": work.name,
            "literal_s": work.literal_s.median,
            "our_s": work.our_s.median,
            **_spread_columns(work.ratio),
            "limit_maps": work.limit.maps if work.limit else None,
            "limit_everything": work.limit.everything if work.limit else None,
            "literal_gemm_share": work.literal_share,
            "our_gemm_share": work.our_share,
            **_peak_columns("literal", work.literal_peak),
            **_peak_columns("our", work.our_peak),
        }


def _saving_rows(report: BenchmarkReport) -> Iterator[dict[str, Any]]:
    for saving in report.savings:
        yield {
            "kind": "saving",
            "name": saving.name,
            "work": saving.work,
            "literal_s": saving.without_s.median,
            "our_s": saving.with_s.median,
            **_spread_columns(saving.ratio),
        }


def _spread_columns(ratio: Spread) -> dict[str, float]:
    return {"ratio": ratio.median, "ratio_lower": ratio.lower, "ratio_upper": ratio.upper}


def _peak_columns(side: str, peak: Peak | None) -> dict[str, int | None]:
    return {
        f"{side}_peak_bytes": peak.peak if peak else None,
        f"{side}_model_bytes": peak.model if peak else None,
    }
