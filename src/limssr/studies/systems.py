"""Systems that a study compares with LIMSSR: networks are runs of their own, regressions are quick."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from limssr.core.config import RunConfig
from limssr.core.errors import InputError, unknown_name
from limssr.core.progress import Reporter
from limssr.core.recipes import load_recipe, parse_config
from limssr.core.runtime import choose_device
from limssr.runs.checks import check_references
from limssr.runs.data import RunData, load_run_data
from limssr.runs.folder import read_config, write_config
from limssr.runs.references import reference_config, run_reference
from limssr.studies.plan import PlannedRun
from limssr.systems.catalogue import config_beside, unknown_system
from limssr.systems.references import REFERENCES
from limssr.systems.table import SYSTEMS

LIMSSR = "limssr"


def system_names() -> tuple[str, ...]:
    """Every name that a study knows."""
    return tuple(dict.fromkeys((*SYSTEMS, *REFERENCES)))


def check_systems(names: Sequence[str]) -> None:
    """Refuse names that are unknown, given twice, or none.

    Raises:
        InputError: What is wrong, with the nearest valid name.
    """
    known = system_names()
    for name in names:
        if name not in known:
            raise unknown_name("system", name, list(known))
        if list(names).count(name) > 1:
            raise InputError(f"Expected each system once, found {name!r} twice.")
    if not names:
        raise InputError(f"Expected at least one system, found none: give some of {', '.join(known)}.")


def is_network(name: str) -> bool:
    """Whether a system is trained by the loop; the others are regressions on pooled statistics."""
    return name not in REFERENCES or REFERENCES[name].pooled is None


def system_config(name: str, config: RunConfig) -> RunConfig:
    """LIMSSR's configuration, changed into that of a system beside it (see `limssr.runs.references`)."""
    if name == LIMSSR or not is_network(name):
        return config
    return reference_config(name, config)


def load_system_recipe(
    path: Path, overrides: Sequence[str], variants: Mapping[str, str], *, system: str | None
) -> RunConfig:
    """A recipe for another system: the recipe, what the system changes in it, then the overrides.

    Args:
        path: The recipe.
        overrides: "train.epochs=3" and the like; they win over what the system changes.
        variants: Group -> name.
        system: A network of `limssr.systems.table.SYSTEMS`; None or "limssr": the recipe's own.

    Raises:
        InputError: An unknown system, or one that is no network; whatever is wrong with the recipe.
    """
    if system is None or system == LIMSSR:
        return load_recipe(path, overrides, variants)
    if system not in SYSTEMS:
        raise unknown_system(system, tuple(SYSTEMS))
    config = config_beside(system, load_recipe(path, variants=variants))
    references = tuple(name for name in config.evaluation.references if name not in (system, "random-backbone"))
    evaluation = config.evaluation.model_copy(update={"references": references})
    changed = config.model_copy(update={"evaluation": evaluation, "name": f"{config.name}-{system}"})
    return parse_config(changed.model_dump(mode="json"), where=str(path), overrides=overrides)


def check_regressions(runs: Sequence[tuple[str, PlannedRun]]) -> None:
    """Find before the first run what would stop a regression.

    Args:
        runs: Name of the system and its run.

    Raises:
        InputError: What is wrong, with the key of the run.
    """
    loaded: dict[str, RunData] = {}
    for name, run in runs:
        identity = run.config.data.model_dump_json() + run.config.missing.model_dump_json()
        if identity not in loaded:
            loaded[identity] = load_run_data(run.config)
        try:
            check_references(_beside_limssr(name, run.config), loaded[identity])
        except InputError as error:
            raise type(error)(f"{run.key}: {error}") from error


def run_regression(name: str, run: PlannedRun, out: Path, *, reporter: Reporter) -> None:
    """Fit and score one regression into its folder, unless that is done.

    Raises:
        InputError: The folder holds one with another configuration.
    """
    folder = out / run.key
    if (folder / "config.yaml").exists():
        if read_config(folder).model_copy(update={"name": ""}) != run.config.model_copy(update={"name": ""}):
            raise InputError(
                f"Expected {name} with the planned configuration in {folder}, found another one: remove it, or give "
                "another folder for the study."
            )
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_config(folder, run.config)
    data = load_run_data(run.config)
    run_reference(name, data, run.config, folder, device=choose_device("cpu").device, reporter=reporter)


def regression_is_done(run: PlannedRun, out: Path) -> bool:
    """Whether its scores are there."""
    return (out / run.key / "reference.json").is_file()


def _beside_limssr(name: str, config: RunConfig) -> RunConfig:
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"references": (name,)})})
