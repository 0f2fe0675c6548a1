"""Moments of the streams over time, read by an ensemble of small networks.

A mean over hidden states forgets how much a performance varies and on which scale, and both carry much of a judgement
(docs/heads.md has the measurements). Here every stream is summed up by moments of its raw features, each moment is
brought to a normal shape by its training quantiles, and several small networks that share nothing read them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from limssr.core.config import StatisticsConfig
from limssr.core.types import Modality, Sample
from limssr.data.batching import collate

NUM_QUANTILES = 100


LARGEST_DEVIATION = 2.5


MOMENTS = ("mean", "deviation", "minimum", "maximum", "deviation of steps", "mean size of steps")


FIT_BATCH = 64


SKETCHED = 1000
"""Training samples that the directions of a reduction are measured on, at most."""


QUANTILES_AT_ONCE = 4_000_000


LARGEST_INPUT = 5.0


class PooledStatistics(nn.Module):
    """Each stream -> its moments over time, in training quantiles.

    For every feature: mean, deviation, minimum and maximum over valid segments, deviation and mean absolute size of the
    steps between neighbouring valid segments. Once a sample: the logarithm of its number of segments.

    The moments of a wide stream are reduced to the directions in which training samples differ most, without a look at
    their scores: thousands of inputs of one size move a network of one hidden layer so far in a step that its training
    diverges.

    Args:
        modalities: Streams, in the model's order.
        widest: Moments that all streams may have together before wide ones are reduced; None: no limit.
    """

    def __init__(self, modalities: Sequence[Modality], widest: int | None) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.widths = tuple(len(MOMENTS) * modality.dim for modality in self.modalities)
        for place, width in enumerate((*self.widths, 1)):
            flat = torch.linspace(-1.0, 1.0, NUM_QUANTILES).expand(width, -1)
            self.register_buffer(f"quantiles_{place}", flat.contiguous())
        most = max(self.widths) if widest is None else max(16, widest // len(self.modalities))
        self.read_widths = tuple(min(width, most) for width in self.widths)
        for m, (width, read) in enumerate(zip(self.widths, self.read_widths, strict=True)):
            if read < width:
                self.register_buffer(f"directions_{m}", torch.zeros(width, read))

    @property
    def num_outputs(self) -> int:
        """S: all statistics of all streams, the length, and one presence flag a stream."""
        return sum(self.read_widths) + 1 + len(self.modalities)

    @torch.no_grad()
    def fit(self, samples: Sequence[Sample]) -> None:
        """Measure the quantiles of each statistic on the training samples that own the stream."""
        pooled: list[list[Tensor]] = [[] for _ in range(len(self.modalities) + 1)]
        for start in range(0, len(samples), FIT_BATCH):
            unscored = [replace(sample, scores=np.empty(0)) for sample in samples[start : start + FIT_BATCH]]
            batch = collate(unscored, self.modalities, ())
            for m, modality in enumerate(self.modalities):
                owners = batch.present_BM[:, m]
                pooled[m].append(moments(batch.features[modality.name][owners], batch.valid_BMT[owners, m]))
            pooled[-1].append(_log_length(batch.lengths_B))
        levels = torch.linspace(0.0, 1.0, NUM_QUANTILES)
        for place, pieces in enumerate(pooled):
            values_NS = torch.cat(pieces)
            if len(values_NS):
                self.get_buffer(f"quantiles_{place}").copy_(_quantiles(values_NS, levels))
        for m, (width, read) in enumerate(zip(self.widths, self.read_widths, strict=True)):
            values_NS = torch.cat(pooled[m])
            if read < width and len(values_NS) > 1:
                normal_NS = _to_normal(values_NS[:: -(-len(values_NS) // SKETCHED)], self.get_buffer(f"quantiles_{m}"))
                self.get_buffer(f"directions_{m}").copy_(_directions(normal_NS, read))

    def forward(
        self, features: Mapping[str, Tensor], valid_BMT: Tensor, present_BM: Tensor, lengths_B: Tensor
    ) -> Tensor:
        """Features [B, T, D] a modality -> [B, S]: statistics (zeros for an absent stream), length, presence flags."""
        parts = []
        for m, modality in enumerate(self.modalities):
            statistics_BS = moments(features[modality.name], valid_BMT[:, m])
            normal_BS = _to_normal(statistics_BS, self.get_buffer(f"quantiles_{m}"))
            if self.read_widths[m] < self.widths[m]:
                normal_BS = (normal_BS @ self.get_buffer(f"directions_{m}")).clamp(-LARGEST_INPUT, LARGEST_INPUT)
            parts.append(normal_BS.masked_fill(~present_BM[:, m, None], 0.0))
        parts.append(_to_normal(_log_length(lengths_B), self.get_buffer(f"quantiles_{len(self.modalities)}")))
        return torch.cat([*parts, present_BM.to(parts[0].dtype)], dim=1)


class Members(nn.Module):
    """E networks of one hidden layer, side by side, each with its own weights and its own dropout noise.

    Args:
        num_members: E.
        num_inputs: S.
        hidden: Width of the hidden layer.
        num_criteria: C.
        input_dropout: Rate on the inputs.
        dropout: Rate on the hidden layer.
    """

    def __init__(
        self,
        num_members: int,
        num_inputs: int,
        *,
        hidden: int,
        num_criteria: int,
        input_dropout: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.num_members = num_members
        self.input_dropout, self.dropout = nn.Dropout(input_dropout), nn.Dropout(dropout)
        self.first = nn.Parameter(_uniform(num_members, num_inputs, hidden, fan_in=num_inputs))
        self.first_offset = nn.Parameter(_uniform(num_members, 1, hidden, fan_in=num_inputs))
        self.second = nn.Parameter(_uniform(num_members, hidden, num_criteria, fan_in=hidden))
        self.second_offset = nn.Parameter(_uniform(num_members, 1, num_criteria, fan_in=hidden))

    def forward(self, inputs_BS: Tensor) -> Tensor:
        """[B, S] -> [E, B, C]."""
        inputs_EBS = self.input_dropout(inputs_BS.expand(self.num_members, -1, -1))
        hidden_EBH = self.dropout(functional.gelu(torch.baddbmm(self.first_offset, inputs_EBS, self.first)))
        return torch.baddbmm(self.second_offset, hidden_EBH, self.second)


def moments(features_BTD: Float[Tensor, "B T D"], valid_BT: Bool[Tensor, "B T"]) -> Float[Tensor, "B S"]:
    """[B, T, D] -> [B, 6 D]: see `PooledStatistics`. A stream without valid segments gives zeros."""
    valid_BT1 = valid_BT[..., None]
    x_BTD = features_BTD.masked_fill(~valid_BT1, 0.0)
    count_B1 = valid_BT.sum(dim=1, keepdim=True).to(x_BTD.dtype)
    mean_BD, deviation_BD = _mean_and_deviation(x_BTD, valid_BT1)
    least_BD = x_BTD.masked_fill(~valid_BT1, torch.inf).amin(dim=1)
    most_BD = x_BTD.masked_fill(~valid_BT1, -torch.inf).amax(dim=1)
    neighbours_BT1 = valid_BT1[:, 1:] & valid_BT1[:, :-1]
    steps_BTD = (x_BTD[:, 1:] - x_BTD[:, :-1]).masked_fill(~neighbours_BT1, 0.0)
    step_deviation_BD = _mean_and_deviation(steps_BTD, neighbours_BT1)[1]
    step_size_BD = _mean_and_deviation(steps_BTD.abs(), neighbours_BT1)[0]
    everything = [mean_BD, deviation_BD, least_BD, most_BD, step_deviation_BD, step_size_BD]
    return torch.cat(everything, dim=1).masked_fill(count_B1 == 0, 0.0)


def _quantiles(values_NS: Tensor, levels_Q: Tensor) -> Tensor:
    """[N, S] -> [S, Q], some columns at a time: there is a limit to what is sorted at once."""
    columns = max(1, QUANTILES_AT_ONCE // len(values_NS))
    return torch.cat([torch.quantile(part, levels_Q, dim=0).T for part in values_NS.split(columns, dim=1)])


def _directions(normal_NS: Tensor, num_read: int) -> Tensor:
    """The directions [S, R] of largest spread, each scaled to spread as the root of its own, 1 on average.

    Half-way between keeping their spreads, where the first outvotes the rest, and making all equal, where noise is as
    large as what the samples have in common. Directions beyond the number of samples are zero.
    """
    values_NS = normal_NS.double()
    spreads_N, left_NN = torch.linalg.eigh(values_NS @ values_NS.T)
    order_R = spreads_N.argsort(descending=True)[:num_read]
    spread_R = spreads_N[order_R].clamp(min=0.0).sqrt()
    is_real_R = spread_R > 1e-6 * spread_R.max().clamp(min=1e-12)
    scale_R = torch.where(is_real_R, spread_R.clamp(min=1e-12).pow(-1.5), 0.0)
    found_SR = values_NS.T @ left_NN[:, order_R] * scale_R
    size = (values_NS @ found_SR[:, is_real_R]).square().mean().sqrt() if is_real_R.any() else 1.0
    directions_SR = values_NS.new_zeros(normal_NS.shape[1], num_read)
    directions_SR[:, : found_SR.shape[1]] = found_SR / size
    return directions_SR.to(normal_NS.dtype)


def _log_length(lengths_B: Tensor) -> Tensor:
    """[B] -> [B, 1]."""
    return lengths_B[:, None].to(torch.float32).log()


def _mean_and_deviation(x_BTD: Tensor, valid_BT1: Tensor) -> tuple[Tensor, Tensor]:
    count_B1 = valid_BT1.sum(dim=1).clamp(min=1).to(x_BTD.dtype)
    mean_BD = x_BTD.sum(dim=1) / count_B1
    centred_BTD = (x_BTD - mean_BD[:, None]).masked_fill(~valid_BT1, 0.0)
    return mean_BD, (centred_BTD.square().sum(dim=1) / count_B1).sqrt()


def _to_normal(values_BS: Tensor, quantiles_SQ: Tensor) -> Tensor:
    """Values -> the normal deviate of their place among the training quantiles, cut at +-2.5.

    Where many training values are equal, the middle of their places is taken.
    """
    values_SB = values_BS.T.contiguous()
    place_SB = 0.5 * (_place(values_SB, quantiles_SQ) + 1.0 - _place(-values_SB, -quantiles_SQ.flip(1)))
    share_SB = place_SB.clamp(1e-6, 1.0 - 1e-6)
    normal_SB = math.sqrt(2.0) * torch.erfinv(2.0 * share_SB - 1.0)
    return normal_SB.clamp(-LARGEST_DEVIATION, LARGEST_DEVIATION).T


def _place(values_SB: Tensor, quantiles_SQ: Tensor) -> Tensor:
    """Share of the training values below each value, linear between quantiles."""
    upper_SB = torch.searchsorted(quantiles_SQ.contiguous(), values_SB).clamp(1, NUM_QUANTILES - 1)
    above, below = quantiles_SQ.gather(1, upper_SB), quantiles_SQ.gather(1, upper_SB - 1)
    # where two quantiles are equal there is nothing between them: below, or above
    between = (values_SB - below) / torch.where(above > below, above - below, 1.0)
    within = torch.where(above > below, between.clamp(0.0, 1.0), (values_SB > below).to(values_SB.dtype))
    return (upper_SB - 1 + within) / (NUM_QUANTILES - 1)


def _uniform(*shape: int, fan_in: int) -> Tensor:
    return (torch.rand(shape) * 2.0 - 1.0) / math.sqrt(fan_in)


def build_members(num_inputs: int, num_criteria: int, config: StatisticsConfig) -> Members:
    """The ensemble that `config` describes."""
    return Members(
        config.members,
        num_inputs,
        hidden=config.hidden,
        num_criteria=num_criteria,
        input_dropout=config.input_dropout,
        dropout=config.dropout,
    )
