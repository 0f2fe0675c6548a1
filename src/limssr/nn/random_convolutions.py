"""Random convolutions over time: many kernels that are drawn once and never trained, summed up over a performance.

A moment forgets order; a kernel that answers to a rise, a dip or a rhythm does not. Thousands of random ones with a
linear map on top are as good as trained networks on many sets of time series (ROCKET: Dempster et al.,
arXiv:1910.13051; biases at quantiles of the data: MiniRocket, arXiv:2012.08791; kernels that compete: Hydra,
arXiv:2203.13652). This is a version for streams with gaps: each run of valid segments is a series of its own, so no
kernel reads across what is missing.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from limssr.core.types import Modality, Sample
from limssr.data.batching import collate

TAPS = 5
MOST_CHANNELS = 3
COMPETING = 8
FIT_SAMPLES = 64
LARGEST = 5.0
FARTHEST = 16


class RandomConvolutions(nn.Module):
    """A stream -> for each kernel how often it answers, how strongly, and how often it wins among eight.

    The share of places where the answer is above the kernel's bias, the largest answer, and the root of the share of
    places where it is the largest of its eight.

    Args:
        modality: The stream.
        num_kernels: K, a multiple of 8 times the number of dilations.
        dilations: Distances between neighbouring taps, in segments.
        seed: Of channels, weights and places of the biases; all of them are saved.
    """

    def __init__(self, modality: Modality, *, num_kernels: int, dilations: Sequence[int], seed: int) -> None:
        super().__init__()
        self.modality, self.dilations, self.num_kernels = modality, tuple(dilations), num_kernels
        draws = torch.Generator().manual_seed(seed)
        num_channels = min(MOST_CHANNELS, modality.dim)
        weights_KCL = torch.randn(num_kernels, num_channels, TAPS, generator=draws)
        weights_KCL /= weights_KCL.square().sum((1, 2), keepdim=True).sqrt()
        channels_KC = [torch.randperm(modality.dim, generator=draws)[:num_channels] for _ in range(num_kernels)]
        self.register_buffer("weights_KCL", weights_KCL)
        self.register_buffer("channels_KC", torch.stack(channels_KC))
        self.register_buffer("levels_K", torch.rand(num_kernels, generator=draws))
        self.register_buffer("bias_K", torch.zeros(num_kernels))
        self.register_buffer("mean_D", torch.zeros(modality.dim))
        self.register_buffer("deviation_D", torch.ones(modality.dim))

    @property
    def num_outputs(self) -> int:
        """3 K."""
        return 3 * self.num_kernels

    @torch.no_grad()
    def fit(self, samples: Sequence[Sample]) -> None:
        """Measure the scale of the features and the biases on training samples; their scores are not looked at."""
        name = self.modality.name
        owned = [sample for sample in samples if name in sample.streams]
        rows = [sample.streams[name][~np.isnan(sample.streams[name]).any(axis=1)] for sample in owned]
        rows_ND = np.concatenate(rows).astype(np.float64) if rows else np.empty((0, self.modality.dim))
        if not len(rows_ND):
            return
        deviation_D = rows_ND.std(axis=0)
        self.get_buffer("mean_D").copy_(torch.from_numpy(rows_ND.mean(axis=0)))
        self.get_buffer("deviation_D").copy_(torch.from_numpy(np.where(deviation_D > 1e-8, deviation_D, 1.0)))
        some = [Sample(one.id, {name: one.streams[name]}) for one in owned[:: -(-len(owned) // FIT_SAMPLES)]]
        batch = collate(some, [self.modality], ())
        for part, answers_RKT, placed_RT, _ in self._answers(batch.features[name], batch.valid_BMT[:, 0]):
            ordered_KN = answers_RKT.transpose(0, 1)[:, placed_RT].sort(dim=1).values
            place_K1 = (self.get_buffer("levels_K")[part] * (ordered_KN.shape[1] - 1)).long()[:, None]
            self.get_buffer("bias_K")[part] = ordered_KN.gather(1, place_K1)[:, 0]

    @torch.no_grad()
    def forward(self, features_BTD: Tensor, valid_BT: Tensor) -> Tensor:
        """[B, T, D], [B, T] -> [B, 3 K]; zeros for a sample without a valid segment."""
        size = len(features_BTD)
        if not valid_BT.any():
            return features_BTD.new_zeros(size, self.num_outputs)
        count_B1 = valid_BT.sum(dim=1, keepdim=True).clamp(min=1)
        found = []
        for part, answers_RKT, placed_RT, owner_R in self._answers(features_BTD, valid_BT):
            placed_R1T = placed_RT[:, None]
            above_RKT = (answers_RKT > self.get_buffer("bias_K")[part][:, None]) & placed_R1T
            best_RGT = answers_RKT.unflatten(1, (-1, COMPETING)).argmax(dim=2)
            wins_RGTS = functional.one_hot(best_RGT, COMPETING) * placed_RT[:, None, :, None]
            largest_RK = answers_RKT.masked_fill(~placed_R1T, -torch.inf).amax(dim=2)
            sums_BK = [
                answers_RKT.new_zeros(size, one.shape[1]).index_add_(0, owner_R, one.to(answers_RKT.dtype)) / count_B1
                for one in (above_RKT.sum(dim=2), wins_RGTS.sum(dim=2).flatten(1))
            ]
            largest_BK = torch.full_like(sums_BK[0], -torch.inf)
            largest_BK.scatter_reduce_(0, owner_R[:, None].expand_as(largest_RK), largest_RK, "amax")
            found += [sums_BK[0], largest_BK.masked_fill(torch.isinf(largest_BK), 0.0), sums_BK[1].sqrt()]
        return torch.cat(found, dim=1)

    def _answers(self, features_BTD: Tensor, valid_BT: Tensor) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
        """For each dilation: its kernels, their answers [R, K', T'] on the R valid runs, where they are, whose."""
        scaled_BTD = (features_BTD - self.get_buffer("mean_D")) / self.get_buffer("deviation_D")
        runs = _valid_runs(valid_BT)
        if not runs:
            return
        pieces = [scaled_BTD[b, start:stop].clamp(-LARGEST, LARGEST) for b, start, stop in runs]
        x_RTD = pad_sequence(pieces, batch_first=True)
        lengths_R = torch.tensor([len(piece) for piece in pieces], device=x_RTD.device)
        placed_RT = torch.arange(x_RTD.shape[1], device=x_RTD.device) < lengths_R[:, None]
        owner_R = torch.tensor([b for b, _, _ in runs], device=x_RTD.device)
        each = self.num_kernels // len(self.dilations)
        for place, dilation in enumerate(self.dilations):
            part = slice(place * each, (place + 1) * each)
            read_RKT = x_RTD[:, :, self.get_buffer("channels_KC")[part].flatten()].transpose(1, 2)
            weights_KCL, reach = self.get_buffer("weights_KCL")[part], (TAPS - 1) * dilation // 2
            yield (
                part,
                functional.conv1d(read_RKT, weights_KCL, dilation=dilation, padding=reach, groups=each),
                placed_RT,
                owner_R,
            )


def dilations_for(lengths: Sequence[int]) -> tuple[int, ...]:
    """1, 2, 4 and so on, as long as a kernel spans no more than three quarters of the median length."""
    reach = 0.75 * float(np.median(lengths)) if len(lengths) else 0.0
    doubled = [2**power for power in range(5) if 2**power <= FARTHEST]
    return tuple(one for one in doubled if one == 1 or (TAPS - 1) * one + 1 <= reach)


def _valid_runs(valid_BT: Tensor) -> list[tuple[int, int, int]]:
    """(sample, first segment, one past the last) of each unbroken run of valid segments."""
    edges_BT = np.diff(np.pad(valid_BT.cpu().numpy().astype(np.int8), ((0, 0), (1, 1))), axis=1)
    samples, starts = np.nonzero(edges_BT == 1)
    _, stops = np.nonzero(edges_BT == -1)
    return [(int(b), int(start), int(stop)) for b, start, stop in zip(samples, starts, stops, strict=True)]
