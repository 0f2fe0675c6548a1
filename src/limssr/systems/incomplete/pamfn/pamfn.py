"""PAMFN: branches learn one stream each, then a mixed branch fuses their maps block by block (IEEE TIP 2024).

In the first stage every stream is scored by a branch of its own: convolutions over time at three lengths. In the
second the branches rest and three fusion blocks read their maps: at every place a mixed state attends to the single
streams, preferring those unlike it, and to K learned mixtures of the streams, of which an adaptive policy says how many
are read. The paper knows complete streams only; the published comparison feeds zeros, and here the maps of an absent
stream are zeros in the second stage, while its branch learns from samples that own it. Drawn while training, the policy
takes the likeliest number when scoring, so that a score is no matter of luck. The public code negates the query and the
scores of the attention to mixtures, which cancel; we leave both out. Its first block convolves a map of zeros, whose
weights never learn: constants stand in their place. By an oversight, it seems, its audio branch goes on learning in the
second stage: `moving_branch` names such a stream. Lengths are padded to a multiple of four, and pooling leaves the
padding out. Parameter counts equal those of the public code, but for these weights and norms that it never uses.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor, nn

from limssr.core.config import ModelConfig
from limssr.core.errors import unknown_name
from limssr.core.types import Batch, Criterion, Modality, ScoreOutput
from limssr.nn.contract import Stage
from limssr.nn.layers import RowBatchNorm
from limssr.nn.sequences import RealRows, TimeConv, padded_to, pool_all, pool_pairs
from limssr.nn.transformers import num_heads_of
from limssr.systems.incomplete.pamfn.fusion import BlockSizes, FusionBlock, Maps
from limssr.systems.parts.separate_streams import separate_losses
from limssr.systems.system import ComparisonSystem, System, SystemOptions

PAPER_HIDDEN = 256
NUM_LENGTHS = 4
"""Maps of a branch: at full length, half, a quarter, and one for the whole."""
LENGTH_MULTIPLE = 4
FIRST_TEMPERATURE = 10.0


class PamfnOptions(SystemOptions):
    """Settings of PAMFN."""

    num_mixtures: int = Field(default=6, ge=1)
    """K (the paper's 6 for rhythmic gymnastics, 8 for Fis-V)."""
    specific_heads: int = Field(default=4, ge=1)
    """Heads of the attention to streams; where they do not divide the width, the next smaller number that does."""
    cross_heads: int = Field(default=2, ge=1)
    """Heads of the attention to mixtures, likewise."""
    moving_branch: str | None = None
    """A stream whose branch goes on learning in the second stage; null: none."""


class Branch(nn.Module):
    """One stream at four lengths, and its own score.

    Args:
        dim: D of the stream.
        hidden: H.
        num_criteria: C.
        dropout: After the input maps and before the score.
    """

    def __init__(self, dim: int, hidden: int, num_criteria: int, dropout: float) -> None:
        super().__init__()
        self.embed = RealRows(
            hidden,
            nn.Linear(dim, 2 * hidden),
            RowBatchNorm(2 * hidden),
            nn.ReLU(),
            nn.Linear(2 * hidden, hidden),
            RowBatchNorm(hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.first, self.second = (
            nn.ModuleList(TimeConv(hidden, hidden, nn.GELU) for _ in range(NUM_LENGTHS - 1)) for _ in range(2)
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, num_criteria))

    def forward(self, x_BTD: Tensor, valid_BT: Tensor) -> list[Tensor]:
        """[B, T, D] -> maps [B, T, H], [B, T / 2, H], [B, T / 4, H], [B, 1, H]; zeros where nothing is valid."""
        map_BTH = self.embed(x_BTD, valid_BT)
        maps = [map_BTH]
        for first, second, pool in zip(self.first, self.second, (pool_pairs, pool_pairs, pool_all), strict=True):
            map_BTH = map_BTH + second(first(map_BTH, valid_BT), valid_BT)
            map_BTH, valid_BT = pool(map_BTH, valid_BT)
            maps.append(map_BTH)
        return maps


class Pamfn(ComparisonSystem):
    """Progressive adaptive fusion over unimodal branches.

    Args:
        config: `hidden`, `dropout`, `input_scaling` and `output` are used, the rest is of LIMSSR.
        modalities: The M streams, in order.
        criteria: The C criteria.
        options: Mixtures, heads, a branch that goes on learning.

    Raises:
        InputError: `moving_branch` is none of the streams.
    """

    stages = (
        Stage("branches", 1.0, trains=("branches.",)),
        Stage("fusion", 1.0, trains=("blocks.", "head.", "temperature")),
    )

    def __init__(
        self,
        config: ModelConfig,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        options: PamfnOptions,
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        hidden, dropout = config.hidden or PAPER_HIDDEN, config.dropout
        self.branches = nn.ModuleList(
            Branch(modality.dim, hidden, len(self.criteria), dropout) for modality in self.modalities
        )
        sizes = BlockSizes(
            hidden=hidden,
            num_streams=len(self.modalities),
            num_mixtures=options.num_mixtures,
            specific_heads=num_heads_of(hidden, options.specific_heads),
            cross_heads=num_heads_of(hidden, options.cross_heads),
            dropout=dropout,
        )
        self.blocks = nn.ModuleList(
            [
                FusionBlock(sizes, "first", pool_pairs),
                FusionBlock(sizes, "later", pool_pairs),
                FusionBlock(sizes, "later", pool_all),
            ]
        )
        self.temperature = nn.Parameter(torch.tensor(FIRST_TEMPERATURE))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(3 * hidden, hidden),
            RowBatchNorm(hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, len(self.criteria)),
        )
        self._let_move(options.moving_branch)

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch.

        1. Features in training deviations, lengths padded to a multiple of four.
        2. First stage: every branch's own score, from samples that own its stream.
        3. Later: the branches' maps, zeros where a stream is absent; three fusion blocks; the last state is scored.
        """
        scaled = {name: padded_to(x_BTD, LENGTH_MULTIPLE) for name, x_BTD in self.input_scaler(batch).items()}
        valid_BMT = padded_to(batch.valid_BMT, LENGTH_MULTIPLE, dim=2)
        alone = self.training and self.stage.name == "branches"
        maps = []
        for index, (modality, branch) in enumerate(zip(self.modalities, self.branches, strict=True)):
            learns = torch.is_grad_enabled() and (alone or self._goes_on(index))
            with torch.set_grad_enabled(learns):
                maps.append(_maps_of_owners(branch, scaled[modality.name], valid_BMT[:, index]))
        if alone:
            heads = [branch.get_submodule("head") for branch in self.branches]
            logits = [head(own[-1][:, 0]) for head, own in zip(heads, maps, strict=True)]
            return separate_losses(self, logits, valid_BMT.any(dim=2), batch, name="streams alone")
        places_T = torch.arange(valid_BMT.shape[2], device=valid_BMT.device)
        return self.scored(self.head(self._fused(maps, places_T < batch.lengths_B[:, None])))

    def _fused(self, maps: Sequence[Sequence[Tensor]], real_BT: Tensor) -> Tensor:
        """The maps of every branch, from fine to coarse -> the last state [B, 3 H]."""
        levels = []
        for level in range(NUM_LENGTHS):
            levels.append(Maps([self.dropout(own[level]) for own in maps], real_BT))
            if level < NUM_LENGTHS - 1:
                pool = pool_all if level == NUM_LENGTHS - 2 else pool_pairs
                _, real_BT = pool(real_BT[..., None].float(), real_BT)
        first, second, third = self.blocks
        state = first(None, levels[0], levels[1], self.temperature)
        state, _ = pool_pairs(state, levels[1].real_BT)
        state = second(state, levels[1], levels[2], self.temperature)
        state, _ = pool_all(state, levels[2].real_BT)
        return third(state, levels[2], levels[3], self.temperature)[:, 0]

    def _let_move(self, stream: str | None) -> None:
        if stream is None:
            return
        names = [modality.name for modality in self.modalities]
        if stream not in names:
            raise unknown_name("stream (model.options.moving_branch)", stream, names)
        alone, fusion = type(self).stages
        moved = (*fusion.trains, f"branches.{names.index(stream)}.")
        self.stages = (alone, replace(fusion, trains=moved))
        self.stage = self.stages[-1]

    def _goes_on(self, index: int) -> bool:
        return self.options.moving_branch == self.modalities[index].name


def _maps_of_owners(branch: nn.Module, x_BTD: Tensor, valid_BT: Tensor) -> list[Tensor]:
    """A branch's maps of the samples that own its stream; zeros for the others, which it is not asked about."""
    owned_B = valid_BT.any(dim=1)
    if owned_B.all():
        return branch(x_BTD, valid_BT)
    maps = branch(x_BTD[owned_B], valid_BT[owned_B])
    return [own.new_zeros((len(owned_B), *own.shape[1:])).masked_scatter(owned_B[:, None, None], own) for own in maps]


PAMFN = System(
    title="PAMFN",
    source="Zeng and Zheng, IEEE TIP 2024",
    summary="a branch a stream, then a mixed branch that fuses their maps progressively and adaptively",
    family="incomplete",
    builder=Pamfn,
    options=PamfnOptions,
    stages=Pamfn.stages,
    absent="zeros for its maps, as the published comparison",
    checked="parameter counts of the public code (width 256, six mixtures)",
    changed="one dropout rate; the likeliest policy when scoring; its paper knows complete streams only",
    learning_rate=1e-3,
    small={"hidden": 16, "options": {"num_mixtures": 2}},
)
