"""Reads a run folder for the report; optional files may be missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from limssr.core.errors import ArtifactError
from limssr.core.reading.documents import MAX_YAML_BYTES, is_finite, parse_yaml
from limssr.core.reading.fields import mapping
from limssr.core.reading.records import (
    EpochRecord,
    EvaluationDocument,
    RunDocument,
    own_file,
    read_document,
    read_lines,
)
from limssr.core.reading.regular import read_text
from limssr.core.reading.tables import read_parquet
from limssr.report.inside import read_explained, read_figures

FORMAT_VERSION = 1
COLUMNS = ("system", "split", "id", "criterion", "streams", "score", "prediction")
"""Of predictions.parquet."""


@dataclass(frozen=True, kw_only=True)
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
        explained: explain/explain.json; None where nobody has asked.
        figures: Name -> PNG, of what was explained.
    """

    name: str
    run: Mapping[str, Any]
    config: Mapping[str, Any]
    config_text: str
    history: Sequence[Mapping[str, Any]]
    evaluation: Mapping[str, Any] | None
    predictions: pa.Table | None
    missing: Mapping[str, str]
    explained: Mapping[str, Any] | None = None
    figures: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def system(self) -> str:
        """Name of the system that was trained."""
        return str(self.run.get("system") or "limssr")

    @property
    def confidence(self) -> float:
        """Of the intervals; the default where config.yaml does not say."""
        evaluation = self.config.get("evaluation")
        said = evaluation.get("confidence") if isinstance(evaluation, Mapping) else None
        return float(said) if said is not None and is_finite(said) else 0.95

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
    if not (folder / "run.json").exists():
        raise ArtifactError(
            f"Expected a run folder at {folder}, found no run.json there: give the folder that train wrote."
        )
    run = read_document(folder / "run.json", RunDocument, newest_version=FORMAT_VERSION)
    optional = {
        "config.yaml": "the recipe and the loss weights",
        "metrics.jsonl": "the learning curves",
        "evaluation.json": "the results under every subset of streams",
        "predictions.parquet": "the scatter of prediction against truth",
    }
    missing = {name: what for name, what in optional.items() if not (folder / name).exists()}
    evaluation = predictions = None
    history: Sequence[Mapping[str, Any]] = ()
    config_text = ""
    if "config.yaml" not in missing:
        config_text = read_text(own_file(folder / "config.yaml"), limit=MAX_YAML_BYTES)
    if "metrics.jsonl" not in missing:
        history = read_lines(folder / "metrics.jsonl", EpochRecord)
    if "evaluation.json" not in missing:
        evaluation = read_document(folder / "evaluation.json", EvaluationDocument, newest_version=FORMAT_VERSION)
    if "predictions.parquet" not in missing:
        outside = own_file(folder / "predictions.parquet")
        predictions = read_parquet(outside, columns=COLUMNS)
        predictions = predictions.filter(pc.field("system") == str(run.get("system") or "limssr"))
    explained = read_explained(folder)
    return RunFolder(
        name=folder.absolute().name,
        run=run,
        config=mapping(
            {"config": parse_yaml(config_text, own_file(folder / "config.yaml")) if config_text else None},
            "config",
            own_file(folder / "config.yaml"),
        ),
        config_text=config_text,
        history=history,
        evaluation=evaluation,
        predictions=predictions,
        missing=missing,
        explained=explained,
        figures=read_figures(folder, explained),
    )
