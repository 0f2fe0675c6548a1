"""What out-of-fold predictions are good for once the choice is made: a table, errors for intervals, an evaluation."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from limssr.core.types import Criterion, Modality
from limssr.evaluation.conformal import Errors
from limssr.evaluation.intervals import intervals
from limssr.evaluation.scorer import KeptScorer
from limssr.runs.auto.folds import Folds
from limssr.runs.auto.judge import Shown

LEVEL = 0.9
"""Of the intervals whose coverage is measured."""


def out_of_fold_scorer(shown: Shown, predicted_RC: np.ndarray) -> KeptScorer:
    """A scorer that knows what was predicted of each sample while it was held out.

    Args:
        shown: The rows.
        predicted_RC: Scores.
    """
    keys = [(shown.samples[n].id, "+".join(streams)) for n, streams in shown.rows]
    return KeptScorer(dict(zip(keys, predicted_RC, strict=True)), predicted_RC.shape[1])


def out_of_fold_errors(
    shown: Shown, predicted_RC: np.ndarray, modalities: Sequence[Modality], criteria: Sequence[Criterion]
) -> Errors:
    """Errors on held-out samples under every subset that was judged: what intervals of the final model are made of.

    The final model has seen more samples than the models of the folds, so such intervals are rather too wide.
    """
    names = [one.name for one in modalities]
    _, group_N = np.unique(np.asarray(shown.groups), return_inverse=True)
    error_RC = np.abs(shown.truth_RC - predicted_RC)
    return Errors(
        streams=tuple(names),
        criteria=tuple(one.name for one in criteria),
        sample_R=shown.sample_R,
        shown_RM=np.array([[name in streams for name in names] for _, streams in shown.rows], dtype=bool),
        error_RC=error_RC,
        difficulty_RC=np.ones_like(error_RC),
        group_N=group_N,
    )


def coverage_by_folds(
    shown: Shown, predicted_RC: np.ndarray, fold_R: np.ndarray, criteria: Sequence[Criterion], errors: Errors
) -> dict[str, float | int | None]:
    """How often intervals made of the other folds' errors hold the scores of a fold, every sample counting once.

    Args:
        shown: The rows.
        predicted_RC: Out-of-fold predictions.
        fold_R: The fold of each row; whole groups are in one.
        criteria: The C criteria.
        errors: Of all rows.
    """
    hits, total, width = 0.0, 0.0, 0.0
    for fold in np.unique(fold_R):
        rows = np.flatnonzero(fold_R == fold)
        other = fold_R != fold
        known = Errors(
            streams=errors.streams,
            criteria=errors.criteria,
            sample_R=np.unique(errors.sample_R[other], return_inverse=True)[1],
            shown_RM=errors.shown_RM[other],
            error_RC=errors.error_RC[other],
            difficulty_RC=errors.difficulty_RC[other],
            group_N=errors.group_N[np.unique(errors.sample_R[other])],
        )
        streams = ["+".join(shown.rows[row][1]) for row in rows]
        made = intervals(known, streams, predicted_RC[rows], criteria, level=LEVEL)
        truth_RC = shown.truth_RC[rows]
        known_RC = np.isfinite(truth_RC) & np.isfinite(predicted_RC[rows])
        inside_RC = (made.low_NC <= truth_RC) & (truth_RC <= made.high_NC) & known_RC
        weight_R1 = shown.weight_R[rows, None]
        hits += float((weight_R1 * inside_RC).sum())
        total += float((weight_R1 * known_RC).sum())
        spans_C = np.array([one.high - one.low for one in criteria])
        shares_RC = np.where(known_RC, (made.high_NC - made.low_NC) / spans_C, 0.0)
        width += float((weight_R1 * shares_RC).sum())
    if total == 0.0:
        return {"level": LEVEL, "covered": None, "width": None, "num_samples": 0}
    return {"level": LEVEL, "covered": hits / total, "width": width / total, "num_samples": len(shown.samples)}


def out_of_fold_table(
    shown: Shown, predicted: Sequence[tuple[str, int, np.ndarray]], folds: Folds, names: Sequence[str]
) -> pa.Table:
    """Every out-of-fold prediction: what later questions need.

    Args:
        shown: The rows.
        predicted: (member, repeat, [R, C] predictions).
        folds: How samples were held out.
        names: Of the C criteria.
    """
    count = len(names)
    parts = []
    for member, repeat, predicted_RC in predicted:
        parts.append(
            pa.table({
                "member": [member] * predicted_RC.size,
                "repeat": [repeat] * predicted_RC.size,
                "fold": np.repeat(folds.fold_RR[repeat], count),
                "id": [shown.samples[n].id for n, _ in shown.rows for _ in range(count)],
                "group": [shown.groups[n] for n, _ in shown.rows for _ in range(count)],
                "streams": ["+".join(streams) for _, streams in shown.rows for _ in range(count)],
                "criterion": list(names) * len(shown.rows),
                "score": shown.truth_RC.ravel(),
                "prediction": predicted_RC.ravel(),
                "training_mean": folds.base_RRC[repeat].ravel(),
            })
        )  # fmt: skip
    return pa.concat_tables(parts)
