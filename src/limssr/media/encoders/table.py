"""The table of encoders by name; an encoder is imported on first use."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from limssr.core.errors import InputError, MissingExtraError, unknown_name
from limssr.core.lazy import LazyTable, PlugIns
from limssr.media.encoders import codec_motion, face, image, motion, pitch, pose, sound, voice
from limssr.media.encoders.clips import FILE_FAMILIES, FileEncoder, file_card, is_file_family
from limssr.media.encoders.contract import Encoder, EncoderCard
from limssr.media.encoders.families import FAMILIES
from limssr.media.encoders.hub import HubEncoder, hub_card, is_hub
from limssr.media.encoders.sets import SETS, resolved, set_of
from limssr.media.extras import installed


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the table.

    Attributes:
        card: What the encoder is.
        load: Makes it, weights included.
    """

    card: EncoderCard
    load: Callable[[], Encoder]


ENCODERS: Mapping[str, Entry] = MappingProxyType(
    {
        entry.card.name: entry
        for entry in (
            Entry(card=pose.CARD, load=pose.PoseEncoder),
            Entry(card=face.CARD, load=face.FaceEncoder),
            Entry(card=image.CARD, load=image.ImageEncoder),
            Entry(card=motion.CARD, load=motion.MotionEncoder),
            Entry(card=codec_motion.CARD, load=codec_motion.CodecMotionEncoder),
            Entry(card=sound.CARD, load=sound.SoundEncoder),
            Entry(card=pitch.CARD, load=pitch.PitchEncoder),
            Entry(card=voice.CARD, load=voice.VoiceEncoder),
        )
    }
)
DEFAULT = tuple(name for name in ENCODERS if name != codec_motion.CARD.name)


def _plugged(name: str, found: object) -> Entry:
    if not isinstance(found, Entry) or found.card.name != name:
        raise InputError(
            f"Expected an Entry of limssr.media.encoders.table whose card is named {name!r}, found {found!r}: see "
            "docs/own-system.md."
        )
    return found


OTHERS: LazyTable[Entry] = LazyTable({}, PlugIns(group="limssr.encoders", made=_plugged))
"""Encoders of installed packages: entry points `limssr.encoders`. A name of ours is ours."""


def chosen(names: Sequence[str] | None) -> tuple[str, ...]:
    """Names of encoders, checked; None means the default ones. A set of them is replaced by what is in it.

    Raises:
        InputError: A name is unknown or repeated, or none is given.
    """
    if names is None:
        return DEFAULT
    if set_of(names):
        names = list(resolved(names))
    for name in names:
        card_of(name)
    if not names or len(set(names)) < len(names):
        raise InputError(f"Expected every encoder once and at least one, found {list(names)}: list each name once.")
    return tuple(names)


def stream_names(names: Sequence[str] | None) -> dict[str, str]:
    """Encoder -> what its stream is called, as far as a set says it."""
    return resolved(names) if names and set_of(names) else {}


def card_of(name: str) -> EncoderCard:
    """What an encoder is.

    Raises:
        InputError: No encoder of that name.
    """
    if is_hub(name):
        return hub_card(name)
    if is_file_family(name):
        return file_card(name)
    return _entry(name).card


def _entry(name: str) -> Entry:
    if name in ENCODERS:
        return ENCODERS[name]
    if name not in OTHERS:
        raise unknown_name("encoder", name, (*ENCODERS, *FAMILIES, *FILE_FAMILIES, *SETS, *OTHERS))
    return OTHERS[name]


def is_known(name: str) -> bool:
    """Whether there is an encoder of that name, with or without its weights."""
    return name in ENCODERS or is_hub(name) or is_file_family(name) or name in OTHERS


def missing_needs(card: EncoderCard) -> tuple[str, ...]:
    """What to type to install what an encoder lacks here; empty if nothing."""
    return tuple(dict.fromkeys(need.command for need in card.needs if not installed(need.module)))


def check_needs(names: Sequence[str]) -> None:
    """Say before any work what is not installed.

    Raises:
        MissingExtraError: Something is; the message has the commands.
    """
    lacking = {name: missing_needs(card_of(name)) for name in names}
    lacking = {name: commands for name, commands in lacking.items() if commands}
    if lacking:
        commands = dict.fromkeys(command for commands in lacking.values() for command in commands)
        raise MissingExtraError(
            f"Expected the packages of the encoders {', '.join(lacking)}, found that some are not installed: "
            f"{' && '.join(commands)} (or choose others with --encoders; `limssr extract --list` shows them)."
        )


@lru_cache(maxsize=16)
def load_encoder(name: str) -> Encoder:
    """An encoder with its weights, once a process.

    Raises:
        InputError: No encoder of that name, or what it needs is not installed.
    """
    card_of(name)
    if is_file_family(name):
        return FileEncoder(name)
    return HubEncoder(name) if is_hub(name) else _entry(name).load()
