"""GDLT: grade-decoupled Likert transformer (CVPR 2022), the ancestor of MCMoE, CoFInAl and ASGTN.

A transformer encodes the segments of one stream, four learned grade queries read it into slots, and the score is the
mean of fixed anchors (0, 1/3, 2/3, 1), weighed by how strongly each slot answers. A batch-hard triplet loss keeps the
slots of different grades apart. Adapted: any length with masks, several criteria share the slots and have a readout
each, AdamW in place of SGD with momentum (learning rate 0.01 in the paper), and with `output: standardized` the anchors
span the training mean -+ 3 deviations. It reads one stream (`stream`) and has no score for samples without it. The
number of parameters is that of the public code: 3,163,396 for one stream of 1024 features.
"""

from collections.abc import Sequence

from pydantic import Field

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, ScoreOutput
from limssr.nn.losses import slot_triplet
from limssr.nn.transformers import QueryDecoder, TimeEncoder
from limssr.systems.parts.gdlt_trunk import GdltHead, GdltProjector, unit_from_place
from limssr.systems.parts.unimodal import UnimodalOptions, UnimodalSystem
from limssr.systems.system import System

DEFAULT_HIDDEN = 256


class GdltOptions(UnimodalOptions):
    """Settings of GDLT; the defaults are its paper's."""

    num_queries: int = Field(default=4, ge=2)
    """Q: grades, and so slots."""
    num_heads: int = Field(default=1, ge=1)
    """Of every attention."""
    encoder_layers: int = Field(default=1, ge=1)
    """Over the segments."""
    decoder_layers: int = Field(default=2, ge=1)
    """Of the queries."""
    slots: float = Field(default=1.0, ge=0.0)
    """Weight of the slot triplet."""
    margin: float = Field(default=1.0, ge=0.0)
    """Of the slot triplet, in cosine distance."""


class Gdlt(UnimodalSystem):
    """Encoder, grade queries, anchored readout.

    Args:
        config: `hidden` (null: 256), `dropout`, `input_scaling` and `output` are used.
        modalities: M streams; one is read.
        criteria: C criteria.
        options: Of GDLT.
    """

    def __init__(
        self, config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion], options: GdltOptions
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        hidden = config.hidden or DEFAULT_HIDDEN
        self.projector = GdltProjector(self.dim, hidden)
        self.encoder = TimeEncoder(
            hidden, num_heads=options.num_heads, num_layers=options.encoder_layers, dropout=config.dropout
        )
        self.decoder = QueryDecoder(
            hidden,
            num_queries=options.num_queries,
            num_heads=options.num_heads,
            num_layers=options.decoder_layers,
            dropout=config.dropout,
        )
        self.head = GdltHead(hidden, options.num_queries, len(self.criteria))

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score the samples that have the stream.

        1. Their segments, projected and encoded.
        2. Slots, and the places between the anchors.
        3. In training, the triplet that keeps the slots apart.
        """
        rows = self.rows(batch)
        if not len(rows):
            return self.unscored(rows)
        encoded_NTH = self.encoder(self.projector(rows.x_NTD, rows.real_NT), rows.real_NT)
        slots_NQH = self.decoder(encoded_NTH, rows.real_NT)
        unit_scores_NC = unit_from_place(self.output_scale, self.head(slots_NQH))
        auxiliary = None
        if self.training:
            triplet = slot_triplet(slots_NQH, margin=self.options.margin)
            auxiliary = {"slots": self.options.slots * triplet}
        return self.placed(rows, unit_scores_NC, auxiliary=auxiliary)


GDLT = System(
    title="GDLT",
    source="Xu et al., CVPR 2022",
    summary="grade queries read one encoded stream; anchors weighed by their answers; slot triplet",
    family="complete",
    builder=Gdlt,
    options=GdltOptions,
    absent="no score without its stream",
    checked="parameter counts of the public code (defaults, 1024 features)",
    changed="AdamW for SGD; masks for any length; a readout for each criterion",
    learning_rate=1e-3,
    small={"hidden": 64},
)
