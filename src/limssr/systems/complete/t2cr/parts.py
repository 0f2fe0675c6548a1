"""Parts of T2CR: gates over channels and clips, the encoder of a path, the regressor, the contrast of two paths."""

import torch
from torch import Tensor, nn
from torch.nn import functional

REDUCTION = 16


class ChannelGate(nn.Module):
    """Squeeze and excitation: a gate per channel from the channels' means over a sequence.

    Args:
        width: Channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        middle = max(1, width // REDUCTION)
        self.layers = nn.Sequential(
            nn.Linear(width, middle, bias=False), nn.ReLU(), nn.Linear(middle, width, bias=False), nn.Sigmoid()
        )

    def forward(self, x_NSD: Tensor) -> Tensor:
        """[N, S, D] -> the same shape."""
        return x_NSD * self.layers(x_NSD.mean(dim=1))[:, None]


class ClipGate(nn.Module):
    """A gate per clip and a gate per feature, each from means and maxima (as CBAM does for pictures), and a residual.

    Args:
        num_clips: S.
    """

    def __init__(self, num_clips: int) -> None:
        super().__init__()
        middle = max(1, num_clips // 10)
        self.clips = nn.Sequential(
            nn.Linear(num_clips, middle, bias=False), nn.ReLU(), nn.Linear(middle, num_clips, bias=False)
        )
        self.features = nn.Conv1d(2, 1, kernel_size=3, padding=1)

    def forward(self, x_NSD: Tensor) -> Tensor:
        """[N, S, D] -> the same shape."""
        gate_NS = torch.sigmoid(self.clips(x_NSD.amax(dim=2)) + self.clips(x_NSD.mean(dim=2)))
        gated_NSD = x_NSD * gate_NS[..., None]
        both_N2D = torch.stack([gated_NSD.amax(dim=1), gated_NSD.mean(dim=1)], dim=1)
        return x_NSD + gated_NSD * torch.sigmoid(self.features(both_N2D))


class PathEncoder(nn.Module):
    """One path's clips -> tokens, a first score and a class; both paths share it.

    Args:
        dim: D of the stream.
        hidden: H of a token.
        num_clips: Of the dense path.
        num_coarse: Of the coarse path, which is lifted to the dense one's number.
        num_criteria: C.
        num_classes: Of the class head.
    """

    def __init__(
        self, dim: int, hidden: int, *, num_clips: int, num_coarse: int, num_criteria: int, num_classes: int
    ) -> None:
        super().__init__()
        self.lift = nn.Sequential(
            nn.Conv1d(num_coarse, num_clips, kernel_size=3, padding=1),
            nn.BatchNorm1d(num_clips),
            nn.ReLU(),
            nn.Conv1d(num_clips, num_clips, kernel_size=3, padding=1),
            nn.BatchNorm1d(num_clips),
            nn.ReLU(),
        )
        self.gates = nn.Sequential(ChannelGate(dim), ClipGate(num_clips))
        self.tokens = nn.Sequential(nn.Linear(dim, 4 * hidden), nn.ReLU(), nn.Linear(4 * hidden, hidden), nn.ReLU())
        self.score = nn.Linear(hidden, num_criteria)
        self.classes = nn.Linear(hidden, num_classes)

    def forward(self, clips_NSD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens [N, S, H], first scores [N, C] and probabilities of the classes [N, K]."""
        tokens_NSH = self.tokens(self.gates(clips_NSD))
        mean_NH = tokens_NSH.mean(dim=1)
        return tokens_NSH, self.score(mean_NH), self.classes(mean_NH).softmax(dim=-1)


class TokenRegressor(nn.Module):
    """Tokens -> a number per criterion: a network for each token with a channel gate, then the mean over tokens.

    Args:
        hidden: H.
        num_criteria: C.
    """

    def __init__(self, hidden: int, num_criteria: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(hidden, 4 * hidden),
            nn.ReLU(),
            nn.Linear(4 * hidden, hidden),
            nn.ReLU(),
            ChannelGate(hidden),
            nn.Linear(hidden, num_criteria),
        )

    def forward(self, tokens_NSH: Tensor) -> Tensor:
        """[N, S, H] -> [N, C]."""
        return self.layers(tokens_NSH).mean(dim=1)


def path_contrast(first_NH: Tensor, second_NH: Tensor, *, temperature: float) -> Tensor:
    """SimCLR's loss: of all vectors of a batch, the other path of the same sample shall be the most similar one."""
    unit_2NH = functional.normalize(torch.cat([first_NH, second_NH]), dim=1)
    itself = torch.eye(len(unit_2NH), dtype=torch.bool, device=unit_2NH.device)
    similarity = (unit_2NH @ unit_2NH.T / temperature).masked_fill(itself, -torch.inf)
    partner = torch.arange(len(unit_2NH), device=unit_2NH.device).roll(len(first_NH))
    return functional.cross_entropy(similarity, partner)
