"""The references that a run can have: the names of `evaluation.references`; nothing is fitted or imported here."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["ridge", "extra_trees", "gradient_boosting"]
"""Of a regression on pooled statistics."""
Strategy = Literal["per_subset", "impute", "repeat"]
"""What it makes of absent streams; see `limssr.systems.regressions.PooledRegressor`."""


@dataclass(frozen=True)
class Reference:
    """What a reference is.

    Attributes:
        summary: One line for tables.
        pooled: Kind and strategy of the regression on pooled statistics; None for a network.
        trained_on: "available" is what the model of the run sees; "complete" is more than that, an upper mark.
    """

    summary: str
    pooled: tuple[Kind, Strategy] | None = None
    trained_on: Literal["available", "complete"] = "available"


REFERENCES: dict[str, Reference] = {
    "ridge": Reference("ridge on pooled statistics, one model a subset", ("ridge", "per_subset")),
    "ridge-imputed": Reference("ridge on pooled statistics, absent streams imputed", ("ridge", "impute")),
    "ridge-complete": Reference(
        "ridge, one model a subset, trained on complete data", ("ridge", "per_subset"), "complete"
    ),
    "extra-trees": Reference("extra-trees on pooled statistics, one model a subset", ("extra_trees", "per_subset")),
    "extra-trees-imputed": Reference(
        "extra-trees on pooled statistics, absent streams imputed", ("extra_trees", "impute")
    ),
    "extra-trees-repeated": Reference(
        "the same, each training sample repeated for every subset of what it owns", ("extra_trees", "repeat")
    ),
    "extra-trees-complete": Reference(
        "extra-trees, one model a subset, trained on complete data", ("extra_trees", "per_subset"), "complete"
    ),
    "gradient-boosting": Reference(
        "gradient boosting on pooled statistics, one model a subset", ("gradient_boosting", "per_subset")
    ),
    "gradient-boosting-imputed": Reference(
        "gradient boosting on pooled statistics, absent streams imputed", ("gradient_boosting", "impute")
    ),
    "gradient-boosting-complete": Reference(
        "gradient boosting, one model a subset, trained on complete data",
        ("gradient_boosting", "per_subset"),
        "complete",
    ),
    "attention": Reference("cross-modal attention over the available streams + MLP"),
    "statistics": Reference("the ensemble on moments of the streams, without any language model"),
    "random-backbone": Reference("the same model on a backbone of the same shape with random weights"),
}
"""Names for `evaluation.references`."""
