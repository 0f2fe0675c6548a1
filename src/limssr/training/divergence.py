"""Detects training that diverges, and its cause."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from limssr.core.config import RunConfig
from limssr.core.errors import InputError, LimssrError
from limssr.core.types import Sample
from limssr.nn.contract import Network
from limssr.nn.scaling import OutputScale

FACTOR = 10.0
"""So many times the loss of a constant, or of the best epoch where that is larger, is no longer a training."""

FIRST_SQUARED = 4.0
"""So many times the loss of a constant may be that of the first outputs, where they are standardised."""

RESTART_SHARE = 0.1
"""Of every learning rate, in the second attempt."""

LARGE_FEATURE = 1e4
"""Features beyond it that are not scaled explain a divergence better than a learning rate does."""


class Diverged(LimssrError):
    """The training loss is no number, or far above that of a constant."""


class DivergedTwice(InputError):
    """Also at a tenth of its learning rate; the message says what to do."""


@dataclass
class DivergenceLimit:
    """What an epoch's training loss is held against.

    Attributes:
        constant: Task loss of the best constant on the training samples.
        best: Lowest task loss of an epoch so far.
    """

    constant: float
    best: float = math.inf

    @classmethod
    def of(cls, model: Network, samples: Sequence[Sample], history: Sequence[dict[str, Any]]) -> "DivergenceLimit":
        """For a model whose scales are measured, with the epochs that are behind it."""
        limit = cls(constant_loss(model, samples))
        if any(part.mode == "standardized" for part in model.modules() if isinstance(part, OutputScale)):
            # its first outputs are within a few deviations of the mean: those of CoFInAl within three
            limit.best = FIRST_SQUARED * limit.constant
        for record in history:
            limit.best = min(limit.best, record.get("train_task", math.inf))
        return limit

    def check(self, record: dict[str, Any]) -> None:
        """Look at the next epoch.

        Raises:
            Diverged: Its loss is no number or too large.
        """
        epoch, total, task = record["epoch"] + 1, record["train_loss"], record["train_task"]
        if not math.isfinite(total):
            raise Diverged(f"training diverged in epoch {epoch}: the loss is {total}")
        # Where nothing is known yet, the first epoch begins wherever the weights did.
        before = self.best if math.isfinite(self.best) else task / FACTOR
        if task > FACTOR * max(self.constant, before):
            raise Diverged(
                f"training diverged in epoch {epoch}: the task loss is {task:.3g}, a constant has {self.constant:.3g}"
            )
        self.best = min(self.best, task)


def constant_loss(model: Network, samples: Sequence[Sample]) -> float:
    """The task loss of the training mean, as the model's loss counts errors."""
    criteria = model.criteria
    scores_NC = np.stack([np.asarray(sample.scores, dtype=np.float64) for sample in samples])
    scales = [part for part in model.modules() if isinstance(part, OutputScale)]
    scale_C = scales[0].loss_scale_C.detach().cpu().double().numpy() if scales else np.ones(len(criteria))
    unit_NC = np.stack([one.to_unit(scores_NC[:, column]) for column, one in enumerate(criteria)], axis=1)
    judged_NC = ~np.isnan(unit_NC)
    if not judged_NC.any():
        return math.inf
    count_C = judged_NC.sum(axis=0)
    centred_NC = np.nan_to_num(unit_NC - np.nansum(unit_NC, axis=0) / np.maximum(count_C, 1)) / scale_C
    return float((np.square(centred_NC) * judged_NC).sum() / judged_NC.sum())


def why_diverged(error: Diverged, samples: Sequence[Sample], config: RunConfig) -> str:
    """What to do about a training that diverged also at a tenth of its learning rate."""
    largest, where, stream = largest_feature(samples)
    text = f"Expected a training loss that falls, found that {error}, also at a tenth of the learning rate: "
    if largest > LARGE_FEATURE and config.model.input_scaling == "none":
        return text + (
            f"features reach {largest:.2g} (stream {stream} of sample {where!r}) and are read as they are; use "
            "model.input_scaling=standard."
        )
    return text + "lower train.learning_rate further, or use train.precision=float32."


def largest_feature(samples: Sequence[Sample]) -> tuple[float, str, str]:
    """The largest absolute value of any stream, the sample that has it, and the stream; 0 where there is none."""
    found = (0.0, "", "")
    for sample in samples:
        for name, stream_TD in sample.streams.items():
            value = float(np.nanmax(np.abs(stream_TD), initial=0.0))
            if value > found[0]:
                found = (value, sample.id, name)
    return found
