"""Checks that both sides compute the same; nothing is timed before."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from limssr.core.config import LossConfig
from limssr.core.errors import LimssrError
from limssr.core.types import Batch
from limssr.data.batching import collate
from limssr.model.limssr import LimssrModel
from limssr.nn.losses import total_loss
from limssr.studies.speed.literal import LiteralModel
from limssr.studies.speed.setup import Setting, dense_samples
from limssr.studies.speed.weights import Difference, compare

TOLERANCE = 1e-4
NUM_SAMPLES = 2


@dataclass(frozen=True)
class Agreement:
    """How far both sides are apart at most, over a batch with all streams and one with the last stream absent.

    Attributes:
        scores: Of unit scores, in training and in evaluation mode.
        gradients: See `Difference`.
        worst: The tensor whose gradients differ most.
    """

    scores: float
    gradients: float
    worst: str


def check_agreement(setting: Setting, ours: LimssrModel, literal: LiteralModel) -> Agreement:
    """Compare scores and gradients in float32, without dropout; no model is changed, but for BatchNorm's statistics.

    Raises:
        LimssrError: They differ by more than `TOLERANCE`: then no ratio of times means anything.
    """
    found = [_compare(setting, ours, literal, batch) for batch in _batches(setting)]
    worst = max(found, key=lambda difference: difference.gradients)
    scores = max(difference.scores for difference in found)
    # `not <=` and not `>`: a difference that is no number is refused too
    if not (scores <= TOLERANCE and worst.gradients <= TOLERANCE):
        raise LimssrError(
            f"Expected both sides to compute the same, found scores apart by {scores:.2g} and gradients by "
            f"{worst.gradients:.2g} ({worst.worst}), more than {TOLERANCE:g}: no ratios are printed."
        )
    return Agreement(scores, worst.gradients, worst.worst)


def _batches(setting: Setting) -> Iterator[Batch]:
    names = tuple(modality.name for modality in setting.modalities)
    samples = dense_samples(setting, NUM_SAMPLES)
    for owned in dict.fromkeys((names, names[:-1] or names)):
        shown = [sample.restricted_to(owned) for sample in samples]
        yield collate(shown, setting.modalities, setting.criteria).to(setting.device)


def _compare(setting: Setting, ours: LimssrModel, literal: LiteralModel, batch: Batch) -> Difference:
    scores, evaluated = [], []
    for model in (ours, literal):
        model.to(setting.device)
        with _without_dropout(model):
            model.train()
            output = model(batch)
            assert batch.unit_scores_BC is not None
            total_loss(output, batch.unit_scores_BC, LossConfig()).total.backward()
            scores.append(output.unit_scores_BC.detach())
        with torch.inference_mode():
            evaluated.append(model.eval()(batch).unit_scores_BC)
    difference = compare(ours, literal, (scores[0], scores[1]))
    for model in (ours, literal):
        model.zero_grad(set_to_none=True)
    apart = (evaluated[0] - evaluated[1]).abs().max().item()
    return replace(difference, scores=max(difference.scores, apart))


@contextlib.contextmanager
def _without_dropout(model: nn.Module) -> Iterator[None]:
    before: list[tuple[nn.Module, str, float]] = []
    for module in model.modules():
        name = "p" if isinstance(module, nn.Dropout) else "dropout"
        if isinstance(module, nn.Dropout | nn.MultiheadAttention):
            before.append((module, name, getattr(module, name)))
            setattr(module, name, 0.0)
    try:
        yield
    finally:
        for module, name, rate in before:
            setattr(module, name, rate)
