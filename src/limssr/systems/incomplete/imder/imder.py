"""IMDer: missing streams sampled by score-based diffusion (Wang et al., NeurIPS 2023).

First a transformer over all pairs of streams (MulT) is trained on everything that the samples own. Then a score network
for each stream learns to turn noise into that stream's projection, given the others; what it samples is refined and
takes the missing stream's place, and the transformer goes on learning with what is completed. The projections rest
meanwhile, so that the target stands still.

Adapted: the target is a stream that the sample owns though the step hides it; in the first part a stream that a sample
does not own is zeros; the condition is a map of all other streams, zeros where one is absent, so that any subset of any
number of streams works (the paper has a map for two and none for one); convolutions keep the length, and masks go
through every layer, so that any length does; the loss of the task is squared, not absolute. The sampler takes exact
steps of the same process, so that 25 do instead of 100. Its noise is the same for every sample. The condition is
read as it is: the public code noises it, in training with the very noise that is to be found. The loss of the score is
a mean over places, not a sum. With one stream nothing can be missing and only the transformer is left.

Checked: at width 32 with four levels the parameter count is that of the public code with three streams, but for the
384 fixed frequencies, which are no parameters here. The order inside a level of the score network is that of the public
code; how many groups its norms have is ours.
"""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, ScoreOutput
from limssr.nn.contract import Stage
from limssr.nn.cross_modal import CrossModalFusion
from limssr.nn.layers import fixed_noise, hidden_BM, masked_mse
from limssr.nn.sequences import real_steps
from limssr.systems.incomplete.imder.refiner import Refiner
from limssr.systems.incomplete.imder.score import ScoreNetwork, denoising_loss, sampled
from limssr.systems.system import ComparisonSystem, System, SystemOptions

DEFAULT_HIDDEN = 32
FUSION = ("fusion.", "head.")
STAGES = (
    Stage("complete", 1.0, ("projections.", *FUSION)),
    Stage("missing", 1.0, ("conditions.", "score_networks.", "refiners.", *FUSION)),
)


class IMDerOptions(SystemOptions):
    """Settings of IMDer."""

    levels: int = Field(default=4, ge=1)
    """Layers in which one stream looks at another."""
    heads: int = Field(default=8, ge=1)
    """Of all attention; where they do not divide a width, the next smaller number that does."""
    score_layers: int = Field(default=2, ge=1)
    """Layers in which a score network looks at its condition, at each of its levels."""
    score_halvings: int = Field(default=3, ge=1)
    """How often a score network halves time; each time doubles its channels."""
    refiner_blocks: int = Field(default=20, ge=1)
    """Blocks of a refiner."""
    sigma: float = Field(default=25.0, gt=1.0)
    """How much noise the process ends with."""
    sampler_steps: int = Field(default=25, ge=1)
    """Steps from noise to a sequence; the paper takes 100 simpler ones."""
    num_samples: int = Field(default=1, ge=1)
    """Completions whose scores are averaged when scoring."""
    auxiliary: float = Field(default=0.1, ge=0.0)
    """Weight of score networks and refiners."""


class IMDer(ComparisonSystem):
    """Projections, score networks, refiners, cross-modal transformer.

    Args:
        config: `hidden`: W of the projections, all other widths follow it.
        modalities: The M streams, in order.
        criteria: The C criteria.
        options: Depths and sampler.
    """

    stages = STAGES
    looks_at_hidden = True

    def __init__(
        self,
        config: ModelConfig,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        options: IMDerOptions,
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        width, num_modalities = config.hidden or DEFAULT_HIDDEN, len(self.modalities)
        shared = {"heads": options.heads, "dropout": config.dropout}
        self.width = width
        self.projections = nn.ModuleList(
            nn.Conv1d(modality.dim, width, 3, padding=1, bias=False) for modality in self.modalities
        )
        completed = num_modalities if num_modalities > 1 else 0
        self.conditions = nn.ModuleList(nn.Linear((num_modalities - 1) * width, width) for _ in range(completed))
        self.score_networks = nn.ModuleList(
            ScoreNetwork(
                width,
                num_layers=options.score_layers,
                num_halvings=options.score_halvings,
                heads=options.heads,
                sigma=options.sigma,
            )
            for _ in range(completed)
        )
        self.refiners = nn.ModuleList(Refiner(width, options.refiner_blocks) for _ in range(completed))
        self.fusion = CrossModalFusion(num_modalities, width, options.levels, **shared)
        self.head = nn.Linear(self.fusion.num_outputs, len(self.criteria))

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch.

        1. Every stream projected, zeros where it is absent; the first stage scores that of all that samples own.
        2. A missing stream is sampled, given the others, and refined.
        3. The transformer reads all streams; its score is the mean over the completions.
        """
        if self.training and self.stage.name == "complete":
            owned = batch.owned or batch
            return self.scored(self._read(self._projected(owned), owned))
        with torch.no_grad():
            streams = self._projected(batch)
        draws = 1 if self.training else self.options.num_samples
        completions = [self._completed(streams, batch, draw) for draw in range(draws)]
        logits_BC = torch.stack([self._read(completed, batch) for completed in completions]).mean(dim=0)
        if not self.training:
            return self.scored(logits_BC)
        return self.scored(logits_BC, auxiliary=self._losses(streams, completions[0], batch))

    def _projected(self, batch: Batch) -> list[Tensor]:
        """M times [B, T, W]."""
        real_BT = real_steps(batch.lengths_B, batch.valid_BMT.shape[2])
        projected = []
        for index, (x_BTD, layer) in enumerate(zip(self.input_scaler(batch).values(), self.projections, strict=True)):
            kept_BT1 = (real_BT & _there(batch)[:, index, None])[..., None]
            projected.append(layer(x_BTD.transpose(1, 2)).transpose(1, 2).masked_fill(~kept_BT1, 0.0))
        return projected

    def _condition(self, index: int, streams: Sequence[Tensor], rows_N: Tensor) -> Tensor:
        others = [stream[rows_N] for other, stream in enumerate(streams) if other != index]
        return self.conditions[index](torch.cat(others, dim=2))

    def _completed(self, streams: Sequence[Tensor], batch: Batch, draw: int) -> list[Tensor]:
        real_BT = real_steps(batch.lengths_B, batch.valid_BMT.shape[2])
        completed = list(streams)
        for index in range(len(self.refiners)):
            rows_N = (~_there(batch)[:, index]).nonzero()[:, 0]
            if not len(rows_N):
                continue
            real_NT = real_BT[rows_N]
            with torch.no_grad():
                condition_NTW = self._condition(index, streams, rows_N)
            noise = self._noise(batch, rows_N, f"{self.modalities[index].name}-{draw}")
            raw_NTW = sampled(self.score_networks[index], condition_NTW, real_NT, noise)  # type: ignore[arg-type]
            refined_NTW = self.refiners[index](raw_NTW, real_NT)
            completed[index] = streams[index].to(refined_NTW.dtype).index_put((rows_N,), refined_NTW)
        return completed

    def _noise(self, batch: Batch, rows_N: Tensor, purpose: str) -> Tensor:
        """[K, N, T, W]: in training as torch draws it, when scoring the same for every sample."""
        steps, num_segments = self.options.sampler_steps, batch.valid_BMT.shape[2]
        if self.training:
            return torch.randn(steps, len(rows_N), num_segments, self.width, device=rows_N.device)
        drawn = fixed_noise(num_segments, steps * self.width, purpose=f"imder-{purpose}").to(rows_N.device)
        return drawn.unflatten(1, (steps, self.width)).transpose(0, 1)[:, None].expand(-1, len(rows_N), -1, -1)

    def _read(self, streams: Sequence[Tensor], batch: Batch) -> Tensor:
        real_BT = real_steps(batch.lengths_B, batch.valid_BMT.shape[2])
        return self.head(self.fusion(streams, real_BT, batch.lengths_B))

    def _losses(self, streams: Sequence[Tensor], completed: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        denoising = refinement = completed[0].sum() * 0.0
        if batch.owned is None:
            return {"denoising": denoising, "refinement": refinement}
        real_BT = real_steps(batch.lengths_B, batch.valid_BMT.shape[2])
        with torch.no_grad():
            targets = self._projected(batch.owned)
        usable_BM = hidden_BM(batch) & _there(batch.owned) & ~_there(batch)
        for index, target_BTW in enumerate(targets if len(self.refiners) else []):
            rows_N = usable_BM[:, index].nonzero()[:, 0]
            if not len(rows_N):
                continue
            target_NTW, real_NT = target_BTW[rows_N], real_BT[rows_N]
            condition_NTW = self._condition(index, streams, rows_N)
            network: ScoreNetwork = self.score_networks[index]  # type: ignore[assignment]
            denoising = denoising + denoising_loss(network, target_NTW, condition_NTW, real_NT)
            refinement = refinement + masked_mse(completed[index][rows_N], target_NTW, real_NT)
        weight = self.options.auxiliary
        return {"denoising": weight * denoising, "refinement": weight * refinement}


def _there(batch: Batch) -> Tensor:
    """[B, M]: streams with at least one valid segment."""
    return batch.present_BM & batch.valid_BMT.any(dim=2)


IMDER = System(
    title="IMDer",
    source="IMDer, NeurIPS 2023",
    summary="missing streams sampled by conditional diffusion, then a cross-modal transformer",
    family="incomplete",
    builder=IMDer,
    options=IMDerOptions,
    needs_complete_training="pairs",
    stages=STAGES,
    stochastic=True,
    hidden_values=("the first stage's score", "denoising", "refinement"),
    absent="sampled by diffusion; in the first stage zeros",
    checked="parameter counts of the public code at four levels, without fixed frequencies",
    changed="targets are hidden streams; conditions of any subset, not noised; 25 exact sampler steps; squared loss",
    learning_rate=1e-3,
    small={
        "hidden": 16,
        "options": {
            "levels": 1,
            "heads": 2,
            "score_layers": 1,
            "score_halvings": 1,
            "refiner_blocks": 2,
            "sampler_steps": 3,
        },
    },
)
