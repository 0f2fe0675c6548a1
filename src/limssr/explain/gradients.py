"""What every projected segment adds to a score of LIMSSR: integrated gradients (Sundararajan et al. 2017).

The segments' rows go in a straight line from the placeholder of their stream (from zero where there is none) to what
they are; gradients along the way, times the way, add up to the score minus the score of placeholders alone. The head
`statistics` also reads moments of the streams, which stay as they are: contributions are of what is read through the
language model.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from limssr.core.types import Sample
from limssr.evaluation.scorer import ModelScorer
from limssr.explain.reading import laid_out_batches
from limssr.model.limssr import LimssrModel

STEPS = 16
"""Places on the way where gradients are taken (Gauss and Legendre's)."""


@dataclass(frozen=True, kw_only=True)
class Gradients:
    """Contributions of the valid segments of one sample.

    Attributes:
        streams: Of each of the R segments.
        segment_R: Number of each, in its cropped sample.
        added_RC: What it adds, in the data set's unit.
        score_C: The score, before it is cut at the ends of its scale.
        baseline_C: That of placeholders alone.
    """

    streams: tuple[str, ...]
    segment_R: np.ndarray
    added_RC: np.ndarray
    score_C: np.ndarray
    baseline_C: np.ndarray

    @property
    def gap_C(self) -> np.ndarray:
        """How far the contributions are from adding up."""
        return np.abs(self.added_RC.sum(axis=0) - (self.score_C - self.baseline_C))

    def to_dict(self, column: int) -> dict[str, Any]:
        """Of one criterion: baseline, the sum for each stream, and the gap."""
        names = np.array(self.streams)
        sums = {name: float(self.added_RC[names == name, column].sum()) for name in dict.fromkeys(self.streams)}
        return {"baseline": float(self.baseline_C[column]), "streams": sums, "completeness": float(self.gap_C[column])}


def integrated_gradients(scorer: ModelScorer, sample: Sample, *, steps: int = STEPS) -> Gradients:
    """Contributions of every valid segment of every stream of numbers to each criterion.

    Args:
        scorer: Of a LIMSSR model.
        sample: With at least one stream that the model reads.
        steps: Gradients on the way.
    """
    model = scorer.model
    assert isinstance(model, LimssrModel)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            _, batch, laid_out = next(iter(laid_out_batches(scorer, [sample])))
        bank_RH, first = laid_out.bank_RH.detach(), model.tokens.rows.count
        present, valid_BMT, _ = batch.masks_on_host()
        numbers = [m for m in range(len(model.modalities)) if present[0, m] and m not in model.words.columns]
        segments = [valid_BMT[0, m].nonzero()[:, 0].numpy() for m in numbers]
        base_RH = bank_RH.clone()
        behind = first
        for m, places in zip(numbers, segments, strict=True):
            missing = model.tokens.rows.missing
            base_RH[behind : behind + len(places)] = bank_RH[missing[m]] if missing else 0.0
            behind += len(places)
        way_RH = bank_RH[first:behind] - base_RH[first:behind]
        points, weights = np.polynomial.legendre.leggauss(steps)
        total_RC = torch.zeros(behind - first, len(model.criteria))

        def score_of(rows_RH: torch.Tensor) -> torch.Tensor:
            bank = torch.cat([base_RH[:first], rows_RH, base_RH[behind:]])
            return model.judge(batch, model.read(replace(laid_out, bank_RH=bank))).unit_scores_BC[0]

        for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
            rows_RH = (base_RH[first:behind] + float(point) * way_RH).requires_grad_()
            unit_C = score_of(rows_RH)
            for column in range(len(unit_C)):
                [slope_RH] = torch.autograd.grad(unit_C[column], rows_RH, retain_graph=column + 1 < len(unit_C))
                total_RC[:, column] += float(weight) * (slope_RH * way_RH).sum(dim=1).cpu()
        with torch.no_grad():
            ends = [score_of(rows).double().cpu().numpy() for rows in (bank_RH[first:behind], base_RH[first:behind])]
    finally:
        model.train(was_training)
    span_C = np.array([one.high - one.low for one in model.criteria])
    low_C = np.array([one.low for one in model.criteria])
    return Gradients(
        streams=tuple(model.modalities[m].name for m, places in zip(numbers, segments, strict=True) for _ in places),
        segment_R=np.concatenate(segments) if segments else np.empty(0, int),
        added_RC=total_RC.double().numpy() * span_C,
        score_C=low_C + ends[0] * span_C,
        baseline_C=low_C + ends[1] * span_C,
    )


def gradients_table(found: list[tuple[str, Gradients]], criteria: list[str]) -> pa.Table:
    """Every contribution: id, stream, segment, criterion, contribution (in the data set's unit)."""
    parts = []
    for name, one in found:
        num, width = one.added_RC.shape
        parts.append(
            pa.table(
                {
                    "id": pa.array([name] * (num * width), pa.string()),
                    "stream": pa.array(np.repeat(one.streams, width).tolist(), pa.string()),
                    "segment": pa.array(np.repeat(one.segment_R, width), pa.int32()),
                    "criterion": pa.array(criteria * num, pa.string()),
                    "contribution": pa.array(one.added_RC.ravel(), pa.float64()),
                }
            )
        )
    return pa.concat_tables(parts)
