"""What is measured: the options, a language model of a named shape, data, and both models with the same weights."""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal, cast

import numpy as np
import torch

from limssr.core.config import ModelConfig, RunConfig
from limssr.core.errors import InputError
from limssr.core.recipes import parse_config
from limssr.core.runtime import choose_device
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.store.reader import FeatureStore
from limssr.model.backbone.families import KNOWN
from limssr.model.backbone.load import SHAPE_AND_WORDS, Backbone, Encode, load_backbone, meta_backbone
from limssr.model.limssr import LimssrModel
from limssr.model.prompt import prompt_text
from limssr.model.prompt_ids import patterns
from limssr.studies.speed.arithmetic import Sizes, measure_sizes
from limssr.studies.speed.literal import LiteralModel, LiteralShape
from limssr.studies.speed.weights import copy_weights

Weights = Literal["random", "pretrained"]
SMALL = "small"
"""A shape of our own, for quick looks and for the guard: cheap on two cores, with a vocabulary that still costs."""
_SMALL_SETTINGS = {
    "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 64, "vocab_size": 8192, "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}  # fmt: skip
PUBLISHED_STREAMS = (Modality("video", 768), Modality("audio", 768), Modality("flow", 1024))
STREAM_WIDTH = 768
CRITERION = Criterion("score", 0.0, 1.0)
# PercePiano's lengths: T 9 to 170, median 24; this log-normal has quartiles 14 and 41 (there 12 and 47).
SHORTEST, LONGEST, MEDIAN_LENGTH, LENGTH_SPREAD = 9, 170, 24, 0.8


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """What to measure.

    Attributes:
        backbone: A known name, "small", a hub id or a folder.
        weights: "random" builds the named shape and needs no download; "pretrained" needs the weights.
        num_layers: Only the first n layers; None: all.
        modalities: M. 3 are the published streams; otherwise M streams of width 768.
        segments: T: the dense works' length, and the fixed length that the literal side pads and crops to.
        batch_size: B of both sides.
        num_samples: Samples of real length for the epoch, the evaluation and reading.
        repeats: Measured rounds; None: as many as the works have by themselves.
        threads: Of torch; None: left as it is.
        device: As for a run.
        store: A feature store for lengths and features; None: synthetic ones.
        settings: Changes of our side's recipe ("model.backbone.gradient_checkpointing=true").
        literal_precision: Of the literal side; the published one is float32.
        our_weights: "int8" scores with the language model's maps rounded (`limssr.model.int8`); such a model does not
            train.
        seed: Of weights and data.
    """

    backbone: str = "smollm2-135m"
    weights: Weights = "random"
    num_layers: int | None = None
    modalities: int = 3
    segments: int = 95
    batch_size: int = 8
    num_samples: int = 32
    repeats: int | None = None
    threads: int | None = None
    device: str = "auto"
    store: str | None = None
    settings: tuple[str, ...] = ()
    literal_precision: Literal["float32", "bf16"] = "float32"
    our_weights: Literal["trained", "int8"] = "trained"
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Everything that both sides share.

    Attributes:
        options: As given.
        config: Our side's recipe.
        modalities: M streams.
        criteria: C scores.
        backbone: The language model, loaded; a model that is built takes it over.
        vocabulary: Entries of its tokenizer.
        encode: Its tokenizer, or the stand-in.
        tokenizer: For people: which of the two.
        prompt_tokens: Tokens of the prompt with all streams.
        device: Where both compute.
    """

    options: BenchmarkOptions
    config: RunConfig
    modalities: tuple[Modality, ...]
    criteria: tuple[Criterion, ...]
    backbone: Backbone
    vocabulary: int
    encode: Encode
    tokenizer: str
    prompt_tokens: int
    device: torch.device


def prepare(options: BenchmarkOptions) -> Setting:
    """Decide and load everything that both sides share.

    Raises:
        InputError: Options that do not fit together, or a language model that is not on this machine.
    """
    _check(options)
    config = our_config(options)
    modalities, criteria = _streams(options)
    backbone, tokenizer = _language_model(config, options)
    encode = cast("Encode", backbone.encode)
    names = [modality.name for modality in modalities]
    prompt = prompt_text(config.model.prompt, names, [True] * len(names))
    return Setting(
        options=options,
        config=config,
        modalities=modalities,
        criteria=criteria,
        backbone=backbone,
        vocabulary=len(backbone.table_VH),
        encode=encode,
        tokenizer=tokenizer,
        prompt_tokens=len(encode(prompt)),
        device=choose_device(options.device).device,
    )


def our_config(options: BenchmarkOptions) -> RunConfig:
    """Our side's recipe: the published model and sizes, computed as we do by default."""
    backbone: dict[str, Any] = {"name": options.backbone, "num_layers": options.num_layers}
    tree = {
        "name": "benchmark",
        "seed": options.seed,
        "data": {"num_segments": options.segments, "padding": "masked"},
        "model": {"backbone": backbone, "prompt": {"variant": "published"}},
        "train": {"batch_size": options.batch_size, "epochs": 1, "selection": "last", "batches": "length"},
        "evaluation": {"batch_size": options.batch_size, "bootstrap": 0},
    }
    return parse_config(tree, where="the benchmark", overrides=options.settings)


def literal_config(options: BenchmarkOptions) -> RunConfig:
    """How the published code feeds its model: fixed T, padding attended, one pattern a batch, random order."""
    tree = {
        "seed": options.seed,
        "data": {"num_segments": options.segments, "padding": "attended"},
        "missing": {"dropout": "per_batch"},
        "train": {"batch_size": options.batch_size, "epochs": 1, "selection": "last", "batches": "random"},
        "evaluation": {"batch_size": options.batch_size, "bootstrap": 0},
    }
    return RunConfig.model_validate(tree)


def build_ours(setting: Setting, model: ModelConfig | None = None) -> LimssrModel:
    """Our model on the CPU. It takes the setting's language model over, so one setting builds one model."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setting.options.seed)
        ours = LimssrModel(model or setting.config.model, setting.modalities, setting.criteria, setting.backbone)
        # adapters start at zero, which would hide half of their gradients from a comparison
        for name, parameter in ours.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.01)
    return ours


def build_literal(setting: Setting, ours: LimssrModel) -> LiteralModel:
    """The published computation with our model's weights, on the CPU.

    Raises:
        InputError: Our side's recipe describes another model than the published one.
    """
    config = setting.config.model
    if config.lora is None or config.head != "paper" or config.num_missing_tokens is not None:
        raise InputError(
            "The literal computation is the published model only: leave model.lora, model.head and "
            "model.num_missing_tokens as they are, or measure ours alone."
        )
    shape = LiteralShape(
        modalities=setting.modalities,
        num_slots=config.num_fusion_tokens,
        num_criteria=len(setting.criteria),
        vocabulary=setting.vocabulary,
        dropout=config.dropout,
        lora=config.lora,
        prompt=config.prompt,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setting.options.seed)
        literal = LiteralModel(shape, ours.backbone.config, setting.encode)
    copy_weights(ours, literal, setting.backbone.table_VH)
    return literal


def sizes_of(setting: Setting, ours: LimssrModel) -> Sizes:
    """What the arithmetic of both sides depends on."""
    return measure_sizes(ours, vocabulary=setting.vocabulary, prompt_tokens=setting.prompt_tokens)


def dense_samples(setting: Setting, count: int) -> list[Sample]:
    """Samples of exactly T segments with every stream."""
    return _synthetic(setting, [setting.options.segments] * count)


def real_samples(setting: Setting) -> list[Sample]:
    """Samples of real lengths with every stream: from the store, or synthetic ones as long as PercePiano's."""
    options = setting.options
    if options.store is None:
        return _synthetic(setting, real_lengths(options.num_samples, options.seed))
    store = FeatureStore.open(options.store)
    complete = [sample for sample in store.samples("train") if len(sample.streams) == len(setting.modalities)]
    if not complete:
        raise InputError(f"Expected training samples with all streams in {options.store}, found none.")
    order = np.random.default_rng(options.seed).permutation(len(complete))
    return [complete[index] for index in order[: options.num_samples]]


def real_lengths(count: int, seed: int) -> list[int]:
    """T as PercePiano has them: even quantiles of a clipped log-normal, so that few samples stand for many."""
    normal = NormalDist()
    shares = [normal.inv_cdf((place + 0.5) / count) for place in range(count)]
    lengths = np.clip(np.rint(MEDIAN_LENGTH * np.exp(LENGTH_SPREAD * np.array(shares))), SHORTEST, LONGEST)
    return [int(length) for length in np.random.default_rng(seed).permutation(lengths)]


def stand_in_tokenizer(vocabulary: int) -> Encode:
    """One id a word or mark: about as many tokens as a real tokenizer makes of the prompt, and no download."""

    def encode(text: str) -> list[int]:
        return [zlib.crc32(word.encode()) % vocabulary for word in re.findall(r"\w+|[^\w\s]", text)]

    return encode


def _check(options: BenchmarkOptions) -> None:
    positive = {
        "--modalities": options.modalities, "--segments": options.segments, "--batch-size": options.batch_size,
        "--num-samples": options.num_samples, "--repeats": options.repeats or 1, "--threads": options.threads or 1,
    }  # fmt: skip
    for name, value in positive.items():
        if value < 1:
            raise InputError(f"Expected {name} of at least 1, found {value}.")


def _streams(options: BenchmarkOptions) -> tuple[tuple[Modality, ...], tuple[Criterion, ...]]:
    if options.store is not None:
        if not Path(options.store).is_dir():
            raise InputError(f"Expected a feature store at {options.store}, found none; see limssr data import.")
        return FeatureStore.open(options.store).select()
    if options.modalities == len(PUBLISHED_STREAMS):
        return PUBLISHED_STREAMS, (CRITERION,)
    return tuple(Modality(f"stream{m + 1}", STREAM_WIDTH) for m in range(options.modalities)), (CRITERION,)


def _language_model(config: RunConfig, options: BenchmarkOptions) -> tuple[Backbone, str]:
    if options.weights == "pretrained":
        if options.backbone == SMALL:
            raise InputError("The shape 'small' has no pretrained weights; use --weights random.")
        return load_backbone(config.model.backbone, seed=options.seed), "its own"
    if options.backbone != SMALL and options.backbone not in KNOWN:
        random = config.model.backbone.model_copy(update={"init": "random"})
        return load_backbone(random, seed=options.seed), "its own"
    return _random_backbone(config, options)


def _random_backbone(config: RunConfig, options: BenchmarkOptions) -> tuple[Backbone, str]:
    """Of a named shape, and what stands for its tokenizer."""
    from transformers import AutoModel, LlamaConfig

    if options.backbone == SMALL:
        settings: Any = LlamaConfig(**_SMALL_SETTINGS)
        settings.num_hidden_layers = min(options.num_layers or settings.num_hidden_layers, settings.num_hidden_layers)
        vocabulary, encode, tokenizer = settings.vocab_size, None, ""
    else:
        shape = meta_backbone(config.model.backbone)
        settings, vocabulary = shape.model.config, KNOWN[options.backbone].vocabulary
        encode, tokenizer = shape.encode, "recorded words" if shape.origin == SHAPE_AND_WORDS else "its own"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        model: Any = AutoModel.from_config(settings, dtype=torch.float32)
    table = model.get_input_embeddings().weight.detach()[:vocabulary].clone()
    model.embed_tokens = None
    if config.model.backbone.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    if not _can_read_prompt(encode, config, options) or encode is None:
        encode, tokenizer = stand_in_tokenizer(vocabulary), "stand-in: one id a word or mark"
    origin = f"{options.backbone}, random weights"
    # any fingerprint will do: it says that a checkpoint need not carry what the seed gives again
    return Backbone(
        model=model,
        table_VH=table,
        encode=encode,
        embedding_scale=1.0,
        fingerprint=f"seed {options.seed}",
        origin=origin,
    ), tokenizer


def _can_read_prompt(encode: Encode | None, config: RunConfig, options: BenchmarkOptions) -> bool:
    """Whether there is a tokenizer that knows every word; the bytes of `tiny` would make a prompt far too long."""
    if encode is None or options.backbone == "tiny":
        return False
    names = [modality.name for modality in _streams(options)[0]]
    try:
        return all(encode(prompt_text(config.model.prompt, names, owned)) for owned in patterns(names))
    except InputError:
        return False


def _synthetic(setting: Setting, lengths: Sequence[int]) -> list[Sample]:
    rng = np.random.default_rng(setting.options.seed)
    samples = []
    for number, length in enumerate(lengths):
        streams = {
            modality.name: rng.standard_normal((length, modality.dim), dtype=np.float32)
            for modality in setting.modalities
        }
        spread = np.array([rng.uniform(criterion.low, criterion.high) for criterion in setting.criteria])
        samples.append(Sample(f"sample-{number}", streams, spread, group=f"group-{number}", split="train"))
    return samples
