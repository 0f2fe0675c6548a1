"""Banners: remarks that a reader needs before the numbers, each a title and a text."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Banner:
    """A remark in a banner.

    Attributes:
        kind: "warning" where the numbers are flattered, "note" where they need reading with care.
        title: What is so.
        text: What follows from it.
    """

    kind: str
    title: str
    text: str
