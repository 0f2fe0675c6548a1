"""`limssr reproduce`: one of the paper's benchmarks on its features, with the published numbers beside ours."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from limssr.core.cluster import Cluster
from limssr.core.config import RunConfig
from limssr.core.errors import InputError, LimssrError, unknown_name
from limssr.core.progress import Reporter, SilentReporter
from limssr.core.reading.records import EvaluationDocument, read_document
from limssr.core.recipes import load_recipe, recipe_path, recipe_variants
from limssr.core.types import SPLITS
from limssr.data.store.reader import FeatureStore
from limssr.report.banners import Banner
from limssr.runs.folder import FORMAT_VERSION
from limssr.studies.estimate import Estimate, estimate
from limssr.studies.execute import run_all
from limssr.studies.paper.benchmarks import BENCHMARKS, NUM_SEEDS, Benchmark
from limssr.studies.paper.deviations import config_deviations, count_deviations, size_deviations
from limssr.studies.paper.tables import Scores, target_scores
from limssr.studies.plan import PlannedRun, RunsFailed, check_runs, check_study, read_results, unfinished_runs
from limssr.studies.systems import (
    check_regressions,
    check_systems,
    is_network,
    regression_is_done,
    run_regression,
    system_config,
)

Protocol = Literal["honest", "paper", "published"]
ALL_TARGETS = "all"
"""Criterion of the recipes: one model for all targets; an addition of ours."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked.

    Attributes:
        dataset: fs1000, fisv or rg.
        store: Feature store that `limssr data import` made of the published features.
        protocol: published: what the released code does; paper: the text; honest: availability fixed a sample, masked
            padding, validation split.
        targets: Criteria; empty: all of the data set; "all" alone: one model for all of them.
        num_seeds: The recipe's seed and the ones after it.
        systems: names of `limssr.systems.table.SYSTEMS` and of `limssr.systems.references.REFERENCES`.
        overrides: "train.epochs=3" and the like, for every run.
    """

    dataset: str
    store: Path
    protocol: Protocol = "honest"
    targets: tuple[str, ...] = ()
    num_seeds: int = NUM_SEEDS
    systems: tuple[str, ...] = ("limssr",)
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Piece:
    """One system on one target (or on all, with one model) with one seed."""

    system: str
    targets: tuple[str, ...]
    seed_number: int
    run: PlannedRun


@dataclass(frozen=True)
class ReproductionPlan:
    """What a request comes to.

    Attributes:
        request: As asked.
        benchmark: The data set.
        targets: Whose numbers there will be, in the paper's order.
        pieces: Every run.
        banners: How this differs from the published protocol.
    """

    request: Request
    benchmark: Benchmark
    targets: tuple[str, ...]
    pieces: tuple[Piece, ...]
    banners: tuple[Banner, ...]

    @property
    def networks(self) -> list[PlannedRun]:
        """The runs that are trained by the loop."""
        return [piece.run for piece in self.pieces if is_network(piece.system)]

    @property
    def regressions(self) -> list[tuple[str, PlannedRun]]:
        """Name and run of the quick ones."""
        return [(piece.system, piece.run) for piece in self.pieces if not is_network(piece.system)]


def plan_reproduction(request: Request) -> ReproductionPlan:
    """Turn a request into runs; nothing is written or trained.

    Raises:
        InputError: An unknown data set, protocol, system or criterion, a store without what is asked, a wrong override.
    """
    if request.dataset not in BENCHMARKS:
        raise unknown_name("data set", request.dataset, list(BENCHMARKS))
    if request.num_seeds < 1:
        raise InputError(f"Expected at least one seed, found {request.num_seeds}: give 1 or more.")
    check_systems(request.systems)
    benchmark = BENCHMARKS[request.dataset]
    store = FeatureStore.open(request.store)
    targets = _targets(request, benchmark, store)
    tasks = {ALL_TARGETS: targets} if request.targets == (ALL_TARGETS,) else {name: (name,) for name in targets}
    configs = {task: _config(request, task) for task in tasks}
    pieces = [
        Piece(system, tasks[task], number, _planned(task, system, config, number))
        for system in request.systems
        for number in range(request.num_seeds)
        for task, config in configs.items()
    ]
    banners = _banners(request, benchmark, configs, _counts(store, targets), targets)
    return ReproductionPlan(request, benchmark, targets, tuple(pieces), tuple(banners))


def check_reproduction(plan: ReproductionPlan, out: Path, *, device: str = "auto") -> list[PlannedRun]:
    """Find what would stop a run, before the first one.

    Returns:
        The trained runs that are not done.

    Raises:
        InputError: What is wrong, with the key of the run.
    """
    waiting = check_runs(plan.networks, out / "runs", device=device)
    check_regressions([one for one in plan.regressions if not regression_is_done(one[1], out / "runs")])
    return waiting


def estimate_reproduction(
    plan: ReproductionPlan, out: Path, *, device: str = "auto", processes: int = 1, reporter: Reporter | None = None
) -> dict[str, Estimate]:
    """Key of every trained run that is not done -> what it will take, from a few timed steps.

    Raises:
        InputError: A run is not possible here.
    """
    check_study(out / "runs", processes=processes)
    waiting = check_reproduction(plan, out, device=device)
    return estimate(waiting, device=device, processes=processes, reporter=reporter)


def run_reproduction(
    plan: ReproductionPlan,
    out: Path,
    *,
    processes: int = 1,
    device: str = "auto",
    cluster: Cluster | None = None,
    reporter: Reporter | None = None,
) -> RunsFailed | None:
    """Train what is missing into OUT/runs.

    Returns:
        What failed; None where everything is done. The tables show what there is in either case.

    Raises:
        InputError: Found before the first run.
    """
    reporter, folder = reporter or SilentReporter(), out / "runs"
    failures: dict[str, LimssrError] = {}
    # Nothing of a network's run is wrong either, or `run_all` says so before it starts one.
    check_regressions([one for one in plan.regressions if not regression_is_done(one[1], folder)])
    try:
        run_all(plan.networks, folder, processes=processes, device=device, cluster=cluster, reporter=reporter)
    except RunsFailed as failed:
        failures |= failed.failures
    for name, run in plan.regressions:
        if not regression_is_done(run, folder):
            reporter.note(f"regression: {run.key}")
        try:
            run_regression(name, run, folder, reporter=reporter)
        except LimssrError as error:
            reporter.warn(f"{run.key} failed: {error}")
            failures[run.key] = error
    return RunsFailed(failures, len(plan.pieces)) if failures else None


def read_scores(plan: ReproductionPlan, out: Path) -> Scores:
    """The scores of the runs that are done."""
    folder = out / "runs"
    done = {key: result.document for key, result in read_results(plan.networks, folder).items()}
    for _, run in plan.regressions:
        if regression_is_done(run, folder):
            done[run.key] = read_document(
                folder / run.key / "evaluation.json", EvaluationDocument, newest_version=FORMAT_VERSION
            )
    scores = Scores(plan.benchmark.targets, plan.request.num_seeds)
    for piece in plan.pieces:
        if piece.run.key in done:
            for target in piece.targets:
                scores.add(piece.system, target, piece.seed_number, target_scores(done[piece.run.key], target))
    return scores


def run_states(plan: ReproductionPlan, out: Path) -> dict[str, str]:
    """Key -> "done", "begun" or "not begun"."""
    folder = out / "runs"
    waiting = {run.key for run in unfinished_runs(plan.networks, folder)}
    waiting |= {run.key for _, run in plan.regressions if not regression_is_done(run, folder)}
    states = {}
    for piece in plan.pieces:
        key = piece.run.key
        begun = "begun" if (folder / key / "run.json").is_file() else "not begun"
        states[key] = begun if key in waiting else "done"
    return states


def _targets(request: Request, benchmark: Benchmark, store: FeatureStore) -> tuple[str, ...]:
    """The criteria asked for, in the paper's order, each known to the recipe and in the store."""
    asked = benchmark.targets if request.targets in ((), (ALL_TARGETS,)) else request.targets
    in_store = [criterion.name for criterion in store.criteria]
    for name in asked:
        if name not in benchmark.targets:
            raise InputError(
                f"Expected criteria of {benchmark.name}, which are {', '.join(benchmark.targets)} (or "
                f"{ALL_TARGETS} by itself: one model for all), found {name!r}: leave it out."
            )
        if name not in in_store:
            raise InputError(
                f"Expected the criterion {name} of {benchmark.name} in {request.store}, found {', '.join(in_store)}: "
                f"import the published features (limssr data import {benchmark.key}), or name criteria that are there."
            )
        if list(asked).count(name) > 1:
            raise InputError(f"Expected each criterion once, found {name} twice.")
    return tuple(name for name in benchmark.targets if name in asked)


def _config(request: Request, task: str) -> RunConfig:
    recipe = recipe_path(f"paper/{request.dataset}")
    offered = recipe_variants(recipe)
    if task not in offered.get("task", ()):
        raise InputError(f"The recipe paper/{request.dataset} has no task {task!r}: give one of {offered.get('task')}.")
    # JSON is YAML: quoted, a path such as 2024-01 stays text.
    store = f"data.store={json.dumps(str(request.store.absolute()))}"
    variants = {"task": task, "protocol": request.protocol}
    config = load_recipe(recipe, [*request.overrides, store], variants)
    # Systems beside LIMSSR are runs of their own here.
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"references": ()})})


def _planned(task: str, system: str, config: RunConfig, seed_number: int) -> PlannedRun:
    changed = system_config(system, config)
    seed = config.seed + seed_number
    return PlannedRun(f"{task}-{system}-seed{seed}", changed.model_copy(update={"seed": seed}))


def _counts(store: FeatureStore, targets: Sequence[str]) -> dict[str, dict[str, int]]:
    """Target -> split -> judged performances."""
    splits = store.index["split"].to_pylist()
    found = {}
    for target in targets:
        judged = [score is not None and score == score for score in store.index[f"score:{target}"].to_pylist()]
        found[target] = {
            split: sum(is_judged for name, is_judged in zip(splits, judged, strict=True) if name == split)
            for split in SPLITS
        }
    return found


def _banners(
    request: Request,
    benchmark: Benchmark,
    configs: Mapping[str, RunConfig],
    counts: Mapping[str, Mapping[str, int]],
    targets: Sequence[str],
) -> list[Banner]:
    recipe = recipe_path(f"paper/{request.dataset}")
    published = {task: load_recipe(recipe, (), {"task": task, "protocol": "published"}) for task in configs}
    selections = {config.train.selection for config in configs.values()}
    deviations = [
        *config_deviations(configs, published),
        *count_deviations(targets, benchmark.targets, request.num_seeds, NUM_SEEDS),
        *size_deviations(counts, benchmark.num_samples, uses_validation="val" in selections),
    ]
    if tuple(configs) == (ALL_TARGETS,):
        text = "The paper trains one model a target; here one model predicts them all."
        deviations.append(Banner("note", "One model for all targets", text))
    if not deviations:
        text = "Settings, splits, targets and number of seeds are the published ones."
        deviations = [Banner("note", "No deviation from the published protocol was found", text)]
    if "test" not in selections:
        return deviations
    text = (
        "As published, and flattering: these numbers repeat a published table and say nothing about new performances."
    )
    return [Banner("warning", "The epoch is chosen on the test split", text), *deviations]
