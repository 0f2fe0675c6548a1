"""Names of groups: different spellings of one name are one group, and unknown names are separate groups."""

import math
import re
import unicodedata
from typing import Any

# How tables write "there is none": R, spreadsheets, pandas, SQL, Python.
MISSING_WORDS = frozenset(
    ("", "NA", "N/A", "n/a", "na", "NaN", "nan", "-nan", "null", "NULL", "None", "<NA>", "NaT", "#N/A")
)


def is_missing(value: Any) -> bool:
    """True for None, NaN, an empty text, and the words that tables write where there is nothing."""
    if value is None:
        return True
    if isinstance(value, str):
        return value.strip() in MISSING_WORDS
    if isinstance(value, float):
        return math.isnan(value)
    # pandas.NA and NaT say so themselves and cannot be compared.
    return str(value) in MISSING_WORDS


def group_name(value: Any) -> str:
    """The one name of a group; "" where the group is unknown, and each such sample is then a group of its own.

    Two ways to write a letter (Unicode NFC and NFD) are one, and so are 1, 1.0 and "1.0": tables write whole numbers
    with a decimal point as soon as one cell of the column is empty.
    """
    if is_missing(value):
        return ""
    text = unicodedata.normalize("NFKC", str(value)).strip()
    return re.sub(r"^([+-]?\d+)\.0+$", r"\1", text)
