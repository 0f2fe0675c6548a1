"""What `limssr auto` may be told, and the configuration that its run is written with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limssr.core.config import RunConfig
from limssr.core.errors import InputError, unknown_name
from limssr.core.recipes import parse_config
from limssr.runs.auto.candidates import CANDIDATES, candidate_of, in_order

LANGUAGE_MODEL = "language-model"
"""Stands for every LIMSSR in a list of names to leave out."""

DEFAULT_MINUTES = 30.0


@dataclass(frozen=True, kw_only=True)
class AutoSettings:
    """Of one search.

    Attributes:
        minutes: Budget, all in all.
        candidates: Names, in the order of `CANDIDATES`.
        backbone: Of LIMSSR.
        num_layers: Of the backbone.
    """

    minutes: float
    candidates: tuple[str, ...]
    backbone: str
    num_layers: int | None

    @classmethod
    def of(cls, config: RunConfig) -> "AutoSettings":
        """From `model.options` of a run whose system is auto.

        Raises:
            InputError: An unknown candidate, none at all, or minutes that are no budget.
        """
        options = dict(config.model.options)
        for name in options:
            if name not in ("minutes", "candidates", "without"):
                raise unknown_name("option of auto (model.options)", name, ["minutes", "candidates", "without"])
        minutes = float(options.get("minutes") or DEFAULT_MINUTES)
        if not minutes > 0:
            raise InputError(f"Expected minutes above 0, found {minutes:g}: give auto some time.")
        only = _names(options.get("candidates")) or list(CANDIDATES)
        without = _names(options.get("without"))
        for name in {*only, *without} - ({LANGUAGE_MODEL} & set(without)):
            candidate_of(name)
        left_out = {name for name in only if LANGUAGE_MODEL in without and candidate_of(name).has_language_model}
        kept = tuple(name for name in in_order(list(dict.fromkeys(only))) if name not in {*without, *left_out})
        if not set(kept) - {"constant"}:
            raise InputError("Expected a candidate that learns something, found none: leave out fewer.")
        backbone = config.model.backbone
        return cls(minutes=minutes, candidates=kept, backbone=backbone.name, num_layers=backbone.num_layers)


def auto_config(
    store: str | Path | None,
    *,
    minutes: float | None = None,
    candidates: Sequence[str] = (),
    without: Sequence[str] = (),
    seed: int = 42,
    tree: dict[str, Any] | None = None,
) -> RunConfig:
    """The configuration of a search.

    Args:
        store: A feature store.
        minutes: Budget; None: 30.
        candidates: Only these; () for all.
        without: These not.
        seed: Of folds, networks and resamples.
        tree: Further keys of a recipe: streams, criteria, availability, the backbone.
    """
    tree = dict(tree or {})
    model = dict(tree.get("model") or {})
    options: dict[str, Any] = {
        "minutes": minutes,
        "candidates": ",".join(candidates) or None,
        "without": ",".join(without) or None,
    }
    backbone = {"name": "smollm2-135m", "num_layers": 2} | dict(model.get("backbone") or {})
    model |= {
        "system": "auto",
        "options": {key: value for key, value in options.items() if value is not None}
        | dict(model.get("options") or {}),
        "backbone": backbone,
    }
    data = dict(tree.get("data") or {}) | ({} if store is None else {"store": str(store)})
    train = dict(tree.get("train") or {}) | {"selection": "last"}
    named = {"name": tree.get("name") or "auto", "seed": tree.get("seed", seed)}
    return parse_config({**tree, **named, "data": data, "model": model, "train": train}, where="limssr auto")


def _names(text: Any) -> list[str]:
    return [part.strip() for part in str(text or "").split(",") if part.strip()]
