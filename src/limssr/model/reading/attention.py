"""How a backbone reads a packed row: an attention function of ours inside the transformers model.

transformers lets a model's attention be replaced by name. Ours is handed the queries, keys and values of the whole row
and a `Reading`, which says who attends to whom; without one it is the library's own. So every family of backbones
keeps its own layers, norms and positions, and only the middle of attention is ours.
"""

import functools
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from limssr.core.errors import InputError
from limssr.model.backbone.lora import CurrentDraws, RowDraws, current_draws
from limssr.model.reading.packing import AttentionPlan, Group

NAME = "limssr_packed"
KeysAndValues = tuple[Tensor, Tensor]
"""Of one layer, after the rotation by position: twice [1, heads, P, d]."""


class _KeysFound(Exception):
    """Raised in the middle of a layer of which only keys and values are wanted."""

    def __init__(self, key: Tensor, value: Tensor) -> None:
        super().__init__()
        self.found = (key, value)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What attention has to know of the row that is being read.

    Attributes:
        plan: Who attends to whom; None: keys and values are all that is wanted, the layer stops there.
        before: Layer -> keys and values that come before those of the row.
        keep: Filled with each layer's own keys and values; None: they are not kept.
        last: In the last layer, tokens that are read, the others, and the plan for it; None: all are.
        draws: The masks of the adapters' dropout; None: drawn as it comes.
        masks: Of the groups, made by the first layer that needs them.
    """

    plan: AttentionPlan | None
    before: dict[int, KeysAndValues] = field(default_factory=dict)
    keep: dict[int, KeysAndValues] | None = None
    last: tuple[Tensor, Tensor, AttentionPlan] | None = None
    draws: RowDraws | None = None
    masks: dict[tuple[Group, int | None], Tensor | None] = field(default_factory=dict)

    def draws_of(self, rows: Tensor) -> RowDraws | None:
        """The masks of some tokens of the row."""
        return None if self.draws is None else self.draws.selected(rows)


@dataclass
class Watch:
    """Asks a padded reading for the attention of some positions.

    Attributes:
        query_BK: The positions of each sample.
        layers: Numbers of the layers.
        found: Layer -> weights [B, heads, K, L] of the positions over all positions, each row adding up to 1.
        difference: Largest difference between what these weights make of the values and what the layer made.
    """

    query_BK: Tensor
    layers: frozenset[int]
    found: dict[int, Tensor] = field(default_factory=dict)
    difference: float = 0.0

    def look(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        seen: Tensor | None = None,
        *,
        scaling: float | None = None,
        window: int | None = None,
    ) -> None:
        """Compute the weights of one layer, where it is one of those."""
        if layer not in self.layers:
            return
        if query.shape[1] != key.shape[1]:
            key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
        rows = self.query_BK[:, None, :, None].expand(-1, query.shape[1], -1, query.shape[3])
        scale = query.shape[3] ** -0.5 if scaling is None else scaling
        logits = query.gather(2, rows) @ key.transpose(2, 3) * scale
        place_L = torch.arange(key.shape[2], device=key.device)
        is_seen = place_L <= self.query_BK[..., None]
        if window is not None:
            is_seen &= place_L > self.query_BK[..., None] - window
        is_seen = is_seen[:, None]
        if seen is not None:
            some = seen.expand(len(query), -1, -1, -1).gather(2, self.query_BK[:, None, :, None].expand(
                -1, seen.shape[1], -1, seen.shape[3]))  # fmt: skip
            is_seen = is_seen & (some if some.dtype == torch.bool else some >= 0)
        self.found[layer] = logits.float().masked_fill(~is_seen, -torch.inf).softmax(dim=-1)

    def compare(self, layer: int, value: Tensor, attended: Tensor) -> None:
        """Measure how far the weights explain what the layer made [B, L, heads, d]."""
        if layer not in self.found:
            return
        weights = self.found[layer]
        if weights.shape[1] != value.shape[1]:
            value = value.repeat_interleave(weights.shape[1] // value.shape[1], dim=1)
        rows = self.query_BK[:, :, None, None].expand(-1, -1, *attended.shape[2:])
        made = (weights @ value.float()).transpose(1, 2)
        self.difference = max(self.difference, (made - attended.gather(1, rows).float()).abs().max().item())


def attend_packed(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    reading: Reading | None = None,
    watch: Watch | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention as transformers asks for it: [1, heads, N, d] -> [1, N, heads, d]."""
    if reading is None:
        attended, weights = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling,
            sliding_window=sliding_window, **others,
        )  # fmt: skip
        if watch is not None:
            layer: int = module.layer_idx  # type: ignore[assignment]
            watch.look(layer, query, key, attention_mask, scaling=scaling, window=sliding_window)
            watch.compare(layer, value, attended)
        return attended, weights
    special = [name for name in ("softcap", "position_bias", "s_aux") if others.get(name) is not None]
    if special or not getattr(module, "is_causal", True):
        raise InputError(
            f"The attention of {type(module).__name__} is not plain causal attention ({special or 'not causal'}); "
            "use model.backbone.reading=padded for this backbone."
        )
    if reading.plan is None:
        raise _KeysFound(key, value)
    layer = module.layer_idx  # type: ignore[assignment]
    if reading.keep is not None:
        reading.keep[layer] = (key.detach(), value.detach())
    if layer in reading.before:
        key, value = joined(reading.before[layer], (key, value))
    for group in reading.plan.groups:
        if (group, sliding_window) not in reading.masks:
            reading.masks[group, sliding_window] = _mask(group, sliding_window, query)
    masks = [reading.masks[group, sliding_window] for group in reading.plan.groups]
    attended = _attend(
        reading.plan, _rows(query), _rows(key), _rows(value), scaling=scaling, dropout=dropout, masks=masks
    )
    return attended[None], None


def _rows(x: Tensor) -> Tensor:
    """[1, heads, N, d] -> [N, heads, d]."""
    return x[0].transpose(0, 1)


def _attend(
    plan: AttentionPlan,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scaling: float | None,
    dropout: float,
    masks: list[Tensor | None],
) -> Tensor:
    """Rows [N, heads, d] into their groups, attention there, and back."""
    query = query if plan.query_S is None else query.index_select(0, plan.query_S)
    key, value = key.index_select(0, plan.key_Z), value.index_select(0, plan.key_Z)
    queries = query.split([group.size * group.num_queries for group in plan.groups])
    sizes = [group.size * group.num_keys for group in plan.groups]
    attended = []
    for group, mask, q, k, v in zip(plan.groups, masks, queries, key.split(sizes), value.split(sizes), strict=True):
        q, k, v = (x.unflatten(0, (group.size, -1)).transpose(1, 2) for x in (q, k, v))
        grouped = q.shape[1] != k.shape[1]
        if grouped and not _can_group_heads(q, mask):
            repeats = q.shape[1] // k.shape[1]
            k, v, grouped = k.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1), False
        answer = scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, scale=scaling, enable_gqa=grouped
        )
        attended.append(answer.transpose(1, 2).flatten(0, 1))
    rows = torch.cat(attended)
    return rows if plan.output_N is None else rows.index_select(0, plan.output_N)


def _can_group_heads(query: Tensor, mask: Tensor | None) -> bool:
    """Whether a fast kernel shares keys among heads by itself; on CUDA only that for half precision without a mask."""
    return query.device.type == "cpu" or (query.dtype != torch.float32 and mask is None)


def _mask(group: Group, window: int | None, query: Tensor) -> Tensor | None:
    """0 for the keys that a query sees, else minus infinity [queries, keys]; None where that is a plain triangle."""
    is_windowed = window is not None and window < group.num_keys
    if group.num_queries == group.num_keys and not is_windowed:
        return None
    offset = group.num_keys - group.num_queries
    seen = torch.ones(group.num_queries, group.num_keys, dtype=torch.bool, device=query.device).tril_(offset)
    seen = seen.triu_(offset - window + 1) if is_windowed and window is not None else seen
    # As the kernel wants it: from a mask of booleans it would make this in every layer.
    return torch.zeros_like(seen, dtype=query.dtype).masked_fill_(~seen, -torch.inf)


def joined(first: KeysAndValues, second: KeysAndValues) -> KeysAndValues:
    """Keys and values of two rows, one after the other."""
    return torch.cat([first[0], second[0]], dim=2), torch.cat([first[1], second[1]], dim=2)


def exchange_attention(backbone: nn.Module) -> None:
    """Make a headless backbone read with our attention; its weights stay as they are.

    Raises:
        InputError: It is of a kind whose attention cannot be exchanged.
    """
    model: Any = backbone
    layers = getattr(model, "layers", None)
    if not getattr(model, "_supports_attention_backend", False) or not isinstance(layers, nn.ModuleList):
        raise InputError(
            f"The attention of {type(model).__name__} cannot be exchanged; use model.backbone.reading=padded."
        )
    AttentionInterface.register(NAME, attend_packed)
    # Asked for where there is no reading; then it has to be the library's own.
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
    layers[-1].register_forward_pre_hook(functools.partial(_leave_out_unread, len(layers) - 1), with_kwargs=True)
    if (current := current_draws(model)) is not None:
        # Each attention by itself: a layer that is run a second time, for its gradient, has to find its masks again.
        for attention in (child for layer in layers for child in layer.children() if hasattr(child, "layer_idx")):
            attention.register_forward_pre_hook(functools.partial(_take_draws, current), with_kwargs=True)


def read_row(backbone: nn.Module, inputs_NH: Tensor, position_N: Tensor, reading: Reading) -> Tensor:
    """Input embeddings of a row -> hidden states after the last norm, of the tokens that are read [R, H]."""
    # A mask with four dimensions is one that the library takes as it is; our attention does not look at it.
    finished = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=inputs_NH.device)
    output = backbone(
        inputs_embeds=inputs_NH[None],
        position_ids=position_N[None],
        attention_mask=finished,
        use_cache=False,
        reading=reading,
    )
    return output.last_hidden_state[0]


def _leave_out_unread(number: int, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Called before the last layer: it goes on with the tokens that are read, and with the others' keys and values."""
    reading: Reading | None = kwargs.get("reading")
    if reading is None or reading.last is None:
        return None
    read_R, unread_U, plan = reading.last
    before = dict(reading.before)
    if len(unread_U):
        length = args[0].shape[1]
        keys_only = Reading(plan=None, draws=reading.draws_of(unread_U))
        others = _keys_and_values(
            layer, _select(args, unread_U, length), _select(kwargs, unread_U, length) | {"reading": keys_only}
        )
        before[number] = joined(before[number], others) if number in before else others
        args, kwargs = _select(args, read_R, length), _select(kwargs, read_R, length)
    draws = reading.draws_of(read_R) if len(unread_U) else reading.draws
    return args, kwargs | {"reading": Reading(plan=plan, before=before, draws=draws)}


def _take_draws(current: CurrentDraws, _: Any, __: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Called before each attention: the dropouts of its layer draw for this row."""
    reading: Reading | None = kwargs.get("reading")
    current.now = None if reading is None else reading.draws


def _keys_and_values(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> KeysAndValues:
    """Run a layer as far as its keys and values."""
    # Checkpointing would run the layer a second time and be surprised that it stops half way.
    checkpointing = getattr(layer, "gradient_checkpointing", False)
    layer.gradient_checkpointing = False
    try:
        layer(*args, **kwargs)
    except _KeysFound as signal:
        return signal.found
    finally:
        layer.gradient_checkpointing = checkpointing
    raise InputError("The last layer has no attention of the expected kind; use model.backbone.reading=padded.")


def _select(value: Any, index: Tensor, length: int) -> Any:
    """Tokens of everything among a layer's arguments that has one entry a token: [1, N, ..] -> [1, n, ..]."""
    if isinstance(value, Tensor):
        has_tokens = value.ndim >= 2 and value.shape[:2] == (1, length)
        return value.index_select(1, index) if has_tokens else value
    if isinstance(value, tuple):
        return tuple(_select(item, index, length) for item in value)
    if isinstance(value, dict):
        return {name: _select(item, index, length) for name, item in value.items()}
    return value
