"""Encoders that go together under one name: those of the published features, whose streams a published model reads."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from limssr.core.errors import InputError

SETS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "fs1000": MappingProxyType({"video": "timesformer", "audio": "ast", "flow": "i3d-flow"}),
        "fisv": MappingProxyType({"video": "vst", "audio": "ast", "flow": "i3d-flow"}),
        "rg": MappingProxyType({"video": "vst", "audio": "ast", "flow": "i3d-flow"}),
    }
)
"""Set -> stream -> encoder. Their segments are the presets of the same name (`limssr.media.clock.PRESETS`)."""
WIDTHS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "fs1000": MappingProxyType({"video": 768, "audio": 768, "flow": 1024}),
        "fisv": MappingProxyType({"video": 1024, "audio": 768, "flow": 1024}),
        "rg": MappingProxyType({"video": 1024, "audio": 768, "flow": 1024}),
    }
)
"""Set -> stream -> width of the published features."""


def set_of(names: Sequence[str] | None) -> str | None:
    """The set among some names of encoders; None without one.

    Raises:
        InputError: Several sets.
    """
    found = [name for name in names or () if name in SETS]
    if len(found) > 1:
        raise InputError(f"Expected one set of encoders, found {' and '.join(found)}: give one.")
    return found[0] if found else None


def resolved(names: Sequence[str]) -> dict[str, str]:
    """Encoder -> name of its stream, where a set is among the names: `NAME=SOURCE` says where its weights are.

    Raises:
        InputError: An encoder beside a set that is not in it.
    """
    of = SETS[str(set_of(names))]
    sources = {name.partition("=")[0]: name for name in names if name not in SETS}
    strange = next((name for name in sources if name not in of.values()), None)
    if strange:
        raise InputError(
            f"Expected beside the set '{set_of(names)}' only where the weights of {', '.join(of.values())} are, found "
            f"'{strange}': leave it out, or name every encoder instead of the set."
        )
    return {sources.get(encoder, encoder): stream for stream, encoder in of.items()}
