"""`limssr ablate`: one of the paper's ablation tables, or ours, on any store (paper section 4.3, appendix C)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limssr.core.cluster import Cluster
from limssr.core.config import RunConfig
from limssr.core.errors import InputError, unknown_name
from limssr.core.progress import Reporter
from limssr.core.recipes import parse_config
from limssr.evaluation.evaluate import uncertainty_of
from limssr.evaluation.uncertainty import NUM_RESAMPLES, units_of
from limssr.model.backbone.load import check_in_reach
from limssr.runs.folder import owned_in_training, read_run
from limssr.studies.ablation.rows import FULL, TABLES, AblationRow, AblationTable
from limssr.studies.compare.numbers import INCOMPLETE
from limssr.studies.compare.predictions import Answers, read_answers
from limssr.studies.compare.scores import same_subsets, score_answers
from limssr.studies.estimate import estimate
from limssr.studies.execute import run_all
from limssr.studies.plan import PlannedRun, RunResult, check_runs, check_study, distinct_runs, read_results

MEASURES = ("spearman", "mse")
PARTS = ("average_incomplete", "full")


@dataclass(frozen=True)
class AblationPlan:
    """What `limssr ablate` will run.

    Attributes:
        tables: The tables, each with the rows that can be run.
        runs: (row name, seed) -> its run; rows that are the same configuration share one.
        left_out: Row name -> why it cannot be run here.
    """

    tables: tuple[AblationTable, ...]
    runs: Mapping[tuple[str, int], PlannedRun]
    left_out: Mapping[str, str]


@dataclass(frozen=True)
class Difference:
    """Spearman of a row minus that of the full model.

    Attributes:
        value: Mean over the seeds that both have.
        low: Of the 95 % interval over test performances, or groups of them, the same for both rows.
        high: Likewise.
        p_value: Of the same draws, not corrected for the number of rows.
        by_seed: One difference a seed.
    """

    value: float
    low: float
    high: float
    p_value: float
    by_seed: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class RowResult:
    """A row of a finished table.

    Attributes:
        row: Which.
        num_seeds: Runs that are done.
        mean: (part, measure) -> mean over seeds; part "average_incomplete" or "full", measure "spearman" or "mse".
        deviation: Likewise, standard deviation over seeds (NaN with one).
        difference: Part -> Spearman of this row minus that of the full model; None for the full model itself, and
            where the two have not been run with the same seeds.
        seconds: Training time of a run, mean over seeds.
        trained: Trained parameters.
        left_out: Why the row was not run; "" where it was.
    """

    row: AblationRow
    num_seeds: int
    mean: Mapping[tuple[str, str], float]
    deviation: Mapping[tuple[str, str], float]
    difference: Mapping[str, Difference | None]
    seconds: float
    trained: int
    left_out: str = ""


def plan_ablation(
    config: RunConfig, tables: Sequence[str], *, seeds: int, backbones: Sequence[str] = ()
) -> AblationPlan:
    """Which runs the tables take.

    Args:
        config: The recipe; every row is a change of it. Its references are left out, and its intervals (the tables
            have their own, over all seeds).
        tables: Numbers of `TABLES`, or "all".
        seeds: Runs a row: the recipe's seed and the ones after it.
        backbones: More language models for table 4: names, hub ids, folders or .gguf files.

    Raises:
        InputError: An unknown table, no seed, or a row that the recipe cannot have.
    """
    if seeds < 1:
        raise InputError(f"Expected at least one seed, found {seeds}.")
    config = config.model_copy(
        update={"evaluation": config.evaluation.model_copy(update={"references": (), "bootstrap": 0})}
    )
    runs: dict[tuple[str, int], PlannedRun] = {}
    left_out: dict[str, str] = {}
    chosen = [_with_backbones(table, backbones) for table in chosen_tables(tables)]
    full = AblationRow(FULL)
    for row in [full, *(row for table in chosen for row in table.rows)]:
        changed = _changed(config, row)
        reason = _out_of_reach(config, changed)
        if reason:
            left_out[row.name] = reason
            continue
        for seed in range(config.seed, config.seed + seeds):
            seeded = changed.model_copy(update={"seed": seed, "name": f"{config.name}: {row.name}"})
            runs[row.name, seed] = PlannedRun(f"{row.key}-seed{seed}", seeded)
    return AblationPlan(tuple(chosen), runs, left_out)


def run_ablation(
    plan: AblationPlan,
    out: Path,
    *,
    processes: int = 1,
    device: str = "auto",
    cluster: Cluster | None = None,
    reporter: Reporter | None = None,
) -> dict[str, tuple[RowResult, ...]]:
    """Run what is missing and read the tables.

    Args:
        plan: From `plan_ablation`.
        out: Folder of the study.
        processes: Runs at a time.
        device: See `limssr.core.runtime.choose_device`.
        cluster: Trains in place of this machine.
        reporter: Is told of the progress.

    Returns:
        Table number -> its rows, in order.
    """
    run_all(list(plan.runs.values()), out, processes=processes, device=device, cluster=cluster, reporter=reporter)
    return read_ablation(plan, out)


def preview(plan: AblationPlan, out: Path, *, processes: int = 1, device: str = "auto") -> dict[str, Any]:
    """What is left to run and how long that takes, from a few timed steps of every shape of model; writes nothing.

    Raises:
        InputError: A run is not possible here.
    """
    check_study(out, processes=processes)
    waiting = check_runs(list(plan.runs.values()), out, device=device)
    estimates = estimate(waiting, device=device, processes=processes)
    seconds = {key: found.seconds for key, found in estimates.items()}
    return {
        "num_runs": len({id(run) for run in distinct_runs(list(plan.runs.values())).values()}),
        "to_run": [{"run": run.key, "seconds": round(seconds[run.key], 1)} for run in waiting],
        "total_s": round(sum(seconds.values()) / processes, 1),
        "left_out": dict(plan.left_out),
    }


def read_ablation(plan: AblationPlan, out: Path) -> dict[str, tuple[RowResult, ...]]:
    """The tables as far as their runs are done."""
    runs = list(plan.runs.values())
    owners = distinct_runs(runs)
    results = read_results(runs, out)
    done: dict[str, dict[int, RunResult]] = {}
    folders: dict[str, dict[int, Path]] = {}
    for (name, seed), run in plan.runs.items():
        if run.key in results:
            done.setdefault(name, {})[seed] = results[run.key]
            folders.setdefault(name, {})[seed] = out / owners[run.key].key
    tables = {}
    for table in plan.tables:
        tables[table.number] = tuple(
            _row_result(
                row,
                done.get(row.name, {}),
                differences_of(folders.get(row.name, {}), folders.get(FULL, {})),
                plan.left_out.get(row.name, ""),
            )
            for row in table.rows
        )
    return tables


def to_document(plan: AblationPlan, tables: Mapping[str, Sequence[RowResult]]) -> dict[str, Any]:
    """The tables as plain JSON values; NaN becomes null."""
    return {
        "tables": [
            {
                "table": table.number,
                "title": table.title,
                "rows": [_row_document(result) for result in tables[table.number]],
            }
            for table in plan.tables
        ]
    }


def chosen_tables(tables: Sequence[str]) -> list[AblationTable]:
    """The tables of these numbers, or all of them.

    Raises:
        InputError: An unknown one, or none.
    """
    names = list(TABLES) if "all" in tables else list(dict.fromkeys(tables))
    for name in names:
        if name not in TABLES:
            raise unknown_name("ablation table", name, [*TABLES, "all"])
    if not names:
        raise InputError(f"Expected an ablation table: one of {', '.join(TABLES)}, or all.")
    return [TABLES[name] for name in names]


def _with_backbones(table: AblationTable, backbones: Sequence[str]) -> AblationTable:
    if table.number != "4":
        return table
    more = tuple(
        AblationRow(Path(name).stem if name.endswith(".gguf") else name, {"model.backbone.name": name}, None, name)
        for name in backbones
    )
    return AblationTable(table.number, table.title, (*table.rows, *more))


def _changed(config: RunConfig, row: AblationRow) -> RunConfig:
    changes = [f"{key}={json.dumps(value)}" for key, value in row.changes.items()]
    try:
        return parse_config(config.model_dump(mode="json"), where=f"row {row.name!r}", overrides=changes)
    except InputError as error:
        raise InputError(f"The recipe cannot have the row {row.name!r}: {error}") from None


def _out_of_reach(config: RunConfig, changed: RunConfig) -> str:
    """Why a language model that the row brings in is not available; the recipe's own is checked with the runs."""
    if changed.model.system != "limssr" or changed.model.backbone == config.model.backbone:
        return ""
    try:
        check_in_reach(changed.model.backbone)
    except InputError as error:
        return str(error)
    return ""


def differences_of(folders: Mapping[int, Path], full: Mapping[int, Path]) -> dict[str, Difference | None]:
    """Part -> difference of a row to the full model; None where they are the same runs.

    It is the difference that `limssr compare` shows for the same runs, over the seeds that both have.

    Args:
        folders: Seed -> run of the row.
        full: Seed -> run of the full model.
    """
    shared = [seed for seed in folders if seed in full]
    if not shared or all(folders[seed] == full[seed] for seed in shared):
        return dict.fromkeys(PARTS)
    answers = {"row": [_own(folders[seed]) for seed in shared], "full": [_own(full[seed]) for seed in shared]}
    first, recipe = answers["full"][0], read_run(full[shared[0]]).config.evaluation
    groups = units_of(first.groups_N or [None] * len(first.ids), first.ids)
    # The runs themselves are planned without intervals; the study has its own.
    recipe = recipe.model_copy(update={"bootstrap": NUM_RESAMPLES})
    uncertainty = uncertainty_of(recipe, groups)
    same_as = same_subsets(first.subsets, [owned_in_training(read_run(full[seed]).document) for seed in shared])
    scores = score_answers(answers, uncertainty, min_samples=recipe.min_samples, same_as=same_as)
    found: dict[str, Difference | None] = {}
    for name, part in zip(PARTS, (INCOMPLETE, scores.full), strict=True):
        one, other = (scores.numbers.get((label, part, "spearman")) for label in ("row", "full"))
        if one is None or other is None or not (one.is_defined and other.is_defined):
            found[name] = None  # one stream has no incomplete subset
            continue
        value, drawn_R = one.value - other.value, one.drawn_R - other.drawn_R
        low, high = uncertainty.interval(value, drawn_R, num_units=other.num_units)
        p_value = uncertainty.p_value(value, drawn_R, num_units=other.num_units)
        by_seed = tuple(mine - theirs for mine, theirs in zip(one.by_seed, other.by_seed, strict=False))
        found[name] = Difference(value, low, high, p_value, by_seed)
    return found


def _own(run: Path) -> Answers:
    return next(iter(read_answers(run).values()))


def _row_result(
    row: AblationRow, done: Mapping[int, RunResult], difference: Mapping[str, Difference | None], left_out: str
) -> RowResult:
    mean, deviation = {}, {}
    for part in PARTS:
        for measure in MEASURES:
            values = [_number(result.document[part], measure) for result in done.values()]
            mean[part, measure] = float(np.mean(values)) if values else float("nan")
            deviation[part, measure] = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    runs = [result.run for result in done.values()]
    return RowResult(
        row=row,
        num_seeds=len(done),
        mean=mean,
        deviation=deviation,
        difference=difference,
        seconds=float(np.mean([run["timings"]["training_s"] for run in runs])) if runs else float("nan"),
        trained=int(runs[0]["parameters"]["trained"]) if runs else 0,
        left_out=left_out,
    )


def _number(part: Mapping[str, Any] | None, measure: str) -> float:
    value = (part or {}).get(measure)
    return float("nan") if value is None else float(value)


def _row_document(result: RowResult) -> dict[str, Any]:
    def plain(value: float) -> float | None:
        return None if np.isnan(value) else value

    document: dict[str, Any] = {
        "row": result.row.name,
        "published_as": result.row.published,
        "meaning": result.row.meaning,
        "changes": dict(result.row.changes),
        "num_seeds": result.num_seeds,
        "left_out": result.left_out or None,
        "training_s": plain(result.seconds),
        "trained_parameters": result.trained or None,
    }
    for part in PARTS:
        document[part] = {
            measure: {"mean": plain(result.mean[part, measure]), "sd": plain(result.deviation[part, measure])}
            for measure in MEASURES
        }
        difference = result.difference[part]
        document[part]["difference_to_full"] = (
            {**asdict(difference), "by_seed": list(difference.by_seed)} if difference else None
        )
    return document
