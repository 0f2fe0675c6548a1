"""From features to input embeddings: projections (paper 3.3), prompt rows and special tokens (3.4, 3.5)."""

from typing import Literal

import torch
from torch import Tensor, nn

from limssr.model.layout import LearnedRows
from limssr.model.prompt_ids import PromptIds, renumbered, tokens_of


class TokenRows(nn.Module):
    """The learned rows at the head of the bank: the prompts' words and the special tokens.

    No vocabulary is ever resized: the rows are parameters of our own and reach the backbone as input embeddings. No row
    of the table outside the prompts is ever read, so training the "used" rows follows the gradients of training "all".

    Args:
        prompt_ids: Pattern -> token ids of its prompt.
        table_VH: The backbone's embedding rows, cut to the tokenizer's vocabulary.
        special_SH: Where the special tokens start: 2M boundaries (or none), M placeholders (or none), K fusion tokens.
        num_modalities: M.
        num_fusion: K.
        train: "used", "all", "new" or "none", see `ModelConfig.train_embeddings`.
        absent: Only "placeholders" are learned; with "zeros" one zero vector follows the learned rows.
        scale: Factor that the backbone's own embedding layer applies on reading (Gemma), else 1.

    Attributes:
        table: The whole vocabulary and the special tokens, where all of it is trained; else None.
        words: The rows that prompts use; None beside a table.
        special: Those of the special tokens; None beside a table.
    """

    table: nn.Parameter | None
    words: Tensor | None
    special: Tensor | None

    def __init__(
        self,
        prompt_ids: PromptIds,
        table_VH: Tensor,
        special_SH: Tensor,
        *,
        num_modalities: int,
        num_fusion: int,
        train: Literal["used", "all", "new", "none"],
        absent: Literal["placeholders", "zeros", "omitted"] = "placeholders",
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.absent = absent
        if train == "all":
            prompts, first_special = prompt_ids, len(table_VH)
            kept = {"table": nn.Parameter(torch.cat([table_VH, special_SH])), "words": None, "special": None}
        else:
            used = sorted(tokens_of(prompt_ids))
            prompts = renumbered(prompt_ids, {token: row for row, token in enumerate(used)})
            first_special = len(used)
            words_UH = table_VH[used].clone()
            trains_special = train != "none" and len(special_SH) > 0
            kept = {
                "table": None,
                "words": nn.Parameter(words_UH) if used and train == "used" else words_UH,
                "special": nn.Parameter(special_SH) if trains_special else special_SH,
            }
        for name, rows in kept.items():
            if rows is None or isinstance(rows, nn.Parameter):
                self.register_parameter(name, rows)
            else:
                self.register_buffer(name, rows)
        num_missing = num_modalities if absent == "placeholders" else 0
        boundaries = len(special_SH) - num_missing - num_fusion
        special = list(range(first_special, first_special + len(special_SH)))
        behind = first_special + len(special_SH)
        self.rows = LearnedRows(
            prompts=prompts,
            starts=special[0:boundaries:2],
            ends=special[1:boundaries:2],
            missing=[behind] * num_modalities if absent == "zeros" else special[boundaries : boundaries + num_missing],
            fusion=special[boundaries + num_missing :],
            count=behind + (absent == "zeros"),
        )

    def learned_rows(self) -> Tensor:
        """The rows as they are stored, without the factor `scale`."""
        if self.table is not None:
            return self.table
        assert self.words is not None
        assert self.special is not None
        return torch.cat([self.words, self.special])

    def forward(self) -> Tensor:
        """All learned rows [R, H], in the order that `rows` describes."""
        rows_RH = self.learned_rows()
        if self.scale != 1.0:
            rows_RH = rows_RH * self.scale
        return torch.cat([rows_RH, rows_RH.new_zeros(1, rows_RH.shape[1])]) if self.absent == "zeros" else rows_RH
