"""What systems share that score from one stream."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from limssr.core.config import ModelConfig
from limssr.core.errors import unknown_name
from limssr.core.types import Batch, Criterion, Modality, ScoreOutput
from limssr.systems.system import ComparisonSystem, SystemOptions


class UnimodalOptions(SystemOptions):
    """Settings of a system that reads one stream."""

    stream: str | None = None
    """The stream that is read; null: the first. A sample without it has no score."""


@dataclass(frozen=True)
class StreamRows:
    """The N samples of a batch that have the stream.

    Attributes:
        x_NTD: Their segments, scaled; zeros where not valid.
        real_NT: Which segments are valid; at least one a row.
        has_B: Which samples of the batch they are.
        unit_scores_NC: Their targets, NaN where not judged; None when scoring.
    """

    x_NTD: Tensor
    real_NT: Tensor
    has_B: Tensor
    unit_scores_NC: Tensor | None

    def __len__(self) -> int:
        return len(self.x_NTD)


class UnimodalSystem(ComparisonSystem):
    """Scores samples from one stream.

    Args:
        config: As for every system.
        modalities: M streams; one is read.
        criteria: C criteria.
        options: Its `stream` names the one.

    Raises:
        InputError: `stream` is none of the modalities.
    """

    def __init__(
        self,
        config: ModelConfig,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        options: UnimodalOptions,
    ) -> None:
        super().__init__(config, modalities, criteria, options)
        names = [modality.name for modality in self.modalities]
        self.stream = options.stream or names[0]
        if self.stream not in names:
            raise unknown_name("stream (model.options.stream)", self.stream, names)
        self.stream_index = names.index(self.stream)
        self.dim = self.modalities[self.stream_index].dim

    def why_no_prediction(self, streams: tuple[str, ...]) -> str | None:
        """It reads one stream and says nothing about samples without it."""
        return None if self.stream in streams else f"reads {self.stream} alone"

    def rows(self, batch: Batch) -> StreamRows:
        """Those samples that have the stream."""
        real_BT = batch.valid_BMT[:, self.stream_index]
        has_B = real_BT.any(dim=1)
        targets_BC = batch.unit_scores_BC
        x_BTD = self.input_scaler(batch)[self.stream]
        return StreamRows(x_BTD[has_B], real_BT[has_B], has_B, None if targets_BC is None else targets_BC[has_B])

    def placed(
        self,
        rows: StreamRows,
        unit_scores_NC: Tensor,
        *,
        members_ENC: Tensor | None = None,
        auxiliary: Mapping[str, Tensor] | None = None,
    ) -> ScoreOutput:
        """The rows' scores back at their samples; the other samples are marked as not scored."""
        return ScoreOutput(
            unit_scores_BC=_at_samples(unit_scores_NC, rows.has_B),
            members_EBC=None if members_ENC is None else torch.stack([_at_samples(m, rows.has_B) for m in members_ENC]),
            loss_scale_C=self.output_scale.loss_scale_C,
            scored_B=rows.has_B,
            auxiliary=auxiliary,
        )

    def unscored(self, rows: StreamRows) -> ScoreOutput:
        """For a batch in which no sample has the stream: numbers that mean nothing, with a gradient of zero."""
        zero = torch.stack([parameter.sum() * 0.0 for parameter in self.parameters()]).sum()
        scores_BC = zero.expand(len(rows.has_B), len(self.criteria))
        return ScoreOutput(unit_scores_BC=scores_BC, loss_scale_C=self.output_scale.loss_scale_C, scored_B=rows.has_B)


def _at_samples(values_NC: Tensor, has_B: Tensor) -> Tensor:
    placeholder_BC = values_NC.new_zeros(len(has_B), values_NC.shape[-1])
    return placeholder_BC.masked_scatter(has_B[:, None], values_NC)
