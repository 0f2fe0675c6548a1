"""IMDer's score network: a U-Net over time that looks at a condition at every resolution, and the noise it removes.

Noise grows along t in [0, 1] without shrinking the signal (a variance-exploding process): x(t) = x + std(t) z. The
network tells the score, from which the sampler walks back from pure noise.
"""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from limssr.nn.cross_modal import CrossStack
from limssr.nn.layers import masked_mse

FREQUENCY_SCALE = 30.0
FIRST_TIME = 1e-3
CHANNELS_A_GROUP = 8


def deviation(time: Tensor, sigma: float) -> Tensor:
    """Standard deviation of the noise at a time in [0, 1]."""
    return ((sigma ** (2 * time) - 1) / (2 * math.log(sigma))).sqrt()


class MaskedGroupNorm(nn.Module):
    """GroupNorm whose statistics are of real places alone; zeros elsewhere.

    Args:
        channels: C, in groups of eight, or in one where these do not divide it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_groups = channels // CHANNELS_A_GROUP if channels % CHANNELS_A_GROUP == 0 else 1
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x_BCT: Tensor, real_BT: Tensor) -> Tensor:
        """[B, C, T] -> [B, C, T]."""
        unreal_B11T = ~real_BT[:, None, None]
        grouped = x_BCT.unflatten(1, (self.num_groups, -1)).masked_fill(unreal_B11T, 0.0)
        share_B111 = 1.0 / (real_BT.sum(dim=1) * grouped.shape[2]).clamp(min=1)[:, None, None, None]
        centred = grouped - grouped.sum(dim=(2, 3), keepdim=True) * share_B111
        variance = centred.square().masked_fill(unreal_B11T, 0.0).sum(dim=(2, 3), keepdim=True) * share_B111
        normed = (centred * (variance + 1e-5).rsqrt()).flatten(1, 2)
        return torch.addcmul(self.bias[:, None], normed, self.weight[:, None]).masked_fill(~real_BT[:, None], 0.0)


class Level(nn.Module):
    """One resolution: convolution of the state, plus what it sees in the condition; then time, norm, swish.

    Args:
        convolution: Of the state.
        condition: Convolution of the condition; None: it comes as it is.
        channels: Of the output.
        time_width: Of the embedded time; None: a level without time and norm, as the last is.
        attention: The stack that looks at the condition.
    """

    def __init__(
        self,
        convolution: nn.Module,
        condition: nn.Module | None,
        *,
        channels: int,
        time_width: int | None,
        attention: CrossStack,
    ) -> None:
        super().__init__()
        self.convolution = convolution
        self.condition = condition
        self.time = None if time_width is None else nn.Linear(time_width, channels)
        self.norm = None if time_width is None else MaskedGroupNorm(channels)
        self.attention = attention

    def forward(self, x_BCT: Tensor, condition_BCT: Tensor, time_BE: Tensor, real_BT: Tensor) -> tuple[Tensor, Tensor]:
        """State, condition, embedded time, real places after the convolution -> state and condition."""
        unreal_B1T = ~real_BT[:, None]
        x_BCT = self.convolution(x_BCT)
        if self.condition is not None:
            condition_BCT = self.condition(condition_BCT).masked_fill(unreal_B1T, 0.0)
        looked_BTC = self.attention(x_BCT.transpose(1, 2), condition_BCT.transpose(1, 2), real_BT)
        x_BCT = x_BCT + looked_BTC.transpose(1, 2)
        if self.time is not None and self.norm is not None:
            x_BCT = functional.silu(self.norm(x_BCT + self.time(time_BE)[:, :, None], real_BT))
        return x_BCT.masked_fill(unreal_B1T, 0.0), condition_BCT


class ScoreNetwork(nn.Module):
    """The score of a noised sequence, given a condition of the same length.

    Args:
        width: W of the sequence; each halving of time doubles the channels.
        num_layers: Of attention at each level.
        num_halvings: Of time; the network reads multiples of 2 to this power and pads to them.
        heads: At most this many.
        sigma: Of the process.
    """

    def __init__(self, width: int, *, num_layers: int, num_halvings: int, heads: int, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma
        self.num_halvings = num_halvings
        top = width * 2**num_halvings
        self.register_buffer("frequencies", torch.randn(top // 2) * FREQUENCY_SCALE)
        self.time = nn.Linear(top, top)

        def level(convolution: nn.Module, condition: nn.Module | None, channels: int, time_width: int | None) -> Level:
            stack = CrossStack(channels, num_layers, heads=heads, dropout=0.0)  # noise is enough
            return Level(convolution, condition, channels=channels, time_width=time_width, attention=stack)

        at = [width * 2**index for index in range(num_halvings + 1)]
        down = [(width, width, 1), *((a, b, 2) for a, b in itertools.pairwise(at))]
        self.down = nn.ModuleList(
            level(_convolution(a, b, stride), _convolution(a, b, stride), b, top) for a, b, stride in down
        )
        up = [(b if b == top else 2 * b, b, a) for a, b in itertools.pairwise(at)][::-1]
        self.up = nn.ModuleList(level(_doubling(a, c), _doubling(b, c, bias=c == width), c, top) for a, b, c in up)
        self.last = level(nn.Conv1d(2 * width, width, 3, padding=1), None, width, None)

    def forward(self, x_BTW: Tensor, time_B: Tensor, condition_BTW: Tensor, real_BT: Tensor) -> Tensor:
        """Noised sequence, time in (0, 1], condition, real places -> score, zeros where nothing is real.

        1. Time as sines and cosines; both sequences padded.
        2. Down: each level halves time, which is real where its first half was.
        3. Up: each level doubles it and reads the level of the same length on the way down.
        4. The score of noise z is -z / std, and so the network's output is divided by std.
        """
        num_steps = x_BTW.shape[1]
        angles = 2 * math.pi * time_B[:, None] * self.get_buffer("frequencies")
        time_BE = functional.silu(self.time(torch.cat([angles.sin(), angles.cos()], dim=1)))
        real = functional.pad(real_BT, (0, -num_steps % 2**self.num_halvings))
        x, condition = _padded(x_BTW, real), _padded(condition_BTW, real)
        states = []
        for index, level in enumerate(self.down):
            x, condition = level(x, condition, time_BE, real[:, :: 2**index])
            states.append(x)
        x = states.pop()
        for index, level in enumerate(self.up):
            joined = torch.cat([x, states.pop()], dim=1) if index else x
            x, condition = level(joined, condition, time_BE, real[:, :: 2 ** (self.num_halvings - 1 - index)])
        x, _ = self.last(torch.cat([x, states.pop()], dim=1), condition, time_BE, real)
        return x.transpose(1, 2)[:, :num_steps] / deviation(time_B, self.sigma)[:, None, None]


def _convolution(channels: int, outputs: int, stride: int) -> nn.Module:
    return nn.Conv1d(channels, outputs, 3, stride=stride, padding=1, bias=False)


def _doubling(channels: int, outputs: int, *, bias: bool = False) -> nn.Module:
    return nn.ConvTranspose1d(channels, outputs, 3, stride=2, padding=1, output_padding=1, bias=bias)


def _padded(x_BTW: Tensor, real_BT: Tensor) -> Tensor:
    longer_BTW = functional.pad(x_BTW, (0, 0, 0, real_BT.shape[1] - x_BTW.shape[1]))
    return longer_BTW.masked_fill(~real_BT[..., None], 0.0).transpose(1, 2)


def denoising_loss(network: ScoreNetwork, x_NTW: Tensor, condition_NTW: Tensor, real_NT: Tensor) -> Tensor:
    """How far the score of a noised sequence is from its noise: mean of (std * score + z)^2 over real places."""
    time_N = FIRST_TIME + (1 - FIRST_TIME) * torch.rand(len(x_NTW), device=x_NTW.device)
    noise_NTW = torch.randn_like(x_NTW)
    std_N11 = deviation(time_N, network.sigma)[:, None, None]
    score_NTW = network(x_NTW + std_N11 * noise_NTW, time_N, condition_NTW, real_NT)
    return masked_mse(std_N11 * score_NTW, -noise_NTW, real_NT)


@torch.no_grad()
def sampled(network: ScoreNetwork, condition_NTW: Tensor, real_NT: Tensor, noise_KNTW: Tensor) -> Tensor:
    """Walk from pure noise to a sequence that fits the condition, without a gradient.

    Each step removes exactly the noise between two times, as far as the score is right (ancestral sampling); the last
    removes all that is left and adds none.

    Args:
        network: Of the stream that is sampled.
        condition_NTW: What it is sampled for.
        real_NT: Places that exist.
        noise_KNTW: One block a step; the first is where the walk starts.

    Returns:
        [N, T, W], zeros where nothing is real.
    """
    num_steps = len(noise_KNTW)
    times_K = torch.linspace(1.0, FIRST_TIME, num_steps + 1, device=condition_NTW.device)[:-1]
    std_K = torch.cat([deviation(times_K, network.sigma), times_K.new_zeros(1)])
    x_NTW = noise_KNTW[0] * std_K[0]
    for step in range(num_steps):
        now, after = std_K[step], std_K[step + 1]
        score_NTW = network(x_NTW, times_K[step].expand(len(x_NTW)), condition_NTW, real_NT)
        x_NTW = x_NTW + (now.square() - after.square()) * score_NTW
        if step + 1 < num_steps:
            x_NTW = x_NTW + (now.square() - after.square()).sqrt() * after / now * noise_KNTW[step + 1]
    return x_NTW.masked_fill(~real_NT[..., None], 0.0)
