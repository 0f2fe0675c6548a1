"""Recipes: YAML files with `base:` inheritance and `key=value` overrides, turned into a RunConfig or a clear error."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from limssr.config import RunConfig
from limssr.errors import InputError

MAX_BASES = 8


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a recipe.

    Args:
        path: A YAML file. Its `base:` (relative to the file) is read first and this file's keys are laid over it.
        overrides: "train.epochs=3" and the like, laid over the file; values are read as YAML.

    Raises:
        InputError: No such file, no YAML, an unknown key (with the nearest valid one), a value out of range.
    """
    tree = _read_tree(Path(path), depth=0)
    for override in overrides:
        _set(tree, override)
    return parse_config(tree, where=str(path))


def parse_config(tree: Mapping[str, Any], *, where: str) -> RunConfig:
    """A nested mapping -> RunConfig; `where` names its origin in errors."""
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        lines = "\n".join(f"  {_explain(item)}" for item in error.errors())
        raise InputError(f"{where} is not a valid recipe:\n{lines}") from None


def dump_config(config: RunConfig) -> str:
    """YAML with every default filled in; `parse_config` reads it back to an equal RunConfig."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read_tree(path: Path, depth: int) -> dict[str, Any]:
    if depth > MAX_BASES:
        raise InputError(f"{path}: more than {MAX_BASES} levels of `base:`, probably a circle; remove one of them.")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Expected a recipe at {path}: {error.strerror}. Give the path of a YAML file.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not readable as YAML: {error}") from None
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise InputError(f"{path}: expected keys and values, found {type(tree).__name__}.")
    base = tree.pop("base", None)
    if base is None:
        return tree
    return _merge(_read_tree(path.parent / str(base), depth + 1), tree)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _set(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"Expected an override such as train.epochs=3, found {override!r}.")
    *parents, last = key.split(".")
    node = tree
    for name in parents:
        child = node.get(name)
        node[name] = dict(child) if isinstance(child, Mapping) else {}
        node = node[name]
    try:
        node[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"The value of override {override!r} is not readable as YAML: {error}") from None


def _explain(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] != "extra_forbidden":
        return f"{where or 'recipe'}: {item['msg']} (found {item['input']!r:.80})"
    names = dict(_valid_keys())
    parent = ".".join(str(part) for part in item["loc"][:-1])
    siblings = names.get(parent, ())
    near = difflib.get_close_matches(str(item["loc"][-1]), siblings, n=1, cutoff=0.5)
    if near:
        nearest = f"{parent}.{near[0]}".lstrip(".")
    else:
        every = [f"{group}.{key}".lstrip(".") for group, keys in names.items() for key in keys]
        nearest = max(every, key=lambda name: difflib.SequenceMatcher(None, name, where).ratio())
    return f"unknown key {where!r}; the nearest valid key is {nearest!r}"


def _valid_keys(model: type[BaseModel] = RunConfig, prefix: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    yield prefix, tuple(model.model_fields)
    for name, field in model.model_fields.items():
        for nested in _nested_models(field.annotation):
            yield from _valid_keys(nested, f"{prefix}.{name}".lstrip("."))


def _nested_models(annotation: Any) -> list[type[BaseModel]]:
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return [item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)]
