"""Errors a person can act on.

Every message says what was expected, what was found and what to do. `LimssrError.exit_code` is what the command line
returns: 2 for something the user can put right, 1 for a failure of ours.
"""

import difflib
from collections.abc import Sequence
from itertools import islice

from limssr.core.quoting import MAX_MESSAGE, MAX_QUOTED, listed, shortened

MAX_COMPARED = 2_000
"""Names that are compared with a wrong one to find the nearest."""


class LimssrError(Exception):
    """Base of every error that limssr raises on purpose.

    Its message has an end, whatever it quotes: of a longer one the middle is left out.
    """

    exit_code = 1

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(shortened(item, MAX_MESSAGE) if isinstance(item, str) else item for item in arguments))


class InputError(LimssrError, ValueError):
    """Something the user gave is wrong: data, a recipe, an argument. Nothing has been written."""

    exit_code = 2


class ArtifactError(InputError):
    """A file that limssr itself wrote (store, run folder, checkpoint) is missing, altered or of a newer format."""


class MissingExtraError(InputError, ImportError):
    """An optional dependency is needed for what was asked."""


class ResourceError(LimssrError):
    """The machine ran out of something: disk, memory. Nothing half-written is left; make room and try again."""

    exit_code = 2


def unknown_name(kind: str, found: str, valid: Sequence[str]) -> InputError:
    """The error for a name that does not exist, with the nearest one that does.

    Args:
        kind: What the name should name ("stream", "criterion", "column").
        found: The name that was given.
        valid: Every name that would have been right.
    """
    close = nearest_name(found, valid, cutoff=0.4)
    hint = f"did you mean '{shortened(close)}'?" if close else "use one of these."
    return InputError(f"Unknown {kind} '{shortened(found)}'. Expected one of: {listed(valid)}; {hint}")


def nearest_name(found: str, valid: Sequence[str], *, cutoff: float) -> str | None:
    """The valid name that is most like `found`, in bounded time; None where none is.

    Args:
        found: The name that was given.
        valid: Every name that would have been right.
        cutoff: Likeness below which a name is not offered, from 0 to 1.
    """
    if len(found) > MAX_QUOTED:
        return None
    near = difflib.get_close_matches(found, list(islice(valid, MAX_COMPARED)), n=1, cutoff=cutoff)
    return near[0] if near else None
