"""Attention over the streams, then an MLP: the paper's ablation baseline (Table 3), and the same with imputed streams.

The paper names it in one line. Ours: every stream is projected segment by segment and averaged over its valid segments,
so that a performance becomes one token a stream; the tokens attend to one another, their mean is scored. In `attention`
an absent stream has no token at all, so nothing has to be filled in; the other three fill it in.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, Sample, ScoreOutput
from limssr.nn.layers import filled, masked_mean, training_means
from limssr.systems.system import ComparisonSystem, System, SystemOptions

DEFAULT_HIDDEN = 64
Fill = Literal["none", "mean", "zeros", "learned"]


class AttentionBaseline(ComparisonSystem):
    """Cross-modal attention over the available streams + MLP.

    Args:
        config: `hidden`, `dropout`, `input_scaling` and `output` are used, the rest is of LIMSSR.
        modalities: The M streams, in order.
        criteria: The C criteria.
        fill: What an absent stream becomes: nothing, its training mean, zeros, or a learned token.
    """

    def __init__(
        self, config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion], fill: Fill = "none"
    ) -> None:
        super().__init__(config, modalities, criteria)
        self.fill = fill
        hidden, num_modalities = config.hidden or DEFAULT_HIDDEN, len(self.modalities)
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
        if fill == "learned":
            self.absent_MH = nn.Parameter(torch.randn(num_modalities, hidden) * 0.02)
        for index, modality in enumerate(self.modalities if fill in ("mean", "zeros") else ()):
            self.register_buffer(f"fill_{index}", torch.zeros(modality.dim))

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch.

        1. Absent streams filled in, where that is wanted.
        2. Features in training deviations, zeros where nothing valid stands.
        3. One token a stream: the projected segments, averaged over the valid ones, plus which stream it is.
        4. Streams that a sample owns attend to one another (residual, norm before).
        5. Mean over the owned streams, MLP, output scale.
        """
        if self.fill in ("mean", "zeros"):
            batch = filled(batch, [self.get_buffer(f"fill_{index}") for index in range(len(self.modalities))])
        tokens_BMH, owned_BM = self.tokens(batch)
        if self.fill == "learned":
            tokens_BMH = torch.where(owned_BM[..., None], tokens_BMH, self.absent_MH)
            owned_BM = torch.ones_like(owned_BM)
        return self.answer(tokens_BMH, owned_BM)

    def tokens(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One token a stream [B, M, H], and which of them stand for something [B, M]."""
        scaled = self.input_scaler(batch)
        tokens_BMH = torch.stack(
            [
                masked_mean(projection(scaled[modality.name]), batch.valid_BMT[:, index])
                for index, (modality, projection) in enumerate(zip(self.modalities, self.projections, strict=True))
            ],
            dim=1,
        )
        return tokens_BMH, batch.present_BM & batch.valid_BMT.any(dim=2)

    def answer(self, tokens_BMH: Tensor, owned_BM: Tensor) -> ScoreOutput:
        """Scores from tokens, of which those in `owned_BM` are read."""
        return self.scored(self.head(self._read(tokens_BMH + self.modality_embedding_MH, owned_BM)))

    def measure(self, samples: Sequence[Sample]) -> None:
        """Measure scales, and the training means where they fill in; once, before training."""
        super().measure(samples)
        if self.fill == "mean":
            for index, mean_D in enumerate(training_means(samples, self.modalities)):
                self.get_buffer(f"fill_{index}").copy_(mean_D)

    def _read(self, tokens_BMH: Tensor, owned_BM: Tensor) -> Tensor:
        # A row without any stream would make softmax 0 / 0: it attends to all, and its mean below is zero.
        ignored_BM = ~owned_BM & owned_BM.any(dim=1, keepdim=True)
        normed_BMH = self.norm(tokens_BMH)
        attended_BMH, _ = self.attention(
            normed_BMH, normed_BMH, normed_BMH, key_padding_mask=ignored_BM, need_weights=False
        )
        return masked_mean(tokens_BMH + attended_BMH, owned_BM)


def _builder(fill: Fill):  # noqa: ANN202 - the table's type says it
    def build(
        config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion], options: SystemOptions
    ) -> AttentionBaseline:
        return AttentionBaseline(config, modalities, criteria, fill)

    return build


ATTENTION = System(
    title="attention",
    source="LIMSSR's ablation baseline (Table 3)",
    summary="cross-modal attention over the available streams + MLP",
    family="reference",
    builder=_builder("none"),
    absent="no token",
    checked="nothing: the paper names it in one line",
)
ATTENTION_MEAN = replace(
    ATTENTION,
    title="attention, mean imputation",
    source="a simple reference of ours",
    summary="the same, an absent stream filled with its training mean",
    builder=_builder("mean"),
    absent="its training mean",
)
ATTENTION_ZEROS = replace(
    ATTENTION_MEAN,
    title="attention, zero imputation",
    summary="the same, an absent stream filled with zeros",
    builder=_builder("zeros"),
    absent="zeros, before scaling",
)
ATTENTION_LEARNED = replace(
    ATTENTION_MEAN,
    title="attention, learned imputation",
    summary="the same, a learned token for an absent stream",
    builder=_builder("learned"),
    absent="a learned token",
)
