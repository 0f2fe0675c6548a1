"""The runs of a server: opened once, described for clients, and scored with one after the other."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from limssr.core.errors import ArtifactError, InputError, unknown_name
from limssr.core.reading.records import EvaluationDocument, read_document
from limssr.core.types import Sample
from limssr.data.importers.table.reading import Reading
from limssr.data.store.reader import FeatureStore
from limssr.evaluation.conformal import Errors, check_level
from limssr.evaluation.scorer import ExplainsGaps, unseen_words
from limssr.media.record import ExtractionRecord
from limssr.runs.folder import read_run
from limssr.runs.live.scorer import LiveScorer
from limssr.runs.load import Loaded, load_scorer
from limssr.runs.prediction.predict import table_of
from limssr.runs.prediction.recordings import extraction_of
from limssr.runs.reliability.calibration import CALIBRATION, HIGH, LOW, read_calibration, with_intervals
from limssr.serve.problems import Problem

NOT_IN_ID = re.compile(r"[^A-Za-z0-9._-]+")
LEVEL = 0.9
"""Of the intervals where a request names no other."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """One opened run.

    Attributes:
        id: In the routes.
        found: Scores.
        errors: For intervals; None where the run has none.
        extraction: How its features were made of recordings; None where they were not.
        evaluation: `evaluation.json`; empty where there is none.
        document: `run.json`; empty where there is none.
    """

    id: str
    found: Loaded
    errors: Errors | None
    extraction: ExtractionRecord | None
    evaluation: Mapping[str, Any]
    document: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the M streams."""
        return tuple(modality.name for modality in self.found.modalities)

    @property
    def reading(self) -> Reading:
        """How tables are read, as they were for training."""
        return Reading.from_dict(self.found.reading)

    def level_of(self, asked: float | None, *, is_said: bool) -> float | None:
        """The level of the intervals of a request; None: without.

        Raises:
            InputError: No share, or the run has no calibration and intervals were asked for.
        """
        if not is_said:
            return LEVEL if self.errors is not None else None
        if asked is not None:
            check_level(asked)
            if self.errors is None:
                raise InputError(
                    f"Expected {CALIBRATION} in run '{self.id}' for intervals, found none: ask without an interval, or "
                    "train the run again with a validation split."
                )
        return asked

    def table(
        self, samples: Sequence[Sample], scores_NC: np.ndarray, level: float | None
    ) -> tuple[pa.Table, list[str]]:
        """The table of `limssr predict`, and what it would say of it."""
        table, notes = table_of(self.found, samples, scores_NC), []
        if self.errors is not None and level is not None:
            table = with_intervals(table, self.errors, self.found.criteria, level=level, say=notes.append)
        return table, notes

    def rows(
        self, samples: Sequence[Sample], scores_NC: np.ndarray, level: float | None
    ) -> tuple[list[Any], list[str]]:
        """One document a sample, as the routes answer them, and what is to be said of all."""
        table, notes = self.table(samples, scores_NC, level)
        return [self._row(row, sample) for row, sample in zip(table.to_pylist(), samples, strict=True)], notes

    def _row(self, row: Mapping[str, Any], sample: Sample) -> dict[str, Any]:
        scores = {}
        for criterion in self.found.criteria:
            scores[criterion.name] = {
                "score": row[criterion.name],
                "low": row.get(f"{LOW}{criterion.name}"),
                "high": row.get(f"{HIGH}{criterion.name}"),
                "scale": [criterion.low, criterion.high],
                "unit": criterion.unit,
            }
        used = tuple(sample.streams)
        missing = [name for name in self.names if name not in used]
        segments = sample.num_segments if used else 0
        return {"id": row["id"], "streams": list(used), "missing": missing, "segments": segments, "scores": scores,
                "flags": self._flags(used, segments)}  # fmt: skip

    def _flags(self, used: tuple[str, ...], segments: int) -> list[str]:
        scorer = self.found.scorer
        flags = []
        if isinstance(scorer, ExplainsGaps) and (reason := scorer.why_no_prediction(used)) is not None:
            flags.append(f"no score: {reason}")
        flags += unseen_words(scorer, used)
        longest = getattr(scorer, "num_segments", None)
        if longest is not None and segments > longest:
            flags.append(f"only the {longest} segments in the middle are read, as in training")
        return flags

    @cached_property
    def live(self) -> LiveScorer:
        """Scores performances that go on.

        Raises:
            InputError: The run reads words.
        """
        return LiveScorer(self.found)

    @cached_property
    def baseline_C(self) -> np.ndarray:
        """Where nothing is known: the mean of the training scores; the middle of the scale where these are not here."""
        middle_C = np.array([(one.low + one.high) / 2 for one in self.found.criteria])
        store = (self.document.get("store") or {}).get("path")
        if store is None or not Path(store).is_dir():
            return middle_C
        try:
            opened = FeatureStore.open(Path(store))
            rows = opened.index.to_pylist()
            found = [
                [row[f"score:{one.name}"] for row in rows if row["split"] == "train"] for one in self.found.criteria
            ]
        except (InputError, KeyError):
            return middle_C
        judged = [[score for score in column if score is not None] for column in found]
        return np.array([np.mean(some) if some else m for some, m in zip(judged, middle_C, strict=True)])

    def short(self) -> dict[str, Any]:
        """What it scores, for the list."""
        return {
            "id": self.id,
            "streams": [
                {
                    "name": one.name,
                    "width": one.dim,
                    "columns": None if one.columns is None else list(one.columns),
                    "words": one.words is not None,
                }
                for one in self.found.modalities
            ],
            "criteria": [
                {"name": one.name, "low": one.low, "high": one.high, "unit": one.unit} for one in self.found.criteria
            ],
            "intervals": self.errors is not None,
            "recordings": self.extraction is not None,
            "live": not any(one.words for one in self.found.modalities),
            "media": self._media(),
            "segment_s": (self.document.get("store") or {}).get("segment_s"),
        }

    def _media(self) -> list[str]:
        """Fields of recordings in a form: "media:NAME", "sensor:NAME"."""
        if self.extraction is None:
            return []
        return list(
            dict.fromkeys(f"{one.kind}:{one.column}" for one in self.extraction.streams if one.name in self.names)
        )

    def described(self) -> dict[str, Any]:
        """All that is known of it: measured accuracy and coverage of each subset, and a model card."""
        evaluation, document = self.evaluation, self.document
        subsets = [
            {
                key: one.get(key)
                for key in ("streams", "num_samples", "spearman", "spearman_ci", "pearson", "mse", "mae")
            }
            for one in evaluation.get("subsets", ())
        ]
        card = {
            "name": document.get("name", self.found.name),
            "system": document.get("system"),
            "trained_on": document.get("trained_on"),
            "data": (document.get("store") or {}).get("name"),
            "num_samples": document.get("num_samples"),
            "parameters": document.get("parameters"),
            "finished": document.get("finished"),
            "seed": document.get("seed"),
            "limssr": (document.get("environment") or {}).get("limssr"),
            "evaluated_on": evaluation.get("split"),
            "average_incomplete": evaluation.get("average_incomplete"),
        }
        return {**self.short(), "subsets": subsets, "coverage": evaluation.get("coverage"), "card": card}


def open_runs(runs: Sequence[Path], *, device: str) -> dict[str, Served]:
    """Open runs: id -> run, in the order given.

    Raises:
        InputError: Two folders of the same name below folders of the same name, or an unknown device.
        ArtifactError: Nothing trained in one of them, or it is damaged.
    """
    served: dict[str, Served] = {}
    names = [_id(run.absolute().name) for run in runs]
    for run, name in zip(runs, names, strict=True):
        longer = _id(f"{run.absolute().parent.name}-{run.absolute().name}")
        key = name if names.count(name) == 1 else longer
        if key in served:
            raise InputError(
                f"Expected runs with names of their own, found '{key}' twice: rename a folder or serve one."
            )
        served[key] = _open(key, run, device)
    return served


def chosen(runs: Mapping[str, Served], name: str | None) -> Served:
    """The run that a request names; it need name none where there is only one.

    Raises:
        Problem: There is none of that name, or several and no name.
    """
    if name is None:
        if len(runs) == 1:
            return next(iter(runs.values()))
        raise Problem(422, f"Expected the name of a model, found none: name one of {', '.join(runs)} as 'model'.")
    if name not in runs:
        raise Problem(404, str(unknown_name("model", name, list(runs))))
    return runs[name]


def _id(name: str) -> str:
    return NOT_IN_ID.sub("-", name).strip("-") or "model"


def _open(key: str, run: Path, device: str) -> Served:
    found = load_scorer(run, device=device)
    errors = None
    if (found.folder / CALIBRATION).exists():
        names = [[one.name for one in items] for items in (found.modalities, found.criteria)]
        errors = read_calibration(found.folder, *names)
    evaluation: Mapping[str, Any] = {}
    if (run / "evaluation.json").exists():
        evaluation = read_document(run / "evaluation.json", EvaluationDocument, newest_version=1)
    document: Mapping[str, Any] = {}
    extraction = None
    if (run / "run.json").exists():
        document = read_run(run).document
        if (document.get("store") or {}).get("extraction") is not None:
            extraction = extraction_of(run)
    if not found.modalities:
        raise ArtifactError(f"Expected streams in {run}, found none: train the run again.")
    return Served(id=key, found=found, errors=errors, extraction=extraction, evaluation=evaluation, document=document)
