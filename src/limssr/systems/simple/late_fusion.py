"""One network a stream, each trained by its own loss; a sample's score is the mean over the streams that it has.

No network ever sees two streams, so nothing can be missing and nothing is learned about how streams belong together:
whatever another system gains over this one, it gains by joining streams. The networks have the parts of `attention`
(projection, mean over the valid segments, MLP) and its width, without the attention between streams. The unit scores
are averaged with equal weights, in training too, but no gradient goes through their mean: every network learns as if it
were alone. A simple reference of ours, checked against nothing.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, ScoreOutput
from limssr.nn.layers import masked_mean
from limssr.systems.system import ComparisonSystem, System, SystemOptions

DEFAULT_HIDDEN = 64


class StreamScorer(nn.Module):
    """One stream to C logits: projection, mean over the valid segments, MLP.

    Args:
        dim: D of the stream.
        hidden: H.
        num_criteria: C.
        dropout: After each activation.
    """

    def __init__(self, dim: int, hidden: int, num_criteria: int, dropout: float) -> None:
        super().__init__()
        self.projection = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, hidden)
        )
        self.head = nn.Sequential(
            nn.LayerNorm(hidden),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_criteria),
        )

    def forward(self, x_BTD: Tensor, valid_BT: Tensor) -> Tensor:
        """[B, T, D] -> [B, C]; rows without a valid segment get numbers that mean nothing."""
        return self.head(masked_mean(self.projection(x_BTD), valid_BT))


class LateFusion(ComparisonSystem):
    """The mean of unimodal networks over the streams that exist.

    Args:
        config: `hidden`, `dropout`, `input_scaling` and `output` are used, the rest is of LIMSSR.
        modalities: The M streams, in order.
        criteria: The C criteria.
        options: None of its own.
    """

    def __init__(
        self, config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion], options: SystemOptions
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        hidden = config.hidden or DEFAULT_HIDDEN
        self.scorers = nn.ModuleList(
            StreamScorer(modality.dim, hidden, len(self.criteria), config.dropout) for modality in self.modalities
        )

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch: every stream by its own network, then the mean over the streams that a sample has."""
        scaled = self.input_scaler(batch)
        usable_BM = batch.present_BM & batch.valid_BMT.any(dim=2)
        alone = [
            self.output_scale(scorer(scaled[modality.name], batch.valid_BMT[:, index]))
            for index, (modality, scorer) in enumerate(zip(self.modalities, self.scorers, strict=True))
        ]
        mean_BC = masked_mean(torch.stack(alone, dim=1), usable_BM)
        # a sample without one valid segment gets what a head without an opinion would say
        neutral_C = self.output_scale(torch.zeros_like(mean_BC))
        mean_BC = torch.where(usable_BM.any(dim=1, keepdim=True), mean_BC, neutral_C)
        if not self.training:
            return ScoreOutput(unit_scores_BC=mean_BC, loss_scale_C=self.output_scale.loss_scale_C)
        own = [self.score_loss(unit_BC, batch, usable_BM[:, index]) for index, unit_BC in enumerate(alone)]
        # detached: a network that learned from the mean would make up for the errors of the others
        return ScoreOutput(
            unit_scores_BC=mean_BC.detach(),
            loss_scale_C=self.output_scale.loss_scale_C,
            auxiliary={"streams alone": torch.stack(own).sum()},
        )


LATE_FUSION = System(
    title="late fusion",
    source="a simple reference of ours",
    summary="one network a stream, each with its own loss; the mean over the streams that exist",
    family="reference",
    builder=LateFusion,
    absent="its network is left out of the mean",
    checked="nothing: it is ours",
)
