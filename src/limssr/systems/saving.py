"""Saves and loads models: config.json, and model.safetensors with the trained tensors."""

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from torch import Tensor

from limssr.core.config import ModelConfig, offline
from limssr.core.diagnosis import failed_write
from limssr.core.errors import ArtifactError, InputError
from limssr.core.files import sha256_of, write_atomically
from limssr.core.quoting import listed, shortened
from limssr.core.reading.fields import checked, made
from limssr.core.reading.records import ModelDocument, own_file, read_document
from limssr.core.reading.tensors import read_header, read_tensors
from limssr.core.types import Criterion, Modality
from limssr.core.version import __version__
from limssr.nn.contract import FrozenWeights, Network
from limssr.systems.solved.mixture import MIXTURE, Mixture

FORMAT_VERSION = 1
WEIGHTS, SETTINGS, MEMBERS = "model.safetensors", "config.json", "members"
NOTHING_FROZEN = FrozenWeights(sha256="", origin="")
MEMBER = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
Weights = Literal["trained", "int8"]
"""Of the language model's frozen maps, for scoring."""


def state_to_save(model: Network) -> dict[str, Tensor]:
    """Trained tensors and buffers; frozen backbone weights only where nothing else could bring them back."""
    state = model.state_dict()
    if model.frozen is not None and model.frozen.are_saved:
        return state
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    return {name: tensor for name, tensor in state.items() if name not in frozen}


def load_saved_state(model: Network, state: dict[str, Tensor]) -> None:
    """Put tensors of `state_to_save` back.

    Raises:
        ArtifactError: Names or shapes differ, each named.
    """
    expected = state_to_save(model)
    shapes = ({name: list(tensor.shape) for name, tensor in tensors.items()} for tensors in (expected, state))
    _check_fit(*shapes)
    # Straight into the model's own memory: walking its thousand modules would take longer than reading the file.
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(state[name])


def _check_fit(expected: dict[str, list[int]], found: dict[str, list[int]]) -> None:
    missing, surplus = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    shapes = [
        f"{name}: expected {tuple(expected[name])}, found {tuple(found[name])}"
        for name in sorted(expected.keys() & found.keys())
        if expected[name] != found[name]
    ]
    if missing or surplus or shapes:
        raise ArtifactError(
            f"The saved weights do not fit the model: missing {listed(missing, empty='none')}, unexpected "
            f"{listed(surplus, empty='none')}, wrong shape {listed(shapes, empty='none')}. They belong to another "
            "configuration."
        )


def save_pretrained(model: Network, folder: Path) -> None:
    """Write a model folder, all of it or nothing; an existing one is replaced.

    Args:
        model: Built by `limssr.systems.build.build_model`.
        folder: Will hold config.json and model.safetensors.

    Raises:
        InputError: Its weights were rounded to int8, so it is no longer what was trained.
    """
    # Only who has rounded weights has imported this module, and it brings transformers along.
    rounding = sys.modules.get("limssr.model.int8")
    if rounding is not None and rounding.is_int8(model):
        raise InputError("A model with int8 weights is not saved: save it as trained, and round it when it is loaded.")
    folder, frozen = Path(folder), model.frozen or NOTHING_FROZEN
    settings: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "limssr_version": __version__,
        "model": model.config.model_dump(mode="json"),
        "modalities": [modality.to_dict() for modality in model.modalities],
        "criteria": [vars(criterion) for criterion in model.criteria],
        "backbone_sha256": frozen.sha256,
        "backbone_origin": Path(frozen.origin).name,
        "random_seed": model.seed,
        "unseen_streams": list(model.unseen),
    }
    if isinstance(model, Mixture):
        settings["members"] = list(model.members)
        for name, member in model.members.items():
            save_pretrained(member, folder / MEMBERS / name)
    _make_model_folder(folder)
    tensors = _apart({name: tensor.detach().cpu().contiguous() for name, tensor in state_to_save(model).items()})
    content = safetensors.torch.save(tensors)
    settings["weights_sha256"] = hashlib.sha256(content).hexdigest()
    write_atomically(folder / WEIGHTS, content)
    write_atomically(folder / SETTINGS, (json.dumps(settings, indent=1) + "\n").encode())


def load_pretrained(folder: Path, *, weights: Weights = "trained") -> Network:
    """A model folder -> the model, on the CPU, in evaluation mode.

    Args:
        folder: From `save_pretrained`.
        weights: "int8" rounds the frozen maps of the language model; such a model only scores (`limssr.model.int8`).

    Raises:
        InputError: Int8 weights are not supported here.
        ArtifactError: Not a model folder, a newer format, altered weights, or a backbone whose hash differs.
    """
    from limssr.systems.build import build_model

    folder = Path(folder)
    settings = _read_settings(folder)
    outside = own_file(folder / SETTINGS)
    # A folder from somebody else may name a model on a hub; only a recipe of one's own can have it fetched.
    config = offline(checked(ModelConfig, _with_older_meaning(settings["model"]), outside))
    modalities, criteria = saved_names(folder)
    if config.system == MIXTURE:
        model: Network = Mixture(config, modalities, criteria, _load_members(folder, settings, weights))
    else:
        model = build_model(config, modalities, criteria, seed=settings["random_seed"])
    if settings["backbone_sha256"]:
        check_backbone(model, settings["backbone_sha256"], where=str(folder))
    else:
        model.save_frozen_weights()  # this folder carries them, and a copy of it has to
    load_saved_weights(model, folder)
    model.leave_unseen(settings.get("unseen_streams", ()))
    if weights == "int8":
        from limssr.model.int8 import use_int8  # brings transformers along, which few systems need

        use_int8(model)
    model.eval()
    return model


def saved_names(folder: Path) -> tuple[tuple[Modality, ...], tuple[Criterion, ...]]:
    """The streams and the criteria of a saved model.

    Raises:
        ArtifactError: Not a model folder, a newer format, or altered.
    """
    settings, outside = _read_settings(folder), own_file(folder / SETTINGS)
    modalities = made(outside, "streams", lambda: tuple(Modality(**item) for item in settings["modalities"]))
    return modalities, made(outside, "criteria", lambda: tuple(Criterion(**item) for item in settings["criteria"]))


def _with_older_meaning(model: Any) -> Any:
    """Settings of a saved model, with what a key that is missing meant when they were written."""
    statistics = model.get("statistics") if isinstance(model, dict) else None
    if isinstance(statistics, dict) and "widest" not in statistics:
        return {**model, "statistics": {**statistics, "widest": None}}
    return model


def _load_members(folder: Path, settings: Mapping[str, Any], weights: Weights) -> dict[str, Network]:
    names = settings.get("members")
    if not isinstance(names, list) or not names or not all(isinstance(n, str) and MEMBER.fullmatch(n) for n in names):
        raise ArtifactError(f"Expected names of members in {folder / SETTINGS}, found {shortened(str(names))}.")
    return {name: load_pretrained(folder / MEMBERS / name, weights=weights) for name in names}


def load_saved_weights(model: Network, folder: Path) -> None:
    """Put what a model folder holds into a model that was built as its settings say.

    Raises:
        ArtifactError: The file is missing, holds other bytes than were saved or values that are not finite, or belongs
            to another configuration.
    """
    path, outside = folder / WEIGHTS, own_file(folder / WEIGHTS)
    header = {name: entry["shape"] for name, entry in read_header(outside).items()}
    model.make_room(header)
    wanted = {name: list(tensor.shape) for name, tensor in state_to_save(model).items()}
    # Before the file is read: it may promise terabytes.
    _check_fit(wanted, header)
    expected, found = _read_settings(folder).get("weights_sha256"), sha256_of(path)
    if expected is not None and found != expected:
        raise ArtifactError(
            f"Expected in {path} the weights that were saved, with SHA-256 {str(expected)[:16]}…, found "
            f"{found[:16]}…: the file was altered or damaged; copy it again, or train again."
        )
    state = read_tensors(outside)
    refuse_non_finite(state, path)
    load_saved_state(model, state)


def refuse_non_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Raise `ArtifactError` if a tensor holds NaN or infinity, which would make every score nonsense."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            count = int((~torch.isfinite(tensor)).sum())
            raise ArtifactError(
                f"Expected finite weights in {path}, found NaN or infinity in {name} ({count:,} of {tensor.numel():,} "
                "values): the file was altered, or its training came off the rails; train again with a lower "
                "train.learning_rate, after a look at the features with limssr data inspect."
            )


def check_backbone(model: Network, expected: str, *, where: str) -> None:
    """Refuse a model whose frozen weights are not those that something was trained on.

    Args:
        model: As built here.
        expected: SHA-256 of the weights that it was trained on.
        where: Folder that says so.

    Raises:
        ArtifactError: They differ, with what to do about it.
    """
    found, origin = (model.frozen or NOTHING_FROZEN).sha256, (model.frozen or NOTHING_FROZEN).origin
    if found == expected:
        return
    remedy = (
        "They were drawn from the seed and came out differently: use the versions of torch and transformers, and the "
        "kind of processor, that made it."
        if "random weights" in origin
        else "Install the same version of the backbone."
    )
    raise ArtifactError(
        f"{where} was trained on backbone weights with SHA-256 {expected[:16]}…, but here ({Path(origin).name}) they "
        f"have {found[:16]}…. {remedy}"
    )


def _make_model_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        explained = failed_write(folder, error)
        if explained is None:
            raise
        raise explained from error


def _read_settings(folder: Path) -> dict[str, Any]:
    if not (folder / SETTINGS).exists():
        raise ArtifactError(
            f"Expected a saved model in {folder}, found no {SETTINGS} there: give a run "
            "folder, a folder of its references, or one that save_pretrained wrote."
        )
    return read_document(folder / SETTINGS, ModelDocument, newest_version=FORMAT_VERSION)


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of which no two share memory, as the file format wants them; copied only where they do."""
    seen: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        found[name] = tensor.clone() if memory in seen else tensor
        seen.add(memory)
    return found


def as_cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Detached copies on the CPU."""
    with torch.no_grad():
        return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
