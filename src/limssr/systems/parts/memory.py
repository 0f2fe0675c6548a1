"""A memory of training samples, and the retrieval of streams from it; nothing in it is trained.

A stored stream is its valid segments brought to a fixed number of points, and a key: their mean. All of it stands in
buffers whose sizes follow from the settings alone, so that a model with a memory is saved and loaded like any other.
A saved model thus carries features of training samples: whoever gets it gets those.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from limssr.core.rng import integer
from limssr.core.types import Batch, Modality, Sample
from limssr.nn.scaling import NEVER_MOVES, is_constant

NEARLY = 1e-5
"""Relative difference below which two recordings are the same: what rounding makes."""
NOBODY = -1
"""Mark of a place of the memory that holds no sample."""


@dataclass(frozen=True)
class Retrieved:
    """What the memory says of the streams that a batch lacks.

    Attributes:
        streams: For each modality [B, T, D]; zeros where nothing was retrieved.
        found_BM: Where a stream was absent and could be retrieved.
    """

    streams: tuple[Tensor, ...]
    found_BM: Tensor


class StreamMemory(nn.Module):
    """Training samples to look up streams in.

    Args:
        modalities: The M streams, in order.
        size: S, samples that it holds at most.
        num_points: P, segments that a stored stream is brought to.
    """

    def __init__(self, modalities: Sequence[Modality], size: int, num_points: int) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.size, self.num_points = size, num_points
        self.register_buffer("owned_SM", torch.zeros(size, len(self.modalities), dtype=torch.bool))
        self.register_buffer("mark_S", torch.full((size,), NOBODY, dtype=torch.int64))
        for index, modality in enumerate(self.modalities):
            self.register_buffer(f"streams_{index}", torch.zeros(size, num_points, modality.dim))
            self.register_buffer(f"keys_{index}", torch.zeros(size, modality.dim))
            self.register_buffer(f"mean_{index}", torch.zeros(modality.dim))
            self.register_buffer(f"deviation_{index}", torch.ones(modality.dim))

    @torch.no_grad()
    def fill(self, samples: Sequence[Sample]) -> None:
        """Store training samples; of more than fit, those that own the most streams, else by their ids alone."""
        names = [modality.name for modality in self.modalities]
        rows = [
            {name: valid_rows(sample.streams[name]) for name in names if name in sample.streams} for sample in samples
        ]
        rows = [{name: block for name, block in row.items() if len(block)} for row in rows]
        order = sorted(range(len(samples)), key=lambda n: (-len(rows[n]), integer("memory", samples[n].id)))
        kept = [n for n in order if rows[n]][: self.size]
        for buffer in self.buffers():
            buffer.zero_()
        self.get_buffer("mark_S").fill_(NOBODY)
        for place, n in enumerate(kept):
            self.get_buffer("mark_S")[place] = mark_of(samples[n].id)
            for index, name in enumerate(names):
                if name in rows[n]:
                    self.get_buffer("owned_SM")[place, index] = True
                    points_PD = torch.from_numpy(rows[n][name]).float()
                    self.get_buffer(f"streams_{index}")[place] = to_length(points_PD, self.num_points)
                    self.get_buffer(f"keys_{index}")[place] = points_PD.mean(dim=0)
        for index in range(len(names)):
            self._scale_keys(index)

    def _scale_keys(self, index: int) -> None:
        """Keys in deviations from the mean key, so that a cosine between them means something."""
        owned_S, keys_SD = self.get_buffer("owned_SM")[:, index], self.get_buffer(f"keys_{index}")
        mean_D, deviation_D = self.get_buffer(f"mean_{index}"), self.get_buffer(f"deviation_{index}")
        deviation_D.fill_(1.0)
        if owned_S.any():
            mean_D.copy_(keys_SD[owned_S].mean(dim=0))
            spread_D = keys_SD[owned_S].std(dim=0, correction=0)
            constant_D = is_constant(spread_D, keys_SD[owned_S].abs().amax(dim=0))
            deviation_D.copy_(torch.where(constant_D, NEVER_MOVES, spread_D))
            keys_SD[owned_S] = functional.normalize((keys_SD[owned_S] - mean_D) / deviation_D, dim=1)

    @torch.no_grad()
    def retrieve(self, batch: Batch, num_neighbours: int, temperature: float) -> Retrieved:
        """Look up every stream that a sample lacks, by the streams that it has.

        A neighbour owns the wanted stream and at least one that the sample has; it counts by the mean cosine of the
        streams that both have. Where no sample of the memory owns both, all that own the wanted stream count alike.

        A sample never finds itself: a stored sample is left out where all streams that both have are the same
        recordings. In training, where a step may show a piece of a sample only, it is left out by its id as well; when
        scoring an id says nothing.
        """
        usable_BM = batch.present_BM & batch.valid_BMT.any(dim=2)
        similarity_BS, shared_BS = self._similarity(batch, usable_BM)
        other_BS = ~self._same_recording(batch, usable_BM, shared_BS)
        if self.training:
            marks_B = torch.tensor([mark_of(name) for name in batch.ids], device=usable_BM.device)
            other_BS = other_BS & (marks_B[:, None] != self.get_buffer("mark_S")[None])
        streams, found = [], []
        for index in range(len(self.modalities)):
            owners_BS = other_BS & self.get_buffer("owned_SM")[None, :, index]
            weights_BS = neighbour_weights(similarity_BS, owners_BS & shared_BS, num_neighbours, temperature)
            alike_BS = owners_BS / owners_BS.sum(dim=1, keepdim=True).clamp(min=1)
            weights_BS = torch.where((owners_BS & shared_BS).any(dim=1, keepdim=True), weights_BS, alike_BS)
            stored_BPD = torch.einsum("bs,spd->bpd", weights_BS, self.get_buffer(f"streams_{index}"))
            found_B = ~usable_BM[:, index] & owners_BS.any(dim=1)
            at_length_BTD = stretched(stored_BPD, batch.lengths_B, batch.valid_BMT.shape[2])
            streams.append(at_length_BTD.masked_fill(~found_B[:, None, None], 0.0))
            found.append(found_B)
        return Retrieved(tuple(streams), torch.stack(found, dim=1))

    def _same_recording(self, batch: Batch, usable_BM: Tensor, shared_BS: Tensor) -> Tensor:
        """[B, S]: where every stream that both have is the same recording, whole."""
        same_BS, owned_SM = shared_BS.clone(), self.get_buffer("owned_SM")
        for row, index in usable_BM.nonzero().tolist():
            name, stored_SPD = self.modalities[index].name, self.get_buffer(f"streams_{index}")
            own_PD = to_length(batch.features[name][row, batch.valid_BMT[row, index]], self.num_points)
            allowed = NEARLY * own_PD.abs().amax()
            for point in (slice(0, 1), slice(None)):  # few agree in the first, and only those are looked at whole
                both_S = same_BS[row] & owned_SM[:, index]
                if both_S.any():
                    apart_S = (stored_SPD[both_S, point] - own_PD[point]).abs().amax(dim=(1, 2))
                    same_BS[row, both_S] = apart_S <= allowed
        return same_BS

    def _similarity(self, batch: Batch, usable_BM: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cosine [B, S] over the streams that both have, and where there is any [B, S]."""
        owned_SM = self.get_buffer("owned_SM")
        total_BS = torch.zeros(len(batch), self.size, device=usable_BM.device)
        for index, modality in enumerate(self.modalities):
            valid_BT1 = batch.valid_BMT[:, index, :, None]
            x_BTD = batch.features[modality.name].masked_fill(~valid_BT1, 0.0)
            mean_BD = x_BTD.sum(dim=1) / valid_BT1.sum(dim=1).clamp(min=1)
            scaled_BD = (mean_BD - self.get_buffer(f"mean_{index}")) / self.get_buffer(f"deviation_{index}")
            cosine_BS = functional.normalize(scaled_BD, dim=1) @ self.get_buffer(f"keys_{index}").T
            total_BS += cosine_BS.masked_fill(~(usable_BM[:, index, None] & owned_SM[None, :, index]), 0.0)
        num_shared_BS = usable_BM.float() @ owned_SM.float().T
        return total_BS / num_shared_BS.clamp(min=1), num_shared_BS > 0


def neighbour_weights(similarity_BS: Tensor, allowed_BS: Tensor, num_neighbours: int, temperature: float) -> Tensor:
    """[B, S]: softmax of similarity / temperature over the nearest allowed; zeros in rows where none is allowed."""
    ranked_BS = similarity_BS.masked_fill(~allowed_BS, -torch.inf)
    nearest = ranked_BS.topk(min(num_neighbours, ranked_BS.shape[1]), dim=1)
    weights_BK = (nearest.values / temperature).softmax(dim=1)
    weights_BK = weights_BK.masked_fill(nearest.values.isinf(), 0.0)  # rows of -inf only are NaN before this
    return torch.zeros_like(similarity_BS).scatter(1, nearest.indices, weights_BK)


def stretched(x_BPD: Tensor, lengths_B: Tensor, num_segments: int) -> Tensor:
    """[B, P, D] -> [B, T, D]: each row stretched to its own length by straight lines, zeros behind it."""
    last_point = x_BPD.shape[1] - 1
    times_T = torch.arange(num_segments, device=x_BPD.device, dtype=x_BPD.dtype)
    share_BT = times_T[None] / (lengths_B[:, None] - 1).clamp(min=1)
    place_BT = share_BT.clamp(max=1.0) * last_point
    before_BT = place_BT.floor().long().clamp(max=last_point)
    after_BT = (before_BT + 1).clamp(max=last_point)
    width = x_BPD.shape[2]
    x_before, x_after = (x_BPD.gather(1, at_BT[..., None].expand(-1, -1, width)) for at_BT in (before_BT, after_BT))
    mixed_BTD = torch.lerp(x_before, x_after, (place_BT - before_BT)[..., None])
    return mixed_BTD.masked_fill((times_T[None] >= lengths_B[:, None])[..., None], 0.0)


def to_length(x_TD: Tensor, length: int) -> Tensor:
    """[T, D] -> [length, D] by straight lines between the segments."""
    return stretched(x_TD[None], torch.tensor([length]), length)[0]


def valid_rows(stream_TD: np.ndarray) -> np.ndarray:
    """The segments that are not missing."""
    return stream_TD[~np.isnan(stream_TD).any(axis=1)]


def mark_of(sample_id: str) -> int:
    """A sample's id as a non-negative number of 62 bits, which a buffer can hold."""
    return integer("mark", sample_id) >> (256 - 62)
