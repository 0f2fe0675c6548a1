"""The encoders as a list, for `limssr extract --list` and the page on recordings: both show this."""

from typing import Any

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
    return documents
