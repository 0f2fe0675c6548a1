"""ActionMAE: one token a stream; the tokens of hidden streams are rebuilt from the others (AAAI 2023).

A stream is read by a transformer whose class token stands for it. The tokens of the present streams and learned memory
tokens go through an encoder; a decoder gets one learned token in place of each other stream and rebuilds the tokens of
all. A sample with every stream is scored from its own tokens, any other from the rebuilt ones: each token by a linear
head, their sum is the score. In training the rebuilt token of a stream that the step hides is compared with the
stream's own token, in deviations of that token; as in the public code the gradient goes through both
(`detach_target` stops it). What is hidden is drawn by the loop, for each sample one of its subsets, where the paper
draws the number of streams first. Positions are added to the tokens as the paper says (the public code computes them
and leaves them out), features take the place of frames, and dropout that of stochastic depth. An absent stream is
nothing that could be read: only the learned token of the decoder stands for it. Widths and depths are those of the
public code; no count of it is known at these inputs.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, ScoreOutput
from limssr.nn.layers import hidden_BM, masked_mean, masked_mse
from limssr.nn.transformers import BidirectionalEncoder, num_heads_of
from limssr.systems.system import ComparisonSystem, System, SystemOptions

PAPER_HIDDEN = 512
TOKEN_DEVIATION = 0.02


class ActionMaeOptions(SystemOptions):
    """Settings of ActionMAE."""

    temporal_depth: int = Field(default=2, ge=0)
    """Transformer layers that read a stream; 0: the mean of its mapped segments is its token."""
    depth: int = Field(default=2, ge=1)
    """Layers of the encoder, and of the decoder."""
    num_heads: int = Field(default=8, ge=1)
    """Attention heads; where they do not divide the width, the next smaller number that does."""
    num_memory: int = Field(default=10, ge=0)
    """Memory tokens."""
    reconstruction: float = Field(default=1.0, ge=0.0)
    """Weight of the reconstruction."""
    complete_samples: Literal["own", "rebuilt"] = "own"
    """Which tokens score a sample that has every stream. Its own (the paper's) are on another scale than rebuilt ones
    and are learned from complete samples alone, which are few in incomplete training data."""
    detach_target: bool = False
    """Whether the reconstruction teaches the rebuilt token alone and not the token that it should equal."""


class StreamToken(nn.Module):
    """One stream to one token.

    Args:
        dim: D of the stream.
        hidden: H.
        options: Depth and heads.
        dropout: In the transformer's layers.
    """

    def __init__(self, dim: int, hidden: int, options: ActionMaeOptions, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(dim, hidden)
        self.encode = None
        if options.temporal_depth:
            num_heads = num_heads_of(hidden, options.num_heads)
            self.class_token_H = nn.Parameter(torch.randn(hidden) * TOKEN_DEVIATION)
            self.encode = BidirectionalEncoder(hidden, options.temporal_depth, num_heads, dropout)

    def forward(self, x_BTD: Tensor, valid_BT: Tensor) -> Tensor:
        """[B, T, D] -> [B, H]; rows without a valid segment get numbers that mean nothing."""
        x_BTH = self.project(x_BTD)
        if self.encode is None:
            return masked_mean(x_BTH, valid_BT)
        first_B1H = self.class_token_H.expand(len(x_BTH), 1, -1).to(x_BTH.dtype)
        real_BL = functional.pad(valid_BT, (1, 0), value=True)
        return self.encode(torch.cat([first_B1H, x_BTH], dim=1), real_BL)[:, 0]


class TokenRebuilder(nn.Module):
    """The masked autoencoder over the streams' tokens.

    Args:
        hidden: H.
        options: Depth, heads and memory.
        dropout: In the layers.
    """

    def __init__(self, hidden: int, options: ActionMaeOptions, dropout: float) -> None:
        super().__init__()
        num_heads = num_heads_of(hidden, options.num_heads)
        self.memory_RH = nn.Parameter(torch.randn(options.num_memory, hidden) * TOKEN_DEVIATION)
        self.mask_token_H = nn.Parameter(torch.randn(hidden) * TOKEN_DEVIATION)
        self.encode = BidirectionalEncoder(hidden, options.depth, num_heads, dropout)
        self.decode = BidirectionalEncoder(hidden, options.depth, num_heads, dropout)
        self.predict = nn.Linear(hidden, hidden)

    def forward(self, tokens_BMH: Tensor, seen_BM: Tensor) -> Tensor:
        """Tokens, and which of them may be read -> [B, M, H], the tokens of all streams rebuilt."""
        num_memory = len(self.memory_RH)
        memory_BRH = self.memory_RH.expand(len(tokens_BMH), -1, -1).to(tokens_BMH.dtype)
        # a token that may not be read is no place of the encoder's sequence, so each sample may keep its own subset
        real_BL = functional.pad(seen_BM, (num_memory, 0), value=True)
        encoded_BLH = self.encode(torch.cat([memory_BRH, tokens_BMH], dim=1), real_BL)
        sequence_BLH = torch.where(real_BL[..., None], encoded_BLH, self.mask_token_H.to(encoded_BLH.dtype))
        decoded_BLH = self.decode(sequence_BLH, torch.ones_like(real_BL))
        return self.predict(decoded_BLH[:, num_memory:])


class ActionMae(ComparisonSystem):
    """Masked autoencoder over one token a stream.

    Args:
        config: `hidden`, `dropout`, `input_scaling` and `output` are used, the rest is of LIMSSR.
        modalities: The M streams, in order.
        criteria: The C criteria.
        options: Depths, memory, the reconstruction.
    """

    looks_at_hidden = True

    def __init__(
        self,
        config: ModelConfig,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        options: ActionMaeOptions,
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        hidden = config.hidden or PAPER_HIDDEN
        self.streams = nn.ModuleList(
            StreamToken(modality.dim, hidden, options, config.dropout) for modality in self.modalities
        )
        self.rebuild = TokenRebuilder(hidden, options, config.dropout)
        self.heads = nn.ModuleList(nn.Linear(hidden, len(self.criteria)) for _ in self.modalities)

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch.

        1. One token a stream; in training also of streams that the step hides, as targets.
        2. The tokens of all streams rebuilt from the present ones.
        3. The sum of linear heads over the own tokens of complete samples, over the rebuilt ones of all others.
        """
        known = batch.owned if self.training and batch.owned is not None else batch
        own_BMH = self._tokens(known)
        seen_BM = batch.valid_BMT.any(dim=2)
        rebuilt_BMH = self.rebuild(own_BMH.masked_fill(~seen_BM[..., None], 0.0), seen_BM)
        read_BMH = rebuilt_BMH
        if self.options.complete_samples == "own":
            read_BMH = torch.where(seen_BM.all(dim=1)[:, None, None], own_BMH, rebuilt_BMH)
        logits_BC = torch.stack([head(read_BMH[:, index]) for index, head in enumerate(self.heads)]).sum(dim=0)
        if not self.training:
            return self.scored(logits_BC)
        target_BM = hidden_BM(batch) & known.valid_BMT.any(dim=2)
        loss = reconstruction_loss(rebuilt_BMH, own_BMH.detach() if self.options.detach_target else own_BMH, target_BM)
        return self.scored(logits_BC, auxiliary={"reconstruction": self.options.reconstruction * loss})

    def _tokens(self, batch: Batch) -> Tensor:
        scaled = self.input_scaler(batch)
        tokens = [
            stream(scaled[modality.name], batch.valid_BMT[:, index])
            for index, (modality, stream) in enumerate(zip(self.modalities, self.streams, strict=True))
        ]
        return torch.stack(tokens, dim=1)


def reconstruction_loss(rebuilt_BMH: Tensor, own_BMH: Tensor, target_BM: Tensor) -> Tensor:
    """Mean squared error of rebuilt tokens against the streams' own, each of these in its own deviations."""
    standardized_BMH = functional.layer_norm(own_BMH, own_BMH.shape[-1:], eps=1e-6)
    return masked_mse(rebuilt_BMH, standardized_BMH, target_BM)


ACTIONMAE = System(
    title="ActionMAE",
    source="Woo et al., AAAI 2023",
    summary="one token a stream, hidden streams' tokens rebuilt by a masked autoencoder with memory",
    family="incomplete",
    builder=ActionMae,
    options=ActionMaeOptions,
    needs_complete_training="pairs",
    hidden_values=("reconstruction",),
    absent="one learned token, from which its token is rebuilt",
    checked="shapes of the public code",
    changed="features for frames; the loop draws what is hidden; dropout for stochastic depth; positions are added",
    learning_rate=5e-4,
    small={"hidden": 32, "options": {"temporal_depth": 0, "num_heads": 4, "num_memory": 2}},
)
