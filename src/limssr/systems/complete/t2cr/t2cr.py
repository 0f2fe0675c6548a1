"""T2CR: two-path target-aware contrastive regression (Information Sciences 2024), on features of segments.

A performance is seen twice, as ten and as eight clips; both become ten tokens, and a decoder compares its tokens with
those of an exemplar whose score is known. One regressor reads scores off tokens and differences of scores off compared
tokens; the final score is the mean of the direct one and of the exemplars' scores plus the differences. Losses keep the
two paths of a performance alike (mean square, SimCLR, a difference of zero), and tokens of performance and exemplar
close under soft dynamic time warping. Adapted: the paper reads clips of short dives with a video network, here both
paths are resampled from a stream's segments; its exemplars share the dive's class, here a fixed number of them is
drawn from the training samples, evenly over the ranks of their scores, any one of them in a training step and those
nearest to the direct score when scoring (so a saved model holds their resampled features); its classes are dives, here
ranges of the score. Its score errors are in squared points; where ours are in training deviations, losses that are not
errors of a score are divided by 200, our estimate of the variance of dive scores in points (undivided they make all
tokens alike). It reads one stream (`stream`) and has no score for samples without it. Its losses were checked against
the public code, its sizes were not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from limssr.core.config import ModelConfig
from limssr.core.errors import InputError
from limssr.core.types import Batch, Criterion, Modality, Sample, ScoreOutput
from limssr.data.batching import collate
from limssr.nn.losses import task_loss
from limssr.nn.sequences import resampled, soft_dtw
from limssr.systems.complete.t2cr.parts import PathEncoder, TokenRegressor, path_contrast
from limssr.systems.parts.unimodal import StreamRows, UnimodalOptions, UnimodalSystem
from limssr.systems.system import System

DEFAULT_HIDDEN = 64
NUM_SCORE_TERMS = 5
"""The paper sums five errors of a performance's score; the task loss is their mean, so all other weights are fifths."""


class T2crOptions(UnimodalOptions):
    """Settings of T2CR; the defaults are its paper's.

    Loss weights are relative to the mean of its five score errors; those of losses without a score are divided by 200.
    """

    num_clips: int = Field(default=10, ge=1)
    """Of the dense path; both paths have this many tokens."""
    num_coarse: int = Field(default=8, ge=1)
    """Clips of the coarse path."""
    num_heads: int = Field(default=8, ge=1)
    """Of the decoder that compares."""
    decoder_layers: int = Field(default=3, ge=1)
    """Of the decoder that compares."""
    num_exemplars: int = Field(default=10, ge=1)
    """Training samples that are kept for comparison."""
    votes: int = Field(default=3, ge=1)
    """Exemplars that a performance is compared with when it is scored."""
    num_classes: int = Field(default=4, ge=2)
    """Ranges of the score, equally frequent in training, for the class loss."""
    exemplar: float = Field(default=1.0, ge=0.0)
    """Weight of the mean error of the exemplar's own scores."""
    paths: float = Field(default=0.001, ge=0.0)
    """Weight of the mean square between the two paths' tokens."""
    contrast: float = Field(default=0.001, ge=0.0)
    """Weight of the contrast of the two paths."""
    temperature: float = Field(default=0.1, gt=0.0)
    """Of the contrast."""
    classes: float = Field(default=0.001, ge=0.0)
    """Weight of the class loss."""
    itself: float = Field(default=2.0, ge=0.0)
    """Weight of the squared difference that is found between the two paths of one performance."""
    warping: float = Field(default=0.001, ge=0.0)
    """Weight of the soft dynamic time warping between performance and exemplar."""
    gamma: float = Field(default=0.1, gt=0.0)
    """Of the soft dynamic time warping."""


@dataclass(frozen=True)
class Seen:
    """What the encoder makes of N performances, for both paths.

    Attributes:
        dense_NSH: Tokens of the dense path.
        coarse_NSH: Tokens of the coarse path.
        levels_ENC: Four first scores: direct dense and coarse, the encoder's own dense and coarse.
        classes_2NK: Probabilities of the classes, dense and coarse.
    """

    dense_NSH: Tensor
    coarse_NSH: Tensor
    levels_ENC: Tensor
    classes_2NK: Tensor

    @property
    def both_NLH(self) -> Tensor:
        """Tokens of both paths, one behind the other."""
        return torch.cat([self.dense_NSH, self.coarse_NSH], dim=1)

    def take(self, rows: Tensor | slice) -> "Seen":
        """Some of the performances."""
        return Seen(self.dense_NSH[rows], self.coarse_NSH[rows], self.levels_ENC[:, rows], self.classes_2NK[:, rows])


class T2cr(UnimodalSystem):
    """Compare with exemplars.

    Args:
        config: `hidden` (null: 64), `dropout`, `input_scaling` and `output` are used.
        modalities: M streams; one is read.
        criteria: C criteria.
        options: Of T2CR.
    """

    def __init__(
        self, config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion], options: T2crOptions
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        hidden, num_criteria = config.hidden or DEFAULT_HIDDEN, len(self.criteria)
        if hidden % options.num_heads:
            raise InputError(
                f"Expected a width that {options.num_heads} attention heads divide, found model.hidden = {hidden}: "
                "change model.hidden or model.options.num_heads."
            )
        self.encoder = PathEncoder(
            self.dim,
            hidden,
            num_clips=options.num_clips,
            num_coarse=options.num_coarse,
            num_criteria=num_criteria,
            num_classes=options.num_classes,
        )
        layer = nn.TransformerDecoderLayer(hidden, options.num_heads, 4 * hidden, config.dropout, batch_first=True)
        self.decoder = nn.TransformerDecoder(layer, options.decoder_layers)
        self.regressor = TokenRegressor(hidden, num_criteria)
        count = options.num_exemplars
        self.register_buffer("exemplar_dense", torch.zeros(count, options.num_clips, self.dim))
        self.register_buffer("exemplar_coarse", torch.zeros(count, options.num_coarse, self.dim))
        self.register_buffer("exemplar_scores", torch.full((count, num_criteria), 0.5))
        self.register_buffer("class_edges", torch.linspace(-1, 1, options.num_classes - 1))

    def measure(self, samples: Sequence[Sample]) -> None:
        """Measure scales and class ranges, and keep the exemplars.

        Raises:
            InputError: No training sample has the stream and all scores.
        """
        super().measure(samples)
        usable = [s for s in samples if self.stream in s.streams and not np.isnan(s.scores).any()]
        usable = [s for s in usable if not np.isnan(s.streams[self.stream]).any(axis=1).all()]
        if not usable:
            raise InputError(
                f"T2CR compares with training samples that have the stream {self.stream} and every score, found none: "
                "choose another model.options.stream, or fewer data.criteria."
            )
        unit_NC = torch.stack(
            [
                torch.tensor([c.to_unit(sample.scores[n]) for n, c in enumerate(self.criteria)], dtype=torch.float32)
                for sample in usable
            ]
        )
        level_N = self._level(unit_NC).mean(dim=1)
        shares = torch.linspace(0, 1, self.options.num_classes + 1)[1:-1]
        self.get_buffer("class_edges").copy_(torch.quantile(level_N, shares))
        count = self.options.num_exemplars
        ranks = ((torch.arange(count) + 0.5) / count * len(usable)).long()
        chosen = torch.argsort(level_N, stable=True)[ranks].tolist()
        rows = self.rows(collate([usable[n] for n in chosen], self.modalities, self.criteria))
        self.get_buffer("exemplar_dense").copy_(resampled(rows.x_NTD, rows.real_NT, self.options.num_clips))
        self.get_buffer("exemplar_coarse").copy_(resampled(rows.x_NTD, rows.real_NT, self.options.num_coarse))
        self.get_buffer("exemplar_scores").copy_(unit_NC[chosen])

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score the samples that have the stream.

        1. Performances and exemplars, seen as dense and coarse paths.
        2. In training, each with one exemplar and all losses.
        3. When scoring, the direct score and those of the nearest exemplars plus the differences found.
        """
        rows = self.rows(batch)
        if not len(rows):
            return self.unscored(rows)
        dense_NSD = resampled(rows.x_NTD, rows.real_NT, self.options.num_clips)
        coarse_NSD = resampled(rows.x_NTD, rows.real_NT, self.options.num_coarse)
        # together, so that BatchNorm sees one distribution
        together = self._see(
            torch.cat([dense_NSD, self.get_buffer("exemplar_dense")]),
            torch.cat([coarse_NSD, self.get_buffer("exemplar_coarse")]),
        )
        seen, known = together.take(slice(0, len(rows))), together.take(slice(len(rows), None))
        if self.training and rows.unit_scores_NC is not None:
            return self._learn(rows, rows.unit_scores_NC, seen, known)
        direct_NC = seen.levels_ENC[0]
        known_EC = self._level(self.get_buffer("exemplar_scores"))
        votes = min(self.options.votes, len(known_EC))
        distance_NE = (direct_NC[:, None] - known_EC).abs().mean(dim=-1)
        nearest_NV = distance_NE.argsort(dim=1, stable=True)[:, :votes]
        chosen = nearest_NV.flatten()
        repeated = seen.both_NLH.repeat_interleave(votes, dim=0)
        difference_NVC = self._difference(repeated, known.both_NLH[chosen]).unflatten(0, (-1, votes))
        compared_NC = (known_EC[nearest_NV] + difference_NVC).mean(dim=1)
        return self.placed(rows, self.output_scale((direct_NC + compared_NC) / 2))

    def _see(self, dense_NSD: Tensor, coarse_NSD: Tensor) -> Seen:
        dense_NSH, dense_NC, dense_NK = self.encoder(dense_NSD)
        coarse_NSH, coarse_NC, coarse_NK = self.encoder(self.encoder.lift(coarse_NSD))
        direct = (self.regressor(dense_NSH), self.regressor(coarse_NSH))
        return Seen(
            dense_NSH, coarse_NSH, torch.stack([*direct, dense_NC, coarse_NC]), torch.stack([dense_NK, coarse_NK])
        )

    def _difference(self, tokens_NLH: Tensor, others_NLH: Tensor) -> Tensor:
        return self.regressor(self.decoder(tokens_NLH, others_NLH))

    def _level(self, unit: Tensor) -> Tensor:
        """Unit scores as the heads say them, the inverse of the output scale; NaN stays NaN."""
        if self.output_scale.mode == "sigmoid":
            return torch.logit(unit, eps=1e-3)
        if self.output_scale.mode == "linear":
            return unit
        return (unit - self.output_scale.get_buffer("mean_C")) / self.output_scale.get_buffer("deviation_C")

    def _learn(self, rows: StreamRows, targets_NC: Tensor, seen: Seen, known: Seen) -> ScoreOutput:
        options = self.options
        drawn_N = torch.randint(options.num_exemplars, (len(rows),), device=targets_NC.device)
        other, other_NC = known.take(drawn_N), self.get_buffer("exemplar_scores")[drawn_N]
        forth_NC = self._level(other_NC) + self._difference(seen.both_NLH, other.both_NLH)
        back_NC = self._level(targets_NC).nan_to_num() + self._difference(other.both_NLH, seen.both_NLH)
        # the difference against the true difference is the exemplar's score plus the difference against the score
        members_ENC = self.output_scale(torch.cat([seen.levels_ENC, forth_NC[None]]))
        others_ENC = self.output_scale(torch.cat([other.levels_ENC, back_NC[None]]))
        # without the performance's own score the way back has no beginning
        back_target_NC = other_NC.masked_fill(targets_NC.isnan(), torch.nan)
        other_targets_ENC = torch.stack([other_NC] * (NUM_SCORE_TERMS - 1) + [back_target_NC])
        exemplar = task_loss(others_ENC, other_targets_ENC, self.output_scale.loss_scale_C)
        auxiliary = {"exemplar": options.exemplar * exemplar} | self._alike(seen, other)
        classes = self._class_loss(seen, targets_NC) + self._class_loss(other, other_NC)
        auxiliary["classes"] = options.classes * classes
        warping = soft_dtw(seen.dense_NSH, other.dense_NSH, gamma=options.gamma)
        warping = warping + soft_dtw(seen.coarse_NSH, other.coarse_NSH, gamma=options.gamma)
        auxiliary["warping"] = options.warping * warping.mean()
        return self.placed(rows, members_ENC.mean(dim=0), members_ENC=members_ENC, auxiliary=auxiliary)

    def _alike(self, *several: Seen) -> dict[str, Tensor]:
        """What keeps the two paths of one performance alike, summed over performances and exemplars."""
        options = self.options
        paths = sum(functional.mse_loss(one.dense_NSH, one.coarse_NSH) for one in several)
        contrast = sum(
            path_contrast(one.dense_NSH.mean(dim=1), one.coarse_NSH.mean(dim=1), temperature=options.temperature)
            for one in several
        )
        itself = sum(self._difference(one.dense_NSH, one.coarse_NSH).square().mean() for one in several)
        return {
            "paths": options.paths * paths,
            "contrast": options.contrast * contrast,
            "itself": options.itself * itself,
        }

    def _class_loss(self, seen: Seen, unit_NC: Tensor) -> Tensor:
        """Binary cross-entropy of the classes, both paths; samples without any score are left out."""
        level_N = self._level(unit_NC).nanmean(dim=1)
        class_N = torch.bucketize(level_N.nan_to_num(), self.get_buffer("class_edges"))
        wanted_NK = functional.one_hot(class_N, self.options.num_classes)
        # written out: torch's own refuses the shorter floats of mixed precision
        wrong_2NK = torch.where(wanted_NK > 0, 1.0 - seen.classes_2NK.float(), seen.classes_2NK.float())
        entropy_2NK = -torch.log((1.0 - wrong_2NK).clamp(min=1e-6))
        judged_N = ~level_N.isnan()
        total = entropy_2NK.mean(dim=2).masked_fill(~judged_N, 0.0).sum()
        return total / judged_N.sum().clamp(min=1)


T2CR = System(
    title="T2CR",
    source="Ke et al., Information Sciences 2024",
    summary="two paths of one stream, compared with training samples of known score",
    family="complete",
    builder=T2cr,
    options=T2crOptions,
    absent="no score without its stream",
    checked="losses against the public code; sizes from its description",
    changed="features for video, exemplars by score and not by dive, classes are ranges of the score",
    learning_rate=1e-3,
    small={"hidden": 32, "options": {"decoder_layers": 1}},
)
