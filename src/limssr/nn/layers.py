"""Small layers that several networks are made of; each leaves out what is not there."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from limssr.core.rng import integer
from limssr.core.types import Batch, Modality, Sample


class RowBatchNorm(nn.BatchNorm1d):
    """BatchNorm over rows [n, H] that really exist.

    One row alone has no deviation: it is normalised by the running statistics, in training too, and does not move them.
    """

    def forward(self, input: Tensor) -> Tensor:
        """[n, H] -> [n, H]."""
        if self.training and len(input) < 2:
            return functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        return super().forward(input)


class Projection(nn.Module):
    """One modality's segments -> the backbone's width (paper 3.3: two layers of kernel 1 with ReLU between).

    It is given only the segments that exist, so padding and absent samples never enter the BatchNorm statistics.
    NOTE(paper): the published code leaves padded segments in; `data.padding: attended` repeats that.

    Args:
        dim: D of the modality.
        hidden: H.
        dropout: Rate after the ReLU.
    """

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim, hidden),
            RowBatchNorm(hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            RowBatchNorm(hidden),
        )

    def forward(self, segments_nD: Tensor) -> Tensor:
        """[n, D] -> [n, H]."""
        return self.layers(segments_nD)


def masked_mean(x_BNH: Tensor, real_BN: Tensor) -> Tensor:
    """[B, N, H] -> [B, H]: mean over the places that are real; zeros where none is."""
    total_BH = x_BNH.masked_fill(~real_BN[..., None], 0.0).sum(dim=1)
    return total_BH / real_BN.sum(dim=1, keepdim=True).clamp(min=1)


def masked_mse(found: Tensor, target: Tensor, real: Tensor) -> Tensor:
    """Mean squared error over the places that are real; `real` lacks the last dimension. Zero where none is."""
    squared = (found - target).square().masked_fill(~real[..., None], 0.0)
    return squared.sum() / (real.sum() * found.shape[-1]).clamp(min=1)


class Projectors(nn.Module):
    """Every stream to one width, segment by segment: two maps with BatchNorm, ReLU and dropout, over real segments.

    Args:
        modalities: M streams.
        hidden: H.
        dropout: After the ReLU.
    """

    def __init__(self, modalities: Sequence[Modality], hidden: int, dropout: float) -> None:
        super().__init__()
        self.names = tuple(modality.name for modality in modalities)
        self.hidden = hidden
        self.layers = nn.ModuleList(Projection(modality.dim, hidden, dropout) for modality in modalities)

    def forward(self, features: dict[str, Tensor], valid_BMT: Tensor) -> Tensor:
        """Stream name -> [B, T, D], and which segments are real -> [B, M, T, H], zeros where nothing is."""
        found = []
        for index, (name, layer) in enumerate(zip(self.names, self.layers, strict=True)):
            valid_BT = valid_BMT[:, index]
            x_BTD = features[name]
            out_BTH = x_BTD.new_zeros((*valid_BT.shape, self.hidden))
            if valid_BT.any():
                rows = layer(x_BTD[valid_BT])
                out_BTH = out_BTH.to(rows.dtype).masked_scatter(valid_BT[..., None], rows)
            found.append(out_BTH)
        return torch.stack(found, dim=1)


def hidden_BM(batch: Batch) -> Tensor:
    """[B, M]: streams that exist but are hidden in this step: what a reconstruction can learn from.

    All False where the batch does not bring them, as when scoring.
    """
    if batch.owned is None:
        return torch.zeros_like(batch.present_BM)
    return batch.owned.present_BM & ~batch.present_BM


def seeded_noise(ids: Sequence[str], length: int, width: int, *, purpose: str, seed: int = 0) -> Tensor:
    """[B, length, width] of N(0, 1), for each sample a function of (purpose, seed, id) alone.

    A longer draw begins with the shorter one, so neither padding nor the rest of the batch changes a sample's noise.
    """
    drawn = [
        np.random.default_rng(integer(purpose, seed, name)).standard_normal((length, width), dtype=np.float64)
        for name in ids
    ]
    return torch.from_numpy(np.stack(drawn)).float()


def filled(batch: Batch, values: Sequence[Tensor]) -> Batch:
    """The same batch with every stream present: a vector [D] of each modality stands where a sample lacks it."""
    positions_T = torch.arange(batch.valid_BMT.shape[2], device=batch.lengths_B.device)
    real_BT = positions_T[None] < batch.lengths_B[:, None]
    features, valid = {}, []
    for index, (name, x_BTD) in enumerate(batch.features.items()):
        absent_B11 = ~batch.present_BM[:, index, None, None]
        features[name] = torch.where(absent_B11, values[index].to(x_BTD.dtype), x_BTD)
        valid.append(torch.where(absent_B11[..., 0], real_BT, batch.valid_BMT[:, index]))
    present_BM = torch.ones_like(batch.present_BM)
    return Batch(batch.ids, features, present_BM, torch.stack(valid, dim=1), batch.lengths_B, batch.unit_scores_BC)


def training_means(samples: Sequence[Sample], modalities: Sequence[Modality]) -> list[Tensor]:
    """Mean [D] of every stream over the valid segments of training samples; zeros for one that no sample owns."""
    means = []
    for modality in modalities:
        blocks = [sample.streams[modality.name] for sample in samples if modality.name in sample.streams]
        rows = [block[~np.isnan(block).any(axis=1)] for block in blocks]
        known = np.concatenate(rows) if rows else np.zeros((0, modality.dim))
        mean_D = known.astype(np.float64).mean(axis=0) if len(known) else np.zeros(modality.dim)
        means.append(torch.from_numpy(mean_D).float())
    return means
