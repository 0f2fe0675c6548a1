"""Small layers that several networks share; each leaves out absent streams and invalid segments."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
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


def masked_mean(x_BNH: Float[Tensor, "B N H"], real_BN: Bool[Tensor, "B N"]) -> Float[Tensor, "B H"]:
    """[B, N, H] -> [B, H]: mean over the places that are real; zeros where none is."""
    total_BH = x_BNH.masked_fill(~real_BN[..., None], 0.0).sum(dim=1)
    return total_BH / real_BN.sum(dim=1, keepdim=True).clamp(min=1)


def masked_mse(
    found: Float[Tensor, "*places D"], target: Float[Tensor, "*places D"], real: Bool[Tensor, "*places"]
) -> Float[Tensor, ""]:
    """Mean squared error over the places that are real; `real` lacks the last dimension. Zero where none is."""
    squared = (found - target).square().masked_fill(~real[..., None], 0.0)
    return squared.sum() / (real.sum() * found.shape[-1]).clamp(min=1)


def hidden_BM(batch: Batch) -> Bool[Tensor, "B M"]:
    """[B, M]: streams that exist but are hidden in this step: what a reconstruction can learn from.

    All False where the batch does not bring them, as when scoring.
    """
    if batch.owned is None:
        return torch.zeros_like(batch.present_BM)
    return batch.owned.present_BM & ~batch.present_BM


def fixed_noise(length: int, width: int, *, purpose: str) -> Tensor:
    """[length, width] of N(0, 1), the same on every call: the noise belongs to the model, and every sample gets it.

    So a score that is made from noise depends on nothing but the recording: not on its id, not on the samples beside
    it, and not on the unit of its features, as noise seeded by feature values would. A longer draw begins with the
    shorter one, so padding does not change it either.
    """
    drawn = np.random.default_rng(integer(purpose)).standard_normal((length, width), dtype=np.float64)
    return torch.from_numpy(drawn).float()


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
    return Batch(
        ids=batch.ids,
        features=features,
        present_BM=present_BM,
        valid_BMT=torch.stack(valid, dim=1),
        lengths_B=batch.lengths_B,
        unit_scores_BC=batch.unit_scores_BC,
        words=batch.words,
    )


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
