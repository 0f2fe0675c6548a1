"""The table of names: every system that `model.system` can name, and what it declares."""

from limssr.baselines import attention, gdlt, statistics
from limssr.baselines.contract import System

SYSTEMS: dict[str, System] = {
    # for complete streams (the paper's Table 2)
    "gdlt": gdlt.GDLT,
    # simple references
    "attention": attention.ATTENTION,
    "attention-mean": attention.ATTENTION_MEAN,
    "attention-zeros": attention.ATTENTION_ZEROS,
    "attention-learned": attention.ATTENTION_LEARNED,
    "statistics": statistics.STATISTICS,
}
"""Name (`model.system` of a recipe) -> declaration. `limssr.model.build_model` seeds and builds it."""
