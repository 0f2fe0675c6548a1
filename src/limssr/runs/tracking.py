"""Sends the epochs of a run to a tracker of Accelerate: TensorBoard, Weights & Biases, MLflow. Off unless asked for.

The run folder stays the truth: a tracker is told what stands in `metrics.jsonl`, from the first epoch on, also after
training was interrupted. TensorBoard's files stand in the run folder; the other two send what they are told to
wherever their own settings say.
"""

import importlib.util
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from limssr.core.config import RunConfig
from limssr.core.errors import MissingExtraError, unknown_name
from limssr.core.progress import Reporter
from limssr.core.reading.records import EpochRecord, read_lines

TrackerName = Literal["tensorboard", "wandb", "mlflow"]
TRACKERS: Mapping[str, str] = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}
"""Name -> the package that it needs."""
FOLDER = "tensorboard"


def check_tracker(name: str) -> None:
    """Refuse a tracker that cannot work here, before anything is trained.

    Raises:
        InputError: Nobody knows it.
        MissingExtraError: Its package is not installed.
    """
    if name not in TRACKERS:
        raise unknown_name("tracker", name, list(TRACKERS))
    if importlib.util.find_spec(TRACKERS[name]) is None:
        raise MissingExtraError(
            f"Expected the package {TRACKERS[name]} for --track {name}, found none: pip install {TRACKERS[name]}"
            + (" (or limssr[track])." if name == "tensorboard" else ".")
        )


class TrackedReporter:
    """Another reporter, and a tracker that is told of every epoch.

    Args:
        reporter: Is told of everything.
        name: Of the tracker.
        out: Run folder.
        config: Of the run.
    """

    def __init__(self, reporter: Reporter, name: TrackerName, out: Path, config: RunConfig) -> None:
        check_tracker(name)
        self._reporter, self._out, self._config = reporter, out, config
        self._name: TrackerName = name
        self._tracker: Any = None

    def note(self, text: str) -> None:
        """Passed on."""
        self._reporter.note(text)

    def warn(self, text: str) -> None:
        """Passed on."""
        self._reporter.warn(text)

    def start(self, what: str, total: int, done: int = 0, unit: str = "") -> None:
        """Passed on; training begins with the epochs that are behind it."""
        if what == "training" and self._tracker is None:
            self._tracker = self._begun()
        self._reporter.start(what, total, done, unit)

    def advance(self, what: str) -> None:
        """Passed on."""
        self._reporter.advance(what)

    def within(self, what: str, done: int, total: int) -> None:
        """Passed on."""
        self._reporter.within(what, done, total)

    def epoch(self, record: Mapping[str, Any], *, total: int, best_epoch: int | None) -> None:
        """Passed on and tracked."""
        self._track(record)
        self._reporter.epoch(record, total=total, best_epoch=best_epoch)

    def finish(self) -> None:
        """Passed on."""
        self._reporter.finish()

    def close(self, scores: Mapping[str, float] | None = None) -> None:
        """Track the numbers of the test split, and end."""
        if self._tracker is not None:
            if scores:
                self._tracker.log(dict(scores), step=self._config.train.epochs)
            self._tracker.finish()
            self._tracker = None

    def _begun(self) -> Any:
        tracker = _made(self._name, self._out)
        tracker.start()
        if self._name != "tensorboard":  # whose form for settings is a run of its own
            tracker.store_init_configuration(_flat(self._config.model_dump(mode="json")))
        self._tracker = tracker
        metrics = self._out / "metrics.jsonl"
        for record in read_lines(metrics, EpochRecord) if metrics.exists() else ():
            self._track(record)
        return tracker

    def _track(self, record: Mapping[str, Any]) -> None:
        if self._tracker is not None:
            values = {name: value for name, value in record.items() if _is_number(value) and name != "epoch"}
            self._tracker.log(values, step=record["epoch"])


def scores_to_track(document: Mapping[str, Any]) -> dict[str, float]:
    """What of an evaluation is tracked: means over incomplete subsets, and of all streams."""
    found = {}
    for name, part in (("incomplete", document.get("average_incomplete")), ("full", document.get("full"))):
        for metric in ("spearman", "pearson", "mse", "mae"):
            if part and _is_number(part.get(metric)):
                found[f"test/{name}/{metric}"] = float(part[metric])
    return found


def _made(name: TrackerName, out: Path) -> Any:
    from accelerate import tracking

    if name == "tensorboard":
        shutil.rmtree(out / FOLDER, ignore_errors=True)
        return tracking.TensorBoardTracker("", out / FOLDER)
    if name == "wandb":
        return tracking.WandBTracker("limssr", name=out.name)
    return tracking.MLflowTracker("limssr", run_name=out.name)


def _flat(tree: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = value if isinstance(value, int | float | str) else str(value)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
