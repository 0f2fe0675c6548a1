"""MoMKE: one expert a stream, first trained alone, then every stream asks all of them (ACM MM 2024).

In the first stage a stream passes through its own expert only and is scored by a head of its own. In the second every
stream passes through the experts of all streams; a router weighs what they say, segment by segment. The places of
absent streams and of segments that are not valid become zeros after the experts, so they are never read; the streams
side by side go through a residual layer, and the mean over the segments is scored. The paper labels single utterances:
the mean over time is ours, as is one model for all subsets of streams (the public code trains one a subset) and the one
learning rate schedule a stage. Its "best expert" selection has no effect in the public code and is left out. The
experts have no norms, as there. Parameter counts equal those of the public code.
"""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, ScoreOutput
from limssr.nn.contract import Stage
from limssr.nn.layers import masked_mean
from limssr.nn.transformers import num_heads_of
from limssr.systems.parts.separate_streams import separate_losses
from limssr.systems.system import ComparisonSystem, System, SystemOptions

PAPER_HIDDEN = 256


class MomkeOptions(SystemOptions):
    """Settings of MoMKE."""

    depth: int = Field(default=4, ge=1)
    """Layers of an expert."""
    num_heads: int = Field(default=4, ge=1)
    """Attention heads of an expert; where they do not divide the width, the next smaller number that does."""


class ExpertLayer(nn.Module):
    """Self-attention over the real segments without an output map, then an MLP with a residual connection.

    Args:
        hidden: H.
        num_heads: Divide H.
    """

    def __init__(self, hidden: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value = (nn.Linear(hidden, hidden) for _ in range(3))
        self.mlp = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, hidden))

    def forward(self, x_NTH: Tensor, real_NT: Tensor) -> Tensor:
        """[N, T, H] -> [N, T, H]; every row must have a real segment."""
        query, key, value = (
            layer(x_NTH).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        read = functional.scaled_dot_product_attention(query, key, value, attn_mask=real_NT[:, None, None, :])
        read_NTH = read.transpose(1, 2).flatten(2)
        return read_NTH + self.mlp(read_NTH)


class Expert(nn.Module):
    """What one stream knows: layers with residual connections.

    Args:
        hidden: H.
        num_heads: Of each layer.
        depth: Number of layers.
    """

    def __init__(self, hidden: int, num_heads: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ExpertLayer(hidden, num_heads) for _ in range(depth))

    def forward(self, x_NTH: Tensor, real_NT: Tensor) -> Tensor:
        """[N, T, H] -> [N, T, H]."""
        for layer in self.layers:
            x_NTH = x_NTH + layer(x_NTH, real_NT)
        return x_NTH


class Momke(ComparisonSystem):
    """Mixture of modality experts.

    Args:
        config: `hidden`, `dropout`, `input_scaling` and `output` are used, the rest is of LIMSSR.
        modalities: The M streams, in order.
        criteria: The C criteria.
        options: Depth and heads.
    """

    stages = (
        Stage("experts", 1.0, trains=("projections.", "experts.", "own_heads.")),
        Stage("mixture", 1.0, trains=("projections.", "experts.", "routers.", "residual.", "head.")),
    )

    def __init__(
        self,
        config: ModelConfig,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        options: MomkeOptions,
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        self.hidden = hidden = config.hidden or PAPER_HIDDEN
        num_streams, num_criteria = len(self.modalities), len(self.criteria)
        num_heads = num_heads_of(hidden, options.num_heads)
        self.projections = nn.ModuleList(nn.Linear(modality.dim, hidden) for modality in self.modalities)
        self.experts = nn.ModuleList(Expert(hidden, num_heads, options.depth) for _ in self.modalities)
        self.own_heads = nn.ModuleList(nn.Linear(hidden, num_criteria) for _ in self.modalities)
        self.routers = nn.ModuleList(
            nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, num_streams)) for _ in self.modalities
        )
        self.residual = nn.Linear(num_streams * hidden, num_streams * hidden)
        self.head = nn.Linear(num_streams * hidden, num_criteria)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch.

        1. Features in training deviations, every stream mapped to one width.
        2. First stage: each stream through its own expert, its mean over time scored by its own head.
        3. Later: each stream through all experts, weighed by its router at every segment; zeros where nothing is.
        4. Streams side by side, a residual layer, mean over the segments at which any stream is valid, head.
        """
        scaled = self.input_scaler(batch)
        x_BMTH = torch.stack(
            [
                self.dropout(projection(scaled[modality.name]))
                for modality, projection in zip(self.modalities, self.projections, strict=True)
            ],
            dim=1,
        )
        valid_BMT = batch.valid_BMT
        if self.training and self.stage.name == "experts":
            return self._apart(x_BMTH, batch)
        mixed_BTN = self._mixed(x_BMTH, valid_BMT).transpose(1, 2).flatten(2)
        joint_BTN = mixed_BTN + self.dropout(functional.relu(self.residual(mixed_BTN)))
        return self.scored(self.head(masked_mean(joint_BTN, valid_BMT.any(dim=1))))

    def _apart(self, x_BMTH: Tensor, batch: Batch) -> ScoreOutput:
        owned_BM = batch.valid_BMT.any(dim=2)
        logits = []
        for index, (expert, head) in enumerate(zip(self.experts, self.own_heads, strict=True)):
            known_BTH = _where_owned(expert, x_BMTH[:, index], batch.valid_BMT[:, index])
            logits.append(head(masked_mean(known_BTH, batch.valid_BMT[:, index])))
        return separate_losses(self, logits, owned_BM, batch, name="streams alone")

    def _mixed(self, x_BMTH: Tensor, valid_BMT: Tensor) -> Tensor:
        """[B, M, T, H] -> [B, M, T, H]: the experts' answers, weighed; zeros where a stream is not valid."""
        weights_BMTE = torch.stack([router(x_BMTH[:, index]) for index, router in enumerate(self.routers)], dim=1)
        weights_BMTE = weights_BMTE.softmax(dim=3)
        # all streams of all samples are rows of one call of each expert
        flat_NTH, valid_NT = x_BMTH.flatten(0, 1), valid_BMT.flatten(0, 1)
        answers = [_where_owned(expert, flat_NTH, valid_NT).view_as(x_BMTH) for expert in self.experts]
        mixed_BMTH = (weights_BMTE[..., None] * torch.stack(answers, dim=3)).sum(dim=3)
        return mixed_BMTH.masked_fill(~valid_BMT[..., None], 0.0)


def _where_owned(expert: nn.Module, x_NTH: Tensor, valid_NT: Tensor) -> Tensor:
    """The expert's answer for rows that have a valid segment, zeros for the others, which it is not asked about."""
    owned_N = valid_NT.any(dim=1)
    if not owned_N.any():
        return x_NTH * 0.0
    answer = expert(x_NTH[owned_N], valid_NT[owned_N])
    return torch.zeros_like(x_NTH, dtype=answer.dtype).masked_scatter(owned_N[:, None, None], answer)


MOMKE = System(
    title="MoMKE",
    source="Xu et al., ACM MM 2024",
    summary="one expert a stream, then every stream asks all experts and a router weighs them",
    family="incomplete",
    builder=Momke,
    options=MomkeOptions,
    stages=Momke.stages,
    absent="zeros after the experts, which are not asked",
    checked="parameter counts of the public code (width 256, depth 4)",
    changed="one model for all subsets instead of one a subset; mean over time before the head",
    learning_rate=1e-3,
    small={"hidden": 32, "options": {"depth": 2}},
)
