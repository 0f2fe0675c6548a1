"""DMVG's diffusion: noise is added in many small steps, a U-Net tells it, and few large steps take it away again."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

GROUPS = 8


class Block(nn.Module):
    """Two convolutions over tokens, each after a norm, with the step's embedding between them; residual.

    Args:
        channels: Of the input.
        outputs: Of the output.
        step_width: Of the embedded step.
    """

    def __init__(self, channels: int, outputs: int, step_width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(_norm(channels), nn.SiLU(), nn.Conv1d(channels, outputs, 3, padding=1))
        self.step = nn.Linear(step_width, outputs)
        self.second = nn.Sequential(_norm(outputs), nn.SiLU(), nn.Conv1d(outputs, outputs, 3, padding=1))
        self.short = nn.Conv1d(channels, outputs, 1) if channels != outputs else nn.Identity()

    def forward(self, x_NCK: Tensor, step_NE: Tensor) -> Tensor:
        """[N, C, K] -> [N, O, K]."""
        return self.short(x_NCK) + self.second(self.first(x_NCK) + self.step(step_NE)[:, :, None])


class Denoiser(nn.Module):
    """A U-Net of two resolutions: noised tokens and a condition -> the noise.

    Args:
        latent: W of the tokens.
        condition: Width of the condition.
        hidden: H, its channels.
    """

    def __init__(self, latent: int, condition: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.step = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.begin = nn.Conv1d(latent + condition, hidden, 3, padding=1)
        self.down = Block(hidden, hidden, hidden)
        self.shorten = nn.Conv1d(hidden, 2 * hidden, 3, stride=2, padding=1)
        self.middle = Block(2 * hidden, 2 * hidden, hidden)
        self.lengthen = nn.ConvTranspose1d(2 * hidden, hidden, 4, stride=2, padding=1)
        self.up = Block(2 * hidden, hidden, hidden)
        self.end = nn.Sequential(_norm(hidden), nn.SiLU(), nn.Conv1d(hidden, latent, 3, padding=1))

    def forward(self, x_NKW: Tensor, step_N: Tensor, condition_NKF: Tensor) -> Tensor:
        """Noised tokens (K even), step, condition token by token -> [N, K, W]."""
        half = max(1, self.hidden // 2)
        rates = torch.exp(torch.arange(half, device=x_NKW.device) * (-math.log(10_000.0) / half))
        angles = step_N[:, None] * rates[None]
        waves = torch.cat([angles.sin(), angles.cos()], dim=1)
        step_NE = self.step(functional.pad(waves, (0, self.hidden - waves.shape[1])))
        fine = self.down(self.begin(torch.cat([x_NKW, condition_NKF], dim=2).transpose(1, 2)), step_NE)
        coarse = self.middle(self.shorten(fine), step_NE)
        joined = self.up(torch.cat([fine, self.lengthen(coarse)], dim=1), step_NE)
        return self.end(joined).transpose(1, 2)


class Diffusion(nn.Module):
    """How much of the signal is left at each step, the loss, and the way back.

    Args:
        num_steps: Of adding noise.
        first: Share of noise that the first step adds.
        last: Of the last; between them it grows evenly.
    """

    def __init__(self, num_steps: int, *, first: float, last: float) -> None:
        super().__init__()
        self.num_steps = num_steps
        added = torch.linspace(first, last, num_steps, dtype=torch.float64)
        self.register_buffer("left_S", (1 - added).cumprod(dim=0).float(), persistent=False)

    def loss(self, denoiser: nn.Module, x_NKW: Tensor, condition_NKF: Tensor) -> Tensor:
        """Mean squared error of the noise, at a random step for each row."""
        step_N = torch.randint(self.num_steps, (len(x_NKW),), device=x_NKW.device)
        noise = torch.randn_like(x_NKW)
        left = self.get_buffer("left_S")[step_N][:, None, None]
        found = denoiser(left.sqrt() * x_NKW + (1 - left).sqrt() * noise, step_N, condition_NKF)
        return (found - noise).square().mean()

    @torch.no_grad()
    def sampled(
        self, denoiser: nn.Module, noise_NKW: Tensor, condition_NKF: Tensor, num_steps: int, *, guidance: float = 0.0
    ) -> Tensor:
        """From noise to tokens in `num_steps` steps without further noise (DDIM), without a gradient.

        What a step takes for the clean tokens is normed as tokens are (`normed`): the first steps, in which nearly
        nothing of the signal is left, would otherwise answer with tokens of any length and believe themselves.

        Args:
            denoiser: Tells the noise.
            noise_NKW: Where the way begins.
            condition_NKF: Of each row; zeros stand for none.
            num_steps: Of the way.
            guidance: How far the noise is moved away from that without a condition.
        """
        places = torch.linspace(self.num_steps - 1, 0, num_steps, device=noise_NKW.device).round().long()
        left_S, x, nothing = self.get_buffer("left_S"), noise_NKW, torch.zeros_like(condition_NKF)
        for index, place in enumerate(places):
            left, place_N = left_S[place], place.expand(len(x))
            noise = denoiser(x, place_N, condition_NKF)
            if guidance:
                noise = noise + guidance * (noise - denoiser(x, place_N, nothing))
            clean = normed((x - (1 - left).sqrt() * noise) / left.sqrt())
            if index + 1 == len(places):
                return clean
            noise = (x - left.sqrt() * clean) / (1 - left).sqrt()
            after = left_S[places[index + 1]]
            x = after.sqrt() * clean + (1 - after).sqrt() * noise
        return x


def normed(tokens: Tensor) -> Tensor:
    """[..., W] -> every token with mean zero and deviation one."""
    return functional.layer_norm(tokens, tokens.shape[-1:])


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(max(n for n in range(1, GROUPS + 1) if channels % n == 0), channels)
