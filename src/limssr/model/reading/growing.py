"""Sequences that grow at their end: what was read stays as keys and values, and only new tokens are read.

Several sequences are read side by side as one row. Each has new tokens, which stay, and a tail, which is read behind
them and forgotten: the next tokens come in its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from limssr.model.reading.attention import KeysAndValues, Reading, read_row
from limssr.model.reading.packing import AttentionPlan, Group

ROOM = 256
"""Tokens that the memory of keys and values has room for at first; it doubles when it is full."""


@dataclass
class KeptKeys:
    """Keys and values of one sequence, layer by layer.

    Attributes:
        length: Tokens that are kept.
        layers: Layer -> keys and values [1, heads, room, d]; the first `length` are those of tokens.
    """

    length: int = 0
    layers: dict[int, KeysAndValues] = field(default_factory=dict)

    def of(self, layer: int) -> KeysAndValues:
        """Those of one layer [1, heads, length, d]."""
        key, value = self.layers[layer]
        return key[:, :, : self.length], value[:, :, : self.length]

    def append(self, found: dict[int, KeysAndValues], begin: int, number: int) -> None:
        """Keep some tokens of a row that was read, in every layer."""
        for layer, pair in found.items():
            self.make_room(layer, self.length + number, pair[0].shape[1], pair[0].shape[3], like=pair)
            for held, new in zip(self.layers[layer], pair, strict=True):
                held[:, :, self.length : self.length + number] = new[:, :, begin : begin + number]
        self.length += number

    def make_room(self, layer: int, end: int, heads: int, width: int, like: KeysAndValues | None = None) -> None:
        """See to it that a layer has room for so many tokens; what is kept stays."""
        held = self.layers.get(layer)
        if held is not None and held[0].shape[2] >= end:
            return
        room = ROOM
        while room < end:
            room *= 2
        sides = []
        for side in (0, 1):
            kind = {} if like is None else {"dtype": like[side].dtype, "device": like[side].device}
            larger = torch.empty(1, heads, room, width if like is None else like[side].shape[3], **kind)
            if held is not None:
                larger[:, :, : self.length] = held[side][:, :, : self.length]
            sides.append(larger)
        self.layers[layer] = (sides[0], sides[1])

    @property
    def num_bytes(self) -> int:
        """Of memory that is taken."""
        return sum(part.numel() * part.element_size() for pair in self.layers.values() for part in pair)


@dataclass(frozen=True)
class Growth:
    """What one sequence is to read.

    Attributes:
        kept: What it has read; more is kept afterwards.
        new_NH: New tokens, at least one.
        tail_KH: Read behind them, and not kept.
    """

    kept: KeptKeys
    new_NH: Tensor
    tail_KH: Tensor

    @property
    def num_read(self) -> int:
        """Tokens that are read now."""
        return len(self.new_NH) + len(self.tail_KH)


@runtime_checkable
class ReadsRows(Protocol):
    """Reads tokens of several sequences, and puts their keys and values behind those that are kept."""

    def read(self, row_NH: Tensor, position_N: Tensor, growths: Sequence[Growth]) -> Tensor:
        """Hidden states [N, H]."""
        ...


@torch.inference_mode()
def grow(
    backbone: nn.Module, growths: Sequence[Growth], layers: "ReadsRows | None" = None
) -> list[tuple[Tensor, Tensor]]:
    """Read new tokens of several sequences in one forward pass.

    Args:
        backbone: Whose attention was exchanged (`limssr.model.reading.attention.exchange_attention`).
        growths: Of different sequences.
        layers: The backbone's layers made for few tokens (`limssr.model.reading.llama_layers`); None: its own.

    Returns:
        For each, the hidden states of its new tokens [N, H] and of its tail [K, H].
    """
    dtype = next(backbone.parameters()).dtype
    like = growths[0].new_NH
    row = torch.cat([part for one in growths for part in (one.new_NH, one.tail_KH)]).to(dtype)
    positions = torch.cat([one.kept.length + torch.arange(one.num_read) for one in growths]).to(row.device)
    keep: dict[int, KeysAndValues] = {}
    if layers is not None:
        hidden = layers.read(row, positions, growths)
    else:
        reading = Reading(plan=_plan(growths, row.device), before=_before(growths), keep=keep)
        hidden = read_row(backbone, row, positions, reading).to(like.dtype)
    found, begin = [], 0
    for one in growths:
        number = len(one.new_NH)
        if layers is None:
            one.kept.append(keep, begin, number)
        else:  # they are where they stay; the next tokens come in the place of the tail
            one.kept.length += number
        found.append((hidden[begin : begin + number], hidden[begin + number : begin + one.num_read]))
        begin += one.num_read
    return found


def _before(growths: Sequence[Growth]) -> dict[int, KeysAndValues]:
    """Keys and values that come before those of the row, one sequence after the other."""
    read = [one.kept for one in growths if one.kept.length]
    layers = read[0].layers if read else {}
    return {
        layer: tuple(torch.cat([kept.of(layer)[side] for kept in read], dim=2) for side in (0, 1))  # type: ignore[misc]
        for layer in layers
    }


def _plan(growths: Sequence[Growth], device: torch.device) -> AttentionPlan:
    """Each sequence attends to what it has kept and, causally, to what it reads now."""
    kept = sum(one.kept.length for one in growths)
    groups, keys, first_kept, first_new = [], [], 0, kept
    for one in growths:
        groups.append(Group(1, one.num_read, one.kept.length + one.num_read))
        keys += [torch.arange(first_kept, first_kept + one.kept.length)]
        keys += [torch.arange(first_new, first_new + one.num_read)]
        first_kept += one.kept.length
        first_new += one.num_read
    return AttentionPlan(tuple(groups), None, torch.cat(keys).to(device), None)
