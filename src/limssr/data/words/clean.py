"""Cleaning of texts: markup and invisible signs go, words stay. Nothing in a text is ever executed or formatted."""

import html
import re
import unicodedata

MARKUP = re.compile(
    r"</?(?:i|b|u|s|em|strong|font|span|c|v|p|br|ruby|rt|lang)(?:[.\s][^<>]{0,200})?/?>|\{\\[a-z0-9]{1,20}[^{}]{0,50}\}",
    re.IGNORECASE,
)
"""Tags of subtitles and of simple web pages; whatever else stands in pointed brackets is words."""
TIME_TAG = re.compile(r"<\d{1,2}:\d\d(?::\d\d)?[.,]\d{3}>")
INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn")
JOINERS = "\u200c\u200d"
"""Have no shape of their own, but change the letters around them in some scripts."""


def cleaned(text: str) -> str:
    """Without markup, entities, control characters and repeated blanks, in the composed form of Unicode."""
    plain = html.unescape(TIME_TAG.sub("", MARKUP.sub(" ", text)))
    plain = unicodedata.normalize("NFC", plain)
    kept = (
        " " if sign.isspace() else "" if unicodedata.category(sign) in INVISIBLE and sign not in JOINERS else sign
        for sign in plain
    )
    return " ".join("".join(kept).split())


def kept(text: str) -> str:
    """The text as it is, without blanks around it."""
    return text.strip()
