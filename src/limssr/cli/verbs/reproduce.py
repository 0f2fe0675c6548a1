"""`limssr reproduce`: the paper's tables on its features, with our numbers beside the published ones."""

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
    Settings,
    chosen_cluster,
    commands_answer,
)
from limssr.cli.output import Answer

if TYPE_CHECKING:
    from limssr.studies.paper.reproduce import ReproductionPlan, Request


@dataclass(frozen=True, kw_only=True)
class Reproduce:
    """Train the paper's benchmark on its published features, several seeds, and write its tables beside ours."""

    dataset: Annotated[Position[Literal["fs1000", "fisv", "rg"]], conf.arg(metavar="DATASET")]
    """fs1000 (7 scores), fisv (2) or rg (4 apparatus)."""
    store: Annotated[Path, conf.arg(metavar="STORE")]
    """Feature store that `limssr data import` made of the published features."""
    criteria: Annotated[tuple[str, ...], conf.arg(metavar="NAME")] = ()
    """Only these scores, such as TES PCS; without it all of the data set. `all` by itself: one model for all."""
    protocol: Literal["honest", "paper", "published"] = "honest"
    """honest: streams missing in the data, padding masked, epoch chosen on validation. paper: as its text.
    published: as the released code, which also chooses the epoch on the test split."""
    seeds: Annotated[int, conf.arg(metavar="N")] = 6
    """Runs of each score: with the recipe's seed and the seeds after it. The paper has 6."""
    systems: Annotated[tuple[str, ...], conf.arg(metavar="NAME")] = ("limssr",)
    """Systems to train: limssr, attention, statistics, ridge, extra-trees, random-backbone, ..."""
    backbone: BackboneName = None
    set: Settings = ()
    out: Annotated[Path | None, conf.arg(metavar="PATH")] = None
    """Folder of the study; without it runs/reproduce/DATASET-PROTOCOL. What is done in it is not run again."""
    processes: Processes = 1
    engine: EngineName = "local"
    address: Address = None
    needs: NeedsText = None
    dry_run: DryRun = False
    print_commands: PrintCommands = False
    device: Device = "auto"
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Reproduce."""
        from limssr.core.progress import make_reporter
        from limssr.studies.commands import commands
        from limssr.studies.paper.reproduce import plan_reproduction, run_reproduction
        from limssr.studies.paper.results import default_folder, write_reproduction
        from limssr.studies.plan import check_study

        cluster = chosen_cluster(self.engine, self.address, self.needs, self.processes)
        request = self._request()
        out = self.out or default_folder(request)
        check_study(out / "runs", processes=self.processes)
        plan = plan_reproduction(request)
        if self.dry_run:
            return self._preview(plan, out)
        if self.print_commands:  # regressions take seconds, and are left to the study itself
            return commands_answer(commands(plan.networks, out / "runs", device=self.device))
        with cluster or nullcontext():
            failed = run_reproduction(
                plan, out, processes=self.processes, device=self.device, cluster=cluster, reporter=make_reporter()
            )
        found = write_reproduction(plan, out)
        if failed is not None:
            raise failed
        return Answer(found.to_dict(), tuple(found.lines()))

    def _request(self) -> "Request":
        from limssr.studies.paper.reproduce import Request
        from limssr.studies.recipes import shortcut_overrides

        overrides = (*self.set, *shortcut_overrides(backbone=self.backbone, store=None, seed=None))
        return Request(
            dataset=self.dataset,
            store=self.store,
            protocol=self.protocol,
            targets=self.criteria,
            num_seeds=self.seeds,
            systems=self.systems,
            overrides=overrides,
        )

    def _preview(self, plan: "ReproductionPlan", out: Path) -> Answer:
        from limssr.core.progress import make_reporter
        from limssr.studies.paper.results import preview

        found = preview(plan, out, device=self.device, processes=self.processes, reporter=make_reporter())
        return Answer(found.to_dict(), tuple(found.lines()))
