"""What a recipe costs, before anything is trained: parameters, multiply-accumulates and sequence lengths.

Counted on the meta device, so no weights, no data and no network are needed for backbones of a known shape.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from limssr.baselines import SYSTEMS
from limssr.config import ModelConfig, RunConfig
from limssr.data.missing import subsets
from limssr.errors import InputError
from limssr.model.backbone import KNOWN, SHAPE_AND_WORDS, Backbone, load_backbone, meta_backbone
from limssr.model.limssr import LimssrModel, num_special_tokens
from limssr.types import Criterion, Modality

DEFAULT_SEGMENTS = 95
"""T that is counted where a recipe keeps performances whole (the paper's T for FS1000)."""


@dataclass(frozen=True)
class Description:
    """Sizes of a model.

    Attributes:
        system: limssr or a comparison system.
        backbone_total: Parameters of the language model with its adapters and token rows (paper, Table 10).
        backbone_trainable: Those of them that are trained.
        lora: Of which in the adapters.
        around_backbone: Parameters of everything else; all of them are trained.
        trainable: All that is trained.
        macs_around_backbone: Multiply-accumulates of linear maps outside the backbone for one sample with all streams.
        macs_backbone: The same for the linear maps inside it, adapters included, without any vocabulary logits.
        macs_attention: Those of the backbone's attention products, counted over the full L x L.
        num_segments: T that was counted.
        prompt_tokens: Subset ("video+audio") -> tokens of its prompt.
        prompt_tokens_source: "tokenizer", or "recorded" where that is out of reach (`limssr.model.recorded_words`).
        sequence_length: Subset -> L.
        parts: Part of the model -> parameters.
    """

    system: str
    backbone_total: int
    backbone_trainable: int
    lora: int
    around_backbone: int
    trainable: int
    macs_around_backbone: int
    macs_backbone: int
    macs_attention: int
    num_segments: int
    prompt_tokens: dict[str, int]
    prompt_tokens_source: str
    sequence_length: dict[str, int]
    parts: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for `--json`."""
        return asdict(self)


def describe(
    config: RunConfig, modalities: Sequence[Modality] | None = None, criteria: Sequence[Criterion] | None = None
) -> Description:
    """Count a recipe's model.

    Args:
        config: The recipe.
        modalities: Streams of the store; None: `data.stream_dims` of the recipe.
        criteria: Scores of the store; None: as many as `data.criteria` names, else one.

    Raises:
        InputError: Neither a store nor `data.stream_dims`.
    """
    modalities = tuple(modalities) if modalities is not None else _declared_modalities(config)
    criteria = tuple(criteria) if criteria is not None else tuple(map(Criterion, config.data.criteria or ("score",)))
    segments = config.data.num_segments or DEFAULT_SEGMENTS
    if config.model.system != "limssr":
        return _describe_system(config.model, modalities, criteria, segments)
    model, backbone = _build_on_meta(config.model, modalities, criteria)
    names = tuple(modality.name for modality in modalities)
    prompts, source = _prompt_tokens(config.model, model, backbone, names)
    lengths = _sequence_lengths(config.model, prompts, names, segments)
    inside = [model.backbone, model.tokens]
    lora = sum(p.numel() for name, p in model.backbone.named_parameters() if "lora_" in name)
    return Description(
        system="limssr",
        backbone_total=sum(map(_count, inside)) + _buffers(model.tokens),
        backbone_trainable=sum(map(_count_trainable, inside)),
        lora=lora,
        around_backbone=_count(model) - sum(map(_count, inside)),
        trainable=_count_trainable(model),
        macs_around_backbone=_projection_macs(model.projections, segments) + _head_macs(model.head, len(names)),
        macs_backbone=lengths["+".join(names)] * _linear_weights(model.backbone),
        macs_attention=_attention_macs(model.backbone.config, lengths["+".join(names)]),
        num_segments=segments,
        prompt_tokens=prompts,
        prompt_tokens_source=source,
        sequence_length=lengths,
        parts=_parts(model, lora),
    )


def _declared_modalities(config: RunConfig) -> tuple[Modality, ...]:
    dims = config.data.stream_dims
    if not dims:
        raise InputError(
            "Expected the widths of the streams: from a store (data.store) or as data.stream_dims "
            "in the recipe, e.g. {video: 768, audio: 768}. Neither was found."
        )
    names = config.data.modalities or tuple(dims)
    unknown = [name for name in names if name not in dims]
    if unknown:
        raise InputError(f"data.modalities names {unknown}, but data.stream_dims has only {list(dims)}.")
    return tuple(Modality(name, dims[name]) for name in names)


def _build_on_meta(
    config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion]
) -> tuple[LimssrModel, Backbone]:
    if config.backbone.name in KNOWN:
        backbone = meta_backbone(config.backbone)
    else:
        loaded = load_backbone(config.backbone, seed=0)
        backbone = replace(loaded, model=loaded.model.to("meta"), table_VH=loaded.table_VH.to("meta"))
    with torch.device("meta"):
        return LimssrModel(config, modalities, criteria, backbone), backbone


def _prompt_tokens(
    config: ModelConfig, model: LimssrModel, backbone: Backbone, names: tuple[str, ...]
) -> tuple[dict[str, int], str]:
    if backbone.encode is None and config.prompt.variant != "none":
        raise InputError(
            f"The tokenizer of {config.backbone.name} is not on this machine, and this prompt's length depends on it. "
            "Put it into the local cache, or describe model.prompt.variant=none."
        )
    keys = {subset: tuple(name in subset for name in names) for subset in subsets(names)}
    counts = {"+".join(subset): len(model.tokens.rows.prompts.get(key, ())) for subset, key in keys.items()}
    return counts, "recorded" if backbone.origin == SHAPE_AND_WORDS else "tokenizer"


def _sequence_lengths(
    config: ModelConfig, prompts: dict[str, int], names: tuple[str, ...], segments: int
) -> dict[str, int]:
    special = num_special_tokens(config, len(names)) - len(names)  # boundaries and fusion tokens stand once each
    placeholders = config.num_missing_tokens or segments
    lengths = {}
    for key, prompt in prompts.items():
        present = key.count("+") + 1
        lengths[key] = prompt + special + present * segments + (len(names) - present) * placeholders
    return lengths


def _describe_system(
    config: ModelConfig, modalities: tuple[Modality, ...], criteria: tuple[Criterion, ...], segments: int
) -> Description:
    if config.system not in SYSTEMS:
        raise InputError(f"No system is called {config.system!r}; there are limssr, {', '.join(sorted(SYSTEMS))}.")
    model = SYSTEMS[config.system](config, modalities, criteria)
    parts = {name: _count(child) for name, child in model.named_children() if _count(child)}
    return Description(
        config.system, 0, 0, 0, _count(model), _count_trainable(model), segments * _linear_weights(model), 0, 0,
        segments, {}, "none", {}, parts,
    )  # fmt: skip


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _count_trainable(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _buffers(module: nn.Module) -> int:
    return sum(buffer.numel() for buffer in module.buffers())


def _linear_weights(module: nn.Module) -> int:
    return sum(layer.weight.numel() for layer in module.modules() if isinstance(layer, nn.Linear))


def _projection_macs(projections: nn.Module, segments: int) -> int:
    return segments * _linear_weights(projections)


def _head_macs(head: nn.Module, num_modalities: int) -> int:
    """Linear maps of the head, the attention's maps once a modality vector, and its two M x M products."""
    macs = _linear_weights(head)
    for layer in head.modules():
        if isinstance(layer, nn.MultiheadAttention):
            maps = 4 * layer.embed_dim**2
            macs += num_modalities * maps - layer.out_proj.weight.numel() + 2 * num_modalities**2 * layer.embed_dim
    return macs


def _attention_macs(settings: Any, length: int) -> int:
    width = settings.num_attention_heads * settings.head_dim
    return 2 * settings.num_hidden_layers * width * length**2


def _parts(model: LimssrModel, lora: int) -> dict[str, int]:
    parts = {
        "backbone (frozen)": _count(model.backbone) - _count_trainable(model.backbone),
        "LoRA": lora,
        "prompt and special tokens": _count(model.tokens) + _buffers(model.tokens),
        "projections": _count(model.projections),
    }
    for name, child in model.head.named_children():
        parts[f"head: {name}"] = _count(child)
    parts["head: free scalars"] = sum(p.numel() for p in model.head.parameters(recurse=False))
    return {name: count for name, count in parts.items() if count}
