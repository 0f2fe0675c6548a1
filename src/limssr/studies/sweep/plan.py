"""What a sweep is asked, and the plan that this comes to: systems, their settings, their runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from limssr.core.config import RunConfig
from limssr.core.config_data import ValidationConfig
from limssr.core.errors import InputError
from limssr.evaluation.scorer import check_can_score
from limssr.evaluation.uncertainty import Resampled, units_of
from limssr.runs.data import RunData, load_run_data
from limssr.studies.compare.groups import Groups, drawn_groups
from limssr.studies.plan import PlannedRun
from limssr.studies.sweep.samplers import SamplerName, check_sampler
from limssr.studies.sweep.search import Search
from limssr.studies.sweep.tuning import Setting, settings
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
        sampler: Where tries come from.
        halving: Whether only the better tries train to the end (`limssr.studies.sweep.search`).
    """

    systems: tuple[str, ...] = ()
    num_seeds: int = 3
    tries: int = 1
    folds: int | None = None
    sizes: Sizes = "paper"
    epochs: int | None = None
    training: tuple[Training, ...] = ("available",)
    resample: Resampled | None = None
    sampler: SamplerName = "random"
    halving: bool = False


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
        tries: The settings that each of them gets; stand-ins of the same cost where a sampler finds them.
        left_out: Label -> why the data do not allow it.
    """

    request: SweepRequest
    contestants: tuple[Contestant, ...]
    tries: tuple[Setting, ...]
    left_out: Mapping[str, str]

    def tried(self, label: str, number: int, setting: Setting) -> tuple[PlannedRun, ...]:
        """The run of a try, or one a fold."""
        one = next(one for one in self.contestants if one.label == label)
        run = PlannedRun(f"{label}-try{number}", _named(setting.applied(one.config), label))
        return _judged_by(run, self.request.folds)

    def search(self, out: Path) -> Search:
        """The search for the best setting of every system; there must be something to choose."""
        return Search(
            {one.label: one.config.train.epochs for one in self.contestants},
            self.tried,
            out,
            sampler=self.request.sampler,
            tries=self.request.tries,
            is_halved=self.request.halving,
        )

    def trial_runs(self) -> list[PlannedRun]:
        """As many runs as all tries take; of settings that nobody knows yet, such as cost the same."""
        if self.request.tries == 1:
            return []
        numbered = [
            (one.label, number, setting) for one in self.contestants for number, setting in enumerate(self.tries)
        ]
        return [run for one in numbered for run in self.tried(*one)]

    def final_runs(self, chosen: Mapping[str, Setting]) -> dict[tuple[str, int], PlannedRun]:
        """(label, seed) -> run, with the chosen setting of each system."""
        runs = {}
        for one in self.contestants:
            tuned = chosen.get(one.label, Setting()).applied(one.config)
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
        tries: Label -> the settings that were tried; empty where there was one try.
    """

    chosen: Mapping[str, int]
    losses: Mapping[str, tuple[float, ...]]
    runs: Mapping[str, tuple[Path, ...]]
    tries: Mapping[str, tuple[Setting, ...]] = field(default_factory=dict)

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
        if request.halving and name == LIMSSR:
            _check_halving(own, data[request.training[0]])
        for training in request.training:
            label = name if training == "available" else f"{name}-complete"
            if name != LIMSSR:
                try:
                    if request.halving:
                        _check_halving(own, data[training])
                    _check(own, data[training], epochs_are="train.epochs" if request.epochs is None else "--epochs")
                except InputError as error:
                    if request.systems:
                        raise
                    left_out[label] = str(error)
                    continue
            bare = own.evaluation.model_copy(update={"references": ()})
            changed = _trained_on(own, training).model_copy(update={"evaluation": bare})
            contestants.append(Contestant(label, name, changed, () if contestants else regressions))
    return SweepPlan(request, tuple(contestants), _tries(request), left_out)


def _tries(request: SweepRequest) -> tuple[Setting, ...]:
    if request.sampler == "random":
        return settings(request.tries)
    return (Setting(), *(Setting(1 + number / 1e6, 0.3, 1e-3) for number in range(1, request.tries)))


def _check_request(config: RunConfig, request: SweepRequest) -> None:
    """Raise `InputError` for what is wrong before any data are read."""
    if request.num_seeds < 1:
        raise InputError(f"Expected at least one seed, found {request.num_seeds}.")
    check_sampler(request.sampler)
    if request.tries < 2 and (request.halving or request.sampler != "random"):
        raise InputError(f"Expected at least 2 tries to search among, found {request.tries}: give --tries 2 or more.")
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


def _check_halving(config: RunConfig, data: RunData) -> None:
    """Raise `InputError` where losses after a share of the epochs cannot be compared."""
    stages = build_model(config.model, data.modalities, data.criteria, seed=config.seed).stages
    if len(stages) > 1:
        raise InputError(
            f"Expected a system of one stage for --halving, found {config.model.system} with the stages "
            f"{', '.join(stage.name for stage in stages)}, of which only the last can be judged: leave out either."
        )


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


def _named(config: RunConfig, label: str) -> RunConfig:
    return config.model_copy(update={"name": label})
