"""Reads a batch with the backbone: packed into one row, or padded side by side; both give the same states."""

import functools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from limssr.core.errors import InputError
from limssr.core.team import Team
from limssr.model.backbone.fitness import PositionLimit, position_limit
from limssr.model.backbone.lora import RowDraws
from limssr.model.layout import Layout
from limssr.model.reading.attention import KeysAndValues, Reading, Watch, exchange_attention, joined, read_row
from limssr.model.reading.chunks import bytes_a_token, check_room, chunked, in_pieces, rows_of, together
from limssr.model.reading.packing import PackedLayout, Prompt, pack, pack_prompts, prompts_of
from limssr.model.reading.shared import check_draws_by_sequence, gathered, shared_rows, shares_of

MAX_KEPT_TOKENS = 4096
TESTED_FAMILIES = ("llama", "qwen3", "gemma3_text")
"""Other families are compared with padded reading once, when they are loaded."""
TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.02}
HowToRead = Literal["packed", "padded"]
"""See `BackboneConfig.reading`."""


@dataclass(frozen=True)
class States:
    """What was read.

    Attributes:
        inputs_BLH: What the backbone was given; None where nobody asked for it.
        hidden_BLH: Its last hidden states; where no head reads, of no meaning.
        pool_BML: As in `Layout`, for these positions.
        fusion_BK: As in `Layout`, for these positions.
    """

    inputs_BLH: Float[Tensor, "B L H"] | None
    hidden_BLH: Float[Tensor, "B L H"]
    pool_BML: Float[Tensor, "B M L"]
    fusion_BK: Int[Tensor, "B K"]


@dataclass(frozen=True)
class KeptPrompts:
    """Keys and values of prompts, kept from batch to batch.

    Attributes:
        first: Prompt -> where its keys begin.
        keys: Layer -> keys and values of all of them.
        weights: The state of the weights that they were computed with.
    """

    first: Mapping[Prompt, int]
    keys: dict[int, KeysAndValues]
    weights: Hashable

    def with_more(self, first: Mapping[Prompt, int], keys: dict[int, KeysAndValues]) -> "KeptPrompts":
        """These and further ones."""
        length = sum(map(len, self.first))
        moved = {prompt: place + length for prompt, place in first.items()}
        if self.keys:
            keys = {layer: joined(self.keys[layer], new) for layer, new in keys.items()}
        return KeptPrompts({**self.first, **moved}, keys, self.weights)


class Reader:
    """A backbone and the way it reads.

    Args:
        backbone: Headless, from `load_backbone`, with its adapters.
        tokens: The module that makes the learned rows.
        how: "packed": one row without padding, every distinct prompt once. "padded": sequences side by side, padded at
            the end.
        memory_gb: What activations may take in training; a larger batch is read in chunks. None: no limit.

    Attributes:
        how: May be changed from packed to padded and back.
        pieces: In how many pieces a training batch is read where no `memory_gb` decides that.
        team: The processes that read a training batch together; see `join`.
        keeps_prompts: Whether packed reading in evaluation mode without gradients keeps what it computed of prompts.

    Raises:
        InputError: The backbone can only be read padded.
    """

    def __init__(
        self, backbone: nn.Module, tokens: nn.Module, how: HowToRead, *, memory_gb: float | None = None
    ) -> None:
        self.backbone, self.tokens, self.memory_gb = backbone, tokens, memory_gb
        self._token_bytes: float | None = None
        self._limit = position_limit(backbone)
        self.pieces = 1
        self.team = Team.alone()
        self.keeps_prompts = True
        self._can_pack = False
        self._kept: KeptPrompts | None = None
        self._weights: list[Tensor] | None = None
        self.how = how

    @property
    def limit(self) -> PositionLimit | None:
        """How long a sequence may be; None where the backbone has no end of positions."""
        return self._limit

    @property
    def how(self) -> HowToRead:
        """See above."""
        return self._how

    @how.setter
    def how(self, how: HowToRead) -> None:
        if how == "packed" and not self._can_pack:
            exchange_attention(self.backbone)
            self._compare()
            self._can_pack = True
        self._how: HowToRead = how

    def join(self, team: Team) -> None:
        """Read training batches together with other processes, from now on.

        Raises:
            InputError: Dropout is drawn for a whole batch here, which no process alone could do.
        """
        if team.size > 1:
            check_draws_by_sequence(self.backbone, self.how)
        self.team = team

    def forget(self) -> None:
        """Forget what is kept: the weights are about to change, or may have changed."""
        self._kept, self._weights = None, None

    def read(
        self, bank_RH: Tensor, layout: Layout, prompt_lengths: Sequence[int], *, with_inputs: bool = False
    ) -> States:
        """Read a batch.

        Args:
            bank_RH: The rows that sequences are drawn from.
            layout: From `plan_layout`, on the CPU.
            prompt_lengths: How many positions of each sample are its prompt.
            with_inputs: Whether the states have to hold the inputs too.

        Raises:
            InputError: A sequence longer than the backbone has positions.
        """
        if self._limit is not None:
            self._limit.check(int(layout.lengths_B.max()))
        prompts, trains = prompts_of(layout, prompt_lengths), self.backbone.training and torch.is_grad_enabled()
        if trains and self.team.size > 1:
            return self._read_together(bank_RH, layout, prompts, with_inputs=with_inputs)
        if self.how == "padded":
            return self._read_padded(bank_RH, layout, prompts, pieces=self.pieces if trains else 1)
        if torch.is_grad_enabled():
            self.forget()  # whoever asks for gradients is about to change weights
        if trains:
            return self._read_to_train(bank_RH, layout, prompts, with_inputs=with_inputs)
        kept = self._keep(bank_RH, prompts)
        device = bank_RH.device
        packed = self._packed(layout, prompts, device, kept=kept.first if kept else None)
        hidden_BLH = _unpacked(self._read_packed(bank_RH, packed, kept), packed.body_BL)
        inputs_BLH = _unpacked(bank_RH, packed.body_source_BL) if with_inputs else None
        return States(inputs_BLH, hidden_BLH, packed.pool_BML, packed.fusion_BK)

    def watched(self, bank_RH: Tensor, layout: Layout, *, layers: Sequence[int] | None = None) -> tuple[States, Watch]:
        """Read a batch padded, and see what the fusion slots attend to.

        Args:
            bank_RH: As for `read`.
            layout: As for `read`.
            layers: Whose attention is wanted; None: the last one's.

        Raises:
            InputError: A sequence longer than the backbone has positions, or a backbone whose attention cannot be seen.
        """
        if self._limit is not None:
            self._limit.check(int(layout.lengths_B.max()))
        if not self._can_pack:
            exchange_attention(self.backbone)
        number: int = len(self.backbone.layers)  # type: ignore[arg-type]
        on_device = layout.to(bank_RH.device)
        watch = Watch(on_device.fusion_BK, frozenset([number - 1] if layers is None else layers))
        inputs_BLH = _unpacked(bank_RH, on_device.source_BL)
        output = self.backbone(inputs_embeds=inputs_BLH.to(self._dtype), use_cache=False, watch=watch)
        hidden_BLH = output.last_hidden_state.to(inputs_BLH.dtype)
        return States(inputs_BLH, hidden_BLH, on_device.pool_BML, on_device.fusion_BK), watch

    def _read_to_train(
        self, bank_RH: Tensor, layout: Layout, prompts: Sequence[Prompt], *, with_inputs: bool
    ) -> States:
        """In as many chunks as memory asks for; dropout draws by sequence, so that their number changes nothing."""
        seed = int(torch.randint(2**62, ()))
        chunks = self._chunks(bank_RH, layout, prompts, range(len(prompts)), self.pieces)
        hidden, layouts = self._read_chunks(bank_RH, layout, prompts, chunks, seed)
        inputs = [_unpacked(bank_RH, packed.body_source_BL) for packed in layouts] if with_inputs else []
        return States(
            together(inputs, chunks, 1) if with_inputs else None,
            together(hidden, chunks, 1),
            together([packed.pool_BML for packed in layouts], chunks, 2),
            together([packed.fusion_BK for packed in layouts], chunks, 1),
        )

    def _read_together(
        self, bank_RH: Tensor, layout: Layout, prompts: Sequence[Prompt], *, with_inputs: bool
    ) -> States:
        """The share of this process, and from the others what they have read; see `limssr.model.reading.shared`."""
        lengths = layout.lengths_B.tolist()
        share = shares_of(lengths, prompts, self.team.size)[self.team.number]
        pieces = -(-self.pieces // self.team.size)
        rows_RH = shared_rows(bank_RH, self.team)
        if self.how == "padded":
            whole = layout.to(bank_RH.device)
            inputs_BLH, pool_BML, fusion_BK = _unpacked(bank_RH, whole.source_BL), whole.pool_BML, whole.fusion_BK
            if share:
                own = rows_of(layout, share)
                hidden = [self._read_padded(rows_RH, own, [prompts[b] for b in share], pieces=pieces).hidden_BLH]
            chunks = [share]
        else:
            seed = int(torch.randint(2**62, ()))  # as one process draws it
            bodies = self._packed(layout, prompts, bank_RH.device)
            inputs_BLH = _unpacked(bank_RH, bodies.body_source_BL) if with_inputs else None
            pool_BML, fusion_BK = bodies.pool_BML, bodies.fusion_BK
            chunks = self._chunks(bank_RH, layout, prompts, share, pieces)
            hidden, _ = self._read_chunks(rows_RH, layout, prompts, chunks, seed)
        own_BLH = together(hidden, _places(chunks, share), 1) if share else rows_RH[:0, None]
        hidden_BLH = gathered(own_BLH, share, len(prompts), pool_BML.shape[2], team=self.team)
        return States(inputs_BLH, hidden_BLH, pool_BML, fusion_BK)

    def _chunks(
        self, bank_RH: Tensor, layout: Layout, prompts: Sequence[Prompt], rows: Sequence[int], pieces: int
    ) -> list[list[int]]:
        """Some samples of a batch in chunks, as memory or the number of pieces asks for."""
        lengths = layout.lengths_B.tolist()
        own_lengths, own_prompts = [lengths[b] for b in rows], [prompts[b] for b in rows]
        if self.memory_gb is None:
            chunks = in_pieces(own_lengths, own_prompts, pieces)
        else:
            measured = self._measured(bank_RH, layout, prompts)
            check_room(lengths, token_bytes=measured, budget_gb=self.memory_gb)
            chunks = chunked(own_lengths, own_prompts, token_bytes=measured, budget_gb=self.memory_gb)
        return [[rows[place] for place in chunk] for chunk in chunks]

    def _read_chunks(
        self, bank_RH: Tensor, layout: Layout, prompts: Sequence[Prompt], chunks: Sequence[Sequence[int]], seed: int
    ) -> tuple[list[Tensor], list[PackedLayout]]:
        """The hidden states of each chunk's samples, and how they were laid out."""
        numbers = {prompt: -1 - n for n, prompt in enumerate(dict.fromkeys(prompts))}
        by_sequence = bank_RH.device.type == "cpu" or self.memory_gb is not None
        by_sequence = by_sequence or self.pieces > 1 or self.team.size > 1
        hidden, layouts = [], []
        for rows in chunks:
            packed = self._packed(rows_of(layout, rows), [prompts[b] for b in rows], bank_RH.device)
            draws = None
            if by_sequence:
                parts = [(numbers[name] if isinstance(name, tuple) else rows[name], n) for name, n in packed.parts]
                draws = RowDraws(seed, tuple(parts))
            layouts.append(packed)
            if len(chunks) == 1:
                read_RH = self._read_packed(bank_RH, packed, None, draws=draws)
            else:
                read = functools.partial(self._read_packed, draws=draws)
                read_RH = checkpoint(read, bank_RH, packed, None, use_reentrant=False)
            hidden.append(_unpacked(read_RH, packed.body_BL))
        return hidden, layouts

    def _measured(self, bank_RH: Tensor, layout: Layout, prompts: Sequence[Prompt]) -> float:
        """Bytes of activations a token; measured on the batch's shortest sample, the first time that it is asked."""
        if self._token_bytes is None:
            rows = [int(layout.lengths_B.argmin())]
            packed = self._packed(rows_of(layout, rows), [prompts[b] for b in rows], bank_RH.device)
            self._token_bytes = bytes_a_token(
                lambda: self._read_packed(bank_RH, packed, None),
                len(packed.source_N),
                self.backbone,
                len(self.backbone.layers),  # type: ignore[arg-type]
            )
        return self._token_bytes

    def _packed(
        self,
        layout: Layout,
        prompts: Sequence[Prompt],
        device: torch.device,
        *,
        kept: Mapping[Prompt, int] | None = None,
    ) -> PackedLayout:
        return pack(layout, prompts, kept=kept, device_type=device.type).to(device)

    def _read_padded(
        self, bank_RH: Tensor, layout: Layout, prompts: Sequence[Prompt] = (), *, pieces: int = 1
    ) -> States:
        """Padding stands at the end and the backbone is causal: nothing real can see it."""
        on_device = layout.to(bank_RH.device)
        inputs_BLH = _unpacked(bank_RH, on_device.source_BL)
        if pieces == 1:
            hidden_BLH = self._hidden(inputs_BLH)
        else:
            chunks = in_pieces(layout.lengths_B.tolist(), prompts, pieces)
            parts = [checkpoint(self._hidden, inputs_BLH[rows], use_reentrant=False) for rows in chunks]
            hidden_BLH = together(parts, chunks, 1)
        return States(inputs_BLH, hidden_BLH, on_device.pool_BML, on_device.fusion_BK)

    def _hidden(self, inputs_BLH: Tensor) -> Tensor:
        output = self.backbone(inputs_embeds=inputs_BLH.to(self._dtype), use_cache=False)
        return output.last_hidden_state.to(inputs_BLH.dtype)

    def _read_packed(
        self, bank_RH: Tensor, packed: PackedLayout, kept: KeptPrompts | None, *, draws: RowDraws | None = None
    ) -> Tensor:
        """The tokens that heads read [R, H]."""
        last = (packed.read_R, packed.unread_U, packed.last_attention)
        reading = Reading(plan=packed.attention, before=kept.keys if kept else {}, last=last, draws=draws)
        row_NH = bank_RH.index_select(0, packed.source_N).to(self._dtype)
        return read_row(self.backbone, row_NH, packed.position_N, reading).to(bank_RH.dtype)

    @torch.no_grad()
    def _compare(self) -> None:
        """Read two short sequences both ways: a family that mixes tokens elsewhere too would be read wrongly."""
        model: Any = self.backbone
        weight = next(model.parameters())
        if model.config.model_type in TESTED_FAMILIES or weight.is_meta:
            return
        numbers = torch.randn(12, model.config.hidden_size, generator=torch.Generator().manual_seed(0))
        bank_RH = numbers.to(weight.device, weight.dtype)
        source_BL = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 8, 9, 10, 11, 0, 0]])
        every_BML = (torch.arange(8) < torch.tensor([[8], [6]]))[:, None].float()
        layout = Layout(source_BL, every_BML, torch.tensor([[7], [5]]), torch.tensor([8, 6]))
        was_training = model.training
        model.eval()
        packed = pack(layout, prompts_of(layout, [2, 2]), device_type=weight.device.type).to(weight.device)
        packed_BLH = _unpacked(self._read_packed(bank_RH, packed, None), packed.body_BL)
        padded_BLH = self._read_padded(bank_RH, layout).hidden_BLH
        model.train(was_training)
        difference = max((padded_BLH[b, 2:n] - packed_BLH[b, : n - 2]).abs().max().item() for b, n in ((0, 8), (1, 6)))
        if not difference <= TOLERANCES[weight.dtype] * padded_BLH.abs().max().item():
            raise InputError(
                f"A backbone of the family {model.config.model_type!r} cannot be read packed: a first comparison with "
                f"padded reading differs by {difference:.2g}. Use model.backbone.reading=padded."
            )

    def _keep(self, bank_RH: Tensor, prompts: Sequence[Prompt]) -> KeptPrompts | None:
        """Keys and values of at least these prompts; None where they are not to be kept."""
        if not self.keeps_prompts or torch.is_grad_enabled() or self.backbone.training:
            return None
        weights = self._state_of_weights(bank_RH.device.type)
        if weights is None:
            return None
        kept = self._kept
        if kept is None or kept.weights != weights:
            kept = KeptPrompts({}, {}, weights)
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt and prompt not in kept.first]
        if sum(map(len, kept.first)) + sum(map(len, new)) > MAX_KEPT_TOKENS:
            kept, new = KeptPrompts({}, {}, weights), [prompt for prompt in dict.fromkeys(prompts) if prompt]
        if new:
            self._kept = kept = kept.with_more(*self._read_prompts(bank_RH, new))
        return kept

    def _read_prompts(
        self, bank_RH: Tensor, prompts: Sequence[Prompt]
    ) -> tuple[Mapping[Prompt, int], dict[int, KeysAndValues]]:
        packed = pack_prompts(prompts, device_type=bank_RH.device.type).to(bank_RH.device)
        keys: dict[int, KeysAndValues] = {}
        row_NH = bank_RH.index_select(0, packed.source_N).to(self._dtype)
        read_row(self.backbone, row_NH, packed.position_N, Reading(plan=packed.attention, keep=keys))
        return packed.first, keys

    def _state_of_weights(self, device_type: str) -> Hashable:
        """Another value whenever a weight was changed in place; None where that cannot be told.

        A fused optimizer changes weights without torch's counting it, but only weights that hold a gradient.
        """
        if self._weights is None:
            self._weights = [x for part in (self.backbone, self.tokens) for x in (*part.parameters(), *part.buffers())]
        if any(x.is_inference() or x.grad is not None for x in self._weights):
            return None
        precision = torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else None
        return precision, *((x.data_ptr(), x._version) for x in self._weights)

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.backbone.parameters()).dtype


def _unpacked(rows_RH: Tensor, index_BL: Tensor) -> Tensor:
    """[R, H] -> [B, L, H]."""
    return rows_RH.index_select(0, index_BL.flatten()).unflatten(0, index_BL.shape)


def _places(chunks: Sequence[Sequence[int]], share: Sequence[int]) -> list[list[int]]:
    """Chunks by the places that their samples have in the share."""
    place = {b: n for n, b in enumerate(share)}
    return [[place[b] for b in chunk] for chunk in chunks]
