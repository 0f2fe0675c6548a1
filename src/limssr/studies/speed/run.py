"""The benchmark: both sides in one process, in turns, on the same weights, data and threads."""

import dataclasses
import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from limssr.core.errors import InputError, LimssrError
from limssr.core.progress import Reporter, SilentReporter
from limssr.core.runtime import environment, limited_threads
from limssr.core.timing import Spread, ratios, take_turns
from limssr.studies.speed.agreement import check_agreement
from limssr.studies.speed.arithmetic import Macs, Sizes, limit
from limssr.studies.speed.implementations import LiteralImplementation, OurImplementation
from limssr.studies.speed.matrix_product import gemm
from limssr.studies.speed.memory import Peak, measure_in_process
from limssr.studies.speed.results import BenchmarkReport, SavingResult, WorkResult
from limssr.studies.speed.savings import SAVINGS, Saving, apart, side_with, side_without
from limssr.studies.speed.setup import (
    BenchmarkOptions,
    Setting,
    build_literal,
    build_ours,
    our_config,
    prepare,
    sizes_of,
)
from limssr.studies.speed.workloads import COMPUTES, REPEATS, TITLES, WORKLOADS, Workload, WorkloadName, Workloads

# Settings that change what is computed: the comparison of scores and gradients is made without them.
EXACT = (
    "model.num_missing_tokens=null",
    "model.backbone.dtype=float32",
    "train.precision=float32",
)
LARGEST_DIFFERENCE = 1e-4
SAVING_REPEATS = 3


@dataclass(frozen=True)
class _Sides:
    """Both sides, what they share, and what the arithmetic depends on."""

    setting: Setting
    literal: LiteralImplementation
    ours: OurImplementation
    sizes: Sizes


def run_benchmark(
    options: BenchmarkOptions,
    *,
    works: Sequence[WorkloadName] = WORKLOADS,
    memory: Sequence[WorkloadName] = COMPUTES,
    savings: Sequence[str] = tuple(saving.name for saving in SAVINGS),
    reporter: Reporter | None = None,
) -> BenchmarkReport:
    """Measure.

    Args:
        options: What to measure.
        works: Which works, in this order.
        memory: Which of them have their memory measured as well (a process for each side and work).
        savings: Names of the savings to switch off one by one; only where one of its works is measured.
        reporter: Hears what is being done.

    Raises:
        InputError: Options that do not fit together, or a language model that is not on this machine.
        LimssrError: Both sides do not compute the same, or a process of the memory measurement failed.
    """
    reporter = reporter or SilentReporter()
    _check_int8(options, works)
    with limited_threads(options.threads):
        reporter.note(f"building {options.backbone} twice and comparing scores and gradients")
        reference, literal, ours = _build_both(options)
        agreement = check_agreement(reference, ours, literal)
        sides = _sides(options, reference, literal, ours)
        del literal, ours, reference
        results: list[WorkResult] = []
        with Workloads(sides.setting, sides.sizes) as workloads:
            for name in works:
                reporter.note(TITLES[name])
                results.append(_measure(workloads.work(name, sides.literal, sides.ours), sides.setting))
            checkpoint_bytes = dict(workloads.checkpoint_bytes)
        environment_record, shape = environment(sides.setting.device), _shape(sides)
        del sides
        gc.collect()
        results = [_with_memory(result, options, memory, reporter) for result in results]
        chosen = [saving for saving in SAVINGS if saving.name in savings]
        switched = [row for saving in chosen for row in _switch_off(options, saving, works, reporter)]
    speeds = [speed for result in results for speed in _gemm_speeds(result, shape)]
    return BenchmarkReport(
        command=dataclasses.asdict(options),
        environment=environment_record,
        shape=shape,
        agreement=agreement,
        gemm_gflops=Spread.of(speeds) if speeds else None,
        works=tuple(results),
        checkpoint_bytes=checkpoint_bytes,
        savings=tuple(switched),
        notes=tuple(_notes(options)),
    )


def _check_int8(options: BenchmarkOptions, works: Sequence[WorkloadName]) -> None:
    training = [name for name in works if name not in ("score-one", "score", "subsets")]
    if options.our_weights == "int8" and training:
        raise InputError(
            f"Int8 weights only score, found the works {', '.join(training)}: "
            "name some of --works score-one score subsets beside --int8."
        )


def _build_both(options: BenchmarkOptions) -> tuple[Setting, Any, Any]:
    setting = prepare(replace(options, settings=(*options.settings, *EXACT)))
    ours = build_ours(setting)
    return setting, build_literal(setting, ours), ours


def _sides(options: BenchmarkOptions, reference: Setting, literal: Any, ours: Any) -> _Sides:
    sizes = sizes_of(reference, ours)
    if our_config(options) == reference.config:
        return _Sides(reference, LiteralImplementation(reference, literal), OurImplementation(reference, ours), sizes)
    setting = prepare(options)
    return _Sides(
        setting, LiteralImplementation(reference, literal), OurImplementation(setting, build_ours(setting)), sizes
    )


def _measure(work: Workload, setting: Setting) -> WorkResult:
    multiply, gemm_macs = gemm(setting.device)
    repeats = setting.options.repeats or REPEATS[work.name]
    contestants = {"literal": work.literal, "ours": work.ours, "gemm": multiply}
    seconds = take_turns(contestants, repeats=repeats, device=setting.device)
    gemm_s = Spread.of(seconds["gemm"]).median
    literal_s, our_s = Spread.of(seconds["literal"]), Spread.of(seconds["ours"])

    def share(macs: Macs | None, spent: Spread) -> float | None:
        return None if macs is None else (macs.total / spent.median) / (gemm_macs / gemm_s)

    return WorkResult(
        name=work.name,
        title=TITLES[work.name],
        literal_s=literal_s,
        our_s=our_s,
        ratio=ratios(seconds["literal"], seconds["ours"]),
        limit=limit(work.literal_macs, work.our_macs) if work.literal_macs and work.our_macs else None,
        literal_share=share(work.literal_macs, literal_s),
        our_share=share(work.our_macs, our_s),
        literal_macs=work.literal_macs.total if work.literal_macs else None,
        our_macs=work.our_macs.total if work.our_macs else None,
        literal_peak=None,
        our_peak=None,
        seconds=seconds,
    )


def _with_memory(
    result: WorkResult, options: BenchmarkOptions, memory: Sequence[WorkloadName], reporter: Reporter
) -> WorkResult:
    if result.name not in memory or result.name not in COMPUTES:
        return result
    reporter.note(f"memory: {result.title}")
    literal: Peak = measure_in_process(options, "literal", result.name)
    return replace(result, literal_peak=literal, our_peak=measure_in_process(options, "ours", result.name))


def _switch_off(
    options: BenchmarkOptions, saving: Saving, works: Sequence[WorkloadName], reporter: Reporter
) -> Iterator[SavingResult]:
    chosen: list[WorkloadName] = [name for name in saving.works if name in works]
    if not chosen:
        return
    setting = prepare(options)
    ours, spoilt = side_with(setting, saving), side_without(setting, saving)
    with Workloads(setting, sizes_of(setting, ours.model)) as workloads:
        difference = apart(ours, spoilt, workloads.dense_batch(2))
        if not difference <= LARGEST_DIFFERENCE and our_config(options) == our_config(_exact(options)):
            raise LimssrError(
                f"Expected the same scores without {saving.title}, found them apart by {difference:.2g}: this is no "
                "saving but another computation."
            )
        for name in chosen:
            reporter.note(f"without {saving.title}: {TITLES[name]}")
            contestants = {"without": workloads.task(name, spoilt), "with": workloads.task(name, ours)}
            repeats = options.repeats or SAVING_REPEATS
            seconds = take_turns(contestants, repeats=repeats, device=setting.device)
            yield SavingResult(
                name=saving.name,
                title=saving.title,
                work=name,
                without_s=Spread.of(seconds["without"]),
                with_s=Spread.of(seconds["with"]),
                ratio=ratios(seconds["without"], seconds["with"]),
                scores_apart=difference,
            )


def _exact(options: BenchmarkOptions) -> BenchmarkOptions:
    return replace(options, settings=(*options.settings, *EXACT))


def _shape(sides: _Sides) -> dict[str, Any]:
    setting, options = sides.setting, sides.setting.options
    return {
        "backbone": setting.backbone.origin.rsplit("/", 1)[-1],
        "tokenizer": setting.tokenizer,
        "prompt_tokens": setting.prompt_tokens,
        "modalities": [modality.to_dict() for modality in setting.modalities],
        "sequence_length": setting.prompt_tokens + sides.sizes.body(options.segments),
        "sizes": dataclasses.asdict(sides.sizes),
        "gemm_macs": gemm(setting.device)[1],
    }


def _gemm_speeds(result: WorkResult, shape: dict[str, Any]) -> list[float]:
    return [2 * shape["gemm_macs"] / seconds / 1e9 for seconds in result.seconds["gemm"]]


def _notes(options: BenchmarkOptions) -> Iterator[str]:
    if options.weights == "random":
        yield "Random weights of the named shape: times do not depend on their values."
    if our_config(options) != our_config(_exact(options)):
        yield "Ours changes the computation (see the options); scores and gradients were compared without that."
    if options.our_weights == "int8":
        yield "Ours scores with int8 weights, which changes the scores; they were compared without that."
    if options.literal_precision != "float32":
        yield f"The literal side computes in {options.literal_precision}; as published it is float32."
