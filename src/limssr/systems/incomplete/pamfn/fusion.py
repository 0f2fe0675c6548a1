"""The mixed branch of PAMFN: what one of its blocks does with the maps of all streams."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from limssr.nn.layers import RowBatchNorm
from limssr.nn.sequences import RealRows, TimeConv

CLOSED = -1e9
"""Added to the attention of mixtures that the policy leaves out."""
LOWEST_TEMPERATURE = 0.1
START_DEVIATION = 0.02
Pool = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Maps:
    """The streams' maps at one length.

    Attributes:
        streams: M tensors [B, T, H]; zeros where a stream is absent or not valid.
        real_BT: The places that the samples have.
    """

    streams: Sequence[Tensor]
    real_BT: Tensor


class PlaceAttention(nn.Module):
    """At every place by itself, one query reads N keys, several heads.

    Args:
        hidden: H.
        num_heads: Divide H.
        dropout: Of the attention.
        prefers: "dissimilar" turns the scores around, so that a key unlike the query weighs more.
    """

    def __init__(self, hidden: int, num_heads: int, dropout: float, prefers: Literal["similar", "dissimilar"]) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.sign = 1.0 if prefers == "similar" else -1.0
        self.query, self.key, self.value = (nn.Linear(hidden, hidden) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, query_BTH: Tensor, keys_BTNH: Tensor, bias_BTN: Tensor | None = None) -> Tensor:
        """[B, T, H]; `bias_BTN` is added to the scores of all heads."""
        query = self.query(query_BTH).unflatten(2, (self.num_heads, -1))
        key, value = (layer(keys_BTNH).unflatten(3, (self.num_heads, -1)) for layer in (self.key, self.value))
        scores = torch.einsum("bthd,btnhd->bthn", query, key) * (self.sign / math.sqrt(query.shape[-1]))
        if bias_BTN is not None:
            scores = scores + bias_BTN[:, :, None]
        return torch.einsum("bthn,btnhd->bthd", self.dropout(scores.softmax(dim=3)), value).flatten(2)


class FixedStart(nn.Module):
    """What the first block makes of a map of zeros: constants take the place of convolutions over nothing.

    Args:
        hidden: H.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.deep_H = nn.Parameter(torch.randn(hidden) * START_DEVIATION)
        self.short_H = nn.Parameter(torch.randn(hidden) * START_DEVIATION)
        self.conv = TimeConv(hidden, hidden, nn.ReLU)

    def forward(self, real_BT: Tensor) -> Tensor:
        """Which places are real -> [B, T, H]."""
        constant_BTH = torch.where(real_BT[..., None], self.deep_H, 0.0)
        return self.conv(constant_BTH, real_BT) + torch.where(real_BT[..., None], self.short_H, 0.0)


class StateUpdate(nn.Module):
    """The mixed state of the block before, 3 H wide, to H: two convolutions beside a shortcut.

    Args:
        hidden: H.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.enter = TimeConv(3 * hidden, hidden, nn.ReLU)
        self.conv = TimeConv(hidden, hidden, nn.ReLU)
        self.shortcut = RealRows(hidden, nn.Linear(3 * hidden, hidden), RowBatchNorm(hidden), nn.ReLU())

    def forward(self, state_BTN: Tensor, real_BT: Tensor) -> Tensor:
        """[B, T, 3 H] -> [B, T, H]."""
        return self.conv(self.enter(state_BTN, real_BT), real_BT) + self.shortcut(state_BTN, real_BT)


class Mixtures(nn.Module):
    """K soft mixtures of the streams, each with convolutions of its own, and a policy that says how many are read.

    Args:
        hidden: H.
        num_streams: M.
        num_mixtures: K.
        pool: From the length of the streams' maps to that of the mixed state.
    """

    def __init__(self, hidden: int, num_streams: int, num_mixtures: int, pool: Pool) -> None:
        super().__init__()
        self.pool = pool
        self.weigh = nn.ModuleList(
            RealRows(
                num_mixtures,
                nn.Linear(hidden, hidden),
                RowBatchNorm(hidden),
                nn.ReLU(),
                nn.Linear(hidden, num_mixtures),
            )
            for _ in range(num_streams)
        )
        self.first, self.second = (
            nn.ModuleList(TimeConv(hidden, hidden, nn.ReLU) for _ in range(num_mixtures)) for _ in range(2)
        )
        self.policy = nn.Linear(num_streams * hidden, num_mixtures)

    def forward(self, maps: Maps, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """The mixtures at the length of the mixed state [B, T, K, H], and what closes some of them [B, T, K]."""
        real_BT = maps.real_BT
        weights_BTMK = torch.stack(
            [weigh(map_BTH, real_BT) for weigh, map_BTH in zip(self.weigh, maps.streams, strict=True)], dim=2
        ).softmax(dim=2)
        mixed_BTKH = torch.einsum("btmk,btmh->btkh", weights_BTMK, torch.stack(list(maps.streams), dim=2))
        found = []
        for mixed_BTH, first, second in zip(mixed_BTKH.unbind(2), self.first, self.second, strict=True):
            found.append(self.pool(second(first(mixed_BTH, real_BT), real_BT) + mixed_BTH, real_BT)[0])
        logits_BTK, _ = self.pool(self.policy(torch.cat(list(maps.streams), dim=2)), real_BT)
        return torch.stack(found, dim=2), self._closing(logits_BTK, temperature)

    def _closing(self, logits_BTK: Tensor, temperature: Tensor) -> Tensor:
        """0 for the mixtures up to the chosen number, very negative behind it; in training the choice is drawn."""
        if self.training:
            tau = temperature.clamp(min=LOWEST_TEMPERATURE)
            choice_BTK = functional.gumbel_softmax(logits_BTK, tau=tau, hard=True, dim=2)  # type: ignore[arg-type]
        else:
            choice_BTK = functional.one_hot(logits_BTK.argmax(dim=2), logits_BTK.shape[2]).to(logits_BTK.dtype)
        return closing_bias(choice_BTK)


def closing_bias(choice_BTK: Tensor) -> Tensor:
    """One choice of K at each place -> 0 up to the chosen one and very negative behind it; the choice's gradient."""
    chosen_BT1 = choice_BTK.argmax(dim=2, keepdim=True)
    behind_BTK = torch.arange(choice_BTK.shape[2], device=choice_BTK.device) > chosen_BT1
    return torch.zeros_like(choice_BTK).masked_fill(behind_BTK, CLOSED) + choice_BTK - choice_BTK.detach()


@dataclass(frozen=True, kw_only=True)
class BlockSizes:
    """Sizes of a block: H, M, K, the heads of both attentions, and dropout."""

    hidden: int
    num_streams: int
    num_mixtures: int
    specific_heads: int
    cross_heads: int
    dropout: float


class FusionBlock(nn.Module):
    """Mixed state, what it reads of single streams, and what it reads of mixtures of streams, side by side.

    Args:
        sizes: Of the block.
        place: "first": it starts from constants; "later": from the state of the block before.
        pool: From the length of the finer maps to that of the coarser ones.
    """

    def __init__(self, sizes: BlockSizes, place: Literal["first", "later"], pool: Pool) -> None:
        super().__init__()
        hidden = sizes.hidden
        self.start = FixedStart(hidden) if place == "first" else None
        self.update = StateUpdate(hidden) if place == "later" else None
        self.specific_query = nn.Linear(hidden, hidden)
        self.specific = PlaceAttention(hidden, sizes.specific_heads, sizes.dropout, "dissimilar")
        self.mixtures = Mixtures(hidden, sizes.num_streams, sizes.num_mixtures, pool)
        self.cross_query = nn.Linear(2 * hidden, hidden)
        self.cross = PlaceAttention(hidden, sizes.cross_heads, sizes.dropout, "similar")

    def forward(self, state_BTN: Tensor | None, fine: Maps, coarse: Maps, temperature: Tensor) -> Tensor:
        """The new state [B, T, 3 H] at the length of the coarse maps, zeros where nothing is real."""
        real_BT = coarse.real_BT
        if self.update is not None and state_BTN is not None:
            mixed_BTH = self.update(state_BTN, real_BT)
        elif self.start is not None:
            mixed_BTH = self.start(real_BT)
        else:
            raise ValueError("Expected a state for a later block, found none.")
        streams_BTMH = torch.stack(list(coarse.streams), dim=2)
        specific_BTH = self.specific(self.specific_query(mixed_BTH), streams_BTMH)
        mixtures_BTKH, closing_BTK = self.mixtures(fine, temperature)
        query_BTH = self.cross_query(torch.cat([mixed_BTH, specific_BTH], dim=2))
        cross_BTH = self.cross(query_BTH, mixtures_BTKH, closing_BTK)
        return torch.cat([mixed_BTH, specific_BTH, cross_BTH], dim=2).masked_fill(~real_BT[..., None], 0.0)
