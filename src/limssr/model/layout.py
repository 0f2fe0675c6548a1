"""The order of vectors in the sequence: a pure function of masks and lengths (paper sections 3.4 and 3.5).

A sample's sequence is ::

    prompt | <start_m> x_1 .. x_T <end_m>, present m | <start_m> <missing_m> .. <end_m>, absent m | K fusion slots

Rows of all sequences of a batch are drawn from one *bank*: the learned rows first (prompt, boundaries, placeholders,
fusion tokens), then every projected segment that is valid, modality by modality, sample by sample. A layout is only
indices into that bank, so any mixture of patterns and lengths in a batch costs one gather.
"""

from collections.abc import Mapping, Sequence
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
class _Block:
    """The positions of one modality: its rows, and which of them path 2 reads."""

    rows: np.ndarray
    pooled: np.ndarray


def plan_layout(
    present_BM: Tensor,
    valid_BMT: Tensor,
    lengths_B: Tensor,
    rows: LearnedRows,
    *,
    order: Literal["paper", "interleaved"] = "paper",
    num_missing_tokens: int | None = None,
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
    """
    present = present_BM.cpu().numpy()
    lengths = lengths_B.cpu().numpy()
    feature_rows = _feature_rows(valid_BMT.cpu().numpy(), first=rows.count)
    missing_rows = rows.missing or [None] * present.shape[1]
    sequences, pools = [], []
    for b, length in enumerate(lengths):
        blocks = [
            _block(feature_rows[b, m, :length], bool(present[b, m]), missing_rows[m], num_missing_tokens)
            for m in range(present.shape[1])
        ]
        place = _paper_order if order == "paper" else _interleaved_order
        body, pool = place(blocks, present[b], rows)
        prompt = np.asarray(rows.prompts[tuple(bool(owned) for owned in present[b])], dtype=np.int64)
        sequences.append(np.concatenate([prompt, body, np.asarray(rows.fusion, dtype=np.int64)]))
        pools.append([positions + len(prompt) for positions in pool])
    return _stack(sequences, pools, num_fusion=len(rows.fusion))


def _feature_rows(valid_BMT: np.ndarray, *, first: int) -> np.ndarray:
    """[B, M, T] -> row of each valid segment in the bank, -1 elsewhere; modality by modality, sample by sample."""
    by_modality = valid_BMT.transpose(1, 0, 2)
    rows = np.where(by_modality, np.cumsum(by_modality).reshape(by_modality.shape) - 1 + first, -1)
    return rows.transpose(1, 0, 2)


def _block(
    feature_rows_T: np.ndarray, present: bool, missing_row: int | None, num_missing_tokens: int | None
) -> _Block:
    if missing_row is None:
        seen = feature_rows_T[feature_rows_T >= 0]
        return _Block(seen, np.ones(len(seen), dtype=bool))
    if not present:
        count = len(feature_rows_T) if num_missing_tokens is None else num_missing_tokens
        return _Block(np.full(count, missing_row, dtype=np.int64), np.ones(count, dtype=bool))
    valid = feature_rows_T >= 0
    return _Block(np.where(valid, feature_rows_T, missing_row), valid)


def _paper_order(blocks: list[_Block], present: np.ndarray, rows: LearnedRows) -> tuple[np.ndarray, list[np.ndarray]]:
    pieces: list[np.ndarray] = []
    pool: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(blocks)
    position = 0
    shown = [m for m, block in enumerate(blocks) if len(block.rows)]
    for m in sorted(shown, key=lambda m: not present[m]):
        start = rows.starts[m : m + 1]
        pool[m] = position + len(start) + np.flatnonzero(blocks[m].pooled)
        pieces += [np.asarray(start, dtype=np.int64), blocks[m].rows, np.asarray(rows.ends[m : m + 1], dtype=np.int64)]
        position += len(start) + len(blocks[m].rows) + len(start)
    return np.concatenate(pieces), pool


def _interleaved_order(
    blocks: list[_Block], present: np.ndarray, rows: LearnedRows
) -> tuple[np.ndarray, list[np.ndarray]]:
    del present  # every block has one row a segment here, present or not
    starts, ends = np.asarray(rows.starts, dtype=np.int64), np.asarray(rows.ends, dtype=np.int64)
    body = np.stack([block.rows for block in blocks], axis=1).reshape(-1)
    pool = [len(starts) + np.flatnonzero(block.pooled) * len(blocks) + m for m, block in enumerate(blocks)]
    return np.concatenate([starts, body, ends]), pool


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
