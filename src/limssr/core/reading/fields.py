"""Checked access to the fields of documents from outside."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from limssr.core.quoting import quoted, shortened
from limssr.core.reading.regular import Outside

Model = TypeVar("Model", bound=BaseModel)
Made = TypeVar("Made")
MAX_PROBLEMS = 3
"""Problems of a document that a message names."""


def checked(model: type[Model], document: Any, outside: Outside) -> Model:
    """A document as a pydantic model.

    Raises:
        InputError: A key is missing or its value is of another type; the message names the first of them.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise outside.refused(problems_of(error)) from None


def problems_of(error: ValidationError) -> str:
    """The first problems of a document, each with its place and what stands there."""
    found = error.errors(include_url=False, include_context=False)
    told = [
        f"{shortened('.'.join(str(part) for part in item['loc'])) or 'the document'}: {item['msg']} "
        f"({quoted(item['input'])})"
        for item in found[:MAX_PROBLEMS]
    ]
    more = [f"{len(found) - MAX_PROBLEMS:,} more"] if len(found) > MAX_PROBLEMS else []
    return "; ".join([*told, *more])


def made(outside: Outside, what: str, make: Callable[[], Made]) -> Made:
    """What `make` builds of values from outside; whatever does not fit together in them becomes a refusal.

    Args:
        outside: The file they are from.
        what: What is built: "its streams".
        make: Plain construction and indexing of values that were read.
    """
    try:
        return make()
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, NotImplementedError) as error:
        if isinstance(error, outside.error):
            raise
        raise outside.refused(f"{what} in another form ({type(error).__name__}: {shortened(str(error))})") from None


def mapping(document: Any, key: str, outside: Outside) -> Mapping[str, Any]:
    """The mapping under a key; an empty one where there is none.

    Raises:
        InputError: Something else stands there.
    """
    value = document.get(key) if isinstance(document, Mapping) else document
    if value is None and isinstance(document, Mapping):
        return {}
    if not isinstance(value, Mapping):
        raise outside.refused(f"{quoted(value)} under '{key}', where names and values belong")
    return value
