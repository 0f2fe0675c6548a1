"""Names of the views of words and limits of texts, apart from what loads a language model."""

NAMES = ("states", "hashed")
DEFAULT = "states"
MAX_CELL = 1_000_000
"""Letters of one text; a novel has about as many."""
