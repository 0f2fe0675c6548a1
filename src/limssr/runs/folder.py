"""The files of a run folder, apart from checkpoints: names, format version, reading and writing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from limssr.core.config import RunConfig
from limssr.core.errors import ArtifactError, InputError
from limssr.core.files import write_atomically, write_json, write_table
from limssr.core.reading.documents import read_yaml
from limssr.core.reading.records import EvaluationDocument, RunDocument, own_file, read_document
from limssr.core.reading.tables import read_parquet
from limssr.core.recipes import dump_config, parse_config

if TYPE_CHECKING:
    from limssr.evaluation.evaluate import Evaluation

FORMAT_VERSION = 1
ESTIMATOR_FORMAT = 1


@dataclass(frozen=True)
class RunRecord:
    """A run folder as read back: its configuration and run.json."""

    config: RunConfig
    document: Mapping[str, Any]


def read_run(run: Path) -> RunRecord:
    """Read config.yaml and run.json.

    Raises:
        ArtifactError: Not a run folder, altered, or of a newer format.
    """
    if not (run / "run.json").exists():
        raise ArtifactError(
            f"Expected a run folder at {run}, found no run.json there: give the folder that train wrote."
        )
    document = read_document(run / "run.json", RunDocument, newest_version=FORMAT_VERSION)
    return RunRecord(read_config(run), document)


def check_has_model(run: Path, document: Mapping[str, Any]) -> None:
    """Refuse a run folder without a trained model.

    Raises:
        ArtifactError: Its training is not finished, or it has the predictions of folds alone.
    """
    if (run / "model").is_dir():
        return
    todo = "its training is not finished; go on with --resume."
    if folds := document.get("folds"):
        first = run / folds["runs"][0]["run"]
        todo = (
            f"it has what {folds['num_folds']} folds predicted; take the run of a fold, such as {first}, or train "
            "without --folds for a model of all samples."
        )
    raise ArtifactError(f"Expected a trained model in {run}, found none: {todo}")


def owned_in_training(document: Mapping[str, Any]) -> frozenset[str] | None:
    """Streams that some training sample owned, from run.json; None: the run does not say."""
    counts = (document.get("owned_streams") or {}).get("train")
    return None if counts is None else frozenset(name for owned in counts for name in owned.split("+"))


def read_config(run: Path) -> RunConfig:
    """Read config.yaml.

    Raises:
        ArtifactError: It is not there or not readable.
    """
    path = run / "config.yaml"
    outside = own_file(path)
    try:
        return parse_config(read_yaml(outside), where=str(path))
    except ArtifactError:
        raise
    except InputError as error:
        raise ArtifactError(str(error)) from None


def write_config(run: Path, config: RunConfig) -> None:
    """Write config.yaml, every default filled in."""
    write_atomically(run / "config.yaml", dump_config(config).encode())


def write_run(run: Path, document: Mapping[str, Any]) -> None:
    """Write run.json."""
    write_json(run / "run.json", {"format_version": FORMAT_VERSION, **document})


@dataclass(frozen=True)
class SystemScores:
    """One system's evaluation, as it is written: of the model of a run or of a reference beside it."""

    system: str
    document: Mapping[str, Any]
    subsets: pa.Table
    predictions: pa.Table

    @classmethod
    def of(cls, system: str, evaluation: "Evaluation", *, coverage: Mapping[str, Any] | None = None) -> "SystemScores":
        """From an evaluation, and how often intervals cover its samples' scores where that is known."""
        document = evaluation.to_dict() if coverage is None else {**evaluation.to_dict(), "coverage": coverage}
        return cls(system, document, evaluation.to_table(system), evaluation.to_predictions(system))

    @classmethod
    def read(cls, system: str, folder: Path) -> "SystemScores":
        """From the files of a finished reference."""
        document = read_document(folder / "evaluation.json", EvaluationDocument, newest_version=FORMAT_VERSION)
        document.pop("format_version")
        tables = [read_parquet(own_file(folder / name)) for name in ("subsets.parquet", "predictions.parquet")]
        return cls(system, document, *tables)


def write_scores(folder: Path, scores: Sequence[SystemScores]) -> None:
    """Write subsets.parquet, predictions.parquet and evaluation.json; the first system is the one of the folder."""
    write_table(folder / "subsets.parquet", _joined([one.subsets for one in scores]))
    write_table(folder / "predictions.parquet", _joined([one.predictions for one in scores]))
    document = {"format_version": FORMAT_VERSION, **scores[0].document}
    if len(scores) > 1:
        document["systems"] = {one.system: dict(one.document) for one in scores}
    write_json(folder / "evaluation.json", document)


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    """One table; a reference that an older version scored lacks newer columns, which are empty then."""
    return pa.concat_tables(tables, promote_options="default")
