"""Error messages for recipes: which key is wrong, what it may be, what was found and where it was given."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from limssr.core.errors import InputError
from limssr.core.quoting import quoted, shortened
from limssr.core.recipe_keys import nearest_key, recipe_keys

MAX_PROBLEMS = 10
"""Mistakes that a message names."""


def recipe_error(
    error: ValidationError, *, where: str, overrides: Sequence[str] = (), arguments: Mapping[str, str] | None = None
) -> InputError:
    """The error of pydantic as one of ours.

    Args:
        error: What pydantic found.
        where: Where the keys stand: a file, or the function whose arguments they are.
        overrides: Changes given with `--set`, "key=value". A mistake in one of them names it and not the file.
        arguments: Key -> name of the argument that it was made of; where given, mistakes name arguments.
    """
    found, num_more = _explained(error.errors(include_url=False))
    lines, of_recipe = [], False
    for key, text in found:
        origin = _override(key, overrides)
        if arguments is not None:
            lines.append(f"{arguments.get(key, key)}: {text}")
        elif origin:
            lines.append(f"--set {origin}: {text}")
        else:
            of_recipe = True
            lines.append(f"{shortened(key) or 'recipe'}: {text}")
    lines += [f"and {num_more:,} more"] if num_more else []
    if arguments is not None:
        return InputError(f"{where}: {'; '.join(lines)}.")
    if not of_recipe:
        return InputError("\n".join(f"{line}." for line in lines))
    changed = f" with {', '.join(f'--set {shortened(override)}' for override in overrides[:3])}" if overrides else ""
    listed = "\n".join(f"  {line}" for line in lines)
    return InputError(f"{where}{changed} is not a valid recipe:\n{listed}")


def _override(key: str, overrides: Sequence[str]) -> str | None:
    """The change that a mistake at a key comes from: of that key, of one below or above it; the last one given wins."""
    for override in reversed(overrides):
        changed = override.partition("=")[0]
        if changed == key or key.startswith(f"{changed}.") or (key and changed.startswith(f"{key}.")):
            return shortened(override)
    return None


def _explained(items: Sequence[Any]) -> tuple[list[tuple[str, str]], int]:
    """The first mistakes, explained, and how many more there are: looking for the nearest key of each takes long."""
    found: dict[tuple[str, str], None] = {}
    rest = iter(items)
    for item in rest:
        found[_explain(item)] = None
        if len(found) == MAX_PROBLEMS:
            break
    return list(found), len({item["loc"] for item in rest})


def _explain(item: Any) -> tuple[str, str]:
    """(key, what is wrong with it)."""
    path = [str(part) for part in item["loc"]]
    if item["type"] == "extra_forbidden":
        key = ".".join(path)
        return key, f"unknown key {quoted(key)}; the nearest valid key is {nearest_key(key)!r}"
    kinds = {key.key: key.kind for key in recipe_keys()}
    # Below a key, pydantic's path goes on with positions in a list and with names of types.
    key = next((name for name in _beginnings(path) if name in kinds), "")
    if item["type"] in ("value_error", "assertion_error"):
        return key, item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    expected = kinds.get(key, "keys and values").replace("group of keys", "keys and values")
    article = "a " if expected.startswith(("whole", "number", "list")) else ""
    return key, f"expected {article}{expected}, found {_found(item['input'])}"


def _beginnings(path: Sequence[str]) -> Iterator[str]:
    """The path as a key, then without its last part, and so on."""
    return (".".join(path[:length]) for length in range(len(path), 0, -1))


def _found(value: Any) -> str:
    """A value for a message; of a container what it is, and never all that it holds."""
    if isinstance(value, Mapping):
        return f"keys and values ({shortened(', '.join(map(str, value)))})" if value else "no keys"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return "null" if value is None else quoted(value)
