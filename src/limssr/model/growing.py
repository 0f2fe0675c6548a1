"""LIMSSR while a performance goes on: with interleaved blocks a new segment is a suffix of what was read.

The sequence is ::

    prompt | starts | segment 1 of all streams | segment 2 of all streams | ... | ends | K fusion slots

so a new segment of M streams costs the M tokens of its streams, which stay, and the M ends and K slots behind them,
which are read again each time. Path 2 needs means over the tokens of each stream: running sums. What the prompt says
depends on which streams there are: a stream counts as missing until its first valid segment, and when that comes the
sequence is read once more from its beginning, with the prompt that the whole performance will have.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from limssr.core.types import Batch, Sample
from limssr.data.batching import collate
from limssr.model.heads.statistics import StatisticsHead
from limssr.model.layout import Pattern, plan_layout
from limssr.model.limssr import LimssrModel
from limssr.model.reading.growing import Growth, KeptKeys, grow
from limssr.model.reading.laid_out import laid_out_copy
from limssr.model.reading.llama_layers import LlamaLayers, why_not_llama
from limssr.model.reading.reader import States

WeightOrder = Literal["laid out", "as trained"]


def why_not(model: LimssrModel) -> str | None:
    """Why a model's sequences do not grow at their end; None where they do."""
    config = model.config
    if config.block_order != "interleaved":
        return "its blocks stand one after the other (model.block_order: paper), so that a new segment is no suffix"
    if not config.num_fusion_tokens:
        return "it has no fusion tokens"
    if model.words.columns:
        return "it reads words, of which a segment may have any number"
    return None


@dataclass
class Sums:
    """Running sums over the tokens of each stream that path 2 reads, in float64.

    Attributes:
        count_M: How many.
        of: (inputs or hidden states, first or second power) -> [M, H].
    """

    count_M: Tensor
    of: dict[tuple[str, int], Tensor] = field(default_factory=dict)

    def add(self, pooled_ML: Tensor, values: dict[str, Tensor]) -> None:
        """Add tokens [L, H], each to the streams that it counts for."""
        self.count_M = self.count_M + pooled_ML.sum(dim=1)
        for name, x_LH in values.items():
            for power in (1, 2):
                total = pooled_ML @ x_LH.double().pow(power)
                self.of[name, power] = self.of[name, power] + total if (name, power) in self.of else total

    def pairs(self, name: str) -> Tensor:
        """For each stream two vectors [2M, H] whose mean and mean square are those of all its tokens."""
        count_M1 = self.count_M.clamp(min=1.0)[:, None]
        mean_MH = self.of[name, 1] / count_M1
        spread_MH = (self.of[name, 2] / count_M1 - mean_MH.square()).clamp(min=0.0).sqrt()
        return torch.stack([mean_MH - spread_MH, mean_MH + spread_MH], dim=1).flatten(0, 1)


@dataclass(kw_only=True)
class GrowingSample:
    """A performance so far, and what the model has read of it.

    Attributes:
        sample: Its segments so far, with the streams that have a valid one; None before the first.
        pattern: What the prompt says of it.
        kept: Keys and values.
        sums: For path 2.
        num_read: Segments that were read.
        num_again: How often it was read from its beginning.
    """

    sample: Sample | None = None
    pattern: Pattern = ()
    kept: KeptKeys = field(default_factory=KeptKeys)
    sums: Sums | None = None
    num_read: int = 0
    num_again: int = 0


class GrowingModel:
    """Scores performances that go on.

    Args:
        model: One of which `why_not` says nothing, in evaluation mode. Later changes of its weights are not seen.
        weights: "laid out": copied into the order in which a few tokens are read fastest, where the backbone is one of
            those for which that is made; "as trained": used as they are.
    """

    def __init__(self, model: LimssrModel, *, weights: WeightOrder = "laid out") -> None:
        self.device = next(model.parameters()).device
        is_laid_out = weights == "laid out" and self.device.type == "cpu"
        self.model = _for_few_tokens(model) if is_laid_out else model
        can_be = is_laid_out and why_not_llama(model.backbone) is None
        self.layers = LlamaLayers(model.backbone) if can_be else None
        exchange_attention_once(model)

    @torch.inference_mode()
    def unit_scores(self, performances: Sequence[GrowingSample]) -> np.ndarray:
        """Read what is new of each performance, all in one forward pass, and score it.

        Args:
            performances: Different ones; `sample` has grown since the last time.

        Returns:
            Unit scores [N, C], as the model would give them for the samples.

        Raises:
            InputError: A sequence longer than the backbone has positions.
        """
        learned_RH = self.model.tokens()
        plans = [self._plan(one, learned_RH) for one in performances]
        read = grow(self.model.backbone, [plan.growth for plan in plans], self.layers)
        states = [
            self._states(one, plan, new_NH, tail_KH)
            for one, plan, (new_NH, tail_KH) in zip(performances, plans, read, strict=True)
        ]
        answer = self.model.judge(self._batch(performances), _side_by_side(states))
        return answer.unit_scores_BC.double().cpu().numpy()

    def _plan(self, one: GrowingSample, learned_RH: Tensor) -> "_Plan":
        assert one.sample is not None
        model, total = self.model, one.sample.num_segments
        pattern = tuple(modality.name in one.sample.streams for modality in model.modalities)
        if pattern != one.pattern:
            one.num_again += bool(one.num_read)
            one.pattern, one.kept, one.sums, one.num_read = pattern, KeptKeys(), None, 0
        new = Sample("", {name: stream[one.num_read :] for name, stream in one.sample.streams.items()})
        batch = collate([new], model.modalities, ()).to(self.device)
        _, valid_BMT, lengths_B = batch.masks_on_host()
        bank_RH = torch.cat([learned_RH, *model.project(model.scaler(batch), valid_BMT)])
        rows = model.tokens.rows
        layout = plan_layout(torch.tensor([pattern]), valid_BMT, lengths_B, rows, order="interleaved")
        source_L, pooled_ML = layout.source_BL[0], layout.pool_BML[0] > 0
        begin = len(rows.prompts[pattern]) + len(rows.starts)
        end = len(source_L) - len(rows.ends) - len(rows.fusion)
        first = begin if one.num_read else 0
        if (limit := model.reader.limit) is not None:
            limit.check(one.kept.length + len(source_L) - first)
        inputs = bank_RH.index_select(0, source_L.to(self.device))
        one.num_read = total
        return _Plan(
            growth=Growth(one.kept, inputs[first:end], inputs[end:]),
            pooled_ML=pooled_ML[:, begin:end].to(self.device, torch.float64),
            num_before=begin - first,
        )

    def _states(self, one: GrowingSample, plan: "_Plan", new_NH: Tensor, tail_KH: Tensor) -> States:
        """What heads read of a performance: two positions a stream that stand for all its tokens, and the slots."""
        model = self.model
        sums = one.sums = one.sums or Sums(torch.zeros(len(model.modalities), dtype=torch.float64, device=self.device))
        body = {"hidden": new_NH[plan.num_before :]}
        if model.head.reads_inputs:
            body["inputs"] = plan.growth.new_NH[plan.num_before :]
        sums.add(plan.pooled_ML, body)
        slots_KH = tail_KH[len(tail_KH) - model.config.num_fusion_tokens :]
        number = 2 * len(model.modalities)
        pool_ML = torch.zeros(len(model.modalities), number + len(slots_KH), device=self.device)
        for m in range(len(model.modalities)):
            pool_ML[m, 2 * m : 2 * m + 2] = 0.5 * (sums.count_M[m] > 0)
        hidden_LH = torch.cat([sums.pairs("hidden").to(slots_KH.dtype), slots_KH])
        inputs_BLH = None
        if model.head.reads_inputs:
            inputs_BLH = torch.cat([sums.pairs("inputs").to(slots_KH.dtype), torch.zeros_like(slots_KH)])[None]
        fusion_BK = number + torch.arange(len(slots_KH), device=self.device)[None]
        return States(inputs_BLH, hidden_LH[None], pool_ML[None], fusion_BK)

    def _batch(self, performances: Sequence[GrowingSample]) -> Batch:
        """What a head reads beside states: which streams there are, and features where it reads their moments."""
        streams = [one.sample.streams for one in performances if one.sample is not None]
        if not isinstance(self.model.head, StatisticsHead):
            streams = [{name: np.zeros((1, x.shape[1]), np.float32) for name, x in some.items()} for some in streams]
        return collate([Sample("", some) for some in streams], self.model.modalities, ()).to(self.device)


def _side_by_side(states: Sequence[States]) -> States:
    """States of one batch; all have as many positions."""
    inputs = [one.inputs_BLH for one in states if one.inputs_BLH is not None]
    return States(
        torch.cat(inputs) if inputs else None,
        torch.cat([one.hidden_BLH for one in states]),
        torch.cat([one.pool_BML for one in states]),
        torch.cat([one.fusion_BK for one in states]),
    )


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What one performance reads now.

    Attributes:
        growth: Its tokens.
        pooled_ML: 1.0 where a token of the body counts for a stream.
        num_before: Tokens of the prompt and starts before the body.
    """

    growth: Growth
    pooled_ML: Tensor
    num_before: int


def _for_few_tokens(model: LimssrModel) -> LimssrModel:
    """The same model, but for copies of its projections and head whose weights are laid out."""
    found = copy.copy(model)
    found._modules = dict(model._modules)
    found.projections, found.head = laid_out_copy(model.projections), laid_out_copy(model.head)  # type: ignore[assignment]
    return found


def exchange_attention_once(model: LimssrModel) -> None:
    """Let a model that is read padded be read as a row, too."""
    before = model.reader.how
    if before != "packed":
        model.reader.how = "packed"
        model.reader.how = before
