"""The order of vectors in the sequence: a pure function of masks and lengths (paper sections 3.4 and 3.5).

A sample's sequence is ::

    prompt | <start_m> x_1 .. x_T <end_m>, present m | <start_m> <missing_m> .. <end_m>, absent m | K fusion slots

Rows of all sequences of a batch are drawn from one *bank*: the learned rows first (prompt, boundaries, placeholders,
fusion tokens), then every projected segment that is valid, modality by modality, sample by sample, then the rows of
words. A layout is only indices into that bank, so any mixture of patterns and lengths in a batch costs one gather.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Pattern = tuple[bool, ...]
"""For each modality: does the sample own it?"""


@dataclass(frozen=True, kw_only=True)
class LearnedRows:
    """Where the learned vectors stand in the bank.

    Attributes:
        prompts: Pattern -> rows of the prompt for it, in order.
        starts: Row of <start_m> for each modality, empty without boundary tokens.
        ends: Row of <end_m>, likewise.
        missing: Row of <missing_m> for each modality (with `absent: zeros` that of the zero vector); empty where what
            is absent takes no place.
        fusion: Rows of the K fusion tokens.
        count: Number of learned rows; projected segments follow them.
    """

    prompts: Mapping[Pattern, Sequence[int]]
    starts: Sequence[int]
    ends: Sequence[int]
    missing: Sequence[int]
    fusion: Sequence[int]
    count: int


@dataclass(frozen=True)
class Layout:
    """Indices of a batch of sequences, padded at the end.

    Attributes:
        source_BL: int64, row of the bank at each position (row 0 where there is only padding).
        pool_BML: float32, weights of the mean over a block's positions: 1/n at each of the n positions that path 2
            reads (valid segments of a present modality, all placeholders of an absent one), else 0.
        fusion_BK: int64, positions of the fusion tokens.
        lengths_B: int64, L of each sample before padding.
    """

    source_BL: Int[Tensor, "B L"]
    pool_BML: Float[Tensor, "B M L"]
    fusion_BK: Int[Tensor, "B K"]
    lengths_B: Int[Tensor, " B"]

    def to(self, device: torch.device) -> "Layout":
        """The same layout on another device."""
        tensors = (self.source_BL, self.pool_BML, self.fusion_BK, self.lengths_B)
        return Layout(*(tensor.to(device, non_blocking=True) for tensor in tensors))


@dataclass(frozen=True)
class WordBlock:
    """The tokens of a stream of words of one sample.

    Attributes:
        rows: int64, the row of each token, in their order.
        segments: int64, the segment that each belongs to, not falling.
    """

    rows: np.ndarray
    segments: np.ndarray


@dataclass(frozen=True)
class _Block:
    """The positions of one modality: its rows, which of them path 2 reads, and the segment of each."""

    rows: np.ndarray
    pooled: np.ndarray
    segments: np.ndarray


def plan_layout(
    present_BM: Tensor,
    valid_BMT: Tensor,
    lengths_B: Tensor,
    rows: LearnedRows,
    *,
    order: Literal["paper", "interleaved"] = "paper",
    num_missing_tokens: int | None = None,
    words: Sequence[Mapping[int, WordBlock]] = (),
    of_words: Collection[int] = (),
) -> Layout:
    """Lay out a batch.

    Args:
        present_BM: bool, which modalities each sample owns; at least one a row.
        valid_BMT: bool, which segments are real. An invalid segment of a present modality gets its placeholder, or
            takes no place where there are none.
        lengths_B: int64, T of each sample.
        rows: Where the learned vectors stand.
        order: "paper": present blocks, then absent ones; "interleaved": segment by segment.
        num_missing_tokens: Placeholders of an absent modality; None: T of the sample.
        words: For each sample, column of a modality of words that it owns -> its tokens.
        of_words: Columns of the modalities of words, whose segments are not in the bank.
    """
    present = present_BM.cpu().numpy()
    lengths = lengths_B.cpu().numpy()
    valid = valid_BMT.cpu().numpy()
    in_bank = valid.copy()
    in_bank[:, list(of_words)] = False
    feature_rows = _feature_rows(in_bank, first=rows.count)
    missing_rows = rows.missing or [None] * present.shape[1]
    sequences, pools = [], []
    for b, length in enumerate(lengths):
        said = words[b] if words else {}
        blocks = [
            _word_block(said[m], valid[b, m, :length], missing_rows[m])
            if m in said
            else _block(feature_rows[b, m, :length], bool(present[b, m]), missing_rows[m], num_missing_tokens)
            for m in range(present.shape[1])
        ]
        place = _paper_order if order == "paper" else _interleaved_order
        body, pool = place(blocks, present[b], rows)
        prompt = np.asarray(rows.prompts[tuple(bool(owned) for owned in present[b])], dtype=np.int64)
        sequences.append(np.concatenate([prompt, body, np.asarray(rows.fusion, dtype=np.int64)]))
        pools.append([positions + len(prompt) for positions in pool])
    return _stack(sequences, pools, num_fusion=len(rows.fusion))


def sequence_length(
    pattern: Pattern,
    num_segments: int,
    rows: LearnedRows,
    *,
    order: Literal["paper", "interleaved"] = "paper",
    num_missing_tokens: int | None = None,
) -> int:
    """L of a sample without streams of words, all of whose segments are valid: as `plan_layout` lays it out.

    Args:
        pattern: Which modalities the sample owns; at least one.
        num_segments: T.
        rows: Where the learned vectors stand.
        order: See `plan_layout`.
        num_missing_tokens: The same.
    """
    present_BM = torch.tensor([pattern])
    valid_BMT = present_BM[:, :, None].expand(1, len(pattern), num_segments)
    lengths_B = torch.tensor([num_segments])
    layout = plan_layout(present_BM, valid_BMT, lengths_B, rows, order=order, num_missing_tokens=num_missing_tokens)
    return int(layout.lengths_B)


def _feature_rows(valid_BMT: np.ndarray, *, first: int) -> np.ndarray:
    """[B, M, T] -> row of each valid segment in the bank, -1 elsewhere; modality by modality, sample by sample."""
    by_modality = valid_BMT.transpose(1, 0, 2)
    rows = np.where(by_modality, np.cumsum(by_modality).reshape(by_modality.shape) - 1 + first, -1)
    return rows.transpose(1, 0, 2)


def _block(
    feature_rows_T: np.ndarray, present: bool, missing_row: int | None, num_missing_tokens: int | None
) -> _Block:
    valid = feature_rows_T >= 0
    if missing_row is None:
        return _Block(feature_rows_T[valid], np.ones(int(valid.sum()), dtype=bool), np.flatnonzero(valid))
    if not present:
        count = len(feature_rows_T) if num_missing_tokens is None else num_missing_tokens
        return _Block(np.full(count, missing_row, dtype=np.int64), np.ones(count, dtype=bool), np.arange(count))
    return _Block(np.where(valid, feature_rows_T, missing_row), valid, np.arange(len(valid)))


def _word_block(words: WordBlock, valid_T: np.ndarray, missing_row: int | None) -> _Block:
    """The tokens of valid segments, and a placeholder at each segment that is not; silence takes no place."""
    read = valid_T[words.segments]
    gaps = np.empty(0, dtype=np.int64) if missing_row is None else np.flatnonzero(~valid_T)
    segments = np.concatenate([words.segments[read], gaps])
    order = np.argsort(segments, kind="stable")
    found = np.concatenate([words.rows[read], np.full(len(gaps), missing_row or 0, dtype=np.int64)])
    pooled = np.arange(len(found)) < read.sum()
    return _Block(found[order], pooled[order], segments[order])


def _paper_order(blocks: list[_Block], present: np.ndarray, rows: LearnedRows) -> tuple[np.ndarray, list[np.ndarray]]:
    pieces: list[np.ndarray] = []
    pool: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(blocks)
    position = 0
    shown = [m for m, block in enumerate(blocks) if len(block.rows) or present[m]]
    for m in sorted(shown, key=lambda m: not present[m]):
        start = rows.starts[m : m + 1]
        pool[m] = position + len(start) + np.flatnonzero(blocks[m].pooled)
        pieces += [np.asarray(start, dtype=np.int64), blocks[m].rows, np.asarray(rows.ends[m : m + 1], dtype=np.int64)]
        position += len(start) + len(blocks[m].rows) + len(start)
    return np.concatenate(pieces), pool


def _interleaved_order(
    blocks: list[_Block], present: np.ndarray, rows: LearnedRows
) -> tuple[np.ndarray, list[np.ndarray]]:
    del present  # every block of features has one row a segment here, present or not; words have any number
    starts, ends = np.asarray(rows.starts, dtype=np.int64), np.asarray(rows.ends, dtype=np.int64)
    every = np.concatenate([block.rows for block in blocks])
    order = np.argsort(np.concatenate([block.segments for block in blocks]), kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    pool, first = [], 0
    for block in blocks:
        pool.append(len(starts) + place[first : first + len(block.rows)][block.pooled])
        first += len(block.rows)
    return np.concatenate([starts, every[order], ends]), pool


def _stack(sequences: list[np.ndarray], pools: list[list[np.ndarray]], *, num_fusion: int) -> Layout:
    lengths = np.array([len(sequence) for sequence in sequences])
    longest = int(lengths.max())
    source = np.zeros((len(sequences), longest), dtype=np.int64)
    pool = np.zeros((len(sequences), len(pools[0]), longest), dtype=np.float32)
    for b, sequence in enumerate(sequences):
        source[b, : len(sequence)] = sequence
        for m, positions in enumerate(pools[b]):
            pool[b, m, positions] = 1.0 / max(len(positions), 1)
    fusion = lengths[:, None] - num_fusion + np.arange(num_fusion)
    return Layout(*(torch.from_numpy(array) for array in (source, pool, fusion, lengths)))
