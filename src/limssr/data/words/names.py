"""Names of the views of words, apart from the views themselves, which load a language model."""

NAMES = ("states", "hashed")
DEFAULT = "states"
