"""Errors a person can act on.

Every message says what was expected, what was found and what to do. `LimssrError.exit_code` is what the command line
returns: 2 for something the user can put right, 1 for a failure of ours.
"""

import difflib
from collections.abc import Sequence


class LimssrError(Exception):
    """Base of every error that limssr raises on purpose."""

    exit_code = 1


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
    close = difflib.get_close_matches(found, valid, n=1, cutoff=0.4)
    hint = f"did you mean '{close[0]}'?" if close else "use one of these."
    return InputError(f"Unknown {kind} '{found}'. Expected one of: {', '.join(valid) or '(none)'}; {hint}")
