"""PCD (NeurIPS'24) for scores: the student says what the complete representation may be, as a distribution.

What is absent cannot be told for sure from what is there, so the student answers with a Gaussian (a mean and a variance
a dimension) over the vector that a teacher makes of all that the sample owns. Two lessons beside the score: its density
is high at the teacher's vector of the same sample, as a likelihood and against the vectors of other samples; and the
distances between samples have the proportions that the teacher's have, taken between distributions (2-Wasserstein).
Scores are read off the mean. Every stream is read by a small transformer and averaged, an absent one is a zero vector;
architecture, the choice of distances and all weights are ours, as the paper's public repository holds no code. It
assumes complete training samples; with incomplete ones the teacher sees what a sample owns. From the paper's
description alone.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality
from limssr.systems.parts.distillation import Distilled, StreamReader
from limssr.systems.system import System, SystemOptions

LOG_VARIANCE_BOUND = 4.0
"""Logarithms of variances stay within +- this; the vectors that they describe have unit variance."""


class PCDOptions(SystemOptions):
    """Of the networks and the lessons; weights are relative to the task loss, and ours."""

    num_layers: int = Field(default=1, ge=1)
    """Layers of each stream's transformer."""
    likelihood_weight: float = Field(default=0.2, ge=0.0)
    """Of the density at the teacher's vector."""
    contrast_weight: float = Field(default=0.2, ge=0.0)
    """Of that density against the densities at other samples' vectors."""
    geometry_weight: float = Field(default=0.2, ge=0.0)
    """Of the proportions of distances between samples."""


class Scoring(nn.Module):
    """The teacher: a vector and C scores."""

    def __init__(self, reader: StreamReader, hidden: int, num_criteria: int) -> None:
        super().__init__()
        self.reader = reader
        self.score = nn.Linear(hidden, num_criteria)

    def forward(self, scaled: Mapping[str, Tensor], valid_BMT: Tensor) -> dict[str, Tensor]:
        """Features and what of them is real -> vector_BH, logits_BC."""
        vector_BH = self.reader(scaled, valid_BMT)
        return {"vector_BH": vector_BH, "logits_BC": self.score(vector_BH)}


class GaussianScoring(nn.Module):
    """The student: a Gaussian over the teacher's vector, and C scores read off its mean."""

    def __init__(self, reader: StreamReader, hidden: int, num_criteria: int) -> None:
        super().__init__()
        self.reader = reader
        self.mean = nn.Linear(hidden, hidden)
        self.log_variance = nn.Linear(hidden, hidden)
        self.score = nn.Linear(hidden, num_criteria)

    def forward(self, scaled: Mapping[str, Tensor], valid_BMT: Tensor) -> dict[str, Tensor]:
        """Features and what of them is real -> mean_BH, log_variance_BH, logits_BC."""
        vector_BH = self.reader(scaled, valid_BMT)
        mean_BH = self.mean(vector_BH)
        bounded_BH = LOG_VARIANCE_BOUND * torch.tanh(self.log_variance(vector_BH) / LOG_VARIANCE_BOUND)
        return {"mean_BH": mean_BH, "log_variance_BH": bounded_BH, "logits_BC": self.score(mean_BH)}


class PCD(Distilled):
    """Distillation into a distribution.

    Args:
        config: `hidden`, `dropout`, `input_scaling` and `output` are used, the rest is of LIMSSR.
        modalities: The M streams, in order.
        criteria: The C criteria.
        options: Of the networks and the lessons.
    """

    def __init__(
        self, config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion], options: PCDOptions
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        readers = [StreamReader(self.modalities, self.hidden, options.num_layers, config.dropout) for _ in range(2)]
        self.teacher = Scoring(readers[0], self.hidden, len(self.criteria))
        self.student = GaussianScoring(readers[1], self.hidden, len(self.criteria))

    def lessons(self, answer: Mapping[str, Tensor], taught: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """On the density at the teacher's vectors, and on the geometry of the batch."""
        del batch
        options, mean_BH, log_variance_BH = self.options, answer["mean_BH"], answer["log_variance_BH"]
        density_BB = mean_log_density(mean_BH, log_variance_BH, taught["vector_BH"])
        own_B = torch.arange(len(density_BB), device=density_BB.device)
        contrast = functional.cross_entropy(density_BB * math.sqrt(mean_BH.shape[1]), own_B)
        geometry = proportion_loss(
            squared_wasserstein(mean_BH, log_variance_BH), squared_distances(taught["vector_BH"])
        )
        return {
            "likelihood": -options.likelihood_weight * density_BB.diagonal().mean(),
            "contrast": options.contrast_weight * contrast,
            "geometry": options.geometry_weight * geometry,
        }


def mean_log_density(mean_BH: Tensor, log_variance_BH: Tensor, at_NH: Tensor) -> Tensor:
    """[B, N]: log density of each of B Gaussians at each of N vectors, divided by the number of dimensions."""
    squared_BNH = (at_NH[None] - mean_BH[:, None]).square() / log_variance_BH.exp()[:, None]
    return -0.5 * (squared_BNH + log_variance_BH[:, None] + math.log(2 * math.pi)).mean(dim=2)


def squared_distances(x_BH: Tensor) -> Tensor:
    """[B, B]: squared distances between vectors."""
    return (x_BH[:, None] - x_BH[None]).square().sum(dim=2)


def squared_wasserstein(mean_BH: Tensor, log_variance_BH: Tensor) -> Tensor:
    """[B, B]: squared 2-Wasserstein distances between Gaussians with independent dimensions."""
    return squared_distances(mean_BH) + squared_distances((0.5 * log_variance_BH).exp())


def proportion_loss(found_BB: Tensor, target_BB: Tensor) -> Tensor:
    """Smooth L1 between distances, each in units of its own mean over pairs; zero where there is no pair."""
    if len(found_BB) < 2:
        return found_BB.sum() * 0.0
    pair_BB = ~torch.eye(len(found_BB), dtype=torch.bool, device=found_BB.device)
    found, target = found_BB[pair_BB], target_BB[pair_BB]
    return functional.smooth_l1_loss(found / found.mean().clamp(min=1e-6), target / target.mean().clamp(min=1e-6))


PCD_SYSTEM = System(
    title="PCD-style distillation",
    source="PCD, NeurIPS 2024",
    summary="a student answers with a Gaussian over the representation of a teacher on all that is owned",
    family="related",
    builder=PCD,
    options=PCDOptions,
    needs_complete_training="yes",
    stages=PCD.stages,
    hidden_values=("the teacher's score", "likelihood", "contrast", "geometry"),
    absent="a zero vector",
    changed="architecture, distances between distributions, weights",
    small={"hidden": 32},
)
