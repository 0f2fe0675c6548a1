"""What a measurement of speed returns, before it becomes a file or a table."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from limssr.core.timing import Spread
from limssr.studies.speed.agreement import Agreement
from limssr.studies.speed.arithmetic import Limit
from limssr.studies.speed.memory import Peak

Axis = Literal["segments", "modalities", "batch_size", "num_layers"]


LABELS: dict[Axis, str] = {
    "segments": "segments T",
    "modalities": "streams M",
    "batch_size": "batch",
    "num_layers": "backbone layers",
}


@dataclass(frozen=True)
class GrowthPoint:
    """One size.

    Attributes:
        value: Of what grows.
        step_s: Seconds of a training step.
        score_s: Seconds of scoring a batch.
        work_bytes: Memory of a training step on top of the model; None where it was not measured.
    """

    value: int
    step_s: float
    score_s: float
    work_bytes: int | None


@dataclass(frozen=True)
class GrowthCurve:
    """Cost against one size.

    Attributes:
        axis: What grows.
        label: For people.
        side: "ours" or "literal".
        points: From small to large.
        exponents: Measurement -> slope of its logarithm against that of the size, over the upper part of the grid.
    """

    axis: Axis
    label: str
    side: str
    points: tuple[GrowthPoint, ...]
    exponents: Mapping[str, float]


@dataclass(frozen=True)
class GrowthReport:
    """All curves of a run, and what they were measured with."""

    command: Mapping[str, Any]
    environment: Mapping[str, Any]
    curves: tuple[GrowthCurve, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"format_version": 1, **dataclasses.asdict(self)}


FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
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
        seconds: Implementation -> seconds of every round, "gemm" for the matrix product.
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


@dataclass(frozen=True, kw_only=True)
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


@dataclass(frozen=True, kw_only=True)
class BenchmarkReport:
    """Everything that was measured in one run.

    Attributes:
        command: What was asked for, as options.
        environment: Versions, processor, threads, device.
        shape: Backbone, prompt, lengths, parameters: what the numbers are numbers of.
        agreement: How far both sides' scores and gradients are apart.
        gemm_gflops: The machine's matrix-multiply speed, over all rounds.
        works: One result a work.
        checkpoint_bytes: Implementation -> bytes; empty where no checkpoint was written.
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
