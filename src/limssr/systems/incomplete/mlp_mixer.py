"""Skating-Mixer ("MLP-Mixer"): clip by clip, an MLP mixes tokens and hands on a memory (AAAI 2023).

A clip is a few segments of every stream, each one token, between a memory token and a class token; mixer blocks mix
across tokens and across channels. The memory token that comes out of a clip goes into the next, the class tokens of all
clips are averaged and scored. The same weights also read the clips from the last to the first, in a mirrored layout.
The paper has no absent streams: the published comparison feeds zeros, and so do we (features in training deviations,
so a zero is the training mean where inputs are standardised); a learned token in their place is an option of ours. A
clip is one segment unless `clip_segments` says more (the public code: 15 tokens of video and one of audio), and every
stream has an input map of its own where the public code shares one. Parameter counts equal those of the public code
with two streams, but for these maps and for a norm that it never uses.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, ScoreOutput
from limssr.nn.layers import masked_mean
from limssr.systems.system import ComparisonSystem, System, SystemOptions

PAPER_HIDDEN = 512
EXPANSION = 4
NUM_EXTRA_TOKENS = 2
"""The memory token and the class token."""


class MlpMixerOptions(SystemOptions):
    """Settings of Skating-Mixer."""

    depth: int = Field(default=2, ge=1)
    """Mixer blocks."""
    clip_segments: int = Field(default=1, ge=1)
    """Segments of a clip; each stream has as many tokens in it."""
    absent: Literal["zeros", "learned"] = "zeros"
    """What stands where a stream is absent or a segment is not valid: zero features, or a learned token a stream."""


class Mixing(nn.Module):
    """Norm over the channels, then an MLP over the last dimension (channels) or the one before it (tokens); residual.

    Args:
        hidden: H.
        width: What the MLP mixes: H, or the number of tokens.
        dropout: Of what is added.
        over: What is mixed.
    """

    def __init__(self, hidden: int, width: int, dropout: float, over: Literal["tokens", "channels"]) -> None:
        super().__init__()
        self.over = over
        self.norm = nn.LayerNorm(hidden)
        self.mlp = nn.Sequential(
            nn.Linear(width, EXPANSION * width),
            nn.GELU(),
            nn.Linear(EXPANSION * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x_BSH: Tensor) -> Tensor:
        """[B, S, H] -> [B, S, H]."""
        normed_BSH = self.norm(x_BSH)
        if self.over == "tokens":
            return x_BSH + self.mlp(normed_BSH.transpose(1, 2)).transpose(1, 2)
        return x_BSH + self.mlp(normed_BSH)


class MlpMixer(ComparisonSystem):
    """Mixer blocks with a memory that passes from clip to clip.

    Args:
        config: `hidden`, `dropout`, `input_scaling` and `output` are used, the rest is of LIMSSR.
        modalities: The M streams, in order.
        criteria: The C criteria.
        options: Depth, clips, what stands for what is absent.
    """

    def __init__(
        self,
        config: ModelConfig,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        options: MlpMixerOptions,
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        hidden = config.hidden or PAPER_HIDDEN
        num_tokens = len(self.modalities) * options.clip_segments + NUM_EXTRA_TOKENS
        self.projections = nn.ModuleList(nn.Linear(modality.dim, hidden) for modality in self.modalities)
        self.memory_H = nn.Parameter(torch.randn(hidden))
        self.class_token_H = nn.Parameter(torch.randn(hidden))
        if options.absent == "learned":
            self.absent_MH = nn.Parameter(torch.randn(len(self.modalities), hidden) * 0.02)
        self.mixer = nn.Sequential()
        for _ in range(options.depth):
            self.mixer.append(Mixing(hidden, num_tokens, config.dropout, "tokens"))
            self.mixer.append(Mixing(hidden, hidden, config.dropout, "channels"))
        self.readout = nn.Linear(hidden, hidden)
        self.head = nn.Linear(hidden, len(self.criteria))

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch.

        1. One token a segment and stream, in clips.
        2. Clips read in order and in reverse order, side by side in one batch; every clip gives a class token.
        3. Mean over the clips that exist and over both directions, head.
        """
        tokens_BJNH = self._clips(batch)
        num_clips_B = -(-batch.lengths_B // self.options.clip_segments)
        places_J = torch.arange(tokens_BJNH.shape[1], device=tokens_BJNH.device)
        real_BJ = places_J < num_clips_B[:, None]
        # from each sample's own last clip: what is behind it comes after everything in both directions
        reverse_BJ = (num_clips_B[:, None] - 1 - places_J).clamp(min=0)
        reversed_BJNH = tokens_BJNH[torch.arange(len(tokens_BJNH), device=places_J.device)[:, None], reverse_BJ]
        seen_2BJH = self._read(tokens_BJNH, reversed_BJNH)
        mean_2BH = masked_mean(self.readout(seen_2BJH), torch.cat([real_BJ, real_BJ]))
        forward_BH, backward_BH = mean_2BH.chunk(2)
        return self.scored(self.head((forward_BH + backward_BH) / 2))

    def _clips(self, batch: Batch) -> Tensor:
        """The tokens of every clip: [B, J, M * segments of a clip, H]."""
        scaled = self.input_scaler(batch)
        length = self.options.clip_segments
        streams = []
        for index, (modality, projection) in enumerate(zip(self.modalities, self.projections, strict=True)):
            x_BTD, valid_BT = scaled[modality.name], batch.valid_BMT[:, index]
            behind = -x_BTD.shape[1] % length
            x_BTH = projection(functional.pad(x_BTD, (0, 0, 0, behind)))
            if self.options.absent == "learned":
                known_BT1 = functional.pad(valid_BT, (0, behind))[..., None]
                x_BTH = torch.where(known_BT1, x_BTH, self.absent_MH[index].to(x_BTH.dtype))
            streams.append(x_BTH.unflatten(1, (-1, length)))
        return torch.cat(streams, dim=2)

    def _read(self, tokens_BJNH: Tensor, reversed_BJNH: Tensor) -> Tensor:
        """The class token of every clip, [2 B, J, H]: first in order, then in reverse order."""
        size = len(tokens_BJNH)
        like = tokens_BJNH[:, 0, :1]
        class_B1H = self.class_token_H.expand_as(like).to(like.dtype)
        memory_B1H = back_B1H = self.memory_H.expand_as(like).to(like.dtype)
        found = []
        for clip_BNH, back_clip_BNH in zip(tokens_BJNH.unbind(1), reversed_BJNH.unbind(1), strict=True):
            ahead = torch.cat([memory_B1H, clip_BNH, class_B1H], dim=1)
            behind = torch.cat([class_B1H, back_clip_BNH, back_B1H], dim=1)
            mixed = self.mixer(torch.cat([ahead, behind]))
            memory_B1H, back_B1H = mixed[:size, :1], mixed[size:, -1:]
            found.append(torch.cat([mixed[:size, -1], mixed[size:, 0]]))
        return torch.stack(found, dim=1)


MLP_MIXER = System(
    title="MLP-Mixer",
    source="Xia et al., Skating-Mixer, AAAI 2023",
    summary="an MLP mixes the streams' tokens clip by clip and hands on a memory, in both directions",
    family="incomplete",
    builder=MlpMixer,
    options=MlpMixerOptions,
    absent="zeros, as the published comparison",
    checked="parameter counts of the public code (two streams, width 512, 8 segments a clip)",
    changed="an input map of its own for every stream; its paper knows complete streams only",
    learning_rate=5e-4,
    small={"hidden": 32, "options": {"clip_segments": 8}},
)
