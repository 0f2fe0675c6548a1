"""The ablation baseline of the paper (Table 3, "Baseline"): attention over the available streams, then an MLP.

The paper names it in one line. Ours: every stream is projected segment by segment and averaged over its valid segments,
so that a performance becomes one token a stream; the tokens it owns attend to one another, their mean is scored. An
absent stream has no token at all, so nothing has to be filled in.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from limssr.config import ModelConfig
from limssr.model.scaling import InputScaler, OutputScale
from limssr.types import Batch, Criterion, Modality, Sample, ScoreOutput


class AttentionBaseline(nn.Module):
    """Cross-modal attention over the available streams + MLP.

    Args:
        config: `hidden`, `dropout`, `input_scaling` and `output` are used, the rest is of LIMSSR.
        modalities: The M streams, in order.
        criteria: The C criteria.
    """

    def __init__(self, config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion]) -> None:
        super().__init__()
        self.config = config
        self.modalities = tuple(modalities)
        self.criteria = tuple(criteria)
        hidden, num_modalities = config.hidden, len(self.modalities)
        self.input_scaler = InputScaler(self.modalities, config.input_scaling)
        self.projections = nn.ModuleList(
            nn.Sequential(
                nn.Linear(modality.dim, hidden),
                nn.GELU(),
                nn.Dropout(config.dropout),
                nn.Linear(hidden, hidden),
            )
            for modality in self.modalities
        )
        self.modality_embedding_MH = nn.Parameter(torch.randn(num_modalities, hidden) * 0.02)
        self.norm = nn.LayerNorm(hidden)
        num_heads = max(heads for heads in (4, 2, 1) if hidden % heads == 0)
        self.attention = nn.MultiheadAttention(hidden, num_heads, dropout=config.dropout, batch_first=True)
        self.head = nn.Sequential(
            nn.LayerNorm(hidden),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, len(self.criteria)),
        )
        self.output_scale = OutputScale(len(self.criteria), config.output)

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch.

        1. Features in training deviations, zeros where nothing valid stands.
        2. One token a stream: the projected segments, averaged over the valid ones, plus which stream it is.
        3. Streams that a sample owns attend to one another (residual, norm before).
        4. Mean over the owned streams, MLP, output scale.
        """
        scaled = self.input_scaler(batch)
        tokens_BMH = torch.stack(
            [
                _masked_mean(projection(scaled[modality.name]), batch.valid_BMT[:, index])
                for index, (modality, projection) in enumerate(zip(self.modalities, self.projections, strict=True))
            ],
            dim=1,
        )
        tokens_BMH = tokens_BMH + self.modality_embedding_MH
        owned_BM = batch.present_BM & batch.valid_BMT.any(dim=2)
        # A row without any stream would make softmax 0 / 0: it attends to all, and its mean below is zero.
        ignored_BM = ~owned_BM & owned_BM.any(dim=1, keepdim=True)
        normed_BMH = self.norm(tokens_BMH)
        attended_BMH, _ = self.attention(
            normed_BMH, normed_BMH, normed_BMH, key_padding_mask=ignored_BM, need_weights=False
        )
        pooled_BH = _masked_mean(tokens_BMH + attended_BMH, owned_BM)
        unit_scores_BC = self.output_scale(self.head(pooled_BH))
        return ScoreOutput(unit_scores_BC, loss_scale_C=self.output_scale.loss_scale_C)

    def calibrate(self, samples: Sequence[Sample]) -> None:
        """Measure the scales of inputs and outputs on the training samples, once, before training."""
        self.input_scaler.fit(samples)
        self.output_scale.fit(samples, self.criteria)


def _masked_mean(x_BNH: Tensor, real_BN: Tensor) -> Tensor:
    total_BH = x_BNH.masked_fill(~real_BN[..., None], 0.0).sum(dim=1)
    return total_BH / real_BN.sum(dim=1, keepdim=True).clamp(min=1)
