"""MissRAG (ICCV'25) for score regression: an absent stream is retrieved from training samples that resemble this one.

Retrieval itself is not trained: a memory of training samples is searched by the cosine of the pooled streams that a
sample has, and the absent stream becomes a softmax-weighted mean of those of its nearest neighbours. Adapted: its paper
embeds with a contrastive encoder and asks a multimodal language model, with a prompt that says which streams were
retrieved; here keys are the features' own means in training deviations, the completed streams go through `attention`,
and a learned vector a stream marks what was retrieved, in place of that prompt. The memory holds what training samples
own and nothing else, and a sample never finds itself (by what it holds, whatever it is called), so a stream that a
training step hides is never handed back. It needs some training samples with two streams; where none joins what a
sample has to what it lacks, all owners of the stream count alike, which is mean imputation, and a stream that nobody
owns stays absent. Rebuilt from the paper's description; there are no published counts for this use.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor, nn

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, Sample, ScoreOutput
from limssr.systems.parts.memory import StreamMemory
from limssr.systems.simple.attention import AttentionBaseline
from limssr.systems.system import System, SystemOptions


class MissRAGOptions(SystemOptions):
    """Of the memory and the search in it; sizes are ours."""

    memory_size: int = Field(default=512, ge=1)
    """Training samples that are kept, those with the most streams first."""
    memory_segments: int = Field(default=8, ge=1)
    """Segments that a stored stream is brought to; a retrieved one is stretched to the sample's length."""
    num_neighbours: int = Field(default=5, ge=1)
    """Samples that a stream is retrieved from."""
    temperature: float = Field(default=0.1, gt=0.0)
    """Of the softmax over their cosines."""


class MissRAG(AttentionBaseline):
    """Streams retrieved from a memory, then attention.

    Args:
        config: `hidden`, `dropout`, `input_scaling` and `output` are used, the rest is of LIMSSR.
        modalities: The M streams, in order.
        criteria: The C criteria.
        options: Of the memory.
    """

    def __init__(
        self,
        config: ModelConfig,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        options: MissRAGOptions,
    ) -> None:
        super().__init__(config, modalities, criteria)
        self.options = options
        self.memory = StreamMemory(self.modalities, options.memory_size, options.memory_segments)
        width = self.modality_embedding_MH.shape[1]
        self.retrieved_MH = nn.Parameter(torch.randn(len(self.modalities), width) * 0.02)

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch: retrieve what is absent, mark it, and read all of it as `attention` does."""
        whole, found_BM = self.complete(batch)
        tokens_BMH, owned_BM = self.tokens(whole)
        return self.answer(torch.where(found_BM[..., None], tokens_BMH + self.retrieved_MH, tokens_BMH), owned_BM)

    def measure(self, samples: Sequence[Sample]) -> None:
        """Measure scales and fill the memory with the training samples, once, before training."""
        super().measure(samples)
        self.memory.fill(samples)

    def complete(self, batch: Batch) -> tuple[Batch, Tensor]:
        """The batch with absent streams retrieved, as far as the memory has them, and which were [B, M]."""
        retrieved = self.memory.retrieve(batch, self.options.num_neighbours, self.options.temperature)
        positions_T = torch.arange(batch.valid_BMT.shape[2], device=batch.lengths_B.device)
        real_BT = positions_T[None] < batch.lengths_B[:, None]
        found_BM = retrieved.found_BM
        features = {
            name: torch.where(found_BM[:, index, None, None], retrieved.streams[index], x_BTD)
            for index, (name, x_BTD) in enumerate(batch.features.items())
        }
        valid_BMT = torch.where(found_BM[..., None], real_BT[:, None], batch.valid_BMT)
        present_BM = batch.present_BM | found_BM
        whole = replace(batch, features=features, present_BM=present_BM, valid_BMT=valid_BMT, host_masks=None)
        return whole, found_BM


MISSRAG = System(
    title="MissRAG-style retrieval",
    source="MissRAG, ICCV 2025",
    summary="absent streams retrieved from similar training samples, then attention over all streams",
    family="related",
    builder=MissRAG,
    options=MissRAGOptions,
    needs_complete_training="pairs",
    absent="a weighted mean of the streams of similar training samples",
    changed="no contrastive encoder and no language model: pooled features as keys, a learned mark as the prompt",
    small={"options": {"memory_size": 256}},
)
