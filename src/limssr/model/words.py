"""Words in the sequence: each stream of language as rows of the language model's own table of embeddings.

What a language model knows of language it knows of these rows. They are read as they are and never trained (with
`train_embeddings: all` they are rows of the trained table), so words that never occurred in training are read like
others. A text of any length takes at most `limit` positions: from a longer one the middle is left out.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from limssr.core.errors import InputError
from limssr.core.types import Batch, Modality
from limssr.model.layout import WordBlock

MAX_KEPT = 16_384
"""Texts whose tokens are kept from batch to batch."""


@dataclass(frozen=True)
class WordPlan:
    """The words of a batch.

    Attributes:
        ids_W: int64, the rows of the table that the batch needs, each once.
        blocks: For each sample, column of the modality -> its tokens, as places in `ids_W`.
    """

    ids_W: Tensor
    blocks: Sequence[dict[int, WordBlock]]

    def moved(self, by: int) -> list[dict[int, WordBlock]]:
        """The blocks as rows of a bank in which the words begin at row `by`."""
        return [
            {column: WordBlock(block.rows + by, block.segments) for column, block in blocks.items()}
            for blocks in self.blocks
        ]


class WordRows(nn.Module):
    """The words that a language model reads.

    Args:
        modalities: All M streams; those of words are read here.
        encode: Text -> token ids, names of special tokens taken apart like any words.
        table_VH: The rows of the language model's embeddings.
        scale: Factor that its embedding layer applies to a row (Gemma), else 1.
        limit: Tokens of a stream that are read.
    """

    table_VH: Tensor

    def __init__(
        self,
        modalities: Sequence[Modality],
        encode: Callable[[str], list[int]] | None,
        table_VH: Tensor,
        *,
        scale: float,
        limit: int,
    ) -> None:
        super().__init__()
        self.columns = {column: item.name for column, item in enumerate(modalities) if item.words}
        self._encode, self._scale, self._limit = encode, scale, limit
        self._kept: OrderedDict[str, list[int]] = OrderedDict()
        # The language model brings its table along: it is not saved a second time.
        self.register_buffer("table_VH", table_VH if self.columns else table_VH[:0], persistent=False)

    def plan(self, batch: Batch) -> WordPlan:
        """Which rows a batch needs, and where they stand.

        Raises:
            InputError: A stream of words came without its words.
        """
        present = batch.masks_on_host()[0]
        lengths = batch.lengths_B.tolist()
        found: list[dict[int, tuple[np.ndarray, np.ndarray]]] = []
        for b, length in enumerate(lengths):
            said = {column: name for column, name in self.columns.items() if present[b, column]}
            found.append({column: self._tokens(batch, name, b, length) for column, name in said.items()})
        every = [ids for blocks in found for ids, _ in blocks.values()]
        unique, inverse = np.unique(np.concatenate([np.empty(0, np.int64), *every]), return_inverse=True)
        places, first = [], 0
        for blocks in found:
            place = {}
            for column, (ids, segments) in blocks.items():
                place[column] = WordBlock(inverse[first : first + len(ids)], segments)
                first += len(ids)
            places.append(place)
        return WordPlan(torch.from_numpy(unique), places)

    def forward(self, ids_W: Tensor) -> Tensor:
        """Rows of the table [W, H]."""
        rows_WH = self.table_VH.index_select(0, ids_W.to(self.table_VH.device))
        return rows_WH * self._scale if self._scale != 1.0 else rows_WH

    def _tokens(self, batch: Batch, name: str, b: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Token ids of a sample's stream, and the segment of each."""
        words = batch.words.get(name, (None,) * len(batch))[b]
        if words is None:
            raise InputError(
                f"Sample '{batch.ids[b]}', stream '{name}': expected its words, found only their view in numbers: give "
                "the text, or train with model.words.read=view."
            )
        segments, ids = [], []
        for segment, text in enumerate(words.by_segment(length)):
            if text:
                tokens = self._ids(text if not ids else f" {text}")
                ids += tokens
                segments += [segment] * len(tokens)
        kept = middle_out(len(ids), self._limit)
        return np.array(ids, np.int64)[kept], np.array(segments, np.int64)[kept]

    def _ids(self, text: str) -> list[int]:
        if self._encode is None:
            raise InputError("Expected a tokenizer to read words with, found a language model that is only a shape.")
        if text in self._kept:
            return self._kept[text]
        self._kept[text] = found = self._encode(text)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return found


def middle_out(number: int, limit: int) -> np.ndarray:
    """Which of `number` tokens are read: all, or as many of the beginning as of the end, `limit` in all."""
    if number <= limit:
        return np.arange(number)
    first = (limit + 1) // 2
    return np.concatenate([np.arange(first), np.arange(number - (limit - first), number)])
