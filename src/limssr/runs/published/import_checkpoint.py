"""Turns a state dict of the published code into a run folder (docs/published-checkpoints.md).

Sizes are read from shapes. Everything is checked before anything is written: names, shapes, kinds of numbers, the
vocabulary, and the frozen weights of the language model against the backbone, value by value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch

from limssr.core.config import BackboneConfig, LoraConfig, ModelConfig, PromptConfig, RunConfig, TrainConfig
from limssr.core.config_data import DataConfig, MissingConfig
from limssr.core.errors import InputError
from limssr.core.files import check_disk, check_new, new_folder, sha256_of
from limssr.core.reading.checkpoints import read_checkpoint
from limssr.core.runtime import environment
from limssr.core.types import Criterion, Modality
from limssr.model.backbone.load import Backbone, load_backbone
from limssr.model.limssr import LimssrModel, num_special_tokens
from limssr.model.tokens import TokenRows
from limssr.runs.folder import write_config, write_run
from limssr.runs.published.find import find_checkpoint
from limssr.runs.published.keys import STREAMS
from limssr.runs.published.state import PublishedSizes, fill_model, read_sizes
from limssr.systems.saving import save_pretrained, state_to_save

ORIGIN = "imported checkpoint"
LORA_ALPHA = 32
"""A constant of the format, as are the four heads of path 2's attention."""


@dataclass(frozen=True, kw_only=True)
class ImportedCheckpoint:
    """What was imported.

    Attributes:
        run: The run folder.
        sizes: As read from the checkpoint.
        streams: Our names of the streams.
        criteria: Names of the scores.
        num_tensors: In the checkpoint.
        num_compared: Frozen tensors found equal to the backbone's.
        table_rows: Rows of the token table that the model holds.
    """

    run: Path
    sizes: PublishedSizes
    streams: tuple[str, ...]
    criteria: tuple[str, ...]
    num_tensors: int
    num_compared: int
    table_rows: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for `--json`."""
        return {**asdict(self), "run": str(self.run)}


def import_checkpoint(
    file: str | Path,
    out: Path,
    *,
    backbone: str,
    criteria: Sequence[Criterion],
    num_segments: int,
    streams: Mapping[str, str] = STREAMS,
    embeddings: Literal["used", "all"] = "used",
    dropout: float = 0.15,
    local_files_only: bool = True,
) -> ImportedCheckpoint:
    """Turn a published state dict into a run folder that gives the same scores.

    Args:
        file: A file of torch.save or safetensors, or the hub id of a repository with one such file.
        out: Run folder to make; must not exist.
        backbone: The language model that it was trained on: a known name, a hub id or a folder.
        criteria: The C scores with the scale each was divided by.
        num_segments: T, which leaves no trace in the tensors.
        streams: Letter in the checkpoint -> our name, in the model's order.
        embeddings: "used" keeps the rows of the token table that prompts can read, which gives the same scores; "all"
            keeps the whole table, for training on as published.
        dropout: Rate that training goes on with; no trace in the tensors either.
        local_files_only: False may fetch checkpoint and backbone from the hub.

    Raises:
        InputError: Anything does not fit; every wrong tensor is counted, the first ten are named. Nothing is written.
        ResourceError: The disk is full.
    """
    check_new(out, "run")
    if not criteria or num_segments < 1:
        raise InputError("Expected at least one criterion, and a number of segments of at least 1.")
    path = find_checkpoint(file, local_files_only=local_files_only)
    state = read_checkpoint(path)
    sizes = read_sizes(state, streams)
    if sizes.num_criteria != len(criteria):
        names = ", ".join(criterion.name for criterion in criteria)
        raise InputError(f"Expected names for the {sizes.num_criteria} score(s) that {path} predicts, found {names}.")
    config = _model_config(sizes, backbone, dropout=dropout, local_files_only=local_files_only)
    modalities = tuple(
        Modality(streams[letter], width) for letter, width in zip(sizes.letters, sizes.widths, strict=True)
    )
    model = _build(config, modalities, criteria, sizes)
    num_compared = fill_model(model, state, sizes.keys)
    if embeddings == "used":
        keep_used_rows(model)
    model.config = model.config.model_copy(
        update={"backbone": config.backbone.model_copy(update={"local_files_only": True})}
    )
    check_disk(out, sum(tensor.numel() * tensor.element_size() for tensor in state_to_save(model).values()))
    source = {"file": path.name, "sha256": sha256_of(path), "sizes": asdict(sizes)}
    _write(out, model, num_segments, source)
    rows = sum(tensor.shape[0] for tensor in model.tokens.state_dict().values())
    return ImportedCheckpoint(
        run=out,
        sizes=sizes,
        streams=tuple(modality.name for modality in modalities),
        criteria=tuple(criterion.name for criterion in criteria),
        num_tensors=len(state),
        num_compared=num_compared,
        table_rows=rows,
    )


def keep_used_rows(model: LimssrModel) -> None:
    """Replace the whole token table by the rows that prompts can read and the special tokens: `train_embeddings: used`.

    Scores and gradients stay what they were, as no other row is ever read.
    """
    config, num_modalities = model.config, len(model.modalities)
    num_special = num_special_tokens(config, num_modalities)
    table_VH = model.tokens.learned_rows().detach()
    model.tokens = TokenRows(
        model.tokens.rows.prompts,
        table_VH[:-num_special],
        table_VH[-num_special:].clone(),
        num_modalities=num_modalities,
        num_fusion=config.num_fusion_tokens,
        train="used",
        scale=model.tokens.scale,
    )
    model.config = config.model_copy(update={"train_embeddings": "used"})


def _model_config(sizes: PublishedSizes, backbone: str, *, dropout: float, local_files_only: bool) -> ModelConfig:
    folder = Path(backbone)
    name = str(folder.absolute()) if folder.is_dir() else backbone
    return ModelConfig(
        backbone=BackboneConfig(name=name, local_files_only=local_files_only),
        lora=None if sizes.lora_rank is None else LoraConfig(rank=sizes.lora_rank, alpha=LORA_ALPHA),
        train_embeddings="all",
        prompt=PromptConfig(variant="published"),
        num_fusion_tokens=sizes.num_fusion_tokens,
        dropout=dropout,
    )


def _build(
    config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion], sizes: PublishedSizes
) -> LimssrModel:
    backbone = load_backbone(config.backbone, seed=0)
    _check_backbone(config, backbone, sizes)
    with torch.random.fork_rng(devices=[]):
        return LimssrModel(config, modalities, criteria, backbone)


def _check_backbone(config: ModelConfig, backbone: Backbone, sizes: PublishedSizes) -> None:
    name, settings = config.backbone.name, getattr(backbone.model, "config", None)
    pairs = {
        "layers": (sizes.num_layers, getattr(settings, "num_hidden_layers", None)),
        "width": (sizes.hidden, backbone.table_VH.shape[1]),
    }
    wrong = [f"{what} {theirs} and not {ours}" for what, (theirs, ours) in pairs.items() if theirs != ours]
    if wrong:
        raise InputError(
            f"The checkpoint was not trained on the backbone {name}: it has {', '.join(wrong)}. Give its own backbone."
        )
    expected = len(backbone.table_VH) + num_special_tokens(config, len(sizes.letters))
    if sizes.vocabulary != expected:
        raise InputError(
            f"The checkpoint does not fit the tokenizer of {name}: its token table has {sizes.vocabulary} rows, not "
            f"the {expected} of {len(backbone.table_VH)} tokens, {3 * len(sizes.letters)} special ones for "
            f"{len(sizes.letters)} streams and {sizes.num_fusion_tokens} fusion tokens. It belongs to another "
            "backbone, or its number of fusion tokens was altered."
        )


def _write(out: Path, model: LimssrModel, num_segments: int, source: Mapping[str, Any]) -> None:
    names = tuple(modality.name for modality in model.modalities)
    config = RunConfig(
        name=out.name,
        data=DataConfig(
            modalities=names,
            criteria=tuple(criterion.name for criterion in model.criteria),
            stream_dims={modality.name: modality.dim for modality in model.modalities},
            num_segments=num_segments,
            padding="attended",
        ),
        missing=MissingConfig(dropout="per_batch"),
        model=model.config,
        # The published script keeps the epoch that is best on the test split, and reports must say so.
        train=TrainConfig(selection="test"),
    )
    parameters = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    document = {
        "name": config.name,
        "status": "done",
        "origin": ORIGIN,
        "checkpoint": dict(source),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": config.seed,
        "selection": config.train.selection,
        "availability": None,
        "dropout": config.missing.dropout,
        "store": None,
        "system": config.model.system,
        "modalities": list(names),
        "criteria": [vars(criterion) for criterion in model.criteria],
        "parameters": {
            "total": sum(count for count, _ in parameters),
            "trained": sum(count for count, trained in parameters if trained),
        },
        "environment": environment(torch.device("cpu")),
        "learned": model.learned(),
    }
    with new_folder(out, "run") as partial:
        save_pretrained(model, partial / "model")
        write_config(partial, config)
        write_run(partial, document)
