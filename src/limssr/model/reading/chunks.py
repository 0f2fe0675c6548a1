"""A batch that is too large for memory, read in chunks: how many, and what one of them takes.

Only the language model reads in chunks. Everything around it (projections with their BatchNorm, heads, losses over
pairs) sees the whole batch, a prompt's gradients add up over the chunks, and dropout draws by sequence, so that numbers
are those of the batch read at once, up to rounding. A chunk keeps nothing of what it computed; it is read again when
its gradient is due.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from limssr.core.errors import InputError
from limssr.model.layout import Layout
from limssr.model.reading.packing import Prompt

GB = 1e9


@dataclass
class SavedBytes:
    """Counts what a computation keeps for its gradient; use as a context."""

    parameters: Sequence[nn.Parameter]
    total: int = 0
    _seen: set[int] = field(default_factory=set)

    def __enter__(self) -> "SavedBytes":
        self._seen = {parameter.untyped_storage().data_ptr() for parameter in self.parameters}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda kept: kept)
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)  # type: ignore[arg-type]

    def _keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.total += storage.nbytes()
        return tensor


def bytes_a_token(read: Callable[[], Tensor], num_tokens: int, backbone: nn.Module, num_layers: int) -> float:
    """What reading keeps for its gradient, a token, measured; no random number is used up.

    Gradients on their way through a layer are counted as one layer more.

    Args:
        read: Reads some tokens.
        num_tokens: How many.
        backbone: Its weights are no activations.
        num_layers: Of it.
    """
    devices = sorted(
        {parameter.device for parameter in backbone.parameters() if parameter.device.type == "cuda"}, key=str
    )
    with torch.random.fork_rng(devices=devices), SavedBytes(list(backbone.parameters())) as saved:
        answer = read()
    del answer
    return saved.total / num_tokens * (1 + 1 / num_layers)


def chunked(
    lengths: Sequence[int], prompts: Sequence[Prompt], *, token_bytes: float, budget_gb: float
) -> list[list[int]]:
    """Samples of a batch in as few chunks as fit the budget one by one, longest first, and of about the same size.

    Args:
        lengths: L of each sample, its prompt included.
        prompts: Of each sample; in a chunk each is read once.
        token_bytes: From `bytes_a_token`.
        budget_gb: GB (10^9 bytes) that a chunk may take.

    Raises:
        InputError: One sample alone takes more.
    """
    if not lengths:
        return []
    room = check_room(lengths, token_bytes=token_bytes, budget_gb=budget_gb)
    chunks: list[list[int]] = []
    for b in sorted(range(len(lengths)), key=lambda b: -lengths[b]):
        fitting = (chunk for chunk in chunks if _tokens([*chunk, b], lengths, prompts) <= room)
        chunk = next(fitting, None)
        if chunk is None:
            chunks.append([b])
        else:
            chunk.append(b)
    even = in_pieces(lengths, prompts, len(chunks))
    if max(_tokens(chunk, lengths, prompts) for chunk in even) <= room:
        chunks = even
    return [sorted(chunk) for chunk in chunks]


def check_room(lengths: Sequence[int], *, token_bytes: float, budget_gb: float) -> int:
    """How many tokens fit the budget.

    Raises:
        InputError: One sample alone takes more.
    """
    room, longest = int(budget_gb * GB / token_bytes), max(lengths)
    if longest > room:
        raise InputError(
            f"Expected a sample to fit model.backbone.memory_gb {budget_gb:g}, found one of {longest} tokens "
            f"that takes {longest * token_bytes / GB:.3g} GB: allow as much, crop with data.num_segments, "
            "or use model.backbone.gradient_checkpointing in place of memory_gb."
        )
    return room


def rows_of(layout: Layout, rows: Sequence[int]) -> Layout:
    """The layout of some samples of a batch."""
    index = torch.tensor(rows)
    return Layout(layout.source_BL[index], layout.pool_BML[index], layout.fusion_BK[index], layout.lengths_B[index])


def together(parts: Sequence[Tensor], chunks: Sequence[Sequence[int]], dim: int) -> Tensor:
    """What was found for each chunk, samples first, as one tensor in the batch's order; zeros where `dim` is short."""
    if len(parts) == 1:
        return parts[0]
    longest = max(part.shape[dim] for part in parts)
    padded = torch.cat([_padded(part, longest - part.shape[dim], dim) for part in parts])
    order = torch.tensor([b for chunk in chunks for b in chunk]).argsort()
    return padded.index_select(0, order.to(padded.device))


def in_pieces(lengths: Sequence[int], prompts: Sequence[Prompt], number: int) -> list[list[int]]:
    """Samples of a batch in so many chunks, each about as large: the largest of them decides what memory it takes."""
    chunks: list[list[int]] = [[] for _ in range(number)]
    for b in sorted(range(len(lengths)), key=lambda b: -lengths[b]):
        min(chunks, key=lambda chunk: _tokens([*chunk, b], lengths, prompts)).append(b)
    return [sorted(chunk) for chunk in chunks if chunk]


def _tokens(chunk: Sequence[int], lengths: Sequence[int], prompts: Sequence[Prompt]) -> int:
    bodies = sum(lengths[b] - len(prompts[b]) for b in chunk)
    return bodies + sum(map(len, {prompts[b] for b in chunk}))


def _padded(part: Tensor, missing: int, dim: int) -> Tensor:
    if not missing:
        return part
    shape = list(part.shape)
    shape[dim] = missing
    return torch.cat([part, part.new_zeros(shape)], dim=dim)
