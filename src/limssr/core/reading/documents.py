"""Reads JSON and YAML from outside, limited in size, depth, number of values and length of numbers."""

import json
import math
from collections.abc import Callable
from typing import Any

import yaml

from limssr.core.quoting import quoted, shortened
from limssr.core.reading.regular import Outside, read_bytes, read_text

MAX_DEPTH = 64
MAX_JSON_BYTES = 16 * 2**20
MAX_YAML_BYTES = 2**19
MAX_YAML_NODES = 50_000
"""Keys and values of a YAML file, an alias counted as all that it stands for."""
MAX_YAML_SCALAR = 100_000
MAX_DIGITS = 40
"""Characters of a number; Python needs quadratic time for long ones."""


def read_json(outside: Outside, *, limit: int = MAX_JSON_BYTES) -> Any:
    """A JSON file.

    Raises:
        InputError: No such file, too long, not JSON, deeper than `MAX_DEPTH`, a number that is none, half a surrogate
            pair.
    """
    return parse_json(read_bytes(outside, limit=limit), outside)


def parse_json(
    content: bytes | str,
    outside: Outside,
    *,
    pairs: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """JSON text -> plain Python values; see `read_json`.

    Args:
        content: UTF-8, with or without a byte order mark.
        outside: The file it is from.
        pairs: Makes an object of its pairs, as `object_pairs_hook` of `json.loads`.
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        document = json.loads(text, object_pairs_hook=pairs, parse_int=_whole, parse_constant=_no_number)
    except RecursionError:
        raise outside.refused("JSON of endless depth") from None
    except ValueError as error:  # also UnicodeDecodeError
        raise outside.refused(f"no JSON ({shortened(str(error), 160)})") from None
    check_values(document, outside)
    return document


def read_yaml(outside: Outside) -> Any:
    """A YAML file.

    Raises:
        InputError: No such file, not YAML, or beyond one of the limits above.
    """
    return parse_yaml(read_text(outside, limit=MAX_YAML_BYTES), outside)


def parse_yaml(text: str, outside: Outside) -> Any:
    """YAML text -> plain Python values; see `read_yaml`. Nothing in it can name a Python object."""
    try:
        if len(text) > MAX_YAML_BYTES:
            raise outside.refused(f"more than {MAX_YAML_BYTES:,} characters of YAML")
        _check_events(text, outside)
        document = yaml.load(text, Loader=_Loader)
    except (
        yaml.YAMLError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        # What the constructors of dates, numbers and truth values raise is not documented.
        if isinstance(error, outside.error):
            raise
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or str(error).strip("'\"") or type(error).__name__
        raise outside.refused(f"no readable YAML ({line}{shortened(str(problem), 200)})") from None
    check_values(document, outside)
    return document


def check_values(document: Any, outside: Outside) -> None:
    """Refuse what nobody writes on purpose: endless depth, text that no file can hold, endless numbers.

    Raises:
        InputError: One of these is in the document.
    """
    level, depth = [document], 0
    while level:
        if depth > MAX_DEPTH:
            raise outside.refused(f"values nested deeper than {MAX_DEPTH} levels")
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += value.keys()
                below += value.values()
            elif isinstance(value, list | tuple):
                below += value
            elif isinstance(value, str) and not is_text(value):
                raise outside.refused(f"half a surrogate pair in {quoted(value)}, which is no text")
        level, depth = below, depth + 1


def is_text(value: str) -> bool:
    """Whether a string can be written to a file: half of a surrogate pair cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


# Of libyaml where PyYAML was built with it: the same language, read some ten times as fast.
_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):
    """The safe loader, with short numbers only."""


def _short(construct: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def constructed(loader: Any, node: Any) -> Any:
        if len(str(node.value)) > MAX_DIGITS:
            raise ValueError(f"a number of {len(node.value):,} characters")
        return construct(loader, node)

    return constructed


_Loader.add_constructor("tag:yaml.org,2002:int", _short(yaml.SafeLoader.construct_yaml_int))
_Loader.add_constructor("tag:yaml.org,2002:float", _short(yaml.SafeLoader.construct_yaml_float))


def _check_events(text: str, outside: Outside) -> None:
    """Count what a YAML text stands for, before anything is built of it."""
    anchors: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and the count before it
    count = 0
    for event in yaml.parse(text, Loader=_Safe):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                anchors[anchor] = count - before
        elif isinstance(event, yaml.NodeEvent):
            count += _weight(event, anchors, outside)
            if isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append((event.anchor, count - 1))
            elif isinstance(event, yaml.ScalarEvent) and event.anchor is not None:
                anchors[event.anchor] = 1
        if len(open_nodes) > MAX_DEPTH:
            raise outside.refused(f"values nested deeper than {MAX_DEPTH} levels")
        if count > MAX_YAML_NODES:
            raise outside.refused(f"more than {MAX_YAML_NODES:,} keys and values (an alias counts as what it repeats)")


def _weight(event: yaml.NodeEvent, anchors: dict[str, int], outside: Outside) -> int:
    """How many keys and values an event adds."""
    if isinstance(event, yaml.AliasEvent):
        if event.anchor not in anchors:
            raise outside.refused(f"the alias *{shortened(event.anchor)} of nothing, or of what it stands in")
        return anchors[event.anchor]
    if isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_YAML_SCALAR:
        raise outside.refused(f"a value of more than {MAX_YAML_SCALAR:,} characters")
    return 1


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a whole number of {len(digits):,} digits")
    return int(digits)


def _no_number(word: str) -> float:
    raise ValueError(f"{word}, which is no number")


def is_finite(value: Any) -> bool:
    """Whether a value is a number, and neither infinite nor NaN; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
