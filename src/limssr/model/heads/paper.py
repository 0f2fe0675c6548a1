"""The head of the paper: role weights, path 1, path 2 and their mix (sections 3.5 and 3.6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from limssr.nn.scaling import OutputScale

NUM_ATTENTION_HEADS = 4


INITIAL_MIX = 0.7


INITIAL_RELIABILITY = 0.6


Calibration = Literal["mask_aware", "none"]
"""See `ModelConfig.calibration`."""


@dataclass(frozen=True, kw_only=True)
class HeadInput:
    """What a head may read.

    Attributes:
        slots_BKH: Last hidden states at the fusion positions.
        inputs_BLH: What the backbone was given; None for a head that does not read it.
        hidden_BLH: All last hidden states.
        pool_BML: Weights of the mean over each modality's block (see `Layout`).
        present_BM: Which modalities exist.
        features: Modality name -> [B, T, D] features as they came.
        valid_BMT: Which segments are real.
        lengths_B: T of each sample.
    """

    slots_BKH: Float[Tensor, "B K H"]
    inputs_BLH: Float[Tensor, "B L H"] | None
    hidden_BLH: Float[Tensor, "B L H"]
    pool_BML: Float[Tensor, "B M L"]
    present_BM: Bool[Tensor, "B M"]
    features: dict[str, Float[Tensor, "B T _"]]
    valid_BMT: Bool[Tensor, "B M T"]
    lengths_B: Int[Tensor, " B"]


@dataclass(frozen=True, kw_only=True)
class HeadOutput:
    """Unit scores of both paths and of their mix; what path 2's head reads, and its members, where it has them."""

    unit_scores_BC: Float[Tensor, "B C"]
    main_BC: Float[Tensor, "B C"] | None
    aux_BC: Float[Tensor, "B C"] | None
    fused_BH: Float[Tensor, "B H"] | None = None
    members_EBC: Float[Tensor, "E B C"] | None = None


def score_head(width: int, num_criteria: int, dropout: float) -> nn.Sequential:
    """Linear(H -> H/2), LayerNorm, GELU, Dropout, Linear(H/2 -> C)."""
    return nn.Sequential(
        nn.Linear(width, width // 2),
        nn.LayerNorm(width // 2),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(width // 2, num_criteria),
    )


class CalibratedReasoning(nn.Module):
    """Path 1: the fusion slots, weighted by role and refined by what is present (Eqs. 8 to 10).

    Args:
        hidden: H.
        num_modalities: M.
        num_slots: K.
        dropout: Rate in the residual.
        gate_layers: 1 as the published parameter count says, 2 as the text says.
        calibration: "none" leaves the refinement out.
    """

    def __init__(
        self,
        hidden: int,
        num_modalities: int,
        num_slots: int,
        *,
        dropout: float,
        gate_layers: int,
        calibration: Calibration = "mask_aware",
    ) -> None:
        super().__init__()
        if num_slots > 1:
            self.role = nn.Parameter(torch.ones(num_slots))
        else:  # one slot has all the weight, whatever is learned
            self.register_buffer("role", torch.ones(1))
        self.norm = nn.LayerNorm(hidden)
        self.calibration = calibration
        if calibration == "none":
            return
        conditioned = hidden + num_modalities
        gate: list[nn.Module] = [nn.Linear(conditioned, hidden)]
        if gate_layers == 2:
            gate += [nn.GELU(), nn.Linear(hidden, hidden)]
        self.gate = nn.Sequential(*gate, nn.Sigmoid())
        self.residual = nn.Sequential(
            nn.Linear(conditioned, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, hidden)
        )

    def forward(self, slots_BKH: Float[Tensor, "B K H"], present_BM: Bool[Tensor, "B M"]) -> Float[Tensor, "B H"]:
        """[B, K, H] -> [B, H]."""
        # NOTE(paper): the LayerNorm is the published code's; the text has none.
        main_BH = self.norm(torch.einsum("k,bkh->bh", self.role.softmax(0), slots_BKH))
        if self.calibration == "none":
            return main_BH
        conditioned = torch.cat([main_BH, present_BM.to(main_BH.dtype)], dim=1)
        return main_BH + self.gate(conditioned) * self.residual(conditioned)


class PatternRecovery(nn.Module):
    """Path 2: one vector a modality, attention among them, reliability of the absent ones (Eqs. 11 to 13).

    Args:
        hidden: H, a multiple of 4.
        num_modalities: M.
        dropout: Rate on the attention's weights.
        calibration: "none" trusts absent modalities as it does present ones.
    """

    def __init__(
        self, hidden: int, num_modalities: int, *, dropout: float, calibration: Calibration = "mask_aware"
    ) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(hidden) for _ in range(num_modalities)])
        self.attention = nn.MultiheadAttention(hidden, NUM_ATTENTION_HEADS, dropout=dropout, batch_first=True)
        self.gate = nn.Sequential(
            nn.Linear(num_modalities * hidden, hidden), nn.GELU(), nn.Linear(hidden, num_modalities)
        )
        self.calibration = calibration
        if calibration == "mask_aware":
            self.reliability = nn.Parameter(torch.full((num_modalities,), INITIAL_RELIABILITY))

    def forward(self, pooled_BMH: Float[Tensor, "B M H"], present_BM: Bool[Tensor, "B M"]) -> Float[Tensor, "B H"]:
        """Mean hidden state of each block [B, M, H] -> [B, H]."""
        vectors_BMH = torch.stack([norm(pooled_BMH[:, m]) for m, norm in enumerate(self.norms)], dim=1)
        attended_BMH = self.attention(vectors_BMH, vectors_BMH, vectors_BMH, need_weights=False)[0]
        weights_BM = self.gate(vectors_BMH.flatten(1)).softmax(dim=1)
        if self.calibration == "none":
            return torch.einsum("bm,bmh->bh", weights_BM, attended_BMH)
        present = present_BM.to(weights_BM.dtype)
        trust_BM = present + (1.0 - present) * self.reliability.sigmoid()
        return torch.einsum("bm,bmh->bh", trust_BM * weights_BM, attended_BMH)


class PaperHead(nn.Module):
    """Mask-aware dual-path aggregation, as published (paper section 3.6, Eq. 14).

    Args:
        hidden: H.
        num_modalities: M.
        num_slots: K.
        num_criteria: C.
        dropout: Rate everywhere in the head.
        gate_layers: See `CalibratedReasoning`.
        output: How a head's value becomes a unit score.
        paths: "path1" or "path2": that one alone (Table 6).
        calibration: "none": neither refinement nor reliabilities, and the plain mean of both paths.
    """

    reads_inputs = False

    def __init__(
        self,
        hidden: int,
        num_modalities: int,
        *,
        num_slots: int,
        num_criteria: int,
        dropout: float,
        gate_layers: int,
        output: OutputScale,
        paths: Literal["both", "path1", "path2"] = "both",
        calibration: Calibration = "mask_aware",
    ) -> None:
        super().__init__()
        self.path1 = self.path2 = None
        if paths != "path2":
            self.path1 = CalibratedReasoning(
                hidden, num_modalities, num_slots, dropout=dropout, gate_layers=gate_layers, calibration=calibration
            )
        if paths != "path1":
            self.path2 = PatternRecovery(hidden, num_modalities, dropout=dropout, calibration=calibration)
        self.main = score_head(hidden, num_criteria, dropout) if self.path1 else None
        self.aux = score_head(hidden, num_criteria, dropout) if self.path2 else None
        self.mix = nn.Parameter(torch.tensor([INITIAL_MIX])) if (paths, calibration) == ("both", "mask_aware") else 0.5
        self.output = output

    @torch.no_grad()
    def learned(self, names: Sequence[str]) -> dict[str, Any]:
        """Mix, role weights and reliability of each modality when it is absent, as far as this head has them."""
        found: dict[str, Any] = {}
        if isinstance(self.mix, Tensor):
            found["mix"] = self.mix.item()
        if self.path1 is not None:
            found["role_weights"] = self.path1.role.softmax(0).tolist()
        if self.path2 is not None and self.path2.calibration == "mask_aware":
            found["reliabilities"] = dict(zip(names, self.path2.reliability.sigmoid().tolist(), strict=True))
        return found

    def forward(self, read: HeadInput) -> HeadOutput:
        """Steps: (1) path 1, (2) path 2, (3) their mix."""
        main_BC = aux_BC = fused_BH = None
        if self.path1 is not None and self.main is not None:
            main_BC = self.output(self.main(self.path1(read.slots_BKH, read.present_BM)))
        if self.path2 is not None and self.aux is not None:
            pooled_BMH = torch.bmm(read.pool_BML.to(read.hidden_BLH.dtype), read.hidden_BLH)
            fused_BH = self.path2(pooled_BMH, read.present_BM)
            aux_BC = self.output(self.aux(fused_BH))
        if main_BC is None or aux_BC is None:
            alone_BC = main_BC if main_BC is not None else aux_BC
            assert alone_BC is not None
            return HeadOutput(unit_scores_BC=alone_BC, main_BC=main_BC, aux_BC=aux_BC, fused_BH=fused_BH)
        # NOTE(paper): the mix is a free scalar, not bounded to [0, 1], as in the published code.
        mixed_BC = self.mix * main_BC + (1.0 - self.mix) * aux_BC
        return HeadOutput(unit_scores_BC=mixed_BC, main_BC=main_BC, aux_BC=aux_BC, fused_BH=fused_BH)
