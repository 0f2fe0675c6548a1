"""The encoders as a list, for `limssr extract --list` and the page on recordings: both show this."""

from typing import Any

from limssr.core.errors import InputError
from limssr.media.encoders.clips import FILE_FAMILIES
from limssr.media.encoders.clips import PICTURES_HZ as CLIP_PICTURES_HZ
from limssr.media.encoders.families import FAMILIES
from limssr.media.encoders.hub import PICTURES_HZ, hub_card
from limssr.media.encoders.table import DEFAULT, ENCODERS, missing_needs


def encoder_documents() -> list[dict[str, Any]]:
    """One document an encoder, as plain JSON values."""
    documents = []
    for name, entry in ENCODERS.items():
        card, install = entry.card, missing_needs(entry.card)
        documents.append(
            {
                "name": name,
                "default": name in DEFAULT,
                "reads": card.reads,
                "pictures_hz": card.pictures_hz,
                "width": card.dim,
                "does": card.does,
                "weights": card.weights,
                "licence": card.licence,
                "verified": card.verified,
                "version": card.version,
                "columns": list(card.columns),
                "ready": not install,
                "install": list(install),
            }
        )
    documents += [_family_document(name) for name in FAMILIES]
    return [*documents, *(_file_document(name) for name in FILE_FAMILIES)]


def _family_document(name: str) -> dict[str, Any]:
    """A published model that is read from a folder or the hub's cache; its width is known when it is there."""
    family = FAMILIES[name]
    try:
        card = hub_card(name)
    except InputError:
        card = None
    return {
        "name": name,
        "default": False,
        "reads": family.reads,
        "pictures_hz": PICTURES_HZ if family.reads == "picture" else 0.0,
        "width": None if card is None else card.dim,
        "does": family.does,
        "weights": f"{family.source} on the hub, or {name}=FOLDER",
        "licence": family.licence,
        "verified": family.verified,
        "version": family.version,
        "columns": [] if card is None else list(card.columns),
        "ready": card is not None,
        "install": [] if card is not None else [f"hf download {family.source}"],
    }


def _file_document(name: str) -> dict[str, Any]:
    """An encoder whose weights are a file that a user names."""
    family = FILE_FAMILIES[name]
    return {
        "name": name,
        "default": False,
        "reads": "picture",
        "pictures_hz": CLIP_PICTURES_HZ,
        "width": None,
        "does": family.does,
        "weights": family.weights,
        "licence": family.licence,
        "verified": family.verified,
        "version": 1,
        "columns": [],
        "ready": False,
        "install": [f"name a file of weights: --encoders {name}=FILE"],
    }
