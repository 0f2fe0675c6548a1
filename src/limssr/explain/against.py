"""Predictions of several runs next to each other, under every subset (paper, Fig. 4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limssr.core.errors import InputError
from limssr.explain.groups import finite
from limssr.report.runfolder import RunFolder, read_run_folder


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Judged predictions of one run under one subset, on the unit scale, all criteria together.

    Attributes:
        run: Its name and system.
        streams: "video+audio".
        truth_N: Given scores.
        predicted_N: Predictions.
    """

    run: str
    streams: str
    truth_N: np.ndarray
    predicted_N: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Correlation and slope of the predictions on the given scores."""
        spread = self.truth_N.std()
        is_flat = len(self.truth_N) < 2 or spread == 0
        covariance = float(np.mean((self.truth_N - self.truth_N.mean()) * (self.predicted_N - self.predicted_N.mean())))
        deviation = float(self.predicted_N.std())
        return {
            "run": self.run,
            "streams": self.streams.split("+"),
            "num_scores": len(self.truth_N),
            "pearson": None if is_flat or deviation == 0 else finite(covariance / (spread * deviation)),
            "slope": None if is_flat else finite(covariance / spread**2),
            "mean_error": finite(float(np.abs(self.truth_N - self.predicted_N).mean())),
        }


def clouds_of_runs(run: Path, others: Sequence[Path]) -> list[Cloud]:
    """The predictions of a run and of others on the same test split.

    Raises:
        InputError: A run without predictions, on another store, or with no criterion in common.
        ArtifactError: A run folder is damaged.
    """
    folders = [_read(path) for path in (run, *others)]
    prints = {str((one.run.get("store") or {}).get("fingerprint")) for one in folders}
    if len(prints) > 1:
        names = ", ".join(str(path) for path in (run, *others))
        raise InputError(
            f"Expected runs on one store to draw next to each other, found {len(prints)} stores in {names}."
        )
    scales = [_scales(one) for one in folders]
    shared = [name for name in scales[0] if all(name in other for other in scales)]
    if not shared:
        raise InputError("Expected runs with a criterion in common to draw next to each other, found none.")
    return [cloud for one in folders for cloud in _clouds(one, {name: scales[0][name] for name in shared})]


def _read(path: Path) -> RunFolder:
    folder = read_run_folder(path)
    if folder.predictions is None or folder.evaluation is None:
        raise InputError(f"Expected predictions of a finished run in {path}, found none: go on with --resume.")
    return folder


def _scales(folder: RunFolder) -> dict[str, tuple[float, float]]:
    return {str(one["name"]): (float(one["low"]), float(one["high"])) for one in folder.run.get("criteria") or ()}


def _clouds(folder: RunFolder, scales: dict[str, tuple[float, float]]) -> list[Cloud]:
    table = folder.predictions
    assert table is not None
    streams, criteria = np.array(table["streams"].to_pylist()), np.array(table["criterion"].to_pylist())
    truth, predicted = (np.array(table[name].to_pylist(), dtype=float) for name in ("score", "prediction"))
    ends = np.array([scales.get(name, (np.nan, np.nan)) for name in criteria]).reshape(-1, 2)
    low, span = ends[:, 0], ends[:, 1] - ends[:, 0]
    truth, predicted = (truth - low) / span, (predicted - low) / span
    known = np.isfinite(truth) & np.isfinite(predicted)
    label = f"{folder.name} ({folder.system})"
    return [
        Cloud(run=label, streams=subset, truth_N=truth[rows], predicted_N=predicted[rows])
        for subset in dict.fromkeys(streams.tolist())
        if (rows := known & (streams == subset)).any()
    ]
