"""LIMSSR: incomplete streams as one sequence that a language model reads (paper section 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limssr.core.config import ModelConfig
from limssr.core.errors import InputError
from limssr.core.team import Team
from limssr.core.types import Batch, Criterion, Modality, Sample, ScoreOutput
from limssr.model.backbone.load import Backbone
from limssr.model.backbone.lora import add_lora
from limssr.model.heads.paper import HeadInput, PaperHead
from limssr.model.heads.statistics import StatisticsHead
from limssr.model.layout import Layout, Pattern, WordBlock, plan_layout, sequence_length
from limssr.model.prompt_ids import prompt_ids
from limssr.model.reading.reader import Reader, States
from limssr.model.tokens import TokenRows
from limssr.model.words import WordRows
from limssr.nn.contract import WHOLE, FrozenWeights, Network, ParameterGroup, Stage
from limssr.nn.layers import Projection
from limssr.nn.scaling import InputScaler, OutputScale

ENSEMBLE = "ensemble"
ENSEMBLE_PARTS = ("head.members.",)
OF_BACKBONE = ("backbone.", "tokens.")
AROUND_ENSEMBLE = ("projections.", "tokens.", "backbone.", "head.path1.", "head.blocks.", "head.main.")
"""Every parameter but the ensemble's, for the stage after its own."""


@dataclass(frozen=True)
class LaidOut:
    """The sequences of a batch before they are read.

    Attributes:
        bank_RH: Learned rows and projected segments.
        layout: Which row stands where.
        prompt_lengths: How many positions of each sample are its prompt.
    """

    bank_RH: Float[Tensor, "R H"]
    layout: Layout
    prompt_lengths: tuple[int, ...]


class LimssrModel(Network):
    """The model of the paper, for any number of modalities and criteria and any pattern in each sample.

    Args:
        config: What to build.
        modalities: Streams in the order of the columns of `present_BM`.
        criteria: Scores to predict at once.
        backbone: The language model, loaded; the model takes it over.
    """

    divides_reading = True

    def __init__(
        self,
        config: ModelConfig,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        backbone: Backbone,
    ) -> None:
        super().__init__(config, modalities, criteria)
        self.frozen = FrozenWeights(sha256=backbone.fingerprint, origin=backbone.origin)
        hidden = backbone.table_VH.shape[1]
        self.scaler = InputScaler(self.modalities, config.input_scaling)
        of_words = self.modalities if config.words.read == "tokens" else ()
        self.words = WordRows(
            of_words,
            backbone.encode,
            backbone.table_VH,
            scale=backbone.embedding_scale,
            limit=config.words.limit,
        )
        self.projections = nn.ModuleList(
            nn.Identity() if m in self.words.columns else Projection(item.dim, hidden, config.dropout)
            for m, item in enumerate(self.modalities)
        )
        self.tokens = TokenRows(
            prompt_ids(config.prompt, [modality.name for modality in self.modalities], backbone.encode),
            backbone.table_VH,
            _special_rows(config, backbone, len(self.modalities)),
            num_modalities=len(self.modalities),
            num_fusion=config.num_fusion_tokens,
            train=config.train_embeddings,
            absent=config.absent,
            scale=backbone.embedding_scale,
        )
        self.backbone: Any = backbone.model
        self.backbone.requires_grad_(False)
        if config.lora is not None:
            add_lora(self.backbone, config.lora)
        self.reader = Reader(self.backbone, self.tokens, config.backbone.reading, memory_gb=config.backbone.memory_gb)
        self.head = _build_head(config, self.modalities, len(self.criteria), hidden)
        self.stages = _stages(config)
        self.stage = self.stages[-1]

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch.

        Steps:
            1. Scale the features and project the segments that exist (3.3); look up the rows of words.
            2. Lay out prompt, present blocks, absent blocks and fusion slots (3.4, 3.5).
            3. Draw every sequence from the bank of learned rows and projected segments, and let the backbone read them.
            4. Read the scores from slots and blocks (3.6).
        """
        if self.stage.name == ENSEMBLE:
            return self._read_moments(batch)
        laid_out = self.lay_out(batch)
        return self.judge(batch, self.read(laid_out))

    def lay_out(self, batch: Batch) -> LaidOut:
        """Steps 1 and 2: the bank of rows, and where each row stands in the sequences of a batch."""
        present_BM, valid_BMT, lengths_B = batch.masks_on_host()
        bank = [self.tokens(), *self.project(self.scaler(batch), valid_BMT)]
        words: list[dict[int, WordBlock]] = []
        if self.words.columns:
            plan = self.words.plan(batch)
            words = plan.moved(sum(map(len, bank)))
            bank.append(self._word_rows(plan.ids_W))
        bank_RH = torch.cat(bank)
        layout = plan_layout(
            present_BM,
            valid_BMT,
            lengths_B,
            self.tokens.rows,
            order=self.config.block_order,
            num_missing_tokens=self.config.num_missing_tokens,
            words=words,
            of_words=self.words.columns,
        )
        prompts = [self.tokens.rows.prompts[tuple(pattern)] for pattern in present_BM.tolist()]
        return LaidOut(bank_RH, layout, tuple(map(len, prompts)))

    def sequence_length(self, pattern: Pattern, num_segments: int) -> int:
        """L of a sample that owns the streams of a pattern, none of them words, with T valid segments."""
        order, num_missing = self.config.block_order, self.config.num_missing_tokens
        return sequence_length(pattern, num_segments, self.tokens.rows, order=order, num_missing_tokens=num_missing)

    def read(self, laid_out: LaidOut) -> States:
        """Step 3: what the backbone makes of the sequences."""
        prompt_lengths = [*laid_out.prompt_lengths]
        return self.reader.read(laid_out.bank_RH, laid_out.layout, prompt_lengths, with_inputs=self.head.reads_inputs)

    def judge(self, batch: Batch, states: States) -> ScoreOutput:
        """Step 4: scores from what was read."""
        hidden_BLH = states.hidden_BLH
        if self.config.num_fusion_tokens:
            slots_BKH = hidden_BLH.gather(1, states.fusion_BK[..., None].expand(-1, -1, hidden_BLH.shape[2]))
        else:
            slots_BKH = _mean_of_blocks(hidden_BLH, states.pool_BML)
        answer = self.head(
            HeadInput(
                slots_BKH=slots_BKH,
                inputs_BLH=states.inputs_BLH,
                hidden_BLH=hidden_BLH,
                pool_BML=states.pool_BML,
                present_BM=batch.present_BM,
                features=batch.features,
                valid_BMT=batch.valid_BMT,
                lengths_B=batch.lengths_B,
            )
        )
        return ScoreOutput(
            unit_scores_BC=answer.unit_scores_BC,
            main_BC=answer.main_BC,
            aux_BC=answer.aux_BC,
            slots_BKH=slots_BKH,
            fused_BH=answer.fused_BH,
            members_EBC=answer.members_EBC,
            loss_scale_C=self.head.output.loss_scale_C,
        )

    def measure(self, samples: Sequence[Sample]) -> None:
        """Measure the scales of inputs, outputs and moments on the training samples."""
        self.scaler.fit(samples)
        self.head.output.fit(samples, self.criteria)
        if isinstance(self.head, StatisticsHead):
            self.head.statistics.fit(samples)

    def read_in_pieces(self, pieces: int) -> None:
        """The language model reads a training batch in so many pieces; all around it sees the whole batch."""
        self.reader.pieces = pieces

    def join(self, team: Team) -> None:
        """The processes of the team divide the reading of a training batch; all around it is done by each of them."""
        self.reader.join(team)

    def is_divided(self, parameter: str) -> bool:
        """The adapters of the language model."""
        return parameter.startswith("backbone.")

    def forget(self) -> None:
        """Forget the keys and values of prompts."""
        self.reader.forget()

    def group_of(self, parameter: str) -> ParameterGroup:
        """Adapters and learned rows are of the backbone, the head's members an ensemble on moments."""
        if parameter.startswith(OF_BACKBONE):
            return "backbone"
        return "statistics" if parameter.startswith(ENSEMBLE_PARTS) else "around"

    def _read_moments(self, batch: Batch) -> ScoreOutput:
        """The ensemble of the head `statistics` by itself, while it is trained alone."""
        assert isinstance(self.head, StatisticsHead)
        members_EBC = self.head.read_moments(batch.features, batch.valid_BMT, batch.present_BM, batch.lengths_B)
        return ScoreOutput(
            unit_scores_BC=members_EBC.mean(dim=0),
            members_EBC=members_EBC,
            loss_scale_C=self.head.output.loss_scale_C,
        )

    @torch.no_grad()
    def learned(self) -> dict[str, Any]:
        """What the model learned about its inputs: role weights, reliabilities of absent modalities, the mix."""
        return self.head.learned([modality.name for modality in self.modalities])

    def train(self, mode: bool = True) -> "LimssrModel":
        """As in torch. Training changes weights, so what was kept of them is forgotten."""
        if mode:
            self.reader.forget()
        return super().train(mode)

    def _apply(self, fn: Any, recurse: bool = True) -> "LimssrModel":
        self.reader.forget()
        return super()._apply(fn, recurse)

    def _word_rows(self, ids_W: Tensor) -> Tensor:
        """Rows of words [W, H]: of the trained table where all of it is trained, else of the language model's."""
        table = self.tokens.table
        if table is None:
            return self.words(ids_W)
        rows_WH = table.index_select(0, ids_W.to(table.device))
        return rows_WH * self.tokens.scale if self.tokens.scale != 1.0 else rows_WH

    def project(self, scaled: dict[str, Tensor], valid_BMT: Tensor) -> list[Tensor]:
        """The valid segments of each modality [n_m, H], in the order that the layout counts them."""
        projected = []
        for m, (modality, projection) in enumerate(zip(self.modalities, self.projections, strict=True)):
            if m in self.words.columns:
                continue
            valid_n = valid_BMT[:, m].flatten().nonzero()[:, 0]  # found on the host, so that the device need not wait
            if len(valid_n):
                x_BTD = scaled[modality.name]
                projected.append(projection(x_BTD.flatten(0, 1).index_select(0, valid_n.to(x_BTD.device))))
        return projected


def _stages(config: ModelConfig) -> tuple[Stage, ...]:
    first = config.statistics.first
    if config.head != "statistics" or first == 0:
        return (WHOLE,)
    ensemble = Stage(ENSEMBLE, first, ENSEMBLE_PARTS, config.statistics.keeps)
    return (ensemble, Stage("language model", 1.0 - first, AROUND_ENSEMBLE))


def num_special_tokens(config: ModelConfig, num_modalities: int) -> int:
    """2M boundaries, M placeholders, K fusion tokens, less what the configuration leaves out."""
    boundaries = 2 * num_modalities if config.boundary_tokens == "learned" else 0
    placeholders = num_modalities if config.absent == "placeholders" else 0
    return boundaries + placeholders + config.num_fusion_tokens


def _mean_of_blocks(hidden_BLH: Tensor, pool_BML: Tensor) -> Tensor:
    """One vector in place of the slots [B, 1, H]: the mean over every position that path 2 reads."""
    read_B1L = (pool_BML > 0).any(dim=1, keepdim=True).to(hidden_BLH.dtype)
    return torch.bmm(read_B1L / read_B1L.sum(dim=2, keepdim=True).clamp(min=1.0), hidden_BLH)


def _special_rows(config: ModelConfig, backbone: Backbone, num_modalities: int) -> Tensor:
    table_VH = backbone.table_VH
    count, width = num_special_tokens(config, num_modalities), table_VH.shape[1]
    if table_VH.is_meta:
        return torch.empty(count, width, device="meta")
    if config.new_token_init == "normal":
        return torch.randn(count, width) * 0.02
    around_mean = table_VH.mean(dim=0) + torch.randn(count, width) * table_VH.std(dim=0)
    if config.new_token_init == "existing" and backbone.spare_SH is not None:
        spare = backbone.spare_SH[:count]
        around_mean[: len(spare)] = spare
    return around_mean


def _build_head(
    config: ModelConfig, modalities: Sequence[Modality], num_criteria: int, hidden: int
) -> PaperHead | StatisticsHead:
    if hidden % 4:
        raise InputError(f"The head's attention has 4 heads and needs a backbone width divisible by 4, found {hidden}.")
    shared: dict[str, Any] = {
        "num_slots": max(config.num_fusion_tokens, 1),
        "num_criteria": num_criteria,
        "dropout": config.dropout,
        "gate_layers": config.gate_layers,
        "output": OutputScale(num_criteria, config.output),
    }
    if config.head == "statistics":
        return StatisticsHead(hidden, modalities, config=config.statistics, **shared)
    return PaperHead(hidden, len(modalities), paths=config.paths, calibration=config.calibration, **shared)
