"""The files of a run folder, apart from checkpoints: names, format version, reading and writing."""

import io
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from limssr.checkpoint import read_json, write_atomically, write_json
from limssr.config import RunConfig
from limssr.errors import ArtifactError, InputError, ResourceError
from limssr.evaluation import Evaluation
from limssr.recipe import dump_config, parse_config

FORMAT_VERSION = 1
DISK_RESERVE_BYTES = 64 * 2**20


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
    if not (run / "run.json").is_file():
        raise ArtifactError(
            f"Expected a run folder at {run}, found no run.json there: give the folder that train wrote."
        )
    document = read_json(run / "run.json", newest_version=FORMAT_VERSION)
    return RunRecord(read_config(run), document)


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
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ArtifactError(f"Expected the run's configuration at {path}, found something else ({error}).") from error
    return parse_config(tree, where=str(path))


def write_config(run: Path, config: RunConfig) -> None:
    """Write config.yaml, every default filled in."""
    write_atomically(run / "config.yaml", dump_config(config).encode())


def write_run(run: Path, document: Mapping[str, Any]) -> None:
    """Write run.json."""
    write_json(run / "run.json", {"format_version": FORMAT_VERSION, **document})


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file under a temporary name and rename it."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_atomically(path, buffer.getvalue())


@dataclass(frozen=True)
class SystemScores:
    """One system's evaluation, as it is written: of the model of a run or of a reference beside it."""

    system: str
    document: Mapping[str, Any]
    subsets: pa.Table
    predictions: pa.Table

    @classmethod
    def of(cls, system: str, evaluation: Evaluation) -> "SystemScores":
        """From an evaluation."""
        return cls(system, evaluation.to_dict(), evaluation.to_table(system), evaluation.to_predictions(system))

    @classmethod
    def read(cls, system: str, folder: Path) -> "SystemScores":
        """From the files of a finished reference."""
        document = read_json(folder / "evaluation.json", newest_version=FORMAT_VERSION)
        document.pop("format_version")
        try:
            tables = [pq.read_table(folder / name) for name in ("subsets.parquet", "predictions.parquet")]
        except (OSError, pa.ArrowException) as error:
            raise ArtifactError(
                f"Expected the tables of a finished reference in {folder}: {error}; remove the folder."
            ) from error
        return cls(system, document, *tables)


def write_scores(folder: Path, scores: Sequence[SystemScores]) -> None:
    """Write subsets.parquet, predictions.parquet and evaluation.json; the first system is the one of the folder."""
    write_table(folder / "subsets.parquet", pa.concat_tables([one.subsets for one in scores]))
    write_table(folder / "predictions.parquet", pa.concat_tables([one.predictions for one in scores]))
    document = {"format_version": FORMAT_VERSION, **scores[0].document}
    if len(scores) > 1:
        document["systems"] = {one.system: dict(one.document) for one in scores}
    write_json(folder / "evaluation.json", document)


def check_folder(folder: Path) -> None:
    """Refuse a folder for results that cannot be one, before there is anything to write; nothing is made.

    Raises:
        InputError: It, or what it should stand in, is a file or may not be written to.
    """
    existing = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return
    found = f"{existing}, which may not be written to" if existing.is_dir() else f"the file {existing}"
    raise InputError(f"Expected to write into the folder {folder}, found {found}: give another one with --out.")


def check_disk(folder: Path, num_bytes: int) -> None:
    """Refuse to start where the disk will not hold the run.

    Raises:
        ResourceError: Less free than `num_bytes` and a reserve.
    """
    existing = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    free = shutil.disk_usage(existing).free
    needed = num_bytes + DISK_RESERVE_BYTES
    if free < needed:
        raise ResourceError(
            f"Expected {needed / 2**20:,.0f} MiB free on the disk of {folder} for checkpoints and results, found "
            f"{free / 2**20:,.0f} MiB: make room or write to another disk. Nothing has been written."
        )
