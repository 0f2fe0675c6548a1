"""`limssr sweep systems`: every system on one store, under one protocol and one budget of tuning."""

import shlex
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro import conf

from limssr.cli.options import (
    Address,
    BackboneName,
    Common,
    Device,
    DryRun,
    EngineName,
    NeedsText,
    Position,
    PrintCommands,
    Processes,
    RecipeName,
    Settings,
    StoreOfRecipe,
    VariantNames,
    chosen_cluster,
    commands_answer,
)
from limssr.cli.output import Answer
from limssr.systems.table import SYSTEMS

if TYPE_CHECKING:
    from limssr.core.progress import Reporter
    from limssr.studies.compare.run import CompareOptions


WHERE = ("processes", "engine", "address", "needs")


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Train LIMSSR and the comparison systems on one store with the same budget of tuning, and compare them."""

    what: Annotated[Position[Literal["systems"]], conf.arg(help="What to sweep over.")]
    recipe: RecipeName
    systems: Annotated[
        tuple[str, ...],
        conf.arg(
            metavar="NAME ...",
            help=f"Some of {', '.join(SYSTEMS)}; all that the streams allow if not given.",
        ),
    ] = ()
    seeds: Annotated[int, conf.arg(metavar="N")] = 3
    """Runs of each system: with the recipe's seed and the seeds after it."""
    tries: Annotated[int, conf.arg(metavar="N")] = 1
    """Settings tried for each system, the unchanged one included; the lowest validation loss wins."""
    sampler: Literal["random", "tpe"] = "random"
    """Where tries come from: one drawn list for all systems, or Optuna's TPE, which learns from the tries before."""
    halving: bool = False
    """Train all tries for a quarter of the epochs, the better half for half of them, the better half of those fully."""
    folds: Annotated[int | None, conf.arg(metavar="N")] = None
    """Judge each try by cross-validation over training and validation samples, not on the one validation split."""
    sizes: Literal["paper", "small"] = "paper"
    """Sizes of the comparison systems: as in their papers, or reduced for two cores (see limssr systems NAME)."""
    epochs: Annotated[int | None, conf.arg(metavar="N")] = None
    """Epochs of the comparison systems; as many as the recipe's if not given."""
    training: Annotated[
        tuple[Literal["available", "complete"], ...],
        conf.arg(metavar="available|complete ...", help="Train on what the recipe leaves, on complete data, or both."),
    ] = ("available",)
    backbone: BackboneName = None
    store: StoreOfRecipe = None
    variant: VariantNames = ()
    set: Settings = ()
    out: Annotated[Path | None, conf.arg(metavar="PATH")] = None
    """Folder of the study; without it runs/sweep/NAME, NAME being the recipe's. What is done in it is kept."""
    processes: Processes = 1
    engine: EngineName = "local"
    address: Address = None
    needs: NeedsText = None
    device: Device = "auto"
    resample: Literal["auto", "samples", "groups"] | None = None
    """What intervals of the comparison leave out: performances one by one, whole groups (passages, persons), or auto,
    groups where there are any. Without it what the recipe says (auto)."""
    dry_run: DryRun = False
    print_commands: PrintCommands = False
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Sweep."""
        from limssr.cli.verbs.ablate import plan_lines
        from limssr.core.progress import make_reporter
        from limssr.studies.commands import commands
        from limssr.studies.compare.run import CompareOptions
        from limssr.studies.plan import check_study
        from limssr.studies.recipes import Changes, default_folder, fitted_config
        from limssr.studies.sweep.plan import SweepRequest, plan_sweep
        from limssr.studies.sweep.sweep import budget_of, next_runs, preview, run_sweep, to_document

        check_study(self.out or Path("runs"), processes=self.processes)
        cluster = chosen_cluster(self.engine, self.address, self.needs, self.processes)
        changes = Changes(settings=self.set, variant=self.variant, backbone=self.backbone, store=self.store)
        config, notes = fitted_config(self.recipe, changes)
        request = SweepRequest(
            systems=self.systems,
            num_seeds=self.seeds,
            tries=self.tries,
            folds=self.folds,
            sizes=self.sizes,
            epochs=self.epochs,
            training=self.training,
            resample=self.resample,
            sampler=self.sampler,
            halving=self.halving,
        )
        out = self.out or Path("runs") / "sweep" / default_folder(self.recipe, changes, config)
        check_study(out, processes=self.processes)
        plan = plan_sweep(config, request)
        if self.dry_run:
            document = {**preview(plan, out, processes=self.processes, device=self.device), "notes": notes}
            return Answer(document, (*notes, *plan_lines(document)))
        reporter = make_reporter()
        for note in notes:
            reporter.note(note)
        if self.print_commands:
            now = next_runs(plan, out)
            return commands_answer(commands(now.runs, out, device=self.device, until=now.until))
        with cluster or nullcontext():
            result = run_sweep(
                plan, out, processes=self.processes, device=self.device, cluster=cluster, reporter=reporter
            )
        options = CompareOptions(
            runs=result.compared(), order="score", resample=self.resample, budget=" ".join([budget_of(plan), *notes])
        )
        document, lines, files = _comparison(options, out, self._command(out), reporter)
        files = (out / "sweep.json", *files)
        left_out = (f"left out, {name}: {' '.join(why.split())}" for name, why in plan.left_out.items())
        return Answer(
            {**to_document(plan, result), "comparison": document, "files": [str(file) for file in files]},
            (*left_out, *lines, *(f"Written: {file}" for file in files)),
        )

    def _command(self, out: Path) -> str:
        words = ["limssr", "sweep", self.what, self.recipe]
        words += ["--systems", *self.systems] if self.systems else []
        for flag in (
            "seeds",
            "tries",
            "sampler",
            "folds",
            "sizes",
            "epochs",
            *WHERE,
            "device",
            "resample",
        ):
            value = getattr(self, flag)
            words += [f"--{flag}", str(value)] if value != getattr(Sweep, flag) else []
        words += ["--halving"] if self.halving else []
        words += ["--training", *self.training] if self.training != Sweep.training else []
        words += ["--store", str(self.store)] if self.store is not None else []
        words += ["--backbone", self.backbone] if self.backbone is not None else []
        words += [word for name in self.variant for word in ("--variant", name)]
        words += [word for change in self.set for word in ("--set", change)]
        return shlex.join([*words, "--out", str(out)])


def _comparison(
    options: "CompareOptions", out: Path, command: str, reporter: "Reporter"
) -> tuple[dict[str, Any] | None, tuple[str, ...], tuple[Path, ...]]:
    """The runs of a sweep, compared: as a document, for people, and the files; one system alone has no comparison."""
    from limssr.studies.compare import write as compare_files
    from limssr.studies.compare.rows import NothingToCompare
    from limssr.studies.compare.run import compare_runs

    try:
        found = compare_runs(options, reporter=reporter)
    except NothingToCompare as alone:
        text = (
            f"Nothing to compare with: {alone.label} is the only system. Its runs are done, one folder a seed in {out}."
        )
        return None, (text,), ()
    drawn = ["--resample", options.resample] if options.resample else []
    compare = shlex.join(["limssr", "compare", *options.runs, "--order", "score", *drawn, "--out", str(out)])
    both = f"{command}\n\n# Only compare the runs again, without a word on the budget:\n{compare}"
    files = compare_files.write_comparison(found, out, command=both)
    return compare_files.to_document(found), (compare_files.to_text(found),), files
