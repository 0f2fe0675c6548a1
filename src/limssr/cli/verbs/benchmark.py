"""`limssr benchmark`: our computation against the published one, and how cost grows."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from tyro import conf

from limssr.cli.options import Common, Device
from limssr.cli.output import Answer
from limssr.core.errors import InputError

if TYPE_CHECKING:
    from limssr.studies.speed import BenchmarkOptions

WorkWord = Literal["step", "score-one", "score", "subsets", "epoch", "read", "save", "load"]
SavingWord = Literal[
    "headless", "states", "used-rows", "fused", "last-rows", "no-waits", "packed", "kept-prompts", "length"
]
AxisWord = Literal["segments", "modalities", "batch_size", "num_layers"]
WORK_WORDS: tuple[WorkWord, ...] = get_args(WorkWord)
SAVING_WORDS: tuple[SavingWord, ...] = get_args(SavingWord)
GONE: tuple[SavingWord, ...] = ("last-rows", "no-waits")
"""Once measured one by one and worth next to nothing; what was kept of them cannot be switched off."""
MEASURED: tuple[SavingWord, ...] = tuple(word for word in SAVING_WORDS if word not in GONE)
AXIS_WORDS: tuple[AxisWord, ...] = get_args(AxisWord)


@dataclass(frozen=True, kw_only=True)
class MeasuredModel:
    """The model that is measured; options of every benchmark of a model."""

    backbone: Annotated[str, conf.arg(metavar="NAME")] = "smollm2-135m"
    """Language model: smollm2-135m, qwen3-0.6b, tiny, small (four cheap layers), a hub id or a folder."""
    weights: Literal["random", "pretrained"] = "random"
    """random builds the named shape with a stand-in tokenizer and needs no download."""
    num_layers: Annotated[int | None, conf.arg(metavar="N")] = None
    """Number of its layers to keep, counted from the first."""
    modalities: Annotated[int, conf.arg(metavar="M")] = 3
    """Number of streams; 3 are the published ones. A store brings its own."""


@dataclass(frozen=True, kw_only=True)
class Benchmark(MeasuredModel):
    """Measure training and scoring against the published computation, in turns on the same weights and threads."""

    segments: Annotated[int, conf.arg(metavar="T")] = 95
    """Length of the dense works, and the one length that the published computation pads and crops to."""
    batch_size: Annotated[int, conf.arg(metavar="N")] = 8
    """Samples in a batch, on both sides."""
    num_samples: Annotated[int, conf.arg(metavar="N")] = 32
    """Samples of real length, for the works epoch, subsets and read."""
    store: Annotated[Path | None, conf.arg(metavar="STORE")] = None
    """Take real lengths and features from this store; without it lengths as PercePiano has them, and noise."""
    works: Annotated[
        tuple[WorkWord, ...], conf.arg(help="What is measured; everything if not given.", metavar="WORK ...")
    ] = WORK_WORDS
    savings: Annotated[
        tuple[SavingWord, ...],
        conf.arg(
            help="Which savings are switched off one by one; all if not given, none if empty.", metavar="NAME ..."
        ),
    ] = MEASURED
    no_memory: bool = False
    """Leave out peak memory, which takes a process for each side and work."""
    repeats: Annotated[int | None, conf.arg(metavar="N")] = None
    """Measured rounds of each work; without it between 3 and 9."""
    quick: bool = False
    """A quick look in about a minute: two layers, few samples, few rounds, no memory, no savings."""
    growth: bool = False
    """Measure how cost grows instead, with fitted exponents: two layers and a batch of two if not said otherwise."""
    axes: Annotated[
        tuple[AxisWord, ...], conf.arg(help="With --growth: what grows; all four if not given.", metavar="AXIS ...")
    ] = AXIS_WORDS
    grid: Annotated[
        tuple[int, ...], conf.arg(help="With --growth and one axis: the sizes to measure.", metavar="N ...")
    ] = ()
    side: Literal["ours", "literal"] = "ours"
    """With --growth: whose cost grows."""
    set: Annotated[
        conf.UseAppendAction[tuple[str, ...]],
        conf.arg(
            metavar="KEY=VALUE",
            help="Change one key of our side's recipe, such as model.backbone.reading=padded; may be repeated.",
        ),
    ] = ()
    literal_precision: Literal["float32", "bf16"] = "float32"
    """Precision of the literal side; float32 is the published one."""
    int8: bool = False
    """Let our side score with int8 weights, on a CPU; for the works score-one, score and subsets."""
    threads: Annotated[int | None, conf.arg(metavar="N")] = None
    """Threads that torch uses; without it as many as it chooses."""
    out: Annotated[Path, conf.arg(metavar="PATH")] = Path("runs/benchmark")
    """Folder for the JSON, CSV and figures, which are replaced if they are there."""
    device: Device = "auto"
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Measure."""
        from limssr.core.files import check_folder

        check_folder(self.out)
        options = self._options()
        return self._measure_growth(options) if self.growth else self._measure(options)

    def _options(self) -> "BenchmarkOptions":
        from limssr.studies.speed import BenchmarkOptions

        options = BenchmarkOptions(
            backbone=self.backbone,
            weights=self.weights,
            num_layers=self.num_layers,
            modalities=self.modalities,
            segments=self.segments,
            batch_size=self.batch_size,
            num_samples=self.num_samples,
            repeats=self.repeats,
            threads=self.threads,
            device=self.device,
            store=None if self.store is None else str(self.store),
            settings=self.set,
            literal_precision=self.literal_precision,
            our_weights="int8" if self.int8 else "trained",
        )
        if self.quick or self.growth:
            options = replace(options, num_layers=self.num_layers or 2, repeats=self.repeats or 3)
        if self.quick:
            options = replace(options, num_samples=min(self.num_samples, 8))
        if self.growth and self.batch_size == Benchmark.batch_size:
            options = replace(options, batch_size=2)
        return options

    def _measure(self, options: "BenchmarkOptions") -> Answer:
        from limssr.core.progress import make_reporter
        from limssr.studies.speed import run_benchmark, write_report
        from limssr.studies.speed.tables import benchmark_lines
        from limssr.studies.speed.workloads import COMPUTES

        report = run_benchmark(
            options,
            works=self.works,
            memory=() if self.quick or self.no_memory else COMPUTES,
            savings=() if self.quick else tuple(word for word in self.savings if word not in GONE),
            reporter=make_reporter(),
        )
        files = write_report(report, self.out)
        document = {**report.to_dict(), "files": [str(file) for file in files]}
        gone = [f"--savings {word} is no longer measured." for word in self.savings if word in GONE]
        return Answer(document, (*benchmark_lines(report), *gone, f"Written: {', '.join(map(str, files))}"))

    def _measure_growth(self, options: "BenchmarkOptions") -> Answer:
        from limssr.core.progress import make_reporter
        from limssr.studies.speed.growth import measure_growth, write_growth
        from limssr.studies.speed.tables import growth_lines

        if self.grid and len(self.axes) != 1:
            raise InputError(f"Expected one of --axes with --grid, found {', '.join(self.axes)}: give one axis.")
        report = measure_growth(
            options,
            axes=self.axes,
            grids={self.axes[0]: self.grid} if self.grid else None,
            side=self.side,
            memory=() if self.quick or self.no_memory else ("segments",),
            reporter=make_reporter(),
        )
        files = write_growth(report, self.out)
        document = {**report.to_dict(), "files": [str(file) for file in files]}
        return Answer(document, (*growth_lines(report), f"Written: {', '.join(map(str, files))}"))
