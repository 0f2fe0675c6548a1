"""Counts the cost of a recipe without training: parameters, multiply-accumulates, sequence lengths.

Counted on the meta device, so no weights, no data and no network are needed for backbones of a known shape.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from limssr.core.config import ModelConfig, RunConfig
from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality
from limssr.data.missing import chosen_subsets
from limssr.model.backbone.families import KNOWN
from limssr.model.backbone.load import SHAPE_AND_WORDS, Backbone, load_backbone, meta_backbone
from limssr.model.limssr import LimssrModel, num_special_tokens
from limssr.model.prompt_ids import tokens_of
from limssr.studies.paper.numbers import LIMSSR, PublishedCost, published_costs
from limssr.systems.build import build_model
from limssr.systems.counting import (
    attention_macs,
    head_macs,
    linear_weights,
    measure,
    num_buffered,
    num_parameters,
    num_trained,
)
from limssr.systems.table import SYSTEMS

PUBLISHED_TRAINED = (159.91, 177.26)
"""Millions of trained parameters in the language model, and in all, that the text beside Table 10 gives for LIMSSR."""
DEFAULT_SEGMENTS = 95
"""T that is counted where a recipe keeps performances whole (the paper's T for FS1000)."""


@dataclass(frozen=True, kw_only=True)
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
        macs_backbone: The same for the linear maps inside it, adapters included, without any vocabulary logits, over
            the whole sequence: packed reading computes a prompt once for a batch, which is not taken off.
        macs_attention: Those of the backbone's attention products, counted over the full L x L.
        num_segments: T that was counted.
        prompt_tokens: Subset ("video+audio") -> tokens of its prompt.
        prompt_tokens_source: "tokenizer", or "recorded" where that is out of reach (`limssr.model.backbone.families`).
        sequence_length: Subset -> L.
        parts: Part of the model -> parameters.
        total: All parameters.
        active: Those that some pattern of streams reads: of the token table, rows of prompts and special tokens alone.
        macs_lm_head: Vocabulary logits at every position, which the published code computes besides; not in any sum.
        macs_total: Language model, attention products and what is around it.
        macs_by_subset: Subset -> the same for a sample with those streams; of many streams, the subsets that
            `evaluation.subsets` chooses.
        prompt_share: Of the sequence with all streams, and so of `macs_backbone`, what the prompt takes.
        published: The figures of the paper's Table 10 for this system; None where it has none.
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
    total: int
    active: int
    macs_lm_head: int
    macs_total: int
    macs_by_subset: dict[str, int]
    prompt_share: float
    published: dict[str, Any] | None

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
    if config.model.system not in SYSTEMS or not SYSTEMS[config.model.system].reads_backbone:
        return _describe_system(config, modalities, criteria, segments)
    model, backbone = _build_on_meta(config.model, modalities, criteria)
    names = tuple(modality.name for modality in modalities)
    counted = chosen_subsets(names, config.evaluation.subsets)
    prompts, source = _prompt_tokens(config.model, model, backbone, counted)
    lengths = _sequence_lengths(model, counted, segments)
    inside = [model.backbone, model.tokens]
    lora = sum(p.numel() for name, p in model.backbone.named_parameters() if "lora_" in name)
    backbone_total = sum(map(num_parameters, inside)) + num_buffered(model.tokens)
    around = num_parameters(model) - sum(map(num_parameters, inside))
    num_special, hidden = num_special_tokens(config.model, len(names)), backbone.table_VH.shape[1]
    words = tokens_of(model.tokens.rows.prompts)
    macs = {subset: _macs(model, subset, length, segments) for subset, length in lengths.items()}
    full = "+".join(names)
    return Description(
        system="limssr",
        backbone_total=backbone_total,
        backbone_trainable=sum(map(num_trained, inside)),
        lora=lora,
        around_backbone=around,
        trainable=num_trained(model),
        macs_around_backbone=macs[full]["around"],
        macs_backbone=macs[full]["linear"],
        macs_attention=macs[full]["attention"],
        num_segments=segments,
        prompt_tokens=prompts,
        prompt_tokens_source=source,
        sequence_length=lengths,
        parts=_parts(model, lora),
        total=backbone_total + around,
        active=num_parameters(model.backbone) + (len(words) + num_special) * hidden + around,
        macs_lm_head=(len(backbone.table_VH) + num_special) * hidden * lengths[full],
        macs_total=sum(macs[full].values()),
        macs_by_subset={subset: sum(parts.values()) for subset, parts in macs.items()},
        prompt_share=prompts[full] / lengths[full],
        published=published_figures("limssr"),
    )


def published_figures(system: str) -> dict[str, Any] | None:
    """What the paper's Table 10 says of a system of ours; None where it has no such row.

    Returns:
        table, system (the paper's name), params_millions and flops_giga (one number a part: the language model and what
        is around it, for LIMSSR); for LIMSSR also trained_millions (the language model, all), from the text beside it.
    """
    cost = _published_cost(system)
    if cost is None:
        return None
    figures: dict[str, Any] = {"table": 10, **asdict(cost)}
    return {**figures, "trained_millions": PUBLISHED_TRAINED} if cost.system == LIMSSR else figures


def _published_cost(system: str) -> PublishedCost | None:
    def plain(name: str) -> str:
        return "".join(sign for sign in name.lower() if sign.isalnum())

    return next((cost for cost in published_costs() if plain(cost.system) == plain(system)), None)


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
    config: ModelConfig, model: LimssrModel, backbone: Backbone, counted: Sequence[tuple[str, ...]]
) -> tuple[dict[str, int], str]:
    if backbone.encode is None and config.prompt.variant != "none":
        raise InputError(
            f"The tokenizer of {config.backbone.name} is not on this machine, and this prompt's length depends on it. "
            "Put it into the local cache, or describe model.prompt.variant=none."
        )
    prompts, names = model.tokens.rows.prompts, counted[-1]  # the full subset is the last one
    counts = {"+".join(subset): len(prompts[tuple(name in subset for name in names)]) for subset in counted}
    return counts, "recorded" if backbone.origin == SHAPE_AND_WORDS else "tokenizer"


def _sequence_lengths(model: LimssrModel, counted: Sequence[tuple[str, ...]], segments: int) -> dict[str, int]:
    names = counted[-1]  # the full subset is the last one
    return {
        "+".join(subset): model.sequence_length(tuple(name in subset for name in names), segments) for subset in counted
    }


def _describe_system(
    config: RunConfig, modalities: tuple[Modality, ...], criteria: tuple[Criterion, ...], segments: int
) -> Description:
    model = build_model(config.model, modalities, criteria, seed=0)
    parts = {name: num_parameters(child) for name, child in model.named_children() if num_parameters(child)}
    total, trainable = num_parameters(model), num_trained(model)
    names = tuple(modality.name for modality in modalities)
    counted = chosen_subsets(names, config.evaluation.subsets)
    found = {"+".join(subset): measure(model, modalities, segments, present=subset) for subset in counted}
    active = {name: size for measured in found.values() for name, size in measured.active.items()}
    macs = found["+".join(names)].macs
    return Description(
        system=config.model.system,
        backbone_total=0,
        backbone_trainable=0,
        lora=0,
        around_backbone=total,
        trainable=trainable,
        macs_around_backbone=macs,
        macs_backbone=0,
        macs_attention=0,
        num_segments=segments,
        prompt_tokens={},
        prompt_tokens_source="none",
        sequence_length={},
        parts=parts,
        total=total,
        active=sum(active.values()),
        macs_lm_head=0,
        macs_total=macs,
        macs_by_subset={subset: measured.macs for subset, measured in found.items()},
        prompt_share=0.0,
        published=published_figures(config.model.system),
    )


def _macs(model: LimssrModel, subset: str, length: int, segments: int) -> dict[str, int]:
    """Multiply-accumulates for one sample with a subset of the streams, by where they are."""
    names = [modality.name for modality in model.modalities]
    projections = sum(
        linear_weights(projection)
        for name, projection in zip(names, model.projections, strict=True)
        if name in subset.split("+")
    )
    return {
        "linear": length * linear_weights(model.backbone),
        "attention": attention_macs(model.backbone.config, length),
        "around": segments * projections + head_macs(model.head, len(names)),
    }


def _parts(model: LimssrModel, lora: int) -> dict[str, int]:
    parts = {
        "backbone (frozen)": num_parameters(model.backbone) - num_trained(model.backbone),
        "LoRA": lora,
        "prompt and special tokens": num_parameters(model.tokens) + num_buffered(model.tokens),
        "projections": num_parameters(model.projections),
    }
    for name, child in model.head.named_children():
        parts[f"head: {name}"] = num_parameters(child)
    parts["head: free scalars"] = sum(p.numel() for p in model.head.parameters(recurse=False))
    return {name: count for name, count in parts.items() if count}
