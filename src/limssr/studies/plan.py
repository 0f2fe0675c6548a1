"""The planned runs of a study: their keys, checks before the start, and results."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limssr.core.config import BackboneConfig, RunConfig
from limssr.core.errors import ArtifactError, InputError, LimssrError, unknown_name
from limssr.core.files import check_folder
from limssr.core.reading.records import EpochRecord, EvaluationDocument, read_document, read_lines
from limssr.core.runtime import check_model_precision, check_precision, choose_device
from limssr.model.backbone.load import load_backbone
from limssr.runs.checks import check_references, check_same_store, folder_status
from limssr.runs.data import RunData, load_run_data
from limssr.runs.folder import FORMAT_VERSION, read_run
from limssr.runs.references import chooser_on_test
from limssr.systems.table import SYSTEMS

KEY = re.compile(r"[A-Za-z0-9_+=][A-Za-z0-9._+=-]*")


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study.

    Attributes:
        key: Its folder below the study's folder: letters, digits and . _ + = -, not starting with a dot or a dash.
        config: What is run.
    """

    key: str
    config: RunConfig

    def __post_init__(self) -> None:
        """Refuse a key that is no plain folder name."""
        if not KEY.fullmatch(self.key):
            raise InputError(
                f"Expected the key of a run to consist of letters, digits and . _ + = -, found {self.key!r}."
            )


@dataclass(frozen=True)
class RunResult:
    """A finished run, read back.

    Attributes:
        key: As planned; runs of equal configurations share a folder and keep their keys.
        config: As planned.
        document: evaluation.json.
        run: run.json.
    """

    key: str
    config: RunConfig
    document: Mapping[str, Any]
    run: Mapping[str, Any]


class RunsFailed(LimssrError):
    """Some runs of a study failed; the others went on.

    Attributes:
        failures: Key -> what went wrong.
    """

    def __init__(self, failures: Mapping[str, LimssrError], num_runs: int) -> None:
        """Exit code 2 where all failures are of the kind that the user can put right, 1 otherwise."""
        lines = [f"  {key}: {error}" for key, error in failures.items()]
        super().__init__(
            f"{len(failures)} of {num_runs} runs failed; the same command tries them again:\n" + "\n".join(lines)
        )
        self.failures = dict(failures)
        self.exit_code = 2 if all(error.exit_code == 2 for error in failures.values()) else 1


def distinct_runs(runs: Sequence[PlannedRun]) -> dict[str, PlannedRun]:
    """Key -> the run in whose folder its result is: the first of all runs with the same configuration.

    The name of a configuration is a label, and no difference.

    Raises:
        InputError: Two configurations under one key, or two keys that differ in case alone.
    """
    first: dict[str, PlannedRun] = {}
    owners: dict[str, PlannedRun] = {}
    spelled: dict[str, str] = {}
    for run in runs:
        identity = run.config.model_copy(update={"name": ""}).model_dump_json()
        owner = first.setdefault(identity, run)
        if owners.setdefault(run.key, owner) is not owner:
            raise InputError(f"Expected one configuration under the key {run.key!r}, found two: name them apart.")
        if spelled.setdefault(run.key.lower(), run.key) != run.key:
            raise InputError(
                f"The keys {spelled[run.key.lower()]!r} and {run.key!r} differ in case alone, which not every disk "
                "tells apart: rename one."
            )
    return owners


def unfinished_runs(runs: Sequence[PlannedRun], out: Path) -> list[PlannedRun]:
    """The distinct runs that are not done, in order.

    Raises:
        InputError: A folder holds something else than the planned run, or a run of other settings.
    """
    owners = {run.key: run for run in distinct_runs(runs).values()}
    return [run for run in owners.values() if folder_status(out / run.key, run.config, "auto") != "done"]


def is_paused(folder: Path, until: int | None) -> bool:
    """Whether a run has done the epochs after which it pauses."""
    metrics = folder / "metrics.jsonl"
    return until is not None and metrics.is_file() and len(read_lines(metrics, EpochRecord)) >= until


def check_study(out: Path, *, processes: int) -> None:
    """Refuse what no study can be run with, before anything is read.

    Raises:
        InputError: `out` cannot be a folder, or there is no process.
    """
    if processes < 1:
        raise InputError(f"Expected at least one process, found {processes}: give --processes 1 or more.")
    check_folder(out)


def check_runs(runs: Sequence[PlannedRun], out: Path, *, device: str = "auto") -> list[PlannedRun]:
    """Find before the first run whatever would stop one of them.

    Args:
        runs: The plan.
        out: The study's folder; nothing is written.
        device: See `limssr.core.runtime.choose_device`.

    Returns:
        The distinct runs that are not done.

    Raises:
        InputError: What is wrong, with the key of the run.
        ArtifactError: A store or a run folder is damaged.
    """
    waiting = unfinished_runs(runs, out)
    if not waiting:
        return waiting
    chosen = choose_device(device).device
    loaded: dict[str, RunData] = {}
    backbones: set[BackboneConfig] = set()
    for run in waiting:
        try:
            check_precision(run.config.train.precision, chosen)
            check_model_precision(run.config.model, chosen)
            data = _data_of(run.config, loaded)
            check_references(run.config, data)
            chooser_on_test(data, run.config, chosen)
            check_same_store(out / run.key, data)
            _check_system(run.config, backbones)
        except InputError as error:
            raise type(error)(f"{run.key}: {error}") from error
    return waiting


def read_results(runs: Sequence[PlannedRun], out: Path) -> dict[str, RunResult]:
    """The runs that are done, by key; what is missing is not finished.

    Raises:
        ArtifactError: A folder is damaged, or holds a run of another configuration.
    """
    results = {}
    for key, owner in distinct_runs(runs).items():
        folder = out / owner.key
        if not (folder / "run.json").is_file():
            continue
        record = read_run(folder)
        if record.config.model_copy(update={"name": ""}) != owner.config.model_copy(update={"name": ""}):
            raise ArtifactError(
                f"Expected the planned run in {folder}, found one of another configuration: remove it, or give "
                "another folder for the study."
            )
        if record.document.get("status") == "done":
            document = read_document(folder / "evaluation.json", EvaluationDocument, newest_version=FORMAT_VERSION)
            results[key] = RunResult(key, owner.config, document, record.document)
    return results


def _data_of(config: RunConfig, loaded: dict[str, RunData]) -> RunData:
    """The run's data; read and verified once for all runs that share it."""
    identity = "\n".join(
        (config.data.model_dump_json(), config.missing.model_dump_json(), str(config.train.selection),
         str(config.train.patience))
    )  # fmt: skip
    if identity not in loaded:
        loaded[identity] = load_run_data(config)
    return loaded[identity]


def _check_system(config: RunConfig, backbones: set[BackboneConfig]) -> None:
    system = config.model.system
    if system not in SYSTEMS:
        raise unknown_name("system", system, list(SYSTEMS))
    if SYSTEMS[system].reads_backbone and config.model.backbone not in backbones:
        load_backbone(config.model.backbone, seed=config.seed)
        backbones.add(config.model.backbone)
