"""VATP-Net (TCSVT'25) for features: text says what the steps of an action are, video is parsed into them and scored.

Learned queries read K step descriptions out of the text. Every segment of the video is assigned softly to the steps, by
its cosine to each description and by how far it is from where the step would be if all were equally long; a step's
feature is the mean of its segments. Two losses need no labels: assignments shall be decisive and use every step, and a
step's feature shall be nearer to its own description than to the others of the performance. Each step, seen with its
description, is scored, and the scores are weighed by learned importance. Rebuilt from the abstract alone, with low
confidence: it names alignment of video and text, self-supervised parsing into steps, and their interaction, and what
these are here is ours. Both streams are read in scoring too, so there is a score only where both exist, and a training
step that hides one of them learns nothing from the sample (`missing.dropout: none` wastes none). Both are named by
options, null being "video" and "text".
"""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, Sample, ScoreOutput
from limssr.nn.transformers import StreamEncoder
from limssr.systems.parts.video_text import QueryReader, check_pairs, mean_of_rows, video_and_text
from limssr.systems.system import ComparisonSystem, System, SystemOptions

DEFAULT_HIDDEN = 128


class VATPNetOptions(SystemOptions):
    """Which streams, and sizes and weights of ours; weights are relative to the task loss."""

    video: str | None = None
    """The stream that is parsed; null: the one called "video"."""
    text: str | None = None
    """The stream that describes the steps; null: the one called "text"."""
    num_steps: int = Field(default=4, ge=2)
    """K, steps of an action."""
    num_layers: int = Field(default=1, ge=1)
    """Layers of each stream's transformer."""
    temperature: float = Field(default=0.2, gt=0.0)
    """Of the assignment of segments to steps, and of the alignment."""
    order: float = Field(default=1.0, ge=0.0)
    """How much it costs a segment to be one step's length away from the middle of its step."""
    parsing_weight: float = Field(default=0.1, ge=0.0)
    """Of decisive assignments that use every step."""
    alignment_weight: float = Field(default=0.1, ge=0.0)
    """Of steps that resemble their descriptions."""


class VATPNet(ComparisonSystem):
    """Visual-semantic alignment and temporal parsing.

    Args:
        config: `hidden`, `dropout`, `input_scaling` and `output` are used, the rest is of LIMSSR.
        modalities: The M streams, in order, two of them video and text.
        criteria: The C criteria.
        options: Which streams, sizes, weights.

    Raises:
        InputError: No stream of video or of text.
    """

    def __init__(
        self,
        config: ModelConfig,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        options: VATPNetOptions,
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        self.video, self.text = video_and_text("vatp-net", self.modalities, options.video, options.text)
        hidden = config.hidden or DEFAULT_HIDDEN
        dims = [self.modalities[place].dim for place in (self.video, self.text)]
        self.watch, self.listen = (StreamEncoder(dim, hidden, options.num_layers, config.dropout) for dim in dims)
        self.describe = QueryReader(hidden, options.num_steps)
        self.interact = nn.Sequential(nn.Linear(3 * hidden, hidden), nn.GELU(), nn.Dropout(config.dropout))
        self.importance = nn.Linear(hidden, 1, bias=False)  # the softmax over steps would cancel a bias
        self.head = nn.Linear(hidden, len(self.criteria))

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch.

        1. Video and text, segment by segment.
        2. Step descriptions out of the text.
        3. Segments of the video assigned to steps; the mean of each step's segments.
        4. Each step beside its description, scored; the scores weighed.
        """
        scaled = self.input_scaler(batch)
        valid_BT, text_BT = batch.valid_BMT[:, self.video], batch.valid_BMT[:, self.text]
        rows_B = valid_BT.any(dim=1) & text_BT.any(dim=1)
        video_BTH = self.watch(scaled[self.modalities[self.video].name], valid_BT)
        text_BTH = self.listen(scaled[self.modalities[self.text].name], text_BT)
        described_BKH, _ = self.describe(text_BTH, text_BT)
        log_BTK = self._assign(video_BTH, described_BKH, batch.lengths_B)
        share_BTK = log_BTK.exp().masked_fill(~valid_BT[..., None], 0.0)
        steps_BKH = share_BTK.transpose(1, 2) @ video_BTH / share_BTK.sum(dim=1).clamp(min=1e-6)[..., None]
        joined_BKH = self.interact(torch.cat([steps_BKH, described_BKH, steps_BKH * described_BKH], dim=2))
        weight_BK1 = self.importance(joined_BKH).softmax(dim=1)
        logits_BC = (weight_BK1 * self.head(joined_BKH)).sum(dim=1)
        if not self.training:
            return self.scored(logits_BC, scored_B=rows_B)
        parsing_B = parsing_loss(log_BTK, share_BTK, valid_BT)
        alignment_B = alignment_loss(steps_BKH, described_BKH, self.options.temperature)
        auxiliary = {
            "parsing": self.options.parsing_weight * mean_of_rows(parsing_B, rows_B),
            "alignment": self.options.alignment_weight * mean_of_rows(alignment_B, rows_B),
        }
        return self.scored(logits_BC, scored_B=rows_B, auxiliary=auxiliary)

    def measure(self, samples: Sequence[Sample]) -> None:
        """Measure scales on the training samples, once, before training.

        Raises:
            InputError: None of them owns both streams.
        """
        check_pairs("vatp-net", samples, self.modalities[self.video].name, self.modalities[self.text].name)
        super().measure(samples)

    def why_no_prediction(self, streams: tuple[str, ...]) -> str | None:
        """Without video or text there are no steps."""
        absent = [self.modalities[m].name for m in (self.video, self.text) if self.modalities[m].name not in streams]
        return f"vatp-net reads video and text at once, absent: {', '.join(absent)}" if absent else None

    def _assign(self, video_BTH: Tensor, described_BKH: Tensor, lengths_B: Tensor) -> Tensor:
        """Logarithms of each segment's shares in the steps [B, T, K]."""
        num_steps, options = described_BKH.shape[1], self.options
        cosine_BTK = functional.normalize(video_BTH, dim=2) @ functional.normalize(described_BKH, dim=2).transpose(1, 2)
        distance_BTK = step_distance(lengths_B, video_BTH.shape[1], num_steps)
        return (cosine_BTK / options.temperature - options.order * distance_BTK.square()).log_softmax(dim=2)


def step_distance(lengths_B: Tensor, num_segments: int, num_steps: int) -> Tensor:
    """[B, T, K]: from the middle of a segment to the middle of each of K equally long steps, in lengths of a step."""
    times_T = torch.arange(num_segments, device=lengths_B.device) + 0.5
    place_BT = times_T[None] / lengths_B[:, None] * num_steps
    middles_K = torch.arange(num_steps, device=lengths_B.device) + 0.5
    return place_BT[..., None] - middles_K


def parsing_loss(log_BTK: Tensor, share_BTK: Tensor, valid_BT: Tensor) -> Tensor:
    """[B]: mean entropy of a segment's shares, less the entropy of the mean share: low where steps are clear and used.

    Args:
        log_BTK: Logarithms of the shares.
        share_BTK: Shares, zeros where a segment is not real.
        valid_BT: Which segments are real.
    """
    num_B1 = valid_BT.sum(dim=1, keepdim=True).clamp(min=1)
    entropy_B = -(share_BTK * log_BTK).sum(dim=(1, 2)) / num_B1[:, 0]
    mean_BK = share_BTK.sum(dim=1) / num_B1
    return entropy_B + (mean_BK * mean_BK.clamp(min=1e-8).log()).sum(dim=1)


def alignment_loss(steps_BKH: Tensor, described_BKH: Tensor, temperature: float) -> Tensor:
    """[B]: cross-entropy of telling a step's own description among those of the same performance, by cosine."""
    cosine_BKK = functional.normalize(steps_BKH, dim=2) @ functional.normalize(described_BKH, dim=2).transpose(1, 2)
    return -(cosine_BKK / temperature).log_softmax(dim=2).diagonal(dim1=1, dim2=2).mean(dim=1)


VATP_NET = System(
    title="VATP-Net",
    source="VATP-Net, TCSVT 2025",
    summary="video parsed into the steps that text describes, and scored step by step",
    family="complete",
    builder=VATPNet,
    options=VATPNetOptions,
    needs_complete_training="pairs",
    absent="no score without video and text; other streams are not read",
    checked="from the abstract alone: low confidence",
    changed="sizes, the parsing, the losses and their weights are ours",
    small={"hidden": 32},
)
