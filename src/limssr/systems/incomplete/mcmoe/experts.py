"""MCMoE's experts: one a stream, each hears every stream, a shared router says step by step whom to believe."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from limssr.nn.layers import RowBatchNorm


class ExpertMixture(nn.Module):
    """M experts and their router.

    An expert is a convolution over three neighbouring segments, which halves the width, and a map of single segments
    back to it, both with BatchNorm over real segments.

    Args:
        hidden: H.
        num_experts: M, one a stream.
    """

    def __init__(self, hidden: int, num_experts: int) -> None:
        super().__init__()
        middle = hidden // 2
        self.experts = nn.ModuleList(
            nn.Sequential(
                nn.Linear(3 * hidden, middle),
                RowBatchNorm(middle),
                nn.GELU(),
                nn.Linear(middle, hidden),
                RowBatchNorm(hidden),
            )
            for _ in range(num_experts)
        )
        self.router = nn.Sequential(nn.Linear(hidden, middle), nn.GELU(), nn.Linear(middle, num_experts))

    def forward(self, x_BMTH: Tensor, real_BMT: Tensor) -> Tensor:
        """Every stream through every expert, mixed as the router says; zeros in, and out, where nothing is real."""
        if not real_BMT.any():
            return torch.zeros_like(x_BMTH)
        heard_n3H = with_neighbours(x_BMTH)[real_BMT]
        said_nEH = torch.stack([expert(heard_n3H) for expert in self.experts], dim=1)
        belief_nE = self.router(x_BMTH[real_BMT]).softmax(dim=-1)
        return _back((belief_nE[..., None] * said_nEH).sum(dim=1), real_BMT)

    def own(self, x_BMTH: Tensor, real_BMT: Tensor) -> Tensor:
        """Every stream through its own expert alone -> [B, M, T, H]."""
        heard_BMT3H = with_neighbours(x_BMTH)
        said = []
        for m, expert in enumerate(self.experts):
            real_BT = real_BMT[:, m]
            rows = expert(heard_BMT3H[:, m][real_BT]) if real_BT.any() else x_BMTH.new_zeros(0, x_BMTH.shape[-1])
            said.append(_back(rows, real_BT))
        return torch.stack(said, dim=1)


def with_neighbours(x_BMTH: Tensor) -> Tensor:
    """Each segment between the one before and the one after it [..., T, 3H]; zeros beyond both ends."""
    before, after = (functional.pad(x_BMTH, (0, 0, *ends)) for ends in ((1, 0), (0, 1)))
    return torch.cat([before[..., :-1, :], x_BMTH, after[..., 1:, :]], dim=-1)


def mixture_divergence(mixture_BMTH: Tensor, own_BMTH: Tensor, real_BMT: Tensor) -> Tensor:
    """KL divergence of the mixture from each stream's own expert on the true stream.

    Both are read as distributions over the H features of a segment; mean over features and over a stream's real
    segments (the public code's reduction), sum over streams, mean over samples.
    """
    log_mixture_BMTH, log_own_BMTH = (functional.log_softmax(x, dim=-1) for x in (mixture_BMTH, own_BMTH))
    divergence_BMT = (log_own_BMTH.exp() * (log_own_BMTH - log_mixture_BMTH)).mean(dim=-1)
    return over_streams(divergence_BMT, real_BMT)


def over_streams(values_BMT: Tensor, real_BMT: Tensor) -> Tensor:
    """Mean over each stream's real segments, sum over a sample's streams, mean over samples."""
    total_BM = values_BMT.masked_fill(~real_BMT, 0.0).sum(dim=2)
    return (total_BM / real_BMT.sum(dim=2).clamp(min=1)).sum() / len(values_BMT)


def _back(rows_nH: Tensor, real: Tensor) -> Tensor:
    """Rows back at the places that are real, zeros elsewhere."""
    return rows_nH.new_zeros(*real.shape, rows_nH.shape[-1]).masked_scatter(real[..., None], rows_nH)
