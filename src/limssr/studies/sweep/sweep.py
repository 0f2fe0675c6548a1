"""`limssr sweep systems`: every system on one store, under one protocol and one budget of tuning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from limssr.core.cluster import Cluster
from limssr.core.config import RunConfig
from limssr.core.config_data import ValidationConfig
from limssr.core.errors import InputError
from limssr.core.files import write_json
from limssr.core.progress import Reporter, SilentReporter
from limssr.evaluation.scorer import check_can_score
from limssr.evaluation.uncertainty import Resampled, units_of
from limssr.runs.data import RunData, load_run_data
from limssr.runs.folder import FORMAT_VERSION
from limssr.studies.compare.groups import Groups, drawn_groups
from limssr.studies.estimate import estimate
from limssr.studies.execute import run_all
from limssr.studies.plan import PlannedRun, check_runs, check_study, distinct_runs, unfinished_runs
from limssr.studies.sweep.tuning import Setting, best_of, settings, validation_loss
from limssr.studies.systems import LIMSSR
from limssr.systems.build import build_model
from limssr.systems.catalogue import Sizes, config_beside, unknown_system
from limssr.systems.references import REFERENCES
from limssr.systems.table import SYSTEMS

Training = Literal["available", "complete"]


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """What is asked.

    Attributes:
        systems: networks of `limssr.systems.table.SYSTEMS`; empty: all that the streams allow.
        num_seeds: The recipe's seed and the ones after it.
        tries: Settings tried for each system, the unchanged one included.
        folds: Of training and validation samples, on which each try is judged; None: on the validation split.
        sizes: Of the comparison systems: their papers', or reduced for two cores.
        epochs: Of the comparison systems; None: as many as the recipe's.
        training: What they are all trained on: one or both.
        resample: What the intervals of their comparison take out or draw; None: as the recipe says.
    """

    systems: tuple[str, ...] = ()
    num_seeds: int = 3
    tries: int = 1
    folds: int | None = None
    sizes: Sizes = "paper"
    epochs: int | None = None
    training: tuple[Training, ...] = ("available",)
    resample: Resampled | None = None


@dataclass(frozen=True)
class Contestant:
    """One system under one kind of training.

    Attributes:
        label: Its name, with "-complete" where it is trained on complete data.
        system: Its name.
        config: Before tuning, with the recipe's seed.
        references: Regressions that stand in its runs.
    """

    label: str
    system: str
    config: RunConfig
    references: tuple[str, ...]


@dataclass(frozen=True)
class SweepPlan:
    """What a request comes to.

    Attributes:
        request: As asked.
        contestants: Every system.
        tries: The settings that each of them gets.
        left_out: Label -> why the data do not allow it.
    """

    request: SweepRequest
    contestants: tuple[Contestant, ...]
    tries: tuple[Setting, ...]
    left_out: Mapping[str, str]

    def trial_runs(self) -> dict[tuple[str, int], tuple[PlannedRun, ...]]:
        """(label, try) -> its run, or one a fold; none where there is nothing to choose."""
        if len(self.tries) == 1:
            return {}
        return {
            (one.label, n): _judged_by(
                PlannedRun(f"{one.label}-try{n}", _named(setting.applied(one.config), one.label)), self.request.folds
            )
            for one in self.contestants
            for n, setting in enumerate(self.tries)
        }

    def final_runs(self, chosen: Mapping[str, int]) -> dict[tuple[str, int], PlannedRun]:
        """(label, seed) -> run, with the chosen try of each system."""
        runs = {}
        for one in self.contestants:
            tuned = self.tries[chosen.get(one.label, 0)].applied(one.config)
            evaluation = tuned.evaluation.model_copy(update={"references": one.references})
            for seed in range(one.config.seed, one.config.seed + self.request.num_seeds):
                seeded = tuned.model_copy(update={"seed": seed, "evaluation": evaluation})
                runs[one.label, seed] = PlannedRun(f"{one.label}-seed{seed}", _named(seeded, one.label))
        return runs


@dataclass(frozen=True)
class SweepResult:
    """What was found.

    Attributes:
        chosen: Label -> the try that won on validation.
        losses: Label -> validation loss of every try, the mean over folds; empty where there was one try.
        runs: Label -> its run folders, one a seed.
    """

    chosen: Mapping[str, int]
    losses: Mapping[str, tuple[float, ...]]
    runs: Mapping[str, tuple[Path, ...]]

    def compared(self) -> tuple[str, ...]:
        """The runs as `limssr compare` takes them: LABEL=FOLDER."""
        return tuple(f"{label}={folder}" for label, folders in self.runs.items() for folder in folders)


def plan_sweep(config: RunConfig, request: SweepRequest) -> SweepPlan:
    """Which systems, and what each is trained with; nothing is written or trained.

    The recipe is LIMSSR's; its regressions stand in the runs of the first system.

    Raises:
        InputError: An unknown or repeated system or kind of training, no seed or epoch, a recipe of another system, a
            system that was named and cannot be trained on this data, groups to be drawn where there are none.
    """
    _check_request(config, request)
    data = {training: load_run_data(_trained_on(config, training)) for training in request.training}
    test = data[request.training[0]].splits["test"]
    groups = Groups(units_of([sample.group for sample in test], [sample.id for sample in test]))
    drawn_groups(groups, request.resample or config.evaluation.resample)
    regressions = tuple(name for name in config.evaluation.references if REFERENCES[name].pooled is not None)
    contestants: list[Contestant] = []
    left_out: dict[str, str] = {}
    for name in _chosen(request.systems):
        own = config if name == LIMSSR else _beside(name, config, request)
        for training in request.training:
            label = name if training == "available" else f"{name}-complete"
            if name != LIMSSR:
                try:
                    _check(own, data[training], epochs_are="train.epochs" if request.epochs is None else "--epochs")
                except InputError as error:
                    if request.systems:
                        raise
                    left_out[label] = str(error)
                    continue
            bare = own.evaluation.model_copy(update={"references": ()})
            changed = _trained_on(own, training).model_copy(update={"evaluation": bare})
            contestants.append(Contestant(label, name, changed, () if contestants else regressions))
    return SweepPlan(request, tuple(contestants), settings(request.tries), left_out)


def _check_request(config: RunConfig, request: SweepRequest) -> None:
    """Raise `InputError` for what is wrong before any data are read."""
    if request.num_seeds < 1:
        raise InputError(f"Expected at least one seed, found {request.num_seeds}.")
    if config.model.system != LIMSSR:
        raise InputError(f"Expected a recipe of limssr to sweep from, found one of {config.model.system}.")
    if config.train.selection != "val" and request.tries > 1:
        raise InputError(
            f"Tuning chooses by the validation loss, found train.selection: {config.train.selection}: use val, or one "
            "try."
        )
    if request.folds is not None and (request.folds < 2 or request.tries == 1):
        raise InputError(
            f"Folds judge settings against each other: expected at least 2 of them and at least 2 tries, found "
            f"{request.folds} and {request.tries}."
        )
    if request.epochs is not None and request.epochs < 1:
        raise InputError(f"Expected at least one epoch, found {request.epochs}: give --epochs 1 or more.")
    if not request.training or len(set(request.training)) < len(request.training):
        raise InputError(
            f"Expected available, complete or both, each once, found {' '.join(request.training) or 'none'}: change "
            "--training."
        )


def _trained_on(config: RunConfig, training: Training) -> RunConfig:
    return config.model_copy(update={"missing": config.missing.model_copy(update={"training": training})})


def _check(config: RunConfig, data: RunData, *, epochs_are: str) -> None:
    """Raise `InputError` where a system cannot be built for these streams, or cannot learn from these samples.

    Args:
        config: Of the system.
        data: Its own.
        epochs_are: Where the number of epochs is set, for the message that they are too few for its stages.
    """
    model = build_model(config.model, data.modalities, data.criteria, seed=config.seed)
    stages, epochs = model.stages, config.train.epochs
    if epochs < len(stages):
        raise InputError(
            f"Expected at least {len(stages)} epochs for the stages {', '.join(stage.name for stage in stages)} of "
            f"{config.model.system}, found {epochs}: raise {epochs_are}."
        )
    model.calibrate(data.splits["train"])
    check_can_score(model, {"training": data.splits["train"], "validation": data.splits["val"]})


def run_sweep(
    plan: SweepPlan,
    out: Path,
    *,
    processes: int = 1,
    device: str = "auto",
    cluster: Cluster | None = None,
    reporter: Reporter | None = None,
) -> SweepResult:
    """Tune, then train every system with every seed; what is done in `out` is kept.

    Args:
        plan: From `plan_sweep`.
        out: Folder of the study; gets a run folder for each run, and sweep.json, which names those of each system.
        processes: Runs at a time.
        device: See `limssr.core.runtime.choose_device`.
        cluster: Trains in place of this machine.
        reporter: Is told of the progress.

    Raises:
        InputError: Something is wrong with a run; found before the first one starts.
        RunsFailed: Some runs failed; the others are done.
    """
    reporter = reporter or SilentReporter()
    trials = plan.trial_runs()
    if trials:
        reporter.note(f"tuning: {len(plan.tries)} settings for each of {len(plan.contestants)} systems")
        run_all(_flat(trials), out, processes=processes, device=device, cluster=cluster, reporter=reporter)
    losses, chosen = _judged(plan, trials, out)
    finals = plan.final_runs(chosen)
    planned = [*_flat(trials), *finals.values()]  # a try that won is the run of its seed, in the folder of the try
    run_all(planned, out, processes=processes, device=device, cluster=cluster, reporter=reporter)
    owners = distinct_runs(planned)
    runs = {
        one.label: tuple(out / owners[run.key].key for (label, _), run in finals.items() if label == one.label)
        for one in plan.contestants
    }
    result = SweepResult(chosen, losses, runs)
    write_json(out / "sweep.json", {"format_version": FORMAT_VERSION, **to_document(plan, result)})
    return result


def _judged(
    plan: SweepPlan, trials: Mapping[tuple[str, int], tuple[PlannedRun, ...]], out: Path
) -> tuple[dict[str, tuple[float, ...]], dict[str, int]]:
    """Label -> the losses of its tries, which are done, and the try that won."""
    folders = distinct_runs(_flat(trials))
    loss_of = {key: fmean(validation_loss(out / folders[run.key].key) for run in runs) for key, runs in trials.items()}
    losses = {
        one.label: tuple(loss_of[one.label, n] for n in range(len(plan.tries)))
        for one in (plan.contestants if trials else ())
    }
    return losses, {one.label: best_of(losses[one.label]) if trials else 0 for one in plan.contestants}


def next_runs(plan: SweepPlan, out: Path) -> list[PlannedRun]:
    """The runs that can be done now: the tries; once those are done, which choose the setting, all."""
    trials = plan.trial_runs()
    tried = _flat(trials)
    if unfinished_runs(tried, out):
        return tried
    _, chosen = _judged(plan, trials, out)
    return [*tried, *plan.final_runs(chosen).values()]


def preview(plan: SweepPlan, out: Path, *, processes: int = 1, device: str = "auto") -> dict[str, Any]:
    """What is left to run and how long that takes, from a few timed steps of every system; writes nothing.

    Which try wins is not known yet; the runs with all seeds are priced as the first one.
    """
    planned = [*_flat(plan.trial_runs()), *plan.final_runs({}).values()]
    check_study(out, processes=processes)
    waiting = check_runs(planned, out, device=device)
    estimates = estimate(waiting, device=device, processes=processes)
    return {
        "num_runs": len({id(run) for run in distinct_runs(planned).values()}),
        "to_run": [{"run": run.key, "seconds": round(estimates[run.key].seconds, 1)} for run in waiting],
        "total_s": round(sum(found.seconds for found in estimates.values()) / processes, 1),
        "left_out": dict(plan.left_out),
    }


def budget_of(plan: SweepPlan) -> str:
    """What every system was allowed, in sentences: settings tried and how they were judged, sizes, epochs, seeds."""
    request, number = plan.request, len(plan.tries)
    tried = "One setting for each system, not tuned here"
    if number > 1:
        tried = f"{number} settings tried for each system, judged by validation loss"
        tried += f", each by {request.folds}-fold cross-validation" if request.folds else ""
    labels: dict[str, list[str]] = {}
    for one in plan.contestants:
        train = one.config.train
        length = f"at most {train.epochs}" if train.patience is not None else str(train.epochs)
        labels.setdefault(length, []).append(one.label)
    usual = max(labels, key=lambda length: len([label for label in labels[length] if label != LIMSSR]))
    others = "; ".join(f"{', '.join(names)} {length}" for length, names in labels.items() if length != usual)
    parts = [
        f"{tried}.",
        f"Sizes of the comparison systems: {request.sizes}.",
        f"Epochs: {usual}{f' ({others})' if others else ''}.",
        f"Seeds: {request.num_seeds}.",
    ]
    if plan.left_out:
        reasons = "; ".join(f"{name} ({' '.join(why.split()).rstrip('.')})" for name, why in plan.left_out.items())
        parts.append(f"Left out: {reasons}.")
    return " ".join(parts)


def to_document(plan: SweepPlan, result: SweepResult) -> dict[str, Any]:
    """The budget and what it chose, as plain JSON values."""
    return {
        "tries": [setting.to_dict() for setting in plan.tries],
        "folds": plan.request.folds,
        "sizes": plan.request.sizes,
        "epochs": plan.request.epochs,
        "seeds": plan.request.num_seeds,
        "left_out": dict(plan.left_out),
        "systems": [
            {
                "label": one.label,
                "system": one.system,
                "trained_on": one.config.missing.training,
                "chosen_try": result.chosen[one.label],
                "validation_losses": list(result.losses.get(one.label, ())),
                "runs": [folder.name for folder in result.runs[one.label]],
            }
            for one in plan.contestants
        ],
    }


def _chosen(names: Sequence[str]) -> tuple[str, ...]:
    known = tuple(SYSTEMS)
    for name in names:
        if name not in known:
            raise unknown_system(name, known)
        if list(names).count(name) > 1:
            raise InputError(f"Expected each system once, found {name!r} twice.")
    return tuple(names) or known


def _beside(name: str, config: RunConfig, request: SweepRequest) -> RunConfig:
    beside = config_beside(name, config, sizes=request.sizes)
    if request.epochs is None:
        return beside
    return beside.model_copy(update={"train": beside.train.model_copy(update={"epochs": request.epochs})})


def _judged_by(trial: PlannedRun, folds: int | None) -> tuple[PlannedRun, ...]:
    """A try as it is, or once for every fold, without intervals on the test split, which nobody reads."""
    if folds is None:
        return (trial,)
    config, runs = trial.config, []
    evaluation = config.evaluation.model_copy(update={"bootstrap": 0})
    for fold in range(folds):
        data = config.data.model_copy(update={"validation": ValidationConfig(folds=folds, fold=fold)})
        divided = config.model_copy(update={"data": data, "evaluation": evaluation})
        runs.append(PlannedRun(f"{trial.key}-fold{fold}", divided))
    return tuple(runs)


def _flat(trials: Mapping[tuple[str, int], Sequence[PlannedRun]]) -> list[PlannedRun]:
    return [run for runs in trials.values() for run in runs]


def _named(config: RunConfig, label: str) -> RunConfig:
    return config.model_copy(update={"name": label})
