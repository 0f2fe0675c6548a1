"""LIMSSR without a language model: its own sequence and its own head, around a small bidirectional transformer.

What is LIMSSR's stays LIMSSR's, by the same code: projections, boundary tokens, present blocks and then learned
placeholders for the absent ones, fusion tokens, both paths and their mix, and the losses on them. Only what reads the
sequence differs: a few transformer layers that start from random weights and see in both directions, sine positions
instead of rotary ones, and no prompt, as there are no words. The keys `absent`, `boundary_tokens`, `block_order`,
`num_missing_tokens`, `num_fusion_tokens`, `paths`, `calibration` and `gate_layers` of the model mean what they mean
there, so that an ablation of the layout can be repeated here. It tells whether the language model matters; it is ours
and was checked against nothing but LIMSSR's own tests of the shared parts.
"""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from limssr.core.config import ModelConfig
from limssr.core.errors import InputError
from limssr.core.types import Batch, Criterion, Modality, Sample, ScoreOutput
from limssr.model.heads.paper import HeadInput, PaperHead
from limssr.model.layout import plan_layout
from limssr.model.limssr import num_special_tokens
from limssr.model.prompt_ids import prompt_ids
from limssr.model.tokens import TokenRows
from limssr.nn.contract import ParameterGroup
from limssr.nn.layers import Projection
from limssr.nn.scaling import OutputScale
from limssr.nn.transformers import BidirectionalEncoder
from limssr.systems.system import ComparisonSystem, System, SystemOptions

DEFAULT_HIDDEN = 128


class BidirectionalOptions(SystemOptions):
    """Of the transformer that stands in for the language model."""

    num_layers: int = Field(default=2, ge=1)
    """Layers of self-attention and MLP."""
    num_heads: int = Field(default=4, ge=1)
    """Of the attention; must divide the width."""


class Bidirectional(ComparisonSystem):
    """LIMSSR's layout and head through a bidirectional transformer.

    Args:
        config: `hidden`, `dropout`, scaling, output, and the keys of the layout and the paper's head.
        modalities: The M streams, in order.
        criteria: The C criteria.
        options: Of the transformer.

    Raises:
        InputError: A width that the heads do not divide, or no fusion tokens.
    """

    def __init__(
        self,
        config: ModelConfig,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        options: BidirectionalOptions,
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        hidden = config.hidden or DEFAULT_HIDDEN
        if hidden % 4:
            raise InputError(f"bidirectional: the paper's head needs a width divisible by 4, found hidden={hidden}.")
        if config.num_fusion_tokens < 1:
            raise InputError("bidirectional reads its fusion tokens, found num_fusion_tokens=0: give at least one.")
        self.projections = nn.ModuleList(Projection(item.dim, hidden, config.dropout) for item in self.modalities)
        num_modalities = len(self.modalities)
        self.tokens = TokenRows(
            prompt_ids(config.prompt, [modality.name for modality in self.modalities], None),
            torch.empty(0, hidden),
            # as wide as the projected segments, which leave a BatchNorm
            torch.randn(num_special_tokens(config, num_modalities), hidden),
            num_modalities=num_modalities,
            num_fusion=config.num_fusion_tokens,
            train="new",
            absent=config.absent,
        )
        self.encoder = BidirectionalEncoder(hidden, options.num_layers, options.num_heads, config.dropout)
        self.head = PaperHead(
            hidden,
            num_modalities,
            num_slots=config.num_fusion_tokens,
            num_criteria=len(self.criteria),
            dropout=config.dropout,
            gate_layers=config.gate_layers,
            output=OutputScale(len(self.criteria), config.output),
            paths=config.paths,
            calibration=config.calibration,
        )

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch.

        1. Scale the features and project the segments that exist.
        2. Lay out present blocks, absent blocks and fusion slots, as LIMSSR does.
        3. Read all of it in both directions.
        4. Read the scores from slots and blocks, with the paper's head.
        """
        present_BM, valid_BMT, lengths_B = batch.masks_on_host()
        bank_RH = torch.cat([self.tokens(), *self._project(self.input_scaler(batch), batch.valid_BMT)])
        layout = plan_layout(
            present_BM,
            valid_BMT,
            lengths_B,
            self.tokens.rows,
            order=self.config.block_order,
            num_missing_tokens=self.config.num_missing_tokens,
        ).to(bank_RH.device)
        places_L = torch.arange(layout.source_BL.shape[1], device=bank_RH.device)
        inputs_BLH = bank_RH[layout.source_BL]
        hidden_BLH = self.encoder(inputs_BLH, places_L[None] < layout.lengths_B[:, None])
        slots_BKH = hidden_BLH.gather(1, layout.fusion_BK[..., None].expand(-1, -1, hidden_BLH.shape[2]))
        read = HeadInput(
            slots_BKH=slots_BKH,
            inputs_BLH=None,
            hidden_BLH=hidden_BLH,
            pool_BML=layout.pool_BML,
            present_BM=batch.present_BM,
            features=batch.features,
            valid_BMT=batch.valid_BMT,
            lengths_B=batch.lengths_B,
        )
        answer = self.head(read)
        return ScoreOutput(
            unit_scores_BC=answer.unit_scores_BC,
            main_BC=answer.main_BC,
            aux_BC=answer.aux_BC,
            slots_BKH=slots_BKH,
            fused_BH=answer.fused_BH,
            loss_scale_C=self.head.output.loss_scale_C,
        )

    def group_of(self, parameter: str) -> ParameterGroup:
        """Its learned rows have the language model's rate, as those of LIMSSR do."""
        return "backbone" if parameter.startswith("tokens.") else "around"

    def measure(self, samples: Sequence[Sample]) -> None:
        """Measure the scales of inputs and outputs on the training samples, once, before training."""
        super().measure(samples)
        self.head.output.fit(samples, self.criteria)  # the paper's head scales its two paths itself

    def _project(self, scaled: dict[str, Tensor], valid_BMT: Tensor) -> list[Tensor]:
        """The valid segments of each stream [n, H], in the order that the layout counts them."""
        found = []
        for index, (modality, projection) in enumerate(zip(self.modalities, self.projections, strict=True)):
            segments_nD = scaled[modality.name][valid_BMT[:, index]]
            if len(segments_nD):
                found.append(projection(segments_nD))
        return found


BIDIRECTIONAL = System(
    title="LIMSSR's layout, bidirectional",
    source="a simple reference of ours",
    summary="LIMSSR's sequence and head through a small bidirectional transformer, without a language model",
    family="reference",
    builder=Bidirectional,
    options=BidirectionalOptions,
    absent="learned placeholders, as in LIMSSR",
    checked="nothing: it is ours",
    changed="no prompt, sine positions",
    small={"hidden": 32, "options": {"num_layers": 1}},
)
