"""A teacher that sees all that a sample owns, and a student that sees what is shown: shared by CorrKD and PCD.

Two stages of one training: the teacher learns to score, then rests while the student learns to score and to answer as
it does. The teacher is given what samples own and nothing else, so with incomplete training data it is a teacher on
incomplete samples and the student sees less still; with complete training data it is the teacher of the papers.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, ScoreOutput
from limssr.nn.contract import Stage
from limssr.nn.layers import masked_mean
from limssr.nn.transformers import StreamEncoder
from limssr.systems.system import ComparisonSystem, SystemOptions

DEFAULT_HIDDEN = 64
TEACHER, STUDENT = Stage("teacher", trains=("teacher.",)), Stage("student", trains=("student.",))


class StreamReader(nn.Module):
    """All streams to one vector: a transformer a stream, means over time side by side, one map, a norm.

    Args:
        modalities: The M streams, in order.
        hidden: H.
        num_layers: Of each stream's transformer.
        dropout: Everywhere.
    """

    def __init__(self, modalities: Sequence[Modality], hidden: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.names = tuple(modality.name for modality in modalities)
        self.encoders = nn.ModuleList(
            StreamEncoder(modality.dim, hidden, num_layers, dropout) for modality in modalities
        )
        self.join = nn.Sequential(
            nn.Linear(len(self.names) * hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.LayerNorm(hidden, elementwise_affine=False),
        )

    def forward(self, scaled: Mapping[str, Tensor], valid_BMT: Tensor) -> Tensor:
        """Stream name -> [B, T, D], and what of it is real -> [B, H]; an absent stream is a zero vector."""
        pooled = [
            masked_mean(encoder(scaled[name], valid_BMT[:, index]), valid_BMT[:, index])
            for index, (name, encoder) in enumerate(zip(self.names, self.encoders, strict=True))
        ]
        return self.join(torch.cat(pooled, dim=1))


class Distilled(ComparisonSystem):
    """What both systems have in common: stages, who sees what, and when which loss counts.

    A subclass sets `teacher` and `student` and says what they answer and what the student learns from the teacher.

    Args:
        config: `hidden`, `dropout`, `input_scaling` and `output` are used, the rest is of LIMSSR.
        modalities: The M streams, in order.
        criteria: The C criteria.
        options: Of the system.
    """

    stages = (TEACHER, STUDENT)
    looks_at_hidden = True
    teacher: nn.Module
    student: nn.Module

    def __init__(
        self,
        config: ModelConfig,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        options: SystemOptions,
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        self.hidden = config.hidden or DEFAULT_HIDDEN

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch: by the student, or by the teacher in its own stage, which reads all that samples own."""
        if self.training and self.stage.name == TEACHER.name:
            taught = self.teacher(*self._read(batch if batch.owned is None else batch.owned))
            return self.scored(taught["logits_BC"], auxiliary=self.own_losses(taught, batch))
        answer = self.student(*self._read(batch))
        if not self.training:
            return self.scored(answer["logits_BC"])
        auxiliary = self.own_losses(answer, batch)
        if batch.owned is not None:
            with torch.no_grad():
                taught = self.teacher(*self._read(batch.owned))
            auxiliary |= self.lessons(answer, taught, batch)
        return self.scored(answer["logits_BC"], auxiliary=auxiliary)

    def own_losses(self, answer: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Losses of either network by itself, beside its score."""
        del answer, batch
        return {}

    def lessons(self, answer: Mapping[str, Tensor], taught: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Losses of the student against the teacher's answer, which has no gradient."""
        raise NotImplementedError

    def _read(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        return self.input_scaler(batch), batch.valid_BMT
