"""The comparison systems as one document, for `limssr systems` and for reports."""

from collections.abc import Sequence
from typing import Any, Literal

from limssr.core.config import RunConfig
from limssr.core.errors import InputError, unknown_name
from limssr.systems.references import REFERENCES
from limssr.systems.system import System
from limssr.systems.table import SYSTEMS

FAMILIES = {
    "limssr": "the model itself (docs/paper.md; `limssr describe RECIPE` counts it)",
    "incomplete": "for incomplete streams (the paper's Table 1)",
    "complete": "for complete streams (Table 2)",
    "related": "related systems that the paper names",
    "reference": "simple references",
    "own": "brought by you (docs/own-system.md)",
}


def catalogue() -> dict[str, Any]:
    """Every network, by family."""
    order = list(FAMILIES)
    names = sorted(SYSTEMS, key=lambda name: order.index(SYSTEMS[name].family))
    return {"systems": [system_document(name) for name in names]}


def regressions() -> list[str]:
    """Regressions on pooled statistics: no systems that are trained by the loop, but references beside a run."""
    return [name for name, one in REFERENCES.items() if one.pooled is not None]


def system_document(name: str) -> dict[str, Any]:
    """One system: what it declares, and its options with their defaults.

    Raises:
        InputError: A name of no system.
    """
    if name not in SYSTEMS:
        raise unknown_system(name, tuple(SYSTEMS))
    system = SYSTEMS[name]
    return {
        "name": name,
        "title": system.title,
        "source": system.source,
        "summary": system.summary,
        "family": system.family,
        "needs_complete_training": system.needs_complete_training,
        "stages": [stage.name for stage in system.stages],
        "stochastic": system.stochastic,
        "hidden_values": list(system.hidden_values),
        "absent": system.absent,
        "checked": system.checked,
        "changed": system.changed,
        "learning_rate": system.learning_rate,
        "small": dict(system.small),
        "options": _options(system),
    }


def unknown_system(name: str, known: Sequence[str]) -> InputError:
    """The error for a name that is none of the known systems; it says so where the name means something else."""
    if name in REFERENCES:
        kind = "a reference" if REFERENCES[name].pooled is None else "a regression"
        return InputError(
            f"{name} is {kind} and no run of its own ({REFERENCES[name].summary}): name it in evaluation.references of "
            "a recipe (docs/systems.md)."
        )
    return unknown_name("system", name, known)


def hidden_values(name: str) -> list[str]:
    """The losses of a system that look at values of streams which a step hides; none for LIMSSR."""
    return list(SYSTEMS[name].hidden_values) if name in SYSTEMS else []


def target_words(name: str, training: str) -> str:
    """What the targets of such losses are under a kind of training data, as a sentence; empty where it has none."""
    losses = " and ".join(hidden_values(name))
    if not losses:
        return ""
    if training == "complete":
        return f"{name}: {losses} look at every stream of a training sample, as its paper assumes"
    return (
        f"{name}: {losses} look at streams that a step hides; they are re-masked: a target is always one that the "
        "sample owns"
    )


def _options(system: System) -> list[dict[str, Any]]:
    return [
        {"name": name, "default": field.get_default(), "meaning": " ".join((field.description or "").split())}
        for name, field in system.options.model_fields.items()
    ]


Sizes = Literal["paper", "small"]


def config_beside(name: str, config: RunConfig, *, sizes: Sizes = "paper") -> RunConfig:
    """The run of a comparison system on the same data with the same protocol.

    Data, missingness, dropout rate, scaling, output, loss weights, batches, epochs, selection and seed stay; width and
    options become the system's (or its small ones), the learning rate the one that it declares. A recipe of the same
    system is left as it is.

    Raises:
        InputError: An unknown system.
    """
    if name not in SYSTEMS:
        raise unknown_name("system", name, list(SYSTEMS))
    if config.model.system == name:
        return config
    declared = SYSTEMS[name]
    size = dict(declared.small) if sizes == "small" else {}
    model = config.model.model_copy(update={"system": name, "hidden": None, "options": {}, **size})
    rate = {"learning_rate": declared.learning_rate, "backbone_learning_rate": None}
    return config.model_copy(update={"model": model, "train": config.train.model_copy(update=rate)})
