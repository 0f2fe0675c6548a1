"""Every key of a recipe with its type, default and meaning, read from the fields of `limssr.core.config`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from limssr.core.config import RunConfig
from limssr.core.errors import InputError, nearest_name
from limssr.core.quoting import quoted

WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false"}
SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
ABSURD = 1e9


@dataclass(frozen=True, kw_only=True)
class RecipeKey:
    """One key.

    Attributes:
        key: With its groups, "train.epochs".
        kind: What its value may be, in words.
        default: As it would stand in a recipe, in JSON's spelling.
        meaning: One sentence or several; of a group of keys, what the group is about.
        group: It holds further keys.
    """

    key: str
    kind: str
    default: Any
    meaning: str
    group: bool = False


@cache
def recipe_keys() -> tuple[RecipeKey, ...]:
    """All keys, groups before what they hold, in the order of `RunConfig`."""
    return tuple(_keys(RunConfig, ""))


def keys_under(name: str | None) -> tuple[RecipeKey, ...]:
    """The keys that a person asks for.

    Args:
        name: A key ("train.epochs"), a group ("train"), or the last word of keys ("epochs"); None: all.

    Raises:
        InputError: No such key; the message names the nearest one.
    """
    if name is None:
        return recipe_keys()
    name = name.strip(".")
    exact = tuple(key for key in recipe_keys() if key.key == name or key.key.startswith(f"{name}."))
    found = exact or tuple(key for key in recipe_keys() if key.key.split(".")[-1] == name)
    if not found:
        raise InputError(f"Expected a key of a recipe, found {quoted(name)}. The nearest one is {nearest_key(name)!r}.")
    return found


def keys_named(word: str) -> tuple[str, ...]:
    """Keys whose last word is this one."""
    return tuple(key.key for key in recipe_keys() if key.key.split(".")[-1] == word)


def nearest_key(key: str) -> str:
    """The key that is spelled most like `key`, looked for among its neighbours first."""
    parent, _, last = key.rpartition(".")
    siblings = [found.key for found in recipe_keys() if found.key.rpartition(".")[0] == parent]
    near = nearest_name(last, [name.rpartition(".")[2] for name in siblings], cutoff=0.5)
    if near:
        return f"{parent}.{near}".lstrip(".")
    every = [found.key for found in recipe_keys()]
    return nearest_name(key, every, cutoff=0.0) or every[0]


def _keys(model: type[BaseModel], prefix: str) -> Iterator[RecipeKey]:
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        nested = _nested(field.annotation)
        meaning = " ".join((field.description or (nested.__doc__ if nested else "") or "").split())
        if nested is None:
            yield RecipeKey(key=key, kind=_kind(field), default=_plain(field.default), meaning=meaning)
            continue
        nullable = NoneType in get_args(field.annotation)
        kind = "group of keys, or null" if nullable else "group of keys"
        default = None if field.default is None else "as below"
        yield RecipeKey(key=key, kind=kind, default=default, meaning=meaning, group=True)
        yield from _keys(nested, f"{key}.")


def _nested(annotation: Any) -> type[BaseModel] | None:
    candidates = [annotation, *get_args(annotation)]
    return next((item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)), None)


def _kind(field: FieldInfo) -> str:
    bounds = _bounds(field.metadata)
    return _kind_of(field.annotation, bounds)


def _bounds(metadata: Any) -> str:
    """The constraints of a field, such as "from 1 to 1,000"; bounds that only keep out absurd numbers are left out."""
    items = [part for item in metadata for part in (item.metadata if isinstance(item, FieldInfo) else [item])]
    found = {name: getattr(item, name) for name in SIGNS for item in items if hasattr(item, name)}
    found = {name: bound for name, bound in found.items() if abs(bound) < ABSURD}
    if {"ge", "le"} <= set(found):
        return f" from {_number(found['ge'])} to {_number(found['le'])}"
    words = " and ".join(f"{SIGNS[name]} {_number(bound)}" for name, bound in found.items())
    return f" {words}" if words else ""


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def _kind_of(annotation: Any, bounds: str = "") -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(str(value) for value in arguments)
    if origin in (Union, UnionType):
        kinds = [_kind_of(item, bounds) for item in arguments if item is not NoneType]
        return ", or ".join([*kinds, *(["null"] if NoneType in arguments else [])])
    if origin is tuple:
        return f"list of {_kind_of(arguments[0])}"
    if origin is dict:
        return f"names, each with {_kind_of(arguments[1])}"
    if hasattr(annotation, "__metadata__"):
        return _kind_of(arguments[0], _bounds(annotation.__metadata__))
    return f"{WORDS[annotation]}{bounds}"


def _plain(default: Any) -> Any:
    """Tuples and mappings as JSON has them."""
    if isinstance(default, tuple):
        return list(default)
    return dict(default) if isinstance(default, Mapping) else default
