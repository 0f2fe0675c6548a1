"""GAIN: a generator fills the holes, a discriminator has to find them (Yoon et al., ICML 2018); then a regression.

Every stream becomes its mean over the valid segments; all of them side by side, scaled to [0, 1] by the extremes of the
training samples, are the vector that GAIN completes. The generator reads the vector, with a little noise in its holes,
and the mask; the discriminator reads the completed vector and a hint of the mask and says which entries are real. The
generator must agree with what is observed and make the discriminator err in the holes. It learns from incomplete
samples alone: no loss looks at a hidden value. An MLP then scores the completed vector; its loss does not reach the
generator, so that imputation stays imputation.

Adapted: holes are whole streams and so hints tell or hide whole streams, as one told entry would give its stream away;
one loop trains the three networks at once, each by its own losses; the losses of the imputation are divided by the
paper's factor of 100, which keeps their proportion; scoring puts the mean of the noise into the holes and draws
nothing; the regression is ours, as the paper has none. Written from the paper and the behaviour of its public code.
"""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, Sample, ScoreOutput
from limssr.data.batching import collate
from limssr.nn.layers import masked_mean
from limssr.systems.system import ComparisonSystem, System, SystemOptions

NOISE = 0.01
"""In a hole stands a draw from [0, this)."""
UNKNOWN = 0.5
"""What a hint says where it tells nothing."""
SMALLEST = 1e-8
CHUNK = 64


class GAINOptions(SystemOptions):
    """Settings of GAIN."""

    hint_rate: float = Field(default=0.9, ge=0.0, le=1.0)
    """Probability that the discriminator is told whether a stream is real."""
    adversarial: float = Field(default=0.01, ge=0.0)
    """Weight of fooling the discriminator; the paper's 1 beside 100 for the observed entries."""
    observed: float = Field(default=1.0, ge=0.0)
    """Weight of the squared error on observed entries; the paper's 100, see `adversarial`."""
    discriminator: float = Field(default=1.0, ge=0.0)
    """Weight of the discriminator's own loss, which moves nothing else."""
    regression_hidden: int = Field(default=128, ge=1)
    """Width of the MLP that scores the completed vector."""


class GAIN(ComparisonSystem):
    """Generator, discriminator, regression on the completed vector.

    Args:
        config: `hidden`: width of generator and discriminator; null: that of the vector, as in the paper.
        modalities: The M streams, in order.
        criteria: The C criteria.
        options: Hints and weights.
    """

    def __init__(
        self,
        config: ModelConfig,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        options: GAINOptions,
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        total = sum(modality.dim for modality in self.modalities)
        self.register_buffer("low_D", torch.zeros(total))
        self.register_buffer("high_D", torch.ones(total))
        widths = torch.tensor([modality.dim for modality in self.modalities])
        self.register_buffer("stream_of_D", torch.arange(len(widths)).repeat_interleave(widths), persistent=False)
        self.generator = _three_layers(2 * total, config.hidden or total, total)
        self.discriminator = _three_layers(2 * total, config.hidden or total, total)
        self.regression = nn.Sequential(
            nn.Linear(total, options.regression_hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(options.regression_hidden, len(self.criteria)),
        )

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch.

        1. One vector a sample, zeros where a stream is absent, and the mask of what is observed.
        2. The generator's proposal for all entries; what is observed stays.
        3. The completed vector is scored; in training both adversaries get their losses.
        """
        observed_BM = batch.present_BM & batch.valid_BMT.any(dim=2)
        observed_BD = observed_BM[:, self.get_buffer("stream_of_D")]
        low_D, range_D = self.get_buffer("low_D"), self._range_D()
        vector_BD = ((self._pooled(batch) - low_D) / range_D).masked_fill(~observed_BD, 0.0)
        noise_BD = torch.rand_like(vector_BD) if self.training else torch.full_like(vector_BD, 0.5)
        seen_BD = torch.where(observed_BD, vector_BD, NOISE * noise_BD)
        proposed_BD = torch.sigmoid(self.generator(torch.cat([seen_BD, observed_BD.to(seen_BD.dtype)], dim=1)))
        completed_BD = torch.where(observed_BD, vector_BD, proposed_BD)
        logits_BC = self.regression(completed_BD.detach() * range_D + low_D)
        if not self.training:
            return self.scored(logits_BC)
        adversaries = self._adversaries(completed_BD, observed_BM)
        error = (proposed_BD - vector_BD).square().masked_fill(~observed_BD, 0.0).sum() / observed_BD.sum().clamp(min=1)
        return self.scored(logits_BC, auxiliary={"observed": self.options.observed * error, **adversaries})

    @torch.no_grad()
    def measure(self, samples: Sequence[Sample]) -> None:
        """Measure scales, and the extremes of the vector over the training samples; once, before training."""
        super().measure(samples)
        low_D, high_D = torch.full_like(self._range_D(), torch.inf), torch.full_like(self._range_D(), -torch.inf)
        for start in range(0, len(samples), CHUNK):
            batch = collate(samples[start : start + CHUNK], self.modalities, self.criteria).to(low_D.device)
            observed_BM = batch.present_BM & batch.valid_BMT.any(dim=2)
            absent_BD = ~observed_BM[:, self.get_buffer("stream_of_D")]
            pooled_BD = self._pooled(batch)
            low_D = torch.minimum(low_D, pooled_BD.masked_fill(absent_BD, torch.inf).amin(dim=0))
            high_D = torch.maximum(high_D, pooled_BD.masked_fill(absent_BD, -torch.inf).amax(dim=0))
        known_D = low_D.isfinite()
        self.get_buffer("low_D").copy_(torch.where(known_D, low_D, 0.0))
        self.get_buffer("high_D").copy_(torch.where(known_D, high_D, 1.0))

    def _pooled(self, batch: Batch) -> Tensor:
        features = self.input_scaler(batch)
        pooled = [masked_mean(x_BTD, batch.valid_BMT[:, index]) for index, x_BTD in enumerate(features.values())]
        return torch.cat(pooled, dim=1)

    def _range_D(self) -> Tensor:
        range_D = self.get_buffer("high_D") - self.get_buffer("low_D")
        return torch.where(range_D > SMALLEST, range_D, 1.0)  # an entry that never moves stays at zero

    def _adversaries(self, completed_BD: Tensor, observed_BM: Tensor) -> dict[str, Tensor]:
        told_BM = torch.rand(observed_BM.shape, device=observed_BM.device) < self.options.hint_rate
        hint_BM = torch.where(told_BM, observed_BM.to(completed_BD.dtype), UNKNOWN)
        stream_of_D = self.get_buffer("stream_of_D")
        hint_BD, observed_BD = hint_BM[:, stream_of_D], observed_BM[:, stream_of_D]
        judged_BD = self.discriminator(torch.cat([completed_BD.detach(), hint_BD], dim=1))
        own = functional.binary_cross_entropy_with_logits(judged_BD, observed_BD.to(judged_BD.dtype))
        # the generator's gradient goes through the discriminator, and does not move it
        resting = {name: tensor.detach() for name, tensor in self.discriminator.named_parameters()}
        doubted_BD = functional_call(self.discriminator, resting, (torch.cat([completed_BD, hint_BD], dim=1),))
        fooled_BD = -functional.logsigmoid(doubted_BD).masked_fill(observed_BD, 0.0)
        return {
            "discriminator": self.options.discriminator * own,
            "adversarial": self.options.adversarial * fooled_BD.mean(),
        }


def _three_layers(width: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


GAIN_SYSTEM = System(
    title="GAIN",
    source="GAIN, ICML 2018",
    summary="adversarial imputation of the streams' means, then an MLP",
    family="related",
    builder=GAIN,
    options=GAINOptions,
    absent="imputed by the generator",
    checked="shapes of the public code",
    changed="holes and hints are whole streams; the adversaries and the MLP share one loop; the MLP is ours",
    learning_rate=1e-3,
    small={"hidden": 64, "options": {"regression_hidden": 64}},
)
