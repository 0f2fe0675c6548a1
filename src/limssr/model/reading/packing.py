"""Sequences without padding: which token stands where in one long row, and who attends to whom.

A batch is read as one row of real tokens ::

    prompt p | prompt q | body of sample 3 | body of sample 1 | ...

Every distinct prompt stands there once, however many samples begin with it: the backbone is causal, so a prompt's keys
and values do not depend on what follows. Everything that works token by token (linear maps, norms) runs on this row.
Attention alone has to see sequences: for it they are arranged in *groups* of similar length. Rows that no head reads
(prompts, boundaries) are left out of the last layer, except for their keys and values.

This file is the plan, in numpy; `attention.py` carries it out.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from limssr.model.layout import Layout

Prompt = tuple[int, ...]
"""Rows of the bank that make up a prompt."""

# What one more attention call costs, counted in products of a query with a key (measured for 9 heads of width 64).
CALL_COST = {"cpu": 1_000}
CALL_COST_ELSEWHERE = 1_000_000
# Up to this many keys a CPU is fastest with the needed queries alone and a mask that tells causes from effects. Above,
# and elsewhere, the kernels for square causal attention are: they skip half of the work and need no mask in memory.
MASKED_KEYS = {"cpu": 400}

# Share of the bodies that has to be unread before the last layer sorts it out: choosing rows costs a little, too.
LEAST_UNREAD = 0.03


@dataclass(frozen=True)
class Group:
    """Sequences that attend side by side; their queries are the last of their keys."""

    size: int
    num_queries: int
    num_keys: int


@dataclass(frozen=True)
class AttentionPlan:
    """How attention sees the row. A slot is a place for a query, or for a key, in the padded sequences of the groups.

    Attributes:
        groups: In the order of the slots.
        query_S: Row of the query in each slot, any row where it does not matter; None: the rows as they are.
        key_Z: Row of key and value in each slot, counted over what was kept from before and then the row.
        output_N: Slot of each row; None: the slots as they are.
    """

    groups: tuple[Group, ...]
    query_S: Tensor | None
    key_Z: Tensor
    output_N: Tensor | None


@dataclass(frozen=True, kw_only=True)
class PackedLayout:
    """One row of N tokens for a batch of B samples.

    Attributes:
        source_N: Row of the bank of each token.
        position_N: Where each token stands in its sequence.
        attention: For every layer but the last.
        last_attention: For the last layer, where the R tokens that a head reads are the row, and the keys of the
            others come before theirs.
        read_R: Tokens that a head reads.
        unread_U: The others.
        body_BL: Which of the R stands at each place of a sample's body; one of its own where none does.
        body_source_BL: Row of the bank at each place of a sample's body (row 0 where there is only padding).
        pool_BML: As in `Layout`, from the body's start.
        fusion_BK: As in `Layout`, from the body's start.
        parts: What stands in the row, in order, a sample's number or a prompt, and its tokens.
    """

    source_N: Tensor
    position_N: Tensor
    attention: AttentionPlan
    last_attention: AttentionPlan
    read_R: Tensor
    unread_U: Tensor
    body_BL: Tensor
    body_source_BL: Tensor
    pool_BML: Tensor
    fusion_BK: Tensor
    parts: tuple[tuple[int | Prompt, int], ...] = ()

    def to(self, device: torch.device) -> "PackedLayout":
        """The same on another device."""
        return _moved(self, device)


@dataclass(frozen=True)
class PackedPrompts:
    """One row of prompts, whose keys and values are to be kept.

    Attributes:
        source_N: Row of the bank of each token.
        position_N: Where each token stands in its prompt.
        attention: For every layer.
        first: Prompt -> its first row.
    """

    source_N: Tensor
    position_N: Tensor
    attention: AttentionPlan
    first: Mapping[Prompt, int]

    def to(self, device: torch.device) -> "PackedPrompts":
        """The same on another device."""
        return _moved(self, device)


@dataclass(frozen=True, eq=False)
class _Piece:
    """What stands together in the row, a prompt or a sample's body, and the prompt before it (a prompt has none)."""

    source: np.ndarray
    prompt: Prompt

    @property
    def num_keys(self) -> int:
        return len(self.prompt) + len(self.source)


_Members = tuple[Group, list[_Piece]]


@dataclass(frozen=True)
class _Rows:
    """Which row everything stands in.

    Attributes:
        of: Piece -> its rows.
        key_of: Piece -> its keys, the prompt's before its own, as every layer but the last counts them.
        number: N.
        num_kept: Keys that were kept from before; they are counted first.
    """

    of: dict[_Piece, np.ndarray]
    key_of: dict[_Piece, np.ndarray]
    number: int
    num_kept: int


def prompts_of(layout: Layout, prompt_lengths: Sequence[int]) -> list[Prompt]:
    """The prompt that each sample of a layout (on the CPU) begins with."""
    source = layout.source_BL.numpy()
    return [tuple(source[b, :length].tolist()) for b, length in enumerate(prompt_lengths)]


def pack(
    layout: Layout,
    prompts: Sequence[Prompt],
    *,
    kept: Mapping[Prompt, int] | None = None,
    device_type: str = "cpu",
) -> PackedLayout:
    """Plan the row of a batch.

    Args:
        layout: From `plan_layout`, on the CPU.
        prompts: From `prompts_of`.
        kept: Prompts whose keys and values were kept from before -> their place among these; None: prompts are read.
        device_type: Where it will run: decides how attention is grouped, not what it computes.
    """
    source_BL, lengths_B = layout.source_BL.numpy(), layout.lengths_B.numpy()
    bodies = [_Piece(source_BL[b, len(prompt) : lengths_B[b]], prompt) for b, prompt in enumerate(prompts)]
    alone = {} if kept is not None else {prompt: _Piece(np.array(prompt), ()) for prompt in prompts if prompt}
    groups = _group([*alone.values(), *bodies], device_type)
    rows = _number(groups, alone, kept or {})
    body = _Bodies(layout, bodies, rows)
    read, unread = np.flatnonzero(body.is_read_N), np.flatnonzero(~body.is_read_N)
    place_N = np.full(rows.number, -1)
    place_N[read] = np.arange(len(read))
    # In the last layer the keys of unread rows come before those of read ones.
    last_keys = np.arange(rows.num_kept + rows.number)
    last_keys[rows.num_kept + np.concatenate([unread, read])] = np.arange(rows.num_kept, len(last_keys))
    last_rows = {piece: place_N[numbers] for piece, numbers in rows.of.items()}
    last_key_of = {piece: last_keys[numbers] for piece, numbers in rows.key_of.items()}
    arrays = {
        "source_N": np.concatenate([piece.source for piece in rows.of]),
        "position_N": np.concatenate([np.arange(len(piece.prompt), piece.num_keys) for piece in rows.of]),
        "read_R": read,
        "unread_U": unread,
        "body_BL": _own_place(place_N[body.row_BL]),
        "body_source_BL": body.source_BL,
        "pool_BML": body.pool_BML,
        "fusion_BK": body.fusion_BK,
    }
    return PackedLayout(
        attention=_plan(groups, rows.of, rows.key_of),
        last_attention=_plan(_group(bodies, device_type), last_rows, last_key_of),
        parts=_parts(rows, alone, bodies),
        **{name: torch.from_numpy(array) for name, array in arrays.items()},
    )


def pack_prompts(prompts: Sequence[Prompt], *, device_type: str = "cpu") -> PackedPrompts:
    """Plan a row of distinct prompts, none of them empty."""
    alone = {prompt: _Piece(np.array(prompt), ()) for prompt in prompts}
    groups = _group(list(alone.values()), device_type)
    rows = _number(groups, alone, {})
    return PackedPrompts(
        torch.from_numpy(np.concatenate([piece.source for piece in rows.of])),
        torch.from_numpy(np.concatenate([np.arange(piece.num_keys) for piece in rows.of])),
        _plan(groups, rows.of, rows.key_of),
        {prompt: int(rows.of[piece][0]) for prompt, piece in alone.items()},
    )


def _parts(
    rows: _Rows, alone: Mapping[Prompt, _Piece], bodies: Sequence[_Piece]
) -> tuple[tuple[int | Prompt, int], ...]:
    names: dict[_Piece, int | Prompt] = {piece: b for b, piece in enumerate(bodies)}
    names |= {piece: prompt for prompt, piece in alone.items()}
    return tuple((names[piece], len(numbers)) for piece, numbers in rows.of.items())


class _Bodies:
    """The bodies side by side, padded at the end: what the heads read.

    Args:
        layout: Of the batch.
        bodies: One a sample.
        rows: Where they stand.
    """

    def __init__(self, layout: Layout, bodies: list[_Piece], rows: _Rows) -> None:
        longest = max(len(body.source) for body in bodies)
        shape = (len(bodies), longest)
        self.source_BL = np.zeros(shape, dtype=np.int64)
        self.row_BL = np.empty(shape, dtype=np.int64)
        self.pool_BML = np.zeros((len(bodies), layout.pool_BML.shape[1], longest), dtype=np.float32)
        pool_BML, starts = layout.pool_BML.numpy(), np.array([len(body.prompt) for body in bodies])
        for b, body in enumerate(bodies):
            length = len(body.source)
            self.source_BL[b, :length] = body.source
            self.row_BL[b] = rows.of[body][-1]  # whatever stands in padding has to be the sample's own
            self.row_BL[b, :length] = rows.of[body]
            self.pool_BML[b, :, :length] = pool_BML[b, :, starts[b] : body.num_keys]
        self.fusion_BK = layout.fusion_BK.numpy() - starts[:, None]
        self.is_read_N = np.zeros(rows.number, dtype=bool)
        self.is_read_N[self.row_BL[(self.pool_BML != 0).any(axis=1)]] = True
        self.is_read_N[np.take_along_axis(self.row_BL, self.fusion_BK, axis=1)] = True
        in_bodies = np.unique(self.row_BL)
        if not self.is_read_N[in_bodies].mean() < 1.0 - LEAST_UNREAD:
            self.is_read_N[in_bodies] = True


def _group(pieces: list[_Piece], device_type: str) -> list[_Members]:
    """Pieces of similar length together, in as many groups as pay for themselves."""
    limit = MASKED_KEYS.get(device_type, 0)
    kinds: dict[int | None, list[_Piece]] = {}
    for piece in pieces:
        # One mask serves a group only where all prompts are equally long; without a mask lengths of prompts may differ.
        kinds.setdefault(len(piece.prompt) if piece.num_keys <= limit else None, []).append(piece)
    cost = CALL_COST.get(device_type, CALL_COST_ELSEWHERE)
    found = []
    for prompt_length, members in kinds.items():
        members.sort(key=lambda piece: piece.num_keys)
        for chosen in _cut(members, cost):
            num_keys = chosen[-1].num_keys
            found.append((Group(len(chosen), num_keys - (prompt_length or 0), num_keys), chosen))
    return found


def _cut(pieces: list[_Piece], call_cost: int) -> list[list[_Piece]]:
    """Pieces, shortest first, cut where the sum of calls and of padded squares is smallest."""
    squares = np.array([piece.num_keys**2 for piece in pieces])
    best, first = np.zeros(len(pieces) + 1), np.zeros(len(pieces), dtype=int)
    for last, square in enumerate(squares):
        costs = best[: last + 1] + call_cost + np.arange(last + 1, 0, -1) * square
        first[last] = int(costs.argmin())
        best[last + 1] = costs[first[last]]
    cuts, end = [], len(pieces)
    while end:
        cuts.append(pieces[first[end - 1] : end])
        end = first[end - 1]
    return cuts[::-1]


def _number(groups: list[_Members], alone: Mapping[Prompt, _Piece], kept: Mapping[Prompt, int]) -> _Rows:
    """Rows in the order of the groups, so that where nothing is padded attention finds them as it needs them."""
    of, number = {}, 0
    for piece in itertools.chain.from_iterable(members for _, members in groups):
        of[piece] = np.arange(number, number + len(piece.source))
        number += len(piece.source)
    num_kept = sum(map(len, kept))
    prompt_keys = {prompt: first + np.arange(len(prompt)) for prompt, first in kept.items()}
    prompt_keys |= {prompt: of[piece] + num_kept for prompt, piece in alone.items()}
    nothing = np.empty(0, dtype=np.int64)
    key_of = {
        piece: np.concatenate([prompt_keys.get(piece.prompt, nothing), numbers + num_kept])
        for piece, numbers in of.items()
    }
    return _Rows(of, key_of, number, num_kept)


def _plan(
    groups: list[_Members], row_of: Mapping[_Piece, np.ndarray], key_of: Mapping[_Piece, np.ndarray]
) -> AttentionPlan:
    """Slots of all groups; a row of -1 asks nothing."""
    queries, keys = [], []
    for group, members in groups:
        query, key = np.full((group.size, group.num_queries), -1), np.zeros((group.size, group.num_keys), dtype=int)
        for n, piece in enumerate(members):
            first = len(piece.prompt) - (group.num_keys - group.num_queries)
            query[n, first : first + len(piece.source)] = row_of[piece]
            key[n] = key_of[piece][-1]
            key[n, : piece.num_keys] = key_of[piece]
        queries.append(query.ravel())
        keys.append(key.ravel())
    query_S = np.concatenate(queries)
    asking = np.flatnonzero(query_S >= 0)
    output_N = np.empty(len(asking), dtype=np.int64)
    output_N[query_S[asking]] = asking
    as_they_are = np.array_equal(query_S, np.arange(len(asking)))
    return AttentionPlan(
        tuple(group for group, _ in groups),
        None if as_they_are else torch.from_numpy(query_S.clip(0)),
        torch.from_numpy(np.concatenate(keys)),
        None if as_they_are else torch.from_numpy(output_N),
    )


def _own_place(place_BL: np.ndarray) -> np.ndarray:
    """Where nothing is read (-1), something that is read of the same sample: its weight will be zero."""
    return np.where(place_BL < 0, place_BL.max(axis=1, keepdims=True).clip(0), place_BL)


_Part = TypeVar("_Part", PackedLayout, PackedPrompts, AttentionPlan)


def _moved(part: _Part, device: torch.device) -> _Part:
    """All indices travel as one array: many small ones would each have to be waited for."""
    if device.type == "cpu":
        return part
    indices = list(_indices(part))
    sent = torch.cat([index.flatten() for index in indices]).to(device, non_blocking=True)
    pieces = sent.split([index.numel() for index in indices])
    return _rebuilt(part, iter(piece.view(index.shape) for piece, index in zip(pieces, indices, strict=True)), device)


def _indices(part: Any) -> Iterator[Tensor]:
    for name in (field.name for field in fields(part)):
        value = getattr(part, name)
        if isinstance(value, AttentionPlan):
            yield from _indices(value)
        elif isinstance(value, Tensor) and value.dtype == torch.int64:
            yield value


def _rebuilt(part: _Part, indices: Iterator[Tensor], device: torch.device) -> _Part:
    changes: dict[str, Any] = {}
    for name in (field.name for field in fields(part)):
        value = getattr(part, name)
        if isinstance(value, AttentionPlan):
            changes[name] = _rebuilt(value, indices, device)
        elif isinstance(value, Tensor):
            changes[name] = next(indices) if value.dtype == torch.int64 else value.to(device, non_blocking=True)
    return replace(part, **changes)
