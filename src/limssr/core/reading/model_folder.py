"""A folder of a published model from anyone: looked at before transformers sees it.

Nothing in it is ever run: no Python file, no pickle, no kernel from a hub. Weights are safetensors alone.
"""

import stat
from pathlib import Path
from typing import Any

from limssr.core.quoting import quoted
from limssr.core.reading.documents import read_json
from limssr.core.reading.regular import Outside
from limssr.core.reading.tensors import read_header

CODE_KEYS = ("auto_map", "custom_pipelines")
"""Name Python files of the folder."""
KERNEL_KEYS = ("attn_implementation", "_attn_implementation", "experts_implementation")
"""May name code on a hub: owner/name."""
CONFIG, INDEX = "config.json", "model.safetensors.index.json"
DESCRIPTIONS = (CONFIG, "tokenizer_config.json", "generation_config.json", "processor_config.json")
MAX_VALUE = 10**9
"""Of a whole number in config.json: sizes, counts, ids."""


def outside_of(path: Path, what: str = "a backbone folder") -> Outside:
    """How a refusal speaks of a file of a backbone."""
    return Outside(
        path=path, what=what, remedy="fetch the folder again, or choose another backbone (limssr doctor lists them)"
    )


def check_folder(folder: Path) -> list[Path]:
    """Refuse what would run code, ask a hub, read a pickle or never end.

    Args:
        folder: With config.json, a tokenizer and *.safetensors.

    Returns:
        The weight files, sorted by name, each with a header that fits its length.

    Raises:
        InputError: One of these, a file that is damaged, or none where one is needed.
    """
    for entry in sorted(folder.iterdir()):
        try:
            mode = entry.stat().st_mode
        except OSError as error:
            raise outside_of(entry).unreadable(error) from None
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise outside_of(folder).refused(f"{quoted(entry.name)}, which is neither a file nor a folder")
    if (folder / "adapter_config.json").exists():
        raise outside_of(folder).refused("an adapter, which names its model elsewhere; merge it into the model")
    for name in DESCRIPTIONS:
        if name == CONFIG or (folder / name).exists():
            _check_description(folder / name)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise outside_of(folder).refused("no *.safetensors weights; pickled weights (*.bin, *.pt) are never read")
    if not (folder / "model.safetensors").is_file():
        _check_index(folder)
    for file in files:
        read_header(outside_of(file, "weights (safetensors)"))
    return files


def _check_description(path: Path) -> None:
    outside = outside_of(path, "a description of a backbone (JSON)")
    document = read_json(outside)
    if not isinstance(document, dict):
        raise outside.refused(quoted(document))
    level: list[Any] = [document]
    while level:
        value = level.pop()
        if isinstance(value, dict):
            _check_keys(value, outside)
            level += value.values()
        elif isinstance(value, list):
            level += value
        elif isinstance(value, int) and path.name == CONFIG and abs(value) > MAX_VALUE:
            raise outside.refused(f"the number {quoted(value)}, which no size of a model reaches")


def _check_keys(description: dict[str, Any], outside: Outside) -> None:
    for key in CODE_KEYS:
        if description.get(key):
            raise outside.refused(
                f"{quoted(key)}, which asks for Python code that comes with the weights; that is never run"
            )
    for key in KERNEL_KEYS:
        value = description.get(key)
        if isinstance(value, str) and ("/" in value or ":" in value):
            raise outside.refused(f"{key} {quoted(value)}, which asks for code from a hub; that is never fetched")


def _check_index(folder: Path) -> None:
    outside = outside_of(folder / INDEX, "the list of weight files, or one model.safetensors")
    document = read_json(outside)
    files = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(files, dict) or not files:
        raise outside.refused("no weight_map")
    for name in set(map(str, files.values())):
        if "/" in name or not name.endswith(".safetensors") or not (folder / name).is_file():
            raise outside.refused(f"the file {quoted(name)}, which is no *.safetensors of the folder")
