"""A run's errors on samples it was not fitted to, kept as numbers: what intervals around its scores are made of."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from limssr.core.config import EvalConfig
from limssr.core.errors import InputError
from limssr.core.files import write_table
from limssr.core.reading.records import own_file
from limssr.core.reading.tables import read_parquet
from limssr.core.types import Criterion, Modality, Sample
from limssr.evaluation.conformal import Errors, check_level, errors_of, smallest_number
from limssr.evaluation.intervals import coverage, errors_from_table, errors_to_table, intervals
from limssr.evaluation.scorer import Scorer
from limssr.runs.load import Loaded
from limssr.systems.saving import saved_names

if TYPE_CHECKING:
    from limssr.evaluation.evaluate import Evaluation

CALIBRATION = "calibration.parquet"
LEVEL = 0.9
"""Of the intervals whose coverage is reported."""
LOW, HIGH = "low:", "high:"


class Interval(NamedTuple):
    """Scores and the ends of their intervals, three arrays of one shape, in the data set's unit."""

    score: np.ndarray
    low: np.ndarray
    high: np.ndarray


def interval_of(
    errors: Errors | None,
    samples: Sequence[Sample],
    scores_NC: np.ndarray,
    criteria: Sequence[Criterion],
    *,
    level: float,
    scale: Literal["declared", "open"] = "declared",
) -> Interval:
    """Intervals around the scores [N, C] of samples; with an "open" scale they may reach beyond its ends.

    Raises:
        InputError: There are no errors to make them of, or `level` is not a share.
    """
    check_level(level)
    if errors is None:
        raise InputError(
            "Expected samples that were held out in fit for intervals, found none: use validation_fraction above 0, or "
            "give validation."
        )
    shown = ["+".join(name for name in errors.streams if name in one.streams) for one in samples]
    if scale == "open":
        criteria = [replace(one, low=-math.inf, high=math.inf) for one in criteria]
    made = intervals(errors, shown, scores_NC, criteria, level=level)
    return Interval(scores_NC, made.low_NC, made.high_NC)


def calibrate(
    scorer: Scorer,
    samples: Sequence[Sample],
    modalities: tuple[str, ...],
    criteria: tuple[Criterion, ...],
    config: EvalConfig,
) -> Errors | None:
    """Errors under every subset that is evaluated.

    Args:
        scorer: The system.
        samples: Judged samples that it was not fitted to, as those of the validation split.
        modalities: Names of the M streams.
        criteria: The C criteria.
        config: Which subsets.

    Returns:
        The errors; None where there are no such samples, or none with a prediction.
    """
    from limssr.evaluation.evaluate import evaluate

    if not samples:
        return None
    found = evaluate(scorer, samples, modalities, criteria, config=config.model_copy(update={"bootstrap": 0}))
    groups = {sample.id: sample.group or None for sample in samples}
    try:
        return errors_of(found.predictions, modalities, [one.name for one in criteria], groups=groups)
    except InputError:  # it has no prediction for any of them
        return None


def write_calibration(folder: Path, errors: Errors | None) -> None:
    """Write the errors into a run folder or a folder of a reference; nothing where there are none."""
    if errors is not None:
        write_table(folder / CALIBRATION, errors_to_table(errors))


def read_calibration(folder: Path, modalities: Sequence[str], criteria: Sequence[str]) -> Errors:
    """The errors that were written.

    Raises:
        InputError: The folder has none.
        ArtifactError: They were altered, or belong to another model.
    """
    path = folder / CALIBRATION
    if not path.exists():
        raise InputError(
            f"Expected {CALIBRATION} in {folder} for intervals, found none: the run had no validation split, or an "
            "older limssr trained it; train it again with a validation split."
        )
    return errors_from_table(read_parquet(own_file(path)), modalities, criteria)


def errors_in(folder: Path, modalities: Sequence[Modality], criteria: Sequence[Criterion]) -> Errors | None:
    """The errors of a folder; None where it has none."""
    if not (folder / CALIBRATION).exists():
        return None
    return read_calibration(folder, [one.name for one in modalities], [one.name for one in criteria])


def calibration_of(found: Loaded, level: float) -> Errors:
    """The errors of what was opened, for intervals of one level; worth a call before scoring.

    Raises:
        InputError: It has none, or `level` is not a share.
        ArtifactError: They were altered, or belong to another model.
    """
    check_level(level)
    return read_calibration(found.folder, [one.name for one in found.modalities], [one.name for one in found.criteria])


def with_intervals(
    scores: pa.Table,
    errors: Errors,
    criteria: Sequence[Criterion],
    *,
    level: float,
    say: Callable[[str], None] | None = None,
) -> pa.Table:
    """A table of predictions with the columns low:NAME and high:NAME for each criterion.

    Args:
        scores: From `limssr.runs.prediction.predict.predict`.
        errors: From `read_calibration`.
        criteria: The C criteria.
        level: Share of new scores that intervals are to cover.
        say: Told where errors are too few for the level, or where a pattern borrows those of others.

    Raises:
        InputError: `level` is not a share.
    """
    shown = scores["streams"].to_pylist()
    owning = [place for place, streams in enumerate(shown) if streams]
    values_NC = np.array([scores[one.name].to_numpy(zero_copy_only=False) for one in criteria]).T
    low_NC, high_NC = np.full(values_NC.shape, np.nan), np.full(values_NC.shape, np.nan)
    made = intervals(errors, [shown[place] for place in owning], values_NC[owning], criteria, level=level)
    low_NC[owning], high_NC[owning] = made.low_NC, made.high_NC
    if say is not None:
        for streams, sources in made.sources.items():
            if "none" in sources:
                say(
                    f"{streams}: too few calibration samples for intervals of {level:g} (at least "
                    f"{smallest_number(level)} are needed): they are the whole scale"
                )
            elif "nested" in sources:
                say(f"{streams}: few calibration samples own all of these, so intervals are on the wide side")
            elif "nearest" in sources:
                say(
                    f"{streams}: too few calibration samples own these: intervals are made of errors under like streams"
                )
    for column, criterion in enumerate(criteria):
        for word, ends_NC in ((LOW, low_NC), (HIGH, high_NC)):
            values = pa.array(ends_NC[:, column], pa.float64(), from_pandas=True)
            scores = scores.append_column(f"{word}{criterion.name}", values)
    return scores


def covered(errors: Errors | None, evaluation: "Evaluation", criteria: Sequence[Criterion]) -> dict[str, Any] | None:
    """The document "coverage" of an evaluation: how often intervals hold its samples' scores; None without errors."""
    if errors is None:
        return None
    rows = coverage(errors, evaluation.predictions, criteria, level=LEVEL)
    return {"level": LEVEL, "num_calibration": len(errors.group_N), "subsets": rows}


def covered_again(run: Path, evaluation: "Evaluation") -> dict[str, Any] | None:
    """The same for a finished run, from its files; None where it was not calibrated."""
    if not (run / CALIBRATION).exists():
        return None
    modalities, criteria = saved_names(run / "model")
    errors = read_calibration(run, [one.name for one in modalities], [one.name for one in criteria])
    return covered(errors, evaluation, criteria)
