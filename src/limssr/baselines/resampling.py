"""Sequences of any length to a fixed one, for networks whose weights belong to places in time."""

import torch
from torch import Tensor


def resampled(x_NTD: Tensor, real_NT: Tensor, length: int) -> Tensor:
    """[N, T, D], each row with a real segment -> [N, length, D].

    A row's real segments, gaps closed, are read at `length` even places, linearly between neighbours. As many real
    segments as places are returned as they are.
    """
    count_N1 = real_NT.sum(dim=1, keepdim=True)
    # real segments first, in their order
    order_NT = torch.argsort((~real_NT).to(torch.uint8), dim=1, stable=True)
    places_L = torch.arange(length, device=x_NTD.device)
    wanted_NL = ((places_L + 0.5) * count_N1 / length - 0.5).clamp(min=0.0)
    wanted_NL = torch.minimum(wanted_NL, (count_N1 - 1).to(wanted_NL.dtype))
    before_NL = wanted_NL.floor().long()
    after_NL = torch.minimum(before_NL + 1, count_N1 - 1)
    share_NL1 = (wanted_NL - before_NL)[..., None].to(x_NTD.dtype)

    def read(places_NL: Tensor) -> Tensor:
        segments_NL1 = order_NT.gather(1, places_NL)[..., None]
        return x_NTD.gather(1, segments_NL1.expand(-1, -1, x_NTD.shape[2]))

    return torch.lerp(read(before_NL), read(after_NL), share_NL1)
