"""CorrKD (CVPR'24) for scores: a student on what is shown learns from a teacher on all that the sample owns.

Three lessons beside the score. Samples: the student's vector is drawn to the teacher's of the same sample and pushed
from those of others. Categories: both compare a sample with the categories' mean vectors, and the student's
comparison follows the teacher's. Responses: of the teacher's opinion on the category, the share of the right one and
the shape among the wrong ones are learned apart. Its paper is on classes, so the categories here are bins of equal
counts of the mean standardised score, which both networks also learn to tell; the weights of all terms are ours, and
its mutual-information form of the third lesson is replaced by a divergence. Every stream is read by a small transformer
and averaged; an absent stream is a zero vector, as in its paper. It assumes complete training samples; with incomplete
ones the teacher sees what a sample owns. From the paper's description alone: no code of it is public.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, Sample
from limssr.systems.parts.distillation import Distilled, StreamReader
from limssr.systems.system import System, SystemOptions

UNKNOWN = -1
"""Bin of a sample that nobody judged."""


class CorrKDOptions(SystemOptions):
    """Of the networks and the lessons; weights are relative to the task loss, and ours."""

    num_layers: int = Field(default=1, ge=1)
    """Layers of each stream's transformer."""
    num_bins: int = Field(default=4, ge=2)
    """Bins of the training scores that stand for categories."""
    margin: float = Field(default=1.2, ge=0.0)
    """Distance between unit vectors beyond which another sample is far enough."""
    temperature: float = Field(default=0.5, gt=0.0)
    """Of the comparison with the categories' means."""
    samples_weight: float = Field(default=0.2, ge=0.0)
    """Of the lesson on samples."""
    categories_weight: float = Field(default=0.2, ge=0.0)
    """Of the lesson on categories."""
    responses_weight: float = Field(default=0.2, ge=0.0)
    """Of the lesson on responses."""
    bins_weight: float = Field(default=0.2, ge=0.0)
    """Of telling the bin."""


class ScoreAndBin(nn.Module):
    """A network that answers with a vector, C scores and an opinion on the bin."""

    def __init__(self, reader: StreamReader, hidden: int, num_criteria: int, num_bins: int) -> None:
        super().__init__()
        self.reader = reader
        self.score = nn.Linear(hidden, num_criteria)
        self.bin = nn.Linear(hidden, num_bins)

    def forward(self, scaled: Mapping[str, Tensor], valid_BMT: Tensor) -> dict[str, Tensor]:
        """Features and what of them is real -> vector_BH, logits_BC, bins_BK."""
        vector_BH = self.reader(scaled, valid_BMT)
        return {"vector_BH": vector_BH, "logits_BC": self.score(vector_BH), "bins_BK": self.bin(vector_BH)}


class CorrKD(Distilled):
    """Correlation-decoupled distillation.

    Args:
        config: `hidden`, `dropout`, `input_scaling` and `output` are used, the rest is of LIMSSR.
        modalities: The M streams, in order.
        criteria: The C criteria.
        options: Of the networks and the lessons.
    """

    def __init__(
        self,
        config: ModelConfig,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        options: CorrKDOptions,
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        for name in ("teacher", "student"):
            reader = StreamReader(self.modalities, self.hidden, options.num_layers, config.dropout)
            self.add_module(name, ScoreAndBin(reader, self.hidden, len(self.criteria), options.num_bins))
        self.register_buffer("edges", torch.linspace(-1.0, 1.0, options.num_bins - 1))

    def measure(self, samples: Sequence[Sample]) -> None:
        """Measure scales, and the edges of bins of equal counts, on the training samples."""
        super().measure(samples)
        scores_NC = np.stack([sample.scores for sample in samples])
        unit_NC = np.stack([one.to_unit(scores_NC[:, c]) for c, one in enumerate(self.criteria)], axis=1)
        level_N, known_N = self._levels(torch.from_numpy(unit_NC).float())
        shares = torch.linspace(0.0, 1.0, self.options.num_bins + 1)[1:-1]
        self.get_buffer("edges").copy_(torch.quantile(level_N[known_N], shares.to(level_N.device)))

    def own_losses(self, answer: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Telling the bin of the score."""
        bins_B = self._bins(batch)
        loss = functional.cross_entropy(answer["bins_BK"], bins_B, ignore_index=UNKNOWN, reduction="sum")
        return {"bins": self.options.bins_weight * loss / (bins_B != UNKNOWN).sum().clamp(min=1)}

    def lessons(self, answer: Mapping[str, Tensor], taught: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """On samples, on categories, on responses."""
        options, bins_B = self.options, self._bins(batch)
        vectors = (answer["vector_BH"], taught["vector_BH"])
        categories = category_loss(*vectors, bins_B, num_bins=options.num_bins, temperature=options.temperature)
        return {
            "samples": options.samples_weight * sample_contrast(*vectors, margin=options.margin),
            "categories": options.categories_weight * categories,
            "responses": options.responses_weight * response_loss(answer["bins_BK"], taught["bins_BK"], bins_B),
        }

    def _bins(self, batch: Batch) -> Tensor:
        """[B] int64; `UNKNOWN` where nothing was judged."""
        if batch.unit_scores_BC is None:
            return torch.full((len(batch),), UNKNOWN, device=batch.lengths_B.device)
        level_B, known_B = self._levels(batch.unit_scores_BC)
        return torch.bucketize(level_B, self.get_buffer("edges")).masked_fill(~known_B, UNKNOWN)

    def _levels(self, unit_scores_BC: Tensor) -> tuple[Tensor, Tensor]:
        """Mean over the judged criteria, in training deviations from the training mean [B]; and where there is any."""
        scale = self.output_scale
        mean_C, deviation_C = scale.get_buffer("mean_C"), scale.get_buffer("deviation_C")
        judged_BC = ~unit_scores_BC.isnan()
        standard_BC = ((unit_scores_BC - mean_C.to(unit_scores_BC.device)) / deviation_C).nan_to_num()
        return standard_BC.sum(dim=1) / judged_BC.sum(dim=1).clamp(min=1), judged_BC.any(dim=1)


def sample_contrast(student_BH: Tensor, teacher_BH: Tensor, *, margin: float) -> Tensor:
    """Squared distance of unit vectors to the teacher's of the same sample; to those of others, what lacks to `margin`.

    The others' mean is taken for every sample; alone in its batch, a sample has no others.
    """
    student_BH, teacher_BH = functional.normalize(student_BH, dim=1), functional.normalize(teacher_BH, dim=1)
    # not torch.cdist: its gradient at distance zero is no number
    squared_BB = (2.0 - 2.0 * student_BH @ teacher_BH.T).clamp(min=0.0)
    num_samples = len(squared_BB)
    short_BB = functional.relu(margin - (squared_BB + 1e-8).sqrt()).square()
    others = short_BB.sum() - short_BB.diagonal().sum()
    return squared_BB.diagonal().mean() + others / max(1, num_samples * (num_samples - 1))


def category_loss(
    student_BH: Tensor, teacher_BH: Tensor, bins_B: Tensor, *, num_bins: int, temperature: float
) -> Tensor:
    """Divergence between the teacher's and the student's comparison with the mean teacher vector of each bin."""
    member_KB = (bins_B[None] == torch.arange(num_bins, device=bins_B.device)[:, None]).to(teacher_BH.dtype)
    there_K = member_KB.sum(dim=1) > 0
    if not there_K.any():
        return student_BH.sum() * 0.0
    prototypes_KH = functional.normalize((member_KB @ teacher_BH)[there_K], dim=1)
    student_BK, teacher_BK = (functional.normalize(x, dim=1) @ prototypes_KH.T for x in (student_BH, teacher_BH))
    return divergence(teacher_BK / temperature, student_BK / temperature).mean()


def response_loss(student_BK: Tensor, teacher_BK: Tensor, bins_B: Tensor) -> Tensor:
    """Divergence in the share of the right bin, and in the shape among the wrong ones; over samples with a bin."""
    known_B = bins_B != UNKNOWN
    if not known_B.any():
        return student_BK.sum() * 0.0
    right_BK = functional.one_hot(bins_B[known_B], student_BK.shape[1]).bool()
    apart = []
    for logits_BK in (teacher_BK[known_B], student_BK[known_B]):
        right_B1 = logits_BK[right_BK][:, None]
        wrong_BJ = logits_BK[~right_BK].reshape(len(logits_BK), -1)
        apart.append((torch.cat([right_B1, wrong_BJ.logsumexp(dim=1, keepdim=True)], dim=1), wrong_BJ))
    (teacher_share, teacher_shape), (student_share, student_shape) = apart
    return (divergence(teacher_share, student_share) + divergence(teacher_shape, student_shape)).mean()


def divergence(teacher_BK: Tensor, student_BK: Tensor) -> Tensor:
    """KL(teacher || student) of two sets of logits [B, K] -> [B]."""
    teacher_log, student_log = teacher_BK.log_softmax(dim=1), student_BK.log_softmax(dim=1)
    return (teacher_log.exp() * (teacher_log - student_log)).sum(dim=1)


CORRKD = System(
    title="CorrKD-style distillation",
    source="CorrKD, CVPR 2024",
    summary="a student on what is shown learns vectors, comparisons and responses of a teacher on all that is owned",
    family="related",
    builder=CorrKD,
    options=CorrKDOptions,
    needs_complete_training="yes",
    stages=CorrKD.stages,
    hidden_values=("the teacher's score", "samples", "categories", "responses"),
    absent="a zero vector",
    changed="bins of the score as categories, a divergence for mutual information, weights",
    small={"hidden": 32},
)
