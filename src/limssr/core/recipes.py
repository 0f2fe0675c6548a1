"""Recipes: YAML files with `base:`, named variants and `key=value` overrides, turned into a RunConfig or a clear error.

A recipe may hold a table of differences, so that a data set needs one file and not one a task and protocol:

    variants:
      task:                                    # a group
        TES: {train: {epochs: 160}}            # a variant: keys of the recipe that differ
        PCS: {train: {epochs: 100}, variants: {protocol: {published: {train: {epochs: 120}}}}}
      protocol:
        honest: {}
        published: {train: {selection: test}}
    choose: {task: TES, protocol: honest}      # taken where the caller names none
    name: skating-{task}-{protocol}            # filled in with what was chosen

The chosen variants are laid over the recipe in the order of the groups. A variant may add to the groups after its own:
that is how PCS under `published` differs from PCS elsewhere.
"""

import copy
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import ValidationError

from limssr.core.config import RunConfig
from limssr.core.errors import InputError, nearest_name, unknown_name
from limssr.core.quoting import listed, quoted, shortened
from limssr.core.reading.documents import MAX_DEPTH, parse_yaml, read_yaml
from limssr.core.reading.regular import Outside, exists
from limssr.core.recipe_errors import recipe_error

MAX_BASES = 8
MAX_GROUPS = 16
PLACEHOLDER = re.compile(r"\{(\w+)\}")
"""A group of variants in a recipe's name."""


NO_VARIANTS: Mapping[str, str] = MappingProxyType({})


def load_recipe(
    path: str | Path, overrides: Sequence[str] = (), variants: Mapping[str, str] = NO_VARIANTS
) -> RunConfig:
    """Read a recipe.

    Args:
        path: A YAML file. Its `base:` is read first and this file's keys are laid over it: a path relative to the
            file, or the name of a recipe that comes with limssr.
        overrides: "train.epochs=3" and the like, laid over everything else; values are read as YAML.
        variants: Group -> name, such as {"task": "PCS"}; the recipe's `choose:` stands for groups that are not named.

    Raises:
        InputError: No such file, no YAML, an unknown key, group or variant (with the nearest valid one), a value out
            of range.
    """
    tree = _with_variants(_read_tree(Path(path), depth=0), variants, where=str(path))
    return parse_config(tree, where=str(path), overrides=overrides)


def recipe_variants(path: str | Path) -> dict[str, tuple[str, ...]]:
    """The variants that a recipe offers.

    Returns:
        Group -> names, both in the recipe's order, the one that is taken by default first.

    Raises:
        InputError: No such file, no YAML.
    """
    tree = _read_tree(Path(path), depth=0)
    groups = _groups(tree, where=str(path))
    default = _mapping(tree, "choose", where=str(path))
    return {group: tuple(sorted(names, key=lambda name: name != default.get(group))) for group, names in groups.items()}


def parse_variants(chosen: Sequence[str]) -> dict[str, str]:
    """Read variants as they are typed, "task=PCS" and the like, into group -> name.

    Raises:
        InputError: Another form, or a group that is given twice.
    """
    found: dict[str, str] = {}
    for text in chosen:
        group, equals, name = text.partition("=")
        if not equals or not group or not name:
            raise InputError(f"--variant: expected GROUP=NAME such as task=PCS, found {text!r}.")
        if found.setdefault(group, name) != name:
            raise InputError(
                f"Expected one variant of {group!r}, found {found[group]!r} and {name!r}: give one of them."
            )
    return found


def parse_config(
    tree: Mapping[str, Any],
    *,
    where: str,
    overrides: Sequence[str] = (),
    arguments: Mapping[str, str] | None = None,
) -> RunConfig:
    """A nested mapping with overrides laid over it -> RunConfig.

    Args:
        tree: Keys of a recipe.
        where: Their origin, for errors.
        overrides: "train.epochs=3" and the like.
        arguments: Key -> name of the function's argument that it was made of, for errors of a function.

    Raises:
        InputError: An unknown key or a wrong value; the message names the override, the argument or the key.
    """
    if not isinstance(tree, Mapping):
        raise InputError(f"{where}: expected keys and values, found {quoted(tree)}.")
    changed = copy.deepcopy(dict(tree))
    for override in overrides:
        _set(changed, override)
    try:
        return RunConfig.model_validate(changed)
    except ValidationError as error:
        raise recipe_error(error, where=where, overrides=overrides, arguments=arguments) from None


def dump_config(config: RunConfig) -> str:
    """YAML with every default filled in; `parse_config` reads it back to an equal RunConfig."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def store_behind(path: str | Path, key: str) -> str:
    """The store that the part of a recipe which gives a key was written for.

    A recipe may stand on another one, which was written for a store of its own: what it says about its data is not
    about that of the recipe above it.

    Args:
        path: A YAML file.
        key: Such as "model.prompt.subject".

    Returns:
        The store named in the file that gives the key, or below it, or else in the first one above it; "" where none
        names one.
    """
    layers = _layers(Path(path), depth=0)
    giving = [number for number, layer in enumerate(layers) if _gives(layer, key.split("."))]
    owner = giving[-1] if giving else len(layers) - 1
    stores = [_at(layer, ["data", "store"]) for layer in layers]
    nearest = [*reversed(stores[: owner + 1]), *stores[owner + 1 :]]
    return next((store for store in nearest if isinstance(store, str) and store), "")


def _gives(layer: Mapping[str, Any], key: Sequence[str]) -> bool:
    """Whether a recipe gives a key, or a part of it, by itself or in one of its variants."""
    if _at(layer, key) is not None:
        return True
    groups = layer.get("variants")
    names = [names for names in groups.values() if isinstance(names, Mapping)] if isinstance(groups, Mapping) else []
    return any(_gives(one, key) for group in names for one in group.values() if isinstance(one, Mapping))


def _at(tree: Any, key: Sequence[str]) -> Any:
    for name in key:
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree


def _read_tree(path: Path, depth: int) -> dict[str, Any]:
    return functools.reduce(_merge, _layers(path, depth))


def _layers(path: Path, depth: int) -> list[dict[str, Any]]:
    """A recipe and all that it stands on, the lowest first."""
    if depth > MAX_BASES:
        raise InputError(f"{path}: more than {MAX_BASES} levels of `base:`, probably a circle; remove one of them.")
    tree = read_yaml(
        Outside(path=path, what="a recipe (YAML)", remedy="give the path of a YAML file, or put right what is named")
    )
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise InputError(f"{path}: expected keys and values, found {quoted(tree)}.")
    base = tree.pop("base", None)
    if base is None:
        return [tree]
    if not isinstance(base, str):
        raise InputError(f"{path}: expected the path of a recipe under `base:`, found {quoted(base)}.")
    below = path.parent / Path(base).expanduser()
    if base in recipe_names() and not exists(below):
        below = recipe_path(base)
    elif not exists(below):
        raise InputError(
            f"{path}: expected under `base:` the path of a recipe, relative to this one, or one of "
            f"{listed(recipe_names())}, found {quoted(base)}."
        )
    return [*_layers(below, depth + 1), tree]


def _with_variants(tree: dict[str, Any], variants: Mapping[str, str], *, where: str) -> dict[str, Any]:
    """The recipe with the chosen variants laid over it, without its `variants:` and `choose:`."""
    default, offered = _mapping(tree, "choose", where=where), list(_groups(tree, where=where))
    for group in [*default, *variants]:
        if group not in offered:
            hint = unknown_name("group of variants", group, offered) if offered else "This recipe has no variants."
            raise InputError(f"{where}: expected a group of variants, found {group!r}. {hint}")
    chosen: dict[str, str] = {}
    for group in offered:
        names = _groups(tree, where=where)[group]
        name = variants.get(group, default.get(group))
        if name is None:
            raise InputError(f"{where}: expected a choice of {group}; choose {group}={' or '.join(names)}.")
        if name not in names:
            raise InputError(f"{where}: {unknown_name(f'variant of {group}', str(name), list(names))}")
        chosen[group] = name
        difference = _mapping(names, name, where=where)
        _check_nested(difference, _groups(tree, where=where), after=list(chosen), where=f"{where}: {group} {name}")
        tree = _merge(tree, difference)
    rest = {key: value for key, value in tree.items() if key not in ("variants", "choose")}
    return copy.deepcopy(rest) | _filled_name(rest, chosen, where=where)


def _check_nested(
    difference: Mapping[str, Any], groups: Mapping[str, Mapping[str, Any]], *, after: Sequence[str], where: str
) -> None:
    """A variant may change variants that exist, of groups that are still to be laid over the recipe."""
    if "choose" in difference or "base" in difference:
        raise InputError(f"{where}: `choose:` and `base:` stand at the top of a recipe, never in a variant.")
    later = [group for group in groups if group not in after]
    for group, names in _groups(difference, where=where).items():
        if group not in later:
            raise InputError(f"{where}: {unknown_name('later group of variants', group, later)}")
        for name in names:
            if name not in groups[group]:
                raise InputError(f"{where}: {unknown_name(f'variant of {group}', name, list(groups[group]))}")


def _filled_name(tree: Mapping[str, Any], chosen: Mapping[str, str], *, where: str) -> dict[str, str]:
    if not isinstance(tree.get("name"), str):
        return {}
    name = tree["name"]
    # Replaced and not formatted: a format can ask for gigabytes of blanks, or for the inside of an object.
    rest = PLACEHOLDER.sub("", name)
    unknown = next((group for group in PLACEHOLDER.findall(name) if group not in chosen), None)
    if unknown is not None or "{" in rest or "}" in rest:
        raise InputError(
            f"{where}: expected a name with groups of variants in braces ({listed(chosen, empty='there are none')}), "
            f"found {quoted(name)}: write {{GROUP}}, or no brace at all."
        )
    return {"name": PLACEHOLDER.sub(lambda found: chosen[found[1]], name)}


def _groups(tree: Mapping[str, Any], *, where: str) -> dict[str, dict[str, Any]]:
    """Group -> name -> differences. A group without names is no group yet; it only holds a place in the order."""
    groups = _mapping(tree, "variants", where=where)
    if len(groups) > MAX_GROUPS:
        raise InputError(f"{where}: expected at most {MAX_GROUPS} groups of variants, found {len(groups):,}.")
    found = {group: _mapping(groups, group, where=f"{where}: variants") for group in groups}
    return {group: names for group, names in found.items() if names}


def _mapping(tree: Mapping[str, Any], key: str, *, where: str) -> dict[str, Any]:
    value = {} if tree.get(key) is None else tree[key]
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise InputError(f"{where}: expected names and values under {key!r}, found {quoted(value)}.")
    return value


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _set(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"--set: expected KEY=VALUE such as train.epochs=3, found {quoted(override)}.")
    *parents, last = key.split(".", MAX_DEPTH)
    node = tree
    for name in parents:
        child = node.get(name)
        node[name] = dict(child) if isinstance(child, Mapping) else {}
        node = node[name]
    what = f"a YAML value after --set {shortened(key)}="
    node[last] = parse_yaml(
        text, Outside(path=Path("--set"), what=what, remedy="write a plain value, such as 3 or word")
    )


_PACKAGE = Path(__file__).parents[1]


# In a wheel the recipes lie inside the package, in a checkout at the top of the repository.
_FOLDERS = (_PACKAGE / "recipes", _PACKAGE.parents[1] / "recipes")


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that come with limssr: "demo", "paper/fs1000", ...

    A file whose name begins with an underscore is the base of others and no recipe by itself.
    """
    folder = _folder()
    files = [path for path in folder.rglob("*.yaml") if not path.name.startswith("_")]
    return tuple(sorted(path.relative_to(folder).with_suffix("").as_posix() for path in files))


def recipe_path(name: str) -> Path:
    """A recipe's file.

    Args:
        name: A path that ends in .yaml or .yml, taken as it is, or a name from `recipe_names`.

    Raises:
        InputError: Neither.
    """
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    if name in recipe_names():
        return _folder() / f"{name}.yaml"
    known = ", ".join(recipe_names())
    near = nearest_name(name, recipe_names(), cutoff=0.4)
    hint = f"; did you mean {near}?" if near else "."
    raise InputError(f"Expected a recipe: a path that ends in .yaml, or one of {known}. Found {name!r}{hint}")


def _folder() -> Path:
    for folder in _FOLDERS:
        if folder.is_dir():
            return folder
    raise InputError(f"Expected the recipes of limssr in {_FOLDERS[0]}; the installation is damaged, install it again.")
