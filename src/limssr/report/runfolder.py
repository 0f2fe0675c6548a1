"""What a run folder holds, read for the report; what is optional may be missing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from limssr.core.errors import ArtifactError
from limssr.core.files import read_json

FORMAT_VERSION = 1


@dataclass(frozen=True)
class RunFolder:
    """The files of a run.

    Attributes:
        name: Of the folder.
        run: run.json.
        config: config.yaml as nested mappings; empty when missing.
        config_text: The same, as written.
        history: Lines of metrics.jsonl.
        evaluation: evaluation.json; None when missing.
        predictions: predictions.parquet of the run's own system; None when missing.
        missing: File name -> what the report lacks without it.
    """

    name: str
    run: Mapping[str, Any]
    config: Mapping[str, Any]
    config_text: str
    history: Sequence[Mapping[str, Any]]
    evaluation: Mapping[str, Any] | None
    predictions: pa.Table | None
    missing: Mapping[str, str]

    @property
    def system(self) -> str:
        """Name of the system that was trained."""
        return str(self.run.get("system") or "limssr")

    @property
    def systems(self) -> dict[str, Mapping[str, Any]]:
        """System -> its evaluation document; the run's own first."""
        if self.evaluation is None:
            return {}
        named = dict(self.evaluation.get("systems") or {})
        own = named.pop(self.system, self.evaluation)
        return {self.system: own, **named}


def read_run_folder(folder: Path) -> RunFolder:
    """Read what is there.

    Raises:
        ArtifactError: No run.json, a newer format, or a damaged file.
    """
    run = read_json(folder / "run.json", newest_version=FORMAT_VERSION)
    missing: dict[str, str] = {}
    config_text = _text(folder / "config.yaml", missing, "the recipe and the loss weights")
    metrics_text = _text(folder / "metrics.jsonl", missing, "the learning curves")
    evaluation = None
    if (folder / "evaluation.json").is_file():
        evaluation = read_json(folder / "evaluation.json", newest_version=FORMAT_VERSION)
    else:
        missing["evaluation.json"] = "the results under every subset of streams"
    system = str(run.get("system") or "limssr")
    return RunFolder(
        name=folder.absolute().name,
        run=run,
        config=_parse(folder / "config.yaml", yaml.safe_load, config_text) or {},
        config_text=config_text,
        history=[
            _parse(folder / "metrics.jsonl", json.loads, line) for line in metrics_text.splitlines() if line.strip()
        ],
        evaluation=evaluation,
        predictions=_predictions(folder / "predictions.parquet", system, missing),
        missing=missing,
    )


def _text(path: Path, missing: dict[str, str], what: str) -> str:
    if not path.is_file():
        missing[path.name] = what
        return ""
    return path.read_text(encoding="utf-8")


def _parse(path: Path, parser: Any, text: str) -> Any:
    try:
        return parser(text) if text else None
    except (ValueError, yaml.YAMLError) as error:
        raise ArtifactError(
            f"{path} is there but cannot be read ({error}); it was altered. Remove it or restore it."
        ) from None


def _predictions(path: Path, system: str, missing: dict[str, str]) -> pa.Table | None:
    if not path.is_file():
        missing[path.name] = "the scatter of prediction against truth"
        return None
    try:
        return pq.read_table(path, filters=[("system", "=", system)])
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(
            f"{path} is there but cannot be read ({error}); it was altered. Remove it or restore it."
        ) from None
