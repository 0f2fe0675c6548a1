"""`limssr ablate`: a whole ablation table of the paper, or ours, on any store."""

import shlex
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro import conf

from limssr.cli.options import (
    Address,
    Common,
    Device,
    DryRun,
    EngineName,
    NeedsText,
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


@dataclass(frozen=True, kw_only=True)
class Ablate:
    """Run every row of the paper's ablation tables (3 to 8), or of ours, and compare it with the full model."""

    recipe: RecipeName = "ablation"
    table: Annotated[
        conf.UseAppendAction[tuple[str, ...]],
        conf.arg(metavar="3|4|5|6|7|8|ours|all", help="A table; may be repeated."),
    ] = ()
    seeds: Annotated[int, conf.arg(metavar="N")] = 3
    """Runs of each row: with the recipe's seed and the seeds after it."""
    extra_backbone: Annotated[
        conf.UseAppendAction[tuple[str, ...]],
        conf.arg(
            metavar="NAME", help="One more language model for table 4: hub id, folder or .gguf file; may be repeated."
        ),
    ] = ()
    store: StoreOfRecipe = None
    variant: VariantNames = ()
    set: Settings = ()
    out: Annotated[Path | None, conf.arg(metavar="PATH")] = None
    """Folder of the study; without it runs/ablate/NAME, NAME being the recipe's. What is done in it is kept."""
    processes: Processes = 1
    engine: EngineName = "local"
    address: Address = None
    needs: NeedsText = None
    device: Device = "auto"
    dry_run: DryRun = False
    print_commands: PrintCommands = False
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Ablate."""
        from limssr.core.progress import make_reporter
        from limssr.report.render import table_text
        from limssr.studies.ablation.ablate import chosen_tables, plan_ablation, preview, run_ablation, to_document
        from limssr.studies.ablation.tables import table_of, write_tables
        from limssr.studies.commands import commands
        from limssr.studies.plan import check_study
        from limssr.studies.recipes import Changes, default_folder, fitted_config

        check_study(self.out or Path("runs"), processes=self.processes)
        cluster = chosen_cluster(self.engine, self.address, self.needs, self.processes)
        chosen_tables(self.table)  # refuses an unknown one before the store is looked for
        changes = Changes(settings=self.set, variant=self.variant, store=self.store)
        config, notes = fitted_config(self.recipe, changes)
        out = self.out or Path("runs") / "ablate" / default_folder(self.recipe, changes, config)
        check_study(out, processes=self.processes)
        plan = plan_ablation(config, self.table, seeds=self.seeds, backbones=self.extra_backbone)
        if self.dry_run:
            document = {**preview(plan, out, processes=self.processes, device=self.device), "notes": notes}
            return Answer(document, (*notes, *plan_lines(document)))
        reporter = make_reporter()
        for note in notes:
            reporter.note(note)
        if self.print_commands:
            return commands_answer(commands(list(plan.runs.values()), out, device=self.device))
        with cluster or nullcontext():
            tables = run_ablation(
                plan, out, processes=self.processes, device=self.device, cluster=cluster, reporter=reporter
            )
        files = write_tables(plan, tables, out, command=self._command(out), notes=notes)
        texts = [table_text(table_of(table, tables[table.number])) for table in plan.tables]
        document = {**to_document(plan, tables), "notes": notes, "files": [str(file) for file in files]}
        return Answer(document, (*notes, *texts, *(f"Written: {file}" for file in files)))

    def _command(self, out: Path) -> str:
        words = ["limssr", "ablate", self.recipe, *(word for one in self.table for word in ("--table", one))]
        words += ["--seeds", str(self.seeds), *(word for one in self.variant for word in ("--variant", one))]
        words += [word for one in self.extra_backbone for word in ("--extra-backbone", one)]
        words += ["--store", str(self.store)] if self.store is not None else []
        words += [word for change in self.set for word in ("--set", change)]
        return shlex.join([*words, "--out", str(out)])


def plan_lines(document: dict[str, Any]) -> tuple[str, ...]:
    """A plan for people: one line a run that is not done, and the time of all."""
    from limssr.report.text import duration

    lines = [f"{document['num_runs']} runs, {len(document['to_run'])} not done"]
    lines += [f"  {entry['run']}: about {duration(entry['seconds'])}" for entry in document["to_run"]]
    lines += [f"  left out, {name}: {' '.join(why.split())}" for name, why in document["left_out"].items()]
    return (*lines, f"Together about {duration(document['total_s'])}")
