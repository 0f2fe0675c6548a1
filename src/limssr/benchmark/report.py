"""What a benchmark found, and its three files: benchmark.json, benchmark.csv and a figure."""

import csv
import dataclasses
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limssr.benchmark.agreement import Agreement
from limssr.benchmark.arithmetic import Limit
from limssr.benchmark.figure import draw_ratios
from limssr.benchmark.memory import Peak
from limssr.benchmark.timing import Spread
from limssr.data.files import write_bytes

FORMAT_VERSION = 1
JSON_NAME, CSV_NAME, FIGURE_NAMES = "benchmark.json", "benchmark.csv", ("benchmark.svg", "benchmark.png")


@dataclass(frozen=True)
class WorkResult:
    """One work on both sides.

    Attributes:
        name: Of the work.
        title: For people.
        literal_s: Seconds of the literal side.
        our_s: Seconds of ours.
        ratio: Literal over ours, within rounds.
        limit: What the ratio can be by arithmetic; None where nothing is computed.
        literal_share: Of the machine's matrix-multiply speed that the literal side reaches; None likewise.
        our_share: The same for ours.
        literal_macs: Multiply-accumulates of the literal side; None likewise.
        our_macs: Those that ours has to take.
        literal_peak: Memory of the literal side; None where it was not measured.
        our_peak: Of ours.
        seconds: Side -> seconds of every round, "gemm" for the matrix product.
    """

    name: str
    title: str
    literal_s: Spread
    our_s: Spread
    ratio: Spread
    limit: Limit | None
    literal_share: float | None
    our_share: float | None
    literal_macs: float | None
    our_macs: float | None
    literal_peak: Peak | None
    our_peak: Peak | None
    seconds: Mapping[str, list[float]]


@dataclass(frozen=True)
class SavingResult:
    """One saving, switched off and on.

    Attributes:
        name: Of the saving.
        title: For people.
        work: Where it was measured.
        without_s: Seconds with the saving switched off.
        with_s: Seconds with it.
        ratio: Without over with, within rounds.
        scores_apart: Largest difference of unit scores between both.
    """

    name: str
    title: str
    work: str
    without_s: Spread
    with_s: Spread
    ratio: Spread
    scores_apart: float


@dataclass(frozen=True)
class BenchmarkReport:
    """Everything that was measured in one run.

    Attributes:
        command: What was asked for, as options.
        environment: Versions, processor, threads, device.
        shape: Backbone, prompt, lengths, parameters: what the numbers are numbers of.
        agreement: How far both sides' scores and gradients are apart.
        gemm_gflops: The machine's matrix-multiply speed, over all rounds.
        works: One result a work.
        checkpoint_bytes: Side -> bytes; empty where no checkpoint was written.
        savings: One result a saving and work.
        notes: What a reader has to know.
    """

    command: Mapping[str, Any]
    environment: Mapping[str, Any]
    shape: Mapping[str, Any]
    agreement: Agreement
    gemm_gflops: Spread | None
    works: tuple[WorkResult, ...]
    checkpoint_bytes: Mapping[str, int]
    savings: tuple[SavingResult, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for `--json` and benchmark.json."""
        return {"format_version": FORMAT_VERSION, **dataclasses.asdict(self)}


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
        partial = folder / f".{name}.partial"
        write_bytes(partial, content)
        partial.replace(folder / name)
    return [folder / name for name in contents]


def _csv(report: BenchmarkReport) -> str:
    rows = [*_work_rows(report), *_saving_rows(report)]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


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
