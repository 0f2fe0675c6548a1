"""The input map of the GDLT family: two maps of single segments, with BatchNorm over segments that exist."""

from torch import Tensor, nn

from limssr.model.tokens import RowBatchNorm


class GdltProjector(nn.Module):
    """One stream's segments to the trunk's width (convolutions of kernel 1, so each segment by itself).

    The middle has half of the stream's width, as in the public code, but is kept between once and twice the trunk's
    width: a stream of five features is not squeezed through two, and a small trunk stays small.

    Args:
        dim: D of the stream.
        hidden: H of the trunk.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        middle = min(max(dim // 2, hidden), 2 * hidden)
        self.layers = nn.Sequential(
            nn.Linear(dim, middle),
            RowBatchNorm(middle),
            nn.ReLU(),
            nn.Linear(middle, hidden),
            RowBatchNorm(hidden),
        )

    def forward(self, x_BTD: Tensor, real_BT: Tensor) -> Tensor:
        """[B, T, D] and which segments are real -> [B, T, H], zeros where nothing is."""
        out_BTH = x_BTD.new_zeros((*real_BT.shape, self.hidden))
        if not real_BT.any():
            return out_BTH
        rows = self.layers(x_BTD[real_BT])
        return out_BTH.to(rows.dtype).masked_scatter(real_BT[..., None], rows)
