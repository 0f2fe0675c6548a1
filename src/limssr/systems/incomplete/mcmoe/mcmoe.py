"""MCMoE: missing completion framework with a mixture of experts (AAAI 2026).

Every stream is projected and encoded by one shared transformer. A generator per stream makes the absent ones from those
that are there, every stream is heard by every stream's expert and mixed by a router, the mixtures are fused, and four
grade queries with a GDLT readout give the score. Beside the score it learns to generate the streams that are hidden in
a step, and to keep each mixture near what the stream's own expert says of the true stream (both read hidden values).
Adapted: presence per sample and not per batch, and patterns as the recipe draws them, the full one included (the public
code draws one of the incomplete patterns per batch); losses of a sample add up over its streams as there; BatchNorm of
an expert is over all streams that it hears at once; masks for any length. BatchNorm of the projections sees the hidden
streams too while training, as there. With its zero queries a generated stream is constant over time, as in the public
code; `queries: positions` repairs that. Absent streams are generated, never read; a sample's missing segments stay
missing. The number of parameters is that of the public code: 9,122,183 for streams of 768, 768 and 1024 features.
"""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, ScoreOutput
from limssr.nn.layers import RowBatchNorm, hidden_BM
from limssr.nn.losses import slot_triplet
from limssr.nn.transformers import QueryDecoder, TimeEncoder
from limssr.systems.incomplete.mcmoe.experts import ExpertMixture, mixture_divergence, over_streams
from limssr.systems.incomplete.mcmoe.generator import Queries, StreamGenerator
from limssr.systems.parts.gdlt_trunk import GdltHead, GdltProjector, unit_from_place
from limssr.systems.system import ComparisonSystem, System, SystemOptions

DEFAULT_HIDDEN = 256


class McmoeOptions(SystemOptions):
    """Settings of MCMoE; the defaults are its paper's, loss weights divided by its task weight of 10."""

    num_queries: int = Field(default=4, ge=2)
    """Q: grades, and so slots."""
    num_heads: int = Field(default=2, ge=1)
    """Of encoder and decoder."""
    encoder_layers: int = Field(default=3, ge=1)
    """Of the encoder that all streams share."""
    decoder_layers: int = Field(default=3, ge=1)
    """Of the grade queries."""
    generator_heads: int = Field(default=4, ge=1)
    """Of a generator's attentions."""
    generator_layers: int = Field(default=2, ge=1)
    """Attentions of a generator."""
    queries: Queries = "zeros"
    """What a generator asks with: zeros as published (a sequence that is constant over time), or positions."""
    generation: float = Field(default=0.1, ge=0.0)
    """Weight of the error of generated streams."""
    own_expert: float = Field(default=0.1, ge=0.0)
    """Weight of the divergence of the mixtures from the streams' own experts."""
    slots: float = Field(default=0.1, ge=0.0)
    """Weight of the slot triplet."""
    margin: float = Field(default=1.0, ge=0.0)
    """Of the slot triplet, in cosine distance."""


class Mcmoe(ComparisonSystem):
    """Encode what is there, generate what is not, mix experts, fuse, read grades.

    Args:
        config: `hidden` (null: 256), `dropout`, `input_scaling` and `output` are used.
        modalities: M streams.
        criteria: C criteria.
        options: Of MCMoE.
    """

    looks_at_hidden = True

    def __init__(
        self, config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion], options: McmoeOptions
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        hidden, num_streams = config.hidden or DEFAULT_HIDDEN, len(self.modalities)
        self.projectors = nn.ModuleList(GdltProjector(modality.dim, hidden) for modality in self.modalities)
        self.encoder = TimeEncoder(
            hidden, num_heads=options.num_heads, num_layers=options.encoder_layers, dropout=config.dropout
        )
        self.generators = nn.ModuleList(
            StreamGenerator(
                hidden,
                num_heads=options.generator_heads,
                num_layers=options.generator_layers,
                queries=options.queries,
            )
            for _ in (self.modalities if num_streams > 1 else ())  # one stream alone has nothing to be made from
        )
        self.mixture = ExpertMixture(hidden, num_streams)
        self.fusion = nn.Sequential(
            nn.Linear(num_streams * hidden, 2 * hidden),
            RowBatchNorm(2 * hidden),
            nn.ReLU(),
            nn.Linear(2 * hidden, hidden),
            RowBatchNorm(hidden),
        )
        self.decoder = QueryDecoder(
            hidden,
            num_queries=options.num_queries,
            num_heads=options.num_heads,
            num_layers=options.decoder_layers,
            dropout=config.dropout,
            positions=True,
        )
        self.head = GdltHead(hidden, options.num_queries, len(self.criteria))

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch.

        1. The true streams, encoded: in training also those that are hidden in this step, as targets.
        2. Generated sequences in the place of absent streams.
        3. Every stream heard by every expert, and mixed.
        4. Mixtures fused segment by segment, read by the grade queries.
        5. In training: how far generated streams and mixtures are from the truth, and the slot triplet.
        """
        source = batch.owned if self.training and batch.owned is not None else batch
        true_BMTH = self._encode(source)
        streams_BMTH, real_BMT = self._complete(true_BMTH, batch)
        mixture_BMTH = self.mixture(streams_BMTH, real_BMT)
        fused_BTH, real_BT = self._fuse(mixture_BMTH, real_BMT)
        slots_BQH = self.decoder(fused_BTH, real_BT)
        unit_scores_BC = unit_from_place(self.output_scale, self.head(slots_BQH))
        auxiliary = None
        if self.training:
            hidden_BMT = source.valid_BMT & hidden_BM(batch)[..., None]
            error_BMT = (streams_BMTH - true_BMTH).square().mean(dim=-1)
            own_BMTH = self.mixture.own(true_BMTH, source.valid_BMT)
            divergence = mixture_divergence(mixture_BMTH, own_BMTH, source.valid_BMT)
            auxiliary = {
                "generation": self.options.generation * over_streams(error_BMT, hidden_BMT),
                "own_expert": self.options.own_expert * divergence,
                "slots": self.options.slots * slot_triplet(slots_BQH, margin=self.options.margin),
            }
        return ScoreOutput(
            unit_scores_BC=unit_scores_BC, loss_scale_C=self.output_scale.loss_scale_C, auxiliary=auxiliary
        )

    def _encode(self, batch: Batch) -> Tensor:
        """[B, M, T, H], zeros where nothing is valid."""
        scaled = self.input_scaler(batch)
        projected = [
            projector(scaled[modality.name], batch.valid_BMT[:, m])
            for m, (modality, projector) in enumerate(zip(self.modalities, self.projectors, strict=True))
        ]
        x_BMTH = torch.stack(projected, dim=1)
        owned_BM = batch.valid_BMT.any(dim=2)
        encoded_NTH = self.encoder(x_BMTH[owned_BM], batch.valid_BMT[owned_BM])
        return torch.zeros_like(x_BMTH, dtype=encoded_NTH.dtype).masked_scatter(owned_BM[..., None, None], encoded_NTH)

    def _complete(self, true_BMTH: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the step shows, with generated sequences for the rest, and which segments are real then."""
        known_BMT = batch.valid_BMT
        shown_BMTH = true_BMTH.masked_fill(~known_BMT[..., None], 0.0)
        positions_T = torch.arange(known_BMT.shape[2], device=known_BMT.device)
        length_BT = positions_T < batch.lengths_B[:, None]
        has_any_B = known_BMT.any(dim=2).any(dim=1)
        streams, real = [], []
        for m in range(len(self.modalities)):
            stream_BTH, real_BT = shown_BMTH[:, m], known_BMT[:, m]
            absent_B = has_any_B & ~batch.present_BM[:, m]
            if len(self.generators) and absent_B.any():
                made_NTH = self.generators[m](
                    shown_BMTH[absent_B].flatten(1, 2), known_BMT[absent_B].flatten(1, 2), length_BT[absent_B]
                )
                stream_BTH = stream_BTH.masked_scatter(absent_B[:, None, None], made_NTH.to(stream_BTH.dtype))
                real_BT = torch.where(absent_B[:, None], length_BT, real_BT)
            streams.append(stream_BTH)
            real.append(real_BT)
        return torch.stack(streams, dim=1), torch.stack(real, dim=1)

    def _fuse(self, mixture_BMTH: Tensor, real_BMT: Tensor) -> tuple[Tensor, Tensor]:
        """All streams of a segment -> one vector [B, T, H], and which segments any stream has."""
        real_BT = real_BMT.any(dim=1)
        rows = self.fusion(mixture_BMTH.transpose(1, 2).flatten(2)[real_BT])
        fused_BTH = torch.zeros_like(mixture_BMTH[:, 0], dtype=rows.dtype).masked_scatter(real_BT[..., None], rows)
        return fused_BTH, real_BT


MCMOE = System(
    title="MCMoE",
    source="Xu et al., AAAI 2026",
    summary="generates absent streams, mixes an expert a stream, reads grades from their fusion",
    family="incomplete",
    builder=Mcmoe,
    options=McmoeOptions,
    needs_complete_training="yes",
    hidden_values=("generation", "own_expert"),
    absent="generated from the other streams",
    checked="parameter counts of the public code (defaults; 768, 768 and 1024 features)",
    changed="presence per sample; patterns of the recipe, the full one included; AdamW for Adam",
    learning_rate=1e-3,
    small={"hidden": 64, "options": {"encoder_layers": 1, "decoder_layers": 1}},
)
