"""`limssr doctor | demo | train | evaluate | predict | report | describe`."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro import conf

from limssr.cli.options import (
    BackboneName,
    Common,
    Device,
    DryRun,
    Position,
    RecipeName,
    Settings,
    SplitName,
    StoreOfRecipe,
    VariantNames,
    run_document,
)
from limssr.cli.output import Answer
from limssr.systems.table import SYSTEMS

if TYPE_CHECKING:
    from limssr.core.config import RunConfig


@dataclass(frozen=True)
class Doctor:
    """Say what this machine has: versions, device, memory, and which language models are on it."""

    device: Annotated[str | None, conf.arg(metavar="NAME")] = None
    """Also train 20 steps on this device (cuda, mps, xpu, cpu) and compare scores with the CPU's."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Diagnose."""
        from limssr.cli.doctor import diagnose
        from limssr.cli.text import doctor_lines

        document = diagnose().to_dict()
        lines = doctor_lines(document)
        if self.device is None:
            return Answer(document, lines)
        from limssr.cli.text import device_check_lines
        from limssr.runs.device_check import check_device

        found = check_device(self.device)
        document["device_check"] = found.to_dict()
        return Answer(document, (*lines, *device_check_lines(document["device_check"])), 0 if found.passed else 1)


@dataclass(frozen=True, kw_only=True)
class Demo:
    """A complete example on simulated data with a known answer: simulate, mask, train, evaluate, compare, report."""

    backbone: Literal["smollm2-135m", "tiny"] = "smollm2-135m"
    """The language model. tiny is a miniature with random weights that needs no download."""
    out: Annotated[Path | None, conf.arg(metavar="PATH")] = None
    """Folder to make; without it the first free one of runs/demo, runs/demo-2, ..."""
    epochs: Annotated[int | None, conf.arg(metavar="N")] = None
    """Epochs of training; without it the recipe's number."""
    seed: Annotated[int, conf.arg(metavar="N")] = 42
    """Seed of the simulated data and of the training."""
    video: bool = False
    """From recordings instead: films routines, extracts features, trains, and scores a new video (limssr[media])."""
    device: Device = "auto"
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Demonstrate."""
        if self.video:
            return self._video()
        from limssr.cli.demo import run_demo
        from limssr.cli.text import evaluation_lines
        from limssr.core.progress import make_reporter

        result = run_demo(
            self.out,
            backbone=self.backbone,
            epochs=self.epochs,
            seed=self.seed,
            device=self.device,
            reporter=make_reporter(),
        )
        document = run_document(result.run)
        shown = {**document, "systems": {**document["systems"], "best possible": result.known_answer.to_dict()}}
        lines = (*evaluation_lines(shown), f"Report: {document['report']}")
        return Answer({**document, "known_answer": result.known_answer.to_dict()}, lines)

    def _video(self) -> Answer:
        from limssr.cli.demo import new_demo_folder
        from limssr.cli.demo_video import VideoDemoOptions, run_video_demo
        from limssr.cli.text import evaluation_lines, seconds_lines
        from limssr.core.progress import make_reporter

        options = VideoDemoOptions(backbone=self.backbone, seed=self.seed, device=self.device)
        if self.epochs is not None:
            options = replace(options, epochs=self.epochs)
        result = run_video_demo(new_demo_folder(self.out, name="demo-video"), options, reporter=make_reporter())
        document = run_document(result.run)
        more = {
            "recording": str(result.recording),
            "judged": result.judged,
            "predicted": result.predicted,
            "seconds": dict(result.seconds),
            "page": str(result.page),
        }
        lines = (
            *evaluation_lines(document),
            f"{result.recording}: judged {result.judged:.1f}, predicted {result.predicted:.1f}",
            *seconds_lines(result.seconds),
            f"Pictures beside scores: {result.page}",
            f"Report: {document['report']}",
        )
        return Answer({**document, **more}, lines)


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a model as a recipe says, evaluate it on the test split and write the report, all into one run folder."""

    recipe: RecipeName
    out: Annotated[Path | None, conf.arg(metavar="PATH")] = None
    """Run folder to make; without it runs/NAME with the recipe's name, or that of the store's folder for `own`."""
    resume: bool = False
    """Go on after the last whole epoch of the run folder, if it holds one; the result is the same as in one go."""
    variant: VariantNames = ()
    set: Settings = ()
    system: Annotated[
        str | None,
        conf.arg(
            metavar="NAME",
            help=f"Train another system on the recipe's data, at its paper's size: {', '.join(SYSTEMS)}. "
            "`limssr systems` says what each needs and what was verified.",
        ),
    ] = None
    complete_training: bool = False
    """Short for --set missing.training=complete: training gets back what the recipe hides, and reports say so."""
    backbone: BackboneName = None
    store: StoreOfRecipe = None
    seed: Annotated[int | None, conf.arg(metavar="N")] = None
    """Short for --set seed=N."""
    folds: Annotated[str | None, conf.arg(metavar="K|groups")] = None
    """Cross-validate: a run for each of K folds of whole groups, or for each group; PATH gets them all."""
    processes: Annotated[int, conf.arg(metavar="N")] = 1
    """Train with N processes of this machine, one a GPU where there are any; with the numbers of one process."""
    until: Annotated[int | None, conf.arg(metavar="N")] = None
    """Pause after N epochs in all, for a scheduler that gives time in slices; --resume goes on."""
    track: Annotated[Literal["tensorboard", "wandb", "mlflow"] | None, conf.arg(metavar="NAME")] = None
    """Tell a tracker of every epoch: tensorboard (files in the run folder), wandb or mlflow; none unless asked."""
    device: Device = "auto"
    dry_run: DryRun = False
    common: Common = field(default_factory=Common)

    @property
    def processes_together(self) -> int:
        """In how many processes this command is run."""
        return 1 if self.dry_run else self.processes

    def run(self) -> Answer:
        """Train."""
        from limssr.cli.text import evaluation_lines
        from limssr.core.errors import InputError
        from limssr.core.progress import make_reporter
        from limssr.core.team import launched_team
        from limssr.runs.tracking import TrackedReporter, scores_to_track
        from limssr.runs.train import train_run
        from limssr.studies.recipes import Changes, default_folder, read_config

        training = ("missing.training=complete",) if self.complete_training else ()
        changes = Changes(
            settings=(*self.set, *training),
            variant=self.variant,
            backbone=self.backbone,
            store=self.store,
            seed=self.seed,
        )
        config = read_config(self.recipe, changes, system=self.system)
        out = self.out or Path("runs") / default_folder(self.recipe, changes, config)
        resume: Literal["never", "auto"] = "auto" if self.resume else "never"
        if self.until is not None and (self.until < 1 or self.track is not None):
            raise InputError("Expected --until 1 or more, without --track, which tells of whole runs: change one.")
        if config.model.system == "auto":
            from limssr.cli.verbs.auto import auto_answer, auto_preview

            return auto_preview(config, out) if self.dry_run else auto_answer(config, out, self.device)
        if self.folds is not None:
            return self._folds(config, out)
        if self.dry_run:
            return _preview(config, out, resume, self.device)
        with launched_team() as team:
            if self.processes not in (1, team.size):
                raise InputError(f"Expected --processes {team.size}, as the launcher says, found {self.processes}.")
            is_first = team.is_first
            tracked = TrackedReporter(make_reporter(), self.track, out, config) if is_first and self.track else None
            reporter = tracked or (make_reporter() if is_first else None)
            run = train_run(
                config, out, device=self.device, resume=resume, reporter=reporter, team=team, until=self.until
            )
        if not is_first:
            return Answer({})
        if self.until is not None and not (run / "evaluation.json").exists():
            return Answer({"run": str(run), "status": "paused"}, (f"Paused: {run}; --resume goes on.",))
        document = run_document(run)
        if tracked is not None:
            tracked.close(scores_to_track(document))
        return Answer(document, (*evaluation_lines(document), f"Report: {document['report']}"))

    def _folds(self, config: "RunConfig", out: Path) -> Answer:
        from limssr.cli.text import evaluation_lines, fold_lines
        from limssr.core.errors import InputError
        from limssr.core.progress import make_reporter
        from limssr.studies.cross_validation import fold_rows, parse_folds, plan_folds, train_folds

        if self.processes != 1 or self.track or self.until is not None:
            raise InputError("--folds trains one run after another: use it without --processes, --until and --track.")
        folds = parse_folds(self.folds or "")
        if self.dry_run:
            runs = plan_folds(config, folds)
            folders = [str(out / one.key) for one in runs]
            return Answer({"runs": folders}, tuple(folders))
        run = train_folds(config, out, folds, device=self.device, reporter=make_reporter())
        document = {**run_document(run), "folds": fold_rows(run)}
        lines = (*fold_lines(document["folds"]), *evaluation_lines(document), f"Report: {document['report']}")
        return Answer(document, lines)


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Score every sample of a split with every subset of its streams and print one line a subset."""

    run_folder: Annotated[Position[Path], conf.arg(name="run", metavar="RUN")]
    """A run folder that `limssr train` has made."""
    split: SplitName = "test"
    """Split to evaluate on."""
    store: Annotated[Path | None, conf.arg(metavar="STORE")] = None
    """Another store with the same streams and criteria; without it the store of the run."""
    seed: Annotated[int | None, conf.arg(metavar="N")] = None
    """Seed of the resamples for intervals; without it the run's."""
    int8: bool = False
    """Round the language model's frozen weights to int8, for a CPU; says what that changes on the validation split."""
    device: Device = "auto"
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Evaluate."""
        from limssr.cli.text import evaluation_lines, int8_lines
        from limssr.core.progress import make_reporter
        from limssr.runs.evaluate import evaluate_run, int8_change, scored_store
        from limssr.runs.reliability.calibration import covered_again

        evaluation = evaluate_run(
            self.run_folder,
            store=self.store,
            split=self.split,
            seed=self.seed,
            device=self.device,
            weights="int8" if self.int8 else "trained",
            reporter=make_reporter(),
        )
        document = {**evaluation.to_dict(), "store": scored_store(self.run_folder, self.store)}
        if self.split == "test" and (found := covered_again(self.run_folder, evaluation)):
            document["coverage"] = found
        lines = evaluation_lines(document)
        if self.int8:
            change = int8_change(self.run_folder, device=self.device).to_dict()
            return Answer({**document, "int8": change}, (*lines, *int8_lines(change)))
        return Answer(document, lines)


@dataclass(frozen=True)
class Report:
    """Write report.html again from the files of a run folder."""

    run_folder: Annotated[Position[Path], conf.arg(name="run", metavar="RUN")]
    """A run folder."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Report."""
        from limssr.report import write_report

        path = write_report(self.run_folder)
        return Answer({"report": str(path)}, (f"Report: {path}",))


@dataclass(frozen=True, kw_only=True)
class Describe:
    """Count a recipe's parameters and multiply-accumulates and its sequence lengths, without weights or data."""

    recipe: RecipeName
    variant: VariantNames = ()
    set: Settings = ()
    backbone: BackboneName = None
    store: StoreOfRecipe = None
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Describe."""
        from limssr.cli.text import description_lines
        from limssr.data.store.reader import FeatureStore
        from limssr.studies.paper.describe import describe
        from limssr.studies.recipes import Changes, read_config

        changes = Changes(settings=self.set, variant=self.variant, backbone=self.backbone, store=self.store)
        config = read_config(self.recipe, changes)
        modalities = criteria = None
        if config.data.stream_dims is None or self.store is not None:
            # A recipe without declared widths has them in its store.
            modalities, criteria = FeatureStore.open(config.data.store).select(
                config.data.modalities, config.data.criteria
            )
        document = describe(config, modalities, criteria).to_dict()
        return Answer(document, description_lines(document))


def _preview(config: "RunConfig", out: Path, resume: Literal["never", "auto"], device: str) -> Answer:
    """What `train` would do, checked as it would be, and for how long."""
    from limssr.report.text import duration
    from limssr.runs.checks import folder_status
    from limssr.studies.estimate import estimate
    from limssr.studies.plan import KEY, PlannedRun, check_runs

    status = folder_status(out, config, resume)
    run = PlannedRun(out.name if KEY.fullmatch(out.name) else "run", config)
    waiting = check_runs([run], out.parent, device=device) if status != "done" else []
    found = estimate(waiting, device=device)
    seconds = sum(item.seconds for item in found.values())
    document = {"out": str(out), "to_run": len(waiting), "epochs": config.train.epochs, "total_s": round(seconds, 1)}
    if not waiting:
        return Answer(document, (f"{out} is done; nothing to do.",))
    return Answer(
        document, (f"{out}: {config.train.epochs} epochs and the evaluation take about {duration(seconds)}.",)
    )
