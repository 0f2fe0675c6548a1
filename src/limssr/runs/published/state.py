"""The tensors of a published state dict: the sizes they imply, and loading them into our model.

Every tensor is checked by name, shape, kind and value; one that does not fit is named.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from limssr.core.errors import InputError
from limssr.model.limssr import LimssrModel
from limssr.runs.published.keys import STREAMS, KeyMap

SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class PublishedSizes:
    """What shapes say about a published model.

    Attributes:
        letters: Streams as the state dict calls them, in order.
        widths: D of each.
        num_fusion_tokens: K.
        lora_rank: r; None without adapters.
        hidden: H.
        num_layers: Of the language model.
        vocabulary: Rows of the token table, special tokens included.
        num_criteria: C.
    """

    letters: tuple[str, ...]
    widths: tuple[int, ...]
    num_fusion_tokens: int
    lora_rank: int | None
    hidden: int
    num_layers: int
    vocabulary: int
    num_criteria: int

    @property
    def keys(self) -> KeyMap:
        """The names of its tensors."""
        return KeyMap(self.letters, "none" if self.lora_rank is None else "lora")


def read_sizes(state: Mapping[str, Tensor], streams: Mapping[str, str] = STREAMS) -> PublishedSizes:
    """The sizes of a published model, from the shapes of its tensors.

    Args:
        state: Names and tensors.
        streams: Letter -> our name; its order is that of the masks, which shapes do not say.

    Raises:
        InputError: Not a published model, or streams that have no name.
    """
    found = tuple(dict.fromkeys(key.split(".")[1] for key in state if key.startswith("feature_to_llm.")))
    unnamed = [letter for letter in found if letter not in streams]
    if unnamed:
        raise InputError(
            f"The checkpoint has streams {', '.join(found)}; expected a name for {', '.join(unnamed)}: name all of "
            "them in the order of its masks, --streams v=video a=audio f=flow and so on."
        )
    letters = tuple(letter for letter in streams if letter in found)
    wrapped = any(".lora_A." in key for key in state)
    keys = KeyMap(letters, "lora" if wrapped else "none")
    prefix = f"{keys.backbone}model.layers."
    adapter = f"{prefix}0.self_attn.q_proj.lora_A.default.weight"
    needed = [
        *(f"feature_to_llm.{letter}.0.weight" for letter in letters or ("v",)),
        "token_role_weight",
        "LN.weight",
        "regressor.4.weight",
        keys.table,
        *([adapter] if wrapped else []),
    ]
    absent = [key for key in needed if key not in state]
    if absent:
        raise InputError(
            f"Expected the state dict of a published LIMSSR model, found one of {len(state)} tensors without "
            f"{_listed(absent)}; it begins with {_listed(list(state)[:3])}."
        )
    empty = [
        f"{key} {list(state[key].shape)}"
        for key in needed
        if state[key].numel() == 0 or state[key].ndim < (2 if key.startswith("feature_to_llm.") else 1)
    ]
    if empty:
        raise InputError(f"Expected tensors that tell the sizes of a LIMSSR model, found {_listed(empty)}.")
    layers = {key.removeprefix(prefix).partition(".")[0] for key in state if key.startswith(prefix)}
    return PublishedSizes(
        letters=letters,
        widths=tuple(state[f"feature_to_llm.{letter}.0.weight"].shape[1] for letter in letters),
        num_fusion_tokens=state["token_role_weight"].shape[0],
        lora_rank=state[adapter].shape[0] if wrapped else None,
        hidden=state["LN.weight"].shape[0],
        num_layers=len(layers),
        vocabulary=state[keys.table].shape[0],
        num_criteria=state["regressor.4.weight"].shape[0],
    )


def fill_model(model: LimssrModel, state: Mapping[str, Tensor], keys: KeyMap) -> int:
    """Put every tensor of a published state dict in its place.

    Args:
        model: Built with `train_embeddings: all`.
        state: Published names and tensors.
        keys: Their names.

    Returns:
        How many frozen tensors were compared with the backbone's and found equal.

    Raises:
        InputError: A tensor is missing, unexpected, of another shape or kind, not finite, or frozen and different.
    """
    own = model.state_dict()
    names = {key: name for name in own if (key := keys.published(name)) is not None}
    _check_names(state, {key: keys.published_shape(key, tuple(own[name].shape)) for key, name in names.items()}, keys)
    _check_numbers({key: state[key] for key in names})
    frozen = {name for name, parameter in model.backbone.named_parameters() if not parameter.requires_grad}
    frozen_keys = {key: name for key, name in names.items() if name.removeprefix("backbone.") in frozen}
    _check_frozen(state, {key: own[name] for key, name in frozen_keys.items()})
    taken = {
        name: state[key].squeeze(-1) if keys.is_convolution(key) else state[key]
        for key, name in names.items()
        if key not in frozen_keys
    }
    model.load_state_dict(taken, strict=False)
    return len(frozen_keys)


def _check_names(state: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], keys: KeyMap) -> None:
    """Names and shapes; the output matrix may be left out, as nothing reads it."""
    shapes = {**expected, keys.output_matrix: expected[keys.table]}
    missing = [key for key in expected if key not in state]
    surplus = [key for key in state if key not in shapes]
    wrong = [
        f"{key} (expected {list(shape)}, found {list(state[key].shape)})"
        for key, shape in shapes.items()
        if key in state and tuple(state[key].shape) != shape
    ]
    found = {"missing": missing, "unexpected": surplus, "of another shape": wrong}
    parts = [f"{len(names)} {what}: {_listed(names)}" for what, names in found.items() if names]
    if parts:
        raise InputError(
            "The checkpoint is not a published LIMSSR model on this backbone.\n  " + "\n  ".join(parts) + "\n"
            "Give the backbone that it was trained on; other additions to the published model are not supported."
        )


def _check_numbers(state: Mapping[str, Tensor]) -> None:
    counters = [key for key in state if key.endswith("num_batches_tracked")]
    kinds = [
        f"{key} ({str(tensor.dtype).removeprefix('torch.')})"
        for key, tensor in state.items()
        if tensor.is_complex() or tensor.dtype == torch.bool or tensor.is_floating_point() == (key in counters)
    ]
    if kinds:
        raise InputError(f"Expected floating-point weights and integer counters, found {_listed(kinds)}.")
    broken = [key for key, tensor in state.items() if key not in counters and not tensor.isfinite().all()]
    if broken:
        raise InputError(
            f"Expected finite weights, found NaN or infinity in {len(broken)} tensors: {_listed(broken)}. The training "
            "that saved them had failed."
        )


def _check_frozen(state: Mapping[str, Tensor], backbone: Mapping[str, Tensor]) -> None:
    # A checkpoint kept in fewer bits is compared in those.
    differing = [
        f"{key} (by up to {(ours.to(state[key].dtype).float() - state[key].float()).abs().max().item():.2g})"
        for key, ours in backbone.items()
        if not torch.equal(ours.to(state[key].dtype), state[key])
    ]
    if differing:
        raise InputError(
            f"{len(differing)} of {len(backbone)} frozen tensors differ from the backbone's: {_listed(differing)}. The "
            "checkpoint was trained on other weights: another model of the same shape, another revision, or one that "
            "was fine-tuned. Give its own backbone."
        )


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest
