"""CoFInAl: coarse-to-fine instruction alignment (IJCAI 2024), on the trunk of GDLT.

A score is taken as a coarse part, two digits, and a fine part, the next two. The coarse part is read twice off the
grade slots, once with anchors from -1 to 1 and once reversed. The fine part is the nearest of 100 directions of a fixed
simplex (equiangular tight frame) to a vector that attention over the slots gives; in training that vector is drawn to
the direction of the true digits. Adapted: the fine part is chosen sample by sample (the public code takes one argmax
over the batch, right for batches of one only) and attention is over a sample's slots (there, for want of a batch-first
switch, over the samples of a batch); masks for any length; several criteria share slots and attention; AdamW in place
of SGD. With `output: standardized` the digits are those of the place within the training mean -+ 3 deviations. The two
coarse readouts are trained as the public code does, each against the score less its fine part. It reads one stream
(`stream`) and has no score for samples without it. The number of parameters is that of the public code: 6,218,348 for
one stream of 1024 features.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, ScoreOutput
from limssr.nn.losses import slot_triplet
from limssr.nn.transformers import QueryDecoder, TimeEncoder
from limssr.systems.parts.gdlt_trunk import GdltHead, GdltProjector, place_from_unit, unit_from_place
from limssr.systems.parts.unimodal import StreamRows, UnimodalOptions, UnimodalSystem
from limssr.systems.system import System

DEFAULT_HIDDEN = 256
ANCHORS = (-1.0, -0.8, 0.8, 1.0)
NUM_DIGITS = 100
"""Coarse steps of a unit, and fine steps of a coarse one."""


class CofinalOptions(UnimodalOptions):
    """Settings of CoFInAl; the defaults are its paper's, loss weights divided by its task weight of 2."""

    num_heads: int = Field(default=1, ge=1)
    """Of encoder and decoder."""
    encoder_layers: int = Field(default=2, ge=1)
    """Over the segments."""
    decoder_layers: int = Field(default=4, ge=1)
    """Of the four grade queries."""
    fine_heads: int = Field(default=4, ge=1)
    """Of the attention over the slots."""
    fine_loss: Literal["l1", "mse"] = "l1"
    """Distance of the fine vector from its direction."""
    fine: float = Field(default=0.5, ge=0.0)
    """Weight of that distance."""
    slots: float = Field(default=0.25, ge=0.0)
    """Weight of the slot triplet."""
    margin: float = Field(default=1.0, ge=0.0)
    """Of the slot triplet, in cosine distance."""


class FineReadout(nn.Module):
    """Slots -> a unit vector per criterion, among fixed directions for the digits.

    Args:
        hidden: H.
        num_slots: Q.
        num_criteria: C.
        num_heads: Of the attention over the slots.
        dropout: Of the attention.
    """

    def __init__(self, hidden: int, num_slots: int, num_criteria: int, *, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(hidden, num_heads, dropout=dropout, batch_first=True)
        self.shared = nn.Linear(num_slots * hidden, hidden)
        self.last = nn.Linear(hidden, num_criteria * NUM_DIGITS)
        self.register_buffer("directions_RR", simplex_directions(NUM_DIGITS))

    def forward(self, slots_NQH: Tensor) -> Tensor:
        """[N, Q, H] -> [N, C, 100] of length 1."""
        attended_NQH, _ = self.attention(slots_NQH, slots_NQH, slots_NQH, need_weights=False)
        vectors_NCR = self.last(self.shared(attended_NQH.flatten(1))).unflatten(-1, (-1, NUM_DIGITS))
        return functional.normalize(vectors_NCR, dim=-1)

    def direction(self, digits_NC: Tensor) -> Tensor:
        """Digits [N, C] -> their directions [N, C, 100]."""
        return self.get_buffer("directions_RR").T[digits_NC]

    def nearest(self, vectors_NCR: Tensor) -> Tensor:
        """[N, C, 100] -> the digits of the nearest direction [N, C]."""
        return (vectors_NCR @ self.get_buffer("directions_RR")).argmax(dim=-1)


class Cofinal(UnimodalSystem):
    """GDLT's trunk with two coarse readouts and a fine one.

    Args:
        config: `hidden` (null: 256), `dropout`, `input_scaling` and `output` are used.
        modalities: M streams; one is read.
        criteria: C criteria.
        options: Of CoFInAl.
    """

    def __init__(
        self,
        config: ModelConfig,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        options: CofinalOptions,
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        hidden, num_slots, num_criteria = config.hidden or DEFAULT_HIDDEN, len(ANCHORS), len(self.criteria)
        heads, dropout = options.num_heads, config.dropout
        self.projector = GdltProjector(self.dim, hidden)
        self.encoder = TimeEncoder(hidden, num_heads=heads, num_layers=options.encoder_layers, dropout=dropout)
        self.decoder = QueryDecoder(
            hidden, num_queries=num_slots, num_heads=heads, num_layers=options.decoder_layers, dropout=dropout
        )
        self.coarse = GdltHead(hidden, num_slots, num_criteria, ANCHORS)
        self.reversed = GdltHead(hidden, num_slots, num_criteria, ANCHORS[::-1])
        self.fine = FineReadout(hidden, num_slots, num_criteria, num_heads=options.fine_heads, dropout=dropout)

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score the samples that have the stream.

        1. Slots, as in GDLT.
        2. The coarse place twice, and the fine vector.
        3. In training every coarse readout answers for itself with the true fine part added; when scoring their mean
           and the fine part that was found.
        """
        rows = self.rows(batch)
        if not len(rows):
            return self.unscored(rows)
        encoded_NTH = self.encoder(self.projector(rows.x_NTD, rows.real_NT), rows.real_NT)
        slots_NQH = self.decoder(encoded_NTH, rows.real_NT)
        coarse_ENC = torch.stack([self.coarse(slots_NQH), 1.0 - self.reversed(slots_NQH)])
        vectors_NCR = self.fine(slots_NQH)
        if self.training and rows.unit_scores_NC is not None:
            return self._learn(rows, rows.unit_scores_NC, slots_NQH, coarse_ENC, vectors_NCR=vectors_NCR)
        place_NC = coarse_ENC.mean(dim=0) + self.fine.nearest(vectors_NCR) / NUM_DIGITS**2
        return self.placed(rows, unit_from_place(self.output_scale, place_NC))

    def _learn(
        self, rows: StreamRows, targets_NC: Tensor, slots_NQH: Tensor, coarse_ENC: Tensor, *, vectors_NCR: Tensor
    ) -> ScoreOutput:
        fine_NC = fine_digits(place_from_unit(self.output_scale, targets_NC).nan_to_num())
        # (coarse + true fine part) against the score is coarse against the score's coarse part
        members_ENC = unit_from_place(self.output_scale, coarse_ENC + fine_NC / NUM_DIGITS**2)
        distance = functional.l1_loss if self.options.fine_loss == "l1" else functional.mse_loss
        missed_NC = distance(vectors_NCR, self.fine.direction(fine_NC), reduction="none").mean(dim=-1)
        judged_NC = ~targets_NC.isnan()
        missed = (missed_NC * judged_NC).sum() / judged_NC.sum().clamp(min=1)
        auxiliary = {
            "fine": self.options.fine * missed,
            "slots": self.options.slots * slot_triplet(slots_NQH, margin=self.options.margin),
        }
        return self.placed(rows, members_ENC.mean(dim=0), members_ENC=members_ENC, auxiliary=auxiliary)


def fine_digits(place_NC: Tensor) -> Tensor:
    """The third and fourth digit behind the point of places in [0, 1), as whole numbers 0 to 99."""
    ten_thousandths = (place_NC.double().clamp(0.0, 1.0) * NUM_DIGITS**2 + 1e-3).floor().long()
    return ten_thousandths.clamp(max=NUM_DIGITS**2 - 1) % NUM_DIGITS


def simplex_directions(num: int) -> Tensor:
    """[num, num]: columns of length 1, each pair at cosine -1 / (num - 1), turned at random."""
    turned, _ = torch.linalg.qr(torch.randn(num, num))
    return math.sqrt(num / (num - 1)) * turned @ (torch.eye(num) - 1.0 / num)


COFINAL = System(
    title="CoFInAl",
    source="Zhou et al., IJCAI 2024",
    summary="GDLT's trunk; a coarse score read twice and a fine one among fixed directions",
    family="complete",
    builder=Cofinal,
    options=CofinalOptions,
    absent="no score without its stream",
    checked="parameter counts of the public code (defaults, 1024 features)",
    changed="the fine part sample by sample, attention within a sample; AdamW for SGD",
    learning_rate=1e-3,
    small={"hidden": 64, "options": {"encoder_layers": 1, "decoder_layers": 2}},
)
