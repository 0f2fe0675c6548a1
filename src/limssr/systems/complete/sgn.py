"""SGN (TMM'24) for features: commentary teaches, in training alone, what a network on video should look for.

A teacher reads the video with the text attended to from every segment; a student reads the video alone. Both end in a
few learned queries that attend to the segments and in a head of their own, and the student imitates the teacher's
tokens, its attention over time and its score. Rebuilt from the abstract alone, with low confidence: it names learnable
atomic queries, cross-attention and three alignment losses, and all sizes, the form of the losses and their weights are
ours; teacher and student share the encoder of the video. Text is read only in training, from what a sample owns;
samples without it teach the student by their score alone, and where no training sample has both, training is refused.
Scoring reads the video stream, whichever other streams there are; without it there is no score. Which streams are meant
is said by `video` and `text` (null: those called so).
"""

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, Sample, ScoreOutput
from limssr.nn.transformers import StreamEncoder, num_heads_of
from limssr.systems.parts.video_text import QueryReader, check_pairs, mean_of_rows, video_and_text
from limssr.systems.system import ComparisonSystem, System, SystemOptions

DEFAULT_HIDDEN = 128


class SGNOptions(SystemOptions):
    """Which streams, and sizes and weights of ours; weights are relative to the task loss."""

    video: str | None = None
    """The stream that is scored; null: the one called "video"."""
    text: str | None = None
    """The stream that teaches; null: the one called "text"."""
    num_queries: int = Field(default=4, ge=1)
    """Learned queries of the teacher, and of the student."""
    num_layers: int = Field(default=1, ge=1)
    """Layers of each stream's transformer."""
    semantics_weight: float = Field(default=0.2, ge=0.0)
    """Of the cosine between the student's tokens and the teacher's."""
    distribution_weight: float = Field(default=0.2, ge=0.0)
    """Of the divergence between their attentions over time."""
    response_weight: float = Field(default=0.2, ge=0.0)
    """Of the squared difference of their scores."""


class QueryScorer(nn.Module):
    """Learned queries, and a head on their mean."""

    def __init__(self, hidden: int, num_queries: int, num_criteria: int, dropout: float) -> None:
        super().__init__()
        self.reader = QueryReader(hidden, num_queries)
        self.head = nn.Sequential(
            nn.Linear(hidden, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, num_criteria)
        )

    def forward(self, x_BTH: Tensor, real_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """-> logits [B, C], tokens [B, Q, H], logarithms of the attention [B, Q, T]."""
        tokens_BQH, log_BQT = self.reader(x_BTH, real_BT)
        return self.head(tokens_BQH.mean(dim=1)), tokens_BQH, log_BQT


class SGN(ComparisonSystem):
    """Semantics-guided network.

    Args:
        config: `hidden`, `dropout`, `input_scaling` and `output` are used, the rest is of LIMSSR.
        modalities: The M streams, in order, two of them video and text.
        criteria: The C criteria.
        options: Which streams, sizes, weights.

    Raises:
        InputError: No stream of video or of text.
    """

    looks_at_hidden = True

    def __init__(
        self, config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion], options: SGNOptions
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        self.video, self.text = video_and_text("sgn", self.modalities, options.video, options.text)
        hidden = config.hidden or DEFAULT_HIDDEN
        dims = [self.modalities[place].dim for place in (self.video, self.text)]
        self.watch, self.listen = (StreamEncoder(dim, hidden, options.num_layers, config.dropout) for dim in dims)
        self.guide = nn.MultiheadAttention(hidden, num_heads_of(hidden), dropout=config.dropout, batch_first=True)
        self.guided_norm = nn.LayerNorm(hidden)
        sizes = (hidden, options.num_queries, len(self.criteria), config.dropout)
        self.student, self.teacher = QueryScorer(*sizes), QueryScorer(*sizes)

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch.

        1. The video, segment by segment.
        2. The student's queries attend to it and are scored.
        3. In training, the teacher reads it again beside the text, and the student is asked to have seen the same.
        """
        seen_B = batch.present_BM[:, self.video] & batch.valid_BMT[:, self.video].any(dim=1)
        name, valid_BT = self.modalities[self.video].name, batch.valid_BMT[:, self.video]
        video_BTH = self.watch(self.input_scaler(batch)[name], valid_BT)
        logits_BC, tokens_BQH, log_BQT = self.student(video_BTH, valid_BT)
        if not self.training:
            return self.scored(logits_BC, scored_B=seen_B)
        whole = batch if batch.owned is None else batch.owned
        text_BT = whole.valid_BMT[:, self.text] & whole.present_BM[:, self.text, None]
        text_BTH = self.listen(self.input_scaler(whole)[self.modalities[self.text].name], text_BT)
        taught = self.teacher(self._guided(video_BTH, text_BTH, text_BT), valid_BT)
        rows_B = seen_B & text_BT.any(dim=1)
        auxiliary = self._alignments((logits_BC, tokens_BQH, log_BQT), taught, valid_BT, rows_B)
        auxiliary["teacher"] = self.score_loss(self.output_scale(taught[0]), batch, rows_B)
        return self.scored(logits_BC, scored_B=seen_B, auxiliary=auxiliary)

    def measure(self, samples: Sequence[Sample]) -> None:
        """Measure scales on the training samples, once, before training.

        Raises:
            InputError: None of them owns both streams.
        """
        check_pairs("sgn", samples, self.modalities[self.video].name, self.modalities[self.text].name)
        super().measure(samples)

    def why_no_prediction(self, streams: tuple[str, ...]) -> str | None:
        """Without video there is nothing to score."""
        name = self.modalities[self.video].name
        return None if name in streams else f"sgn scores the stream {name}, which is absent"

    def _guided(self, video_BTH: Tensor, text_BTH: Tensor, text_BT: Tensor) -> Tensor:
        """The video's segments, each with what it found in the text."""
        ignored_BT = ~text_BT & text_BT.any(dim=1, keepdim=True)
        found_BTH, _ = self.guide(video_BTH, text_BTH, text_BTH, key_padding_mask=ignored_BT, need_weights=False)
        return self.guided_norm(video_BTH + found_BTH)

    def _alignments(
        self, answer: Sequence[Tensor], taught: Sequence[Tensor], valid_BT: Tensor, rows_B: Tensor
    ) -> dict[str, Tensor]:
        """Tokens, attention and scores of the student against the teacher's, which has no gradient here."""
        logits_BC, tokens_BQH, log_BQT = answer
        taught_BC, taught_BQH, taught_BQT = (one.detach() for one in taught)
        apart_B = 1.0 - functional.cosine_similarity(tokens_BQH, taught_BQH, dim=2).mean(dim=1)
        differ_BQT = (taught_BQT - log_BQT).masked_fill(~valid_BT[:, None], 0.0)
        divergence_B = (taught_BQT.exp() * differ_BQT).sum(dim=2).mean(dim=1)
        errors_BC = self.output_scale(logits_BC) - self.output_scale(taught_BC)
        squared_B = (errors_BC / self.output_scale.loss_scale_C).square().mean(dim=1)
        return {
            "semantics": self.options.semantics_weight * mean_of_rows(apart_B, rows_B),
            "distribution": self.options.distribution_weight * mean_of_rows(divergence_B, rows_B),
            "response": self.options.response_weight * mean_of_rows(squared_B, rows_B),
        }


SGN_SYSTEM = System(
    title="SGN",
    source="SGN, TMM 2024",
    summary="a network on video, taught in training by one that reads text beside it",
    family="complete",
    builder=SGN,
    options=SGNOptions,
    needs_complete_training="pairs",
    hidden_values=("teacher", "semantics", "distribution", "response"),
    absent="no score without video; other streams are not read, text only in training",
    checked="from the abstract alone: low confidence",
    changed="sizes, the form of the losses and their weights are ours",
    small={"hidden": 32},
)
