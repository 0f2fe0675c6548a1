"""The published computation, written step by step as its specification says: the baseline of the benchmark.

Written by us from the paper and its specification (docs/performance.md lists what it wastes and why). Nothing else of
limssr uses it, and it keeps to what the published model does even where that is plainly wasteful:

* a full causal language model: vocabulary logits at every position, computed and thrown away;
* the hidden states of every layer are asked for, and the last ones used;
* the whole embedding table is trained, tied to the output matrix;
* the prompt is tokenised and embedded once a sample, though it is the same for the whole batch;
* one pattern of missing streams a batch; a stream has the batch's fixed T segments, padding is read like data.

Doubts were decided in its favour, so that ratios are not flattered: it keeps no key/value cache, its attention is the
fused one of torch, and all rows of a batch are looked up at once (every look-up of its own would cost a gradient as
large as the table).
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from limssr.core.config import LoraConfig, PromptConfig
from limssr.core.errors import InputError
from limssr.core.types import Batch, Modality, ScoreOutput
from limssr.model.backbone.lora import add_lora
from limssr.model.prompt import prompt_text

LETTERS: Mapping[str, str] = {"video": "v", "audio": "a", "flow": "f"}
NUM_ATTENTION_HEADS = 4


@dataclass(frozen=True, kw_only=True)
class LiteralShape:
    """What a literal model is built from.

    Attributes:
        modalities: M streams, in order.
        num_slots: K.
        num_criteria: C (1 in the published model).
        vocabulary: Entries of the tokenizer; the special tokens' rows follow them in the table.
        dropout: Rate of projections and heads.
        lora: Adapters of the language model.
        prompt: The text in front.
    """

    modalities: tuple[Modality, ...]
    num_slots: int
    num_criteria: int
    vocabulary: int
    dropout: float
    lora: LoraConfig
    prompt: PromptConfig

    @property
    def num_rows(self) -> int:
        """Rows of the table: the vocabulary, 2M boundaries, M placeholders, K fusion tokens."""
        return self.vocabulary + 3 * len(self.modalities) + self.num_slots


class LiteralModel(nn.Module):
    """The published model; its parameters have the published names (without the adapter library's own prefix).

    Args:
        shape: Streams and sizes.
        settings: Of the language model; its vocabulary is set to `shape.num_rows`.
        encode: The tokenizer.
    """

    def __init__(self, shape: LiteralShape, settings: Any, encode: Callable[[str], list[int]]) -> None:
        super().__init__()
        from transformers import AutoModelForCausalLM

        settings = type(settings).from_dict({**settings.to_dict(), "vocab_size": shape.num_rows})
        settings.tie_word_embeddings = True
        num_modalities, hidden = len(shape.modalities), settings.hidden_size
        self.shape, self.encode = shape, encode
        self.names = tuple(modality.name for modality in shape.modalities)
        # A module may not be called as some method of a dictionary is, and a stream may (PercePiano has "keys").
        self.letters = tuple(LETTERS.get(name, f"stream_{m}") for m, name in enumerate(self.names))
        self.language_model: Any = AutoModelForCausalLM.from_config(
            settings, dtype=torch.float32, attn_implementation="sdpa"
        )
        add_lora(self.language_model, shape.lora, dropout="torch")
        self.language_model.get_input_embeddings().weight.requires_grad_(True)
        self.feature_to_llm = nn.ModuleDict(
            {
                letter: _projection(modality.dim, hidden, shape.dropout)
                for letter, modality in zip(self.letters, shape.modalities, strict=True)
            }
        )
        self.token_role_weight = nn.Parameter(torch.ones(shape.num_slots))
        self.LN = nn.LayerNorm(hidden)
        self.cond_head = nn.Sequential(
            nn.Linear(hidden + num_modalities, hidden), nn.GELU(), nn.Dropout(shape.dropout), nn.Linear(hidden, hidden)
        )
        self.cond_gate = nn.Sequential(nn.Linear(hidden + num_modalities, hidden), nn.Sigmoid())
        self.regressor = _regressor(hidden, shape)
        self.modal_norms = nn.ModuleDict({letter: nn.LayerNorm(hidden) for letter in self.letters})
        self.cross_modal_attn = nn.MultiheadAttention(
            hidden, NUM_ATTENTION_HEADS, dropout=shape.dropout, batch_first=True
        )
        self.modal_gate = nn.Sequential(
            nn.Linear(num_modalities * hidden, hidden), nn.GELU(), nn.Linear(hidden, num_modalities)
        )
        self.missing_confidence = nn.Parameter(torch.full((num_modalities,), 0.6))
        self.auxiliary_regressor = _regressor(hidden, shape)
        self.w1 = nn.Parameter(torch.tensor([0.7]))

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch that has one pattern of streams and one T.

        Steps: (1) projections, (2) a sequence a sample, one sample after the other, (3) the language model with its
        vocabulary logits, (4) the main path, (5) the second path.

        Raises:
            InputError: Samples of the batch own different streams.
        """
        owned = _common_pattern(batch)
        projected = {
            m: self.feature_to_llm[self.letters[m]](batch.features[name].transpose(1, 2)).transpose(1, 2)
            for m, name in enumerate(self.names)
            if owned[m]
        }
        num_segments = batch.valid_BMT.shape[2]
        prompts, special_SH = self._embed(owned, len(batch))
        sequences = [
            self._sequence(
                prompts[b],
                special_SH,
                {m: x_BTH[b] for m, x_BTH in projected.items()},
                owned,
                num_segments=num_segments,
            )
            for b in range(len(batch))
        ]
        spans = sequences[0][1]
        inputs_BLH = torch.stack([rows_LH for rows_LH, _ in sequences])
        # `output` holds the logits [B, L, V] and every layer's states; all but the last states go unread
        output = self.language_model(inputs_embeds=inputs_BLH, output_hidden_states=True, use_cache=False)
        hidden_BLH = output.hidden_states[-1]
        present_BM = torch.tensor(owned, dtype=hidden_BLH.dtype, device=hidden_BLH.device).expand(len(batch), -1)
        slots_BKH = hidden_BLH[:, -self.shape.num_slots :]
        main_BC = self._main_path(slots_BKH, present_BM)
        fused_BH, aux_BC = self._second_path(hidden_BLH, spans, present_BM)
        return ScoreOutput(
            unit_scores_BC=self.w1 * main_BC + (1 - self.w1) * aux_BC,
            main_BC=main_BC,
            aux_BC=aux_BC,
            slots_BKH=slots_BKH,
            fused_BH=fused_BH,
        )

    def _embed(self, owned: Sequence[bool], num_samples: int) -> tuple[Sequence[Tensor], Tensor]:
        """Rows of each sample's prompt [P, H], and of the special tokens [S, H]."""
        prompts = [self.encode(prompt_text(self.shape.prompt, self.names, owned)) for _ in range(num_samples)]
        special = list(range(self.shape.vocabulary, self.shape.num_rows))
        table = self.language_model.get_input_embeddings()
        ids = torch.tensor([*itertools.chain.from_iterable(prompts), *special], device=table.weight.device)
        *rows, special_SH = table(ids).split([*map(len, prompts), len(special)])
        return rows, special_SH

    def _sequence(
        self,
        prompt_PH: Tensor,
        special_SH: Tensor,
        projected: Mapping[int, Tensor],
        owned: Sequence[bool],
        *,
        num_segments: int,
    ) -> tuple[Tensor, list[slice]]:
        """One sample's input rows [L, H], and where each stream's T positions stand."""
        num_modalities = len(owned)
        rows, spans, position = [prompt_PH], [slice(0)] * num_modalities, len(prompt_PH)
        present = [m for m in range(num_modalities) if owned[m]]
        for m in [*present, *(m for m in range(num_modalities) if not owned[m])]:
            missing = 2 * num_modalities + m
            block_TH = projected[m] if owned[m] else special_SH[missing].expand(num_segments, -1)
            rows += [special_SH[2 * m : 2 * m + 1], block_TH, special_SH[2 * m + 1 : 2 * m + 2]]
            spans[m] = slice(position + 1, position + 1 + num_segments)
            position += num_segments + 2
        return torch.cat([*rows, special_SH[3 * num_modalities :]]), spans

    def _main_path(self, slots_BKH: Tensor, present_BM: Tensor) -> Tensor:
        weights_K1 = torch.softmax(self.token_role_weight, dim=0)[:, None]
        main_BH = self.LN((weights_K1 * slots_BKH).sum(dim=1))
        conditioned = torch.cat([main_BH, present_BM], dim=1)
        return torch.sigmoid(self.regressor(main_BH + self.cond_gate(conditioned) * self.cond_head(conditioned)))

    def _second_path(self, hidden_BLH: Tensor, spans: Sequence[slice], present_BM: Tensor) -> tuple[Tensor, Tensor]:
        vectors_BMH = torch.stack(
            [
                self.modal_norms[letter](hidden_BLH[:, span].mean(dim=1))
                for letter, span in zip(self.letters, spans, strict=True)
            ],
            dim=1,
        )
        attended_BMH, _ = self.cross_modal_attn(vectors_BMH, vectors_BMH, vectors_BMH)
        weights_BM = torch.softmax(self.modal_gate(vectors_BMH.flatten(1)), dim=1)
        trust_BM = present_BM + (1 - present_BM) * torch.sigmoid(self.missing_confidence)
        fused_BH = ((trust_BM * weights_BM)[..., None] * attended_BMH).sum(dim=1)
        return fused_BH, torch.sigmoid(self.auxiliary_regressor(fused_BH))


def _projection(dim: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(dim, hidden, 1),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Conv1d(hidden, hidden, 1),
        nn.BatchNorm1d(hidden),
    )


def _regressor(hidden: int, shape: LiteralShape) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(hidden, hidden // 2),
        nn.LayerNorm(hidden // 2),
        nn.GELU(),
        nn.Dropout(shape.dropout),
        nn.Linear(hidden // 2, shape.num_criteria),
    )


def _common_pattern(batch: Batch) -> list[bool]:
    if not bool((batch.present_BM == batch.present_BM[:1]).all()):
        raise InputError("The literal computation reads one pattern of streams a batch, found several; use one subset.")
    return batch.present_BM[0].tolist()
